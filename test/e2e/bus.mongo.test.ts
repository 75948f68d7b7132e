/**
 * MongoDB → Kafka → lake, on a real broker.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Document, MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EJSON } from 'bson';
import type { DemoResult } from '../../src/app/demo/demo.ts';
import { sealPipeline } from '../../src/app/seal.ts';
import { runDoctor } from '../../src/app/doctor.ts';
import { silentLog } from '../../src/ops/log.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { BUS_LATE, BUS_MESSAGE, BUS_OFFSET_GONE, BUS_PARTITIONS, GAP_OPEN } from '../../src/core/errors.ts';
import { KafkaBus } from '../../src/bus/kafka/kafka.ts';
import { runCommandLine } from '../../src/cli/main.ts';
import { testIo } from '../../src/cli/test-io.ts';
import { systemClock } from '../../src/core/clock.ts';
import { MessageBatch } from '../../src/core/message-batch.ts';
import { partitionScope } from '../../src/pipeline/checkpoint.ts';
import { RunProcess } from '../crash/run-process.ts';
import { EventHubsProxy } from '../fakes/event-hubs-proxy.ts';
import { CONNECTION_STRING, KafkaBroker, knownAs, whyNoKafka } from '../kafka.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { ledgerFaults, placeFaults } from './lake-faults.ts';
import { byPosition, eventsSoFar, linesOf, listLake, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { SLOWNESS, until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

/** Messages that another program sends again. */
const TWICE = 10;

const PARTITIONS = 4;
const ALL_PARTITIONS = Array.from({ length: PARTITIONS }, (_, index) => index);
/** What is promised of partitions that move. */
const MOVED_MS_MAX = 30_000 * SLOWNESS;

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

const absent = await whyNoKafka();

describe.skipIf(absent !== null)('events over a bus', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let broker: KafkaBroker;
  let proxy: EventHubsProxy;

  beforeAll(async () => {
    proxy = await EventHubsProxy.listen();
    [set, broker] = await Promise.all([startMongo(), KafkaBroker.start({ proxyPort: proxy.port })]);
    await proxy.to(broker.behindProxy);
    client = await set.connect();
  });
  afterAll(async () => {
    await set.stop();
    await broker[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  function settings(db: string, topic: string, from: BsonTimestamp, more: Partial<Settings> = {}): Settings {
    return {
      source: { uri: set.uri, include: [`${db}.*`], startAt: new Date(from.t * 1000).toISOString() },
      lake: { json: 'canonical', roll: { maxBytes: '16KiB' } },
      bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' } },
      ...more,
    };
  }

  async function provenLake(work: Workspace, db: string, from: BsonTimestamp, to: { t: number; i: number }): Promise<void> {
    const files = await readLake(work.lake);
    const lines = linesOf(files).filter(({ event }) => event._meta.ns.db === db);
    expect(placeFaults(lines)).toEqual([]);
    expect(differences(lines.toSorted(byPosition), await readStream(client, { db, from, to }))).toEqual([]);
    expect(ledgerFaults(files)).toEqual([]);
  }

  it.each(['collection', 'document'])('reach the lake once and in order, shared out by %s', async (partitionBy) => {
    const topic = `by-${partitionBy}`;
    const db = `by_${partitionBy}`;
    await broker.createTopic(topic, 4);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const config = work.config(settings(db, topic, from, { bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' }, partitionBy } }));
    await using produce = new PipelineRun(config, { role: 'produce' });
    const seen: boolean[] = [];
    const onLeaving = async (): Promise<void> => void seen.push(await work.isOwned(partitionScope(0)));
    await using consume = new PipelineRun(config, { role: 'consume', onLeaving });
    await produce.running();
    for (let n = 0; n < 3; n += 1) {
      for (const coll of ['a', 'b', 'c', 'd', 'e']) {
        await client.db(db).collection(coll).insertMany(Array.from({ length: 50 }, (_, i) => ({ n, i, text: 'x'.repeat(200) }))); // prettier-ignore
        await client
          .db(db)
          .collection(coll)
          .updateMany({ n, i: { $lt: 10 } }, { $set: { done: true } });
      }
      await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 1) * 3600);
    }
    const to = await mark(client, db, 'a');
    await consume.reaches(to);
    const published = async (): Promise<string[]> => (await listLake(work.lake)).filter((path) => path.includes('/hours/'));
    await until('the hours before it are published', async () => (await published()).length >= 3);
    await produce.stop();
    // By whoever runs, or by a command when nobody does.
    if (partitionBy === 'collection') await consume.control.seal(new AbortController().signal);
    await consume.stop();
    expect([seen, await work.isOwned(partitionScope(0))]).toEqual([[true], false]);
    if (partitionBy === 'document') {
      const sealed = await sealPipeline(config, { log: silentLog }, new AbortController().signal);
      expect(sealed.rows).toBeGreaterThan(0);
    }
    await provenLake(work, db, from, to);
    expect(await work.verify()).toEqual([]);
  });

  it('reach it through what Event Hubs does otherwise, also those that are too large for it', async () => {
    await broker.createTopic('hub', 2);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const auth = { kind: 'connectionString', value: CONNECTION_STRING };
    const config = work.config(settings('hub', 'hub', from, { bus: { url: `kafka://127.0.0.1:${proxy.port}/hub`, auth } }));
    await using produce = new PipelineRun(config, { role: 'produce' });
    await using consume = new PipelineRun(config, { role: 'consume' });
    await produce.running();
    for (const bytes of [10, 850_000, 3_000_000, 10])
      await client
        .db('hub')
        .collection('a')
        .insertOne({ text: 'x'.repeat(bytes) });
    await client.db('hub').collection<Document>('b').insertMany(Array.from({ length: 2_000 }, (_, i) => ({ i, text: 'x'.repeat(2_000) }))); // prettier-ignore
    const to = await mark(client, 'hub', 'a');
    await consume.reaches(to);
    await produce.stop();
    await consume.control.seal(new AbortController().signal);
    await consume.stop();
    await provenLake(work, 'hub', from, to);
    expect(await work.verify()).toEqual([]);
    expect(proxy.refused).toBe(0);
    expect(proxy.bytesMax).toBeLessThan(1_000_000);
  });

  it('that the broker has forgotten are a gap, which somebody must accept', async () => {
    await broker.createTopic('lost', 1);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const config = work.config(settings('lost', 'lost', from));
    const insert = async (n: number): Promise<unknown> => await client.db('lost').collection<Document>('a').insertMany([{ n }, { n }, { n }]); // prettier-ignore
    const run = async (role: 'produce' | 'consume', acceptGap = false): Promise<unknown> =>
      await new PipelineRun(config, { role, untilIdleMs: 100, acceptGap }).done;
    await insert(1);
    await run('produce');
    await run('consume');
    await insert(2);
    await run('produce');
    await jumpTo(client, (await clusterTime(client)).t + 2);
    await insert(3);
    await run('produce');
    const { next } = JSON.parse(Buffer.from((await work.checkpoint('p000')).resume!.token).toString()) as { next: string };
    const offset = BigInt(next) + 3n;
    await broker.withAdmin(async (admin) => await admin.deleteRecords({ topics: [{ name: 'lost', partitions: [{ partition: 0, offset }] }] }));
    await expect(run('consume')).rejects.toMatchObject({ kind: BUS_OFFSET_GONE });
    await expect(run('consume')).rejects.toMatchObject({ kind: GAP_OPEN });
    await run('consume', true);
    const seen = linesOf(await readLake(work.lake)).map(({ event }) => (event['fullDocument'] as Document | undefined)?.['n'] as unknown);
    expect(JSON.stringify(seen)).toMatch(/"1"\},.*"3"\}/);
    expect(JSON.stringify(seen)).not.toContain('"2"');
    expect((await work.checkpoint('p000')).gaps).toMatchObject([{ to: {} }]);
    expect(await work.verify()).toEqual([]);
  });

  it('have a topic that doctor has looked at', async () => {
    await broker.createTopic('looked-at', 3);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const look = async (topic: string): Promise<unknown> =>
      (await runDoctor(work.config(settings('any', topic, from)), { log: silentLog }, new AbortController().signal)).find(
        ({ area }) => area === 'bus',
      );
    expect(await look('looked-at')).toMatchObject({ outcome: 'ok', detail: expect.stringContaining('3 partitions') as unknown });
    expect(await look('not-there')).toMatchObject({ outcome: 'failed' });
  });

  it('are not sent to a topic that has another number of partitions now', async () => {
    await broker.createTopic('grown', 2);
    await using work = await Workspace.make();
    const config = work.config(settings('grown', 'grown', await clusterTime(client)));
    await new PipelineRun(config, { role: 'produce', untilIdleMs: 0 }).done;
    await broker.withAdmin(
      async (admin) =>
        await admin.createPartitions({ topics: [{ name: 'grown', count: 3, assignments: [{ brokerIds: [1] }] }], validateOnly: false }),
    );
    await broker.withAdmin(async (admin) => await knownAs(admin, 'grown', 3));
    for (const role of ['produce', 'consume'] as const) {
      await expect(new PipelineRun(config, { role, untilIdleMs: 0 }).done).rejects.toMatchObject({ kind: BUS_PARTITIONS });
    }
  });

  it('go on by cluster time when the stream is another one, and none comes twice', async () => {
    await broker.createTopic('streams', 2);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const base = settings('streams', 'streams', from);
    await using consume = new PipelineRun(work.config(base), { role: 'consume' });
    for (const include of [['streams.*'], ['streams.*', 'others.*'], ['streams.*']]) {
      await client.db('streams').collection<Document>('a').insertMany(Array.from({ length: 100 }, (_, i) => ({ i }))); // prettier-ignore
      const config = work.config({ ...base, source: { ...base.source, include } });
      await using produce = new PipelineRun(config, { role: 'produce' });
      await produce.running();
      await consume.reaches(await mark(client, 'streams', 'a'));
      await produce.stop();
    }
    const to = await mark(client, 'streams', 'a');
    await new PipelineRun(work.config(base), { role: 'produce', untilIdleMs: 0 }).done;
    await consume.reaches(to);
    await consume.control.seal(new AbortController().signal);
    await consume.stop();
    await provenLake(work, 'streams', from, to);
    expect(await work.verify()).toEqual([]);
  });

  it('of another program reach it as our own do; what cannot be read is put aside, shown and sent again', async () => {
    await broker.createTopic('others', 2);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const { bus = {}, ...rest } = settings('others', 'others', from);
    const configFile = await work.writeConfig({ ...rest, bus });
    const sluice = async (...args: string[]): Promise<{ code: number; out: string }> => {
      const io = testIo({ cwd: dirname(configFile) });
      return { code: await runCommandLine(io, ['--config', configFile, ...args]), out: io.out() + io.err() };
    };
    for (let n = 0; n < 40; n += 1) await client.db('others').collection<Document>('a').insertOne({ n, text: 'x'.repeat(n * 10) }); // prettier-ignore
    await client.db('others').collection<Document>('a').updateMany({ n: { $lt: 10 } }, { $set: { done: true } }); // prettier-ignore
    await client.db('others').collection<Document>('a').deleteMany({ n: { $lt: 5 } }); // prettier-ignore
    const to = await mark(client, 'others', 'a');
    const events = await readStream(client, { db: 'others', from, to });
    const login = { kind: 'none' };
    {
      await using topic = new KafkaBus({ url: String(bus['url']), login, token: () => Promise.reject(new Error('none')) }, systemClock, silentLog);
      const send = (key: string, text: string): Promise<void> =>
        topic.send(topic.partitionOf(key, 2), MessageBatch.of([{ key, value: Buffer.from(text), headers: {} }]), new AbortController().signal);
      // As the MongoDB Kafka connector does it, whose tasks begin a little before where they ended.
      const sent = events.map((event) => [EJSON.stringify(event['documentKey']), EJSON.stringify(event, { relaxed: false })] as const);
      for (const [key, text] of [...sent.slice(0, 20 + TWICE), ['a', 'no JSON'] as const, ...sent.slice(20)]) await send(key, text);
    }
    const consume = async (format: string): Promise<unknown> =>
      await new PipelineRun(work.config({ ...rest, bus: { ...bus, format } }), { role: 'consume', untilIdleMs: 300 }).done;
    // The wrong format: nothing can be read, and nothing is lost.
    await consume('debezium');
    const all = JSON.parse((await sluice('dead-letters', 'list', '--json')).out) as { letters: { name: string; reason: string }[] };
    expect([all.letters.length, new Set(all.letters.map(({ reason }) => reason))]).toEqual([events.length + TWICE + 1, new Set([BUS_MESSAGE.code])]);
    expect((await sluice('dead-letters', 'replay')).out).toContain(`${events.length + TWICE + 1} messages sent again`);
    expect((await sluice('dead-letters', 'list')).out).toBe('no dead letters\n');
    await consume('detect');
    await provenLake(work, 'others', from, to);
    expect(await work.verify()).toEqual([]);
    // What went twice was sent again twice: the second one comes after its time, and is not thrown away.
    const { letters } = JSON.parse((await sluice('dead-letters', 'list', '--json')).out) as typeof all;
    const late = letters.filter(({ reason }) => reason === BUS_LATE.code);
    const [left, ...more] = letters.filter((letter) => !late.includes(letter));
    expect([late.length, more]).toEqual([TWICE, []]);
    expect((await sluice('dead-letters', 'show', left!.name)).out).toMatch(/SLC-1605.*\n\nkey: a\n.*\n\nno JSON\n$/s);
    expect((await sluice('dead-letters', 'show', 'p000-7')).code).toBe(2);
    expect((await sluice('status')).out).toContain('dead letters');
  });

  it('are shown by the demo with a broker of its own, and proved', async () => {
    await using work = await Workspace.make();
    const env = { ...process.env, XDG_STATE_HOME: work.folder, SLUICE_DEMO_MONGODB_URI: set.uri };
    const args = [LAUNCHER, 'demo', '--bus', '--seconds', '1', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, cwd: work.folder });
    const { report } = JSON.parse(stdout) as DemoResult;
    expect(report.ok, stdout).toBe(true);
    expect(report.checks.map(({ name }) => name)).toContain('events');
    expect(await readFile(join(work.folder, 'sluice-demo', 'sluice.yaml'), 'utf8')).toContain('kafka://');
  });

  it('end with the broker that the demo has started, which says so', async () => {
    await using work = await Workspace.make();
    const env = { ...process.env, XDG_STATE_HOME: work.folder, SLUICE_DEMO_MONGODB_URI: set.uri };
    const demo = spawn(process.execPath, [LAUNCHER, 'demo', '--bus', '--seconds', '600'], {
      env,
      cwd: work.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const closed = once(demo, 'close');
    let err = '';
    demo.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    try {
      await Promise.race([
        until('the shop is open', () => err.includes('The shop is open'), 150_000),
        closed.then(() => Promise.reject(new Error(err))),
      ]);
      const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,comm=']);
      const [, pid] = new RegExp(`^ *(\\d+) +${demo.pid} +\\S*java$`, 'm').exec(stdout)!;
      process.kill(Number(pid), 'SIGKILL');
      expect(await closed, err).toEqual([69, null]);
      expect(err).toContain('SLC-1522  The Kafka broker of the demo does not run: it was killed by SIGKILL\n');
      expect(await readdir(work.folder)).not.toContain('sluice-demo');
    } finally {
      demo.kill('SIGKILL');
      await closed;
    }
  });

  it('are shared by two consumers that both work, within 30 seconds after one has come and after one was killed', { timeout: 240_000 }, async () => {
    await broker.createTopic('shared', PARTITIONS);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const configFile = await work.writeConfig(settings('shared', 'shared', from));
    await using produce = RunProcess.start(configFile, { args: ['--role', 'produce'] });
    const consumer = (): RunProcess => RunProcess.start(configFile, { args: ['--role', 'consume'] });
    let inserted = 0;
    /** These share all partitions evenly, own them, and carry what is written now. */
    const carriedBy = async (processes: readonly RunProcess[], msMax: number): Promise<void> => {
      const deadline = systemClock.now() + msMax;
      const left = (): number => deadline - systemClock.now();
      const share = PARTITIONS / processes.length;
      await until('each has its share', () => processes.every((each) => oursOf(each)?.length === share && ownsAll(each)), left());
      for (let n = 0; n < 16; n += 1) await client.db('shared').collection(`c${n}`).insertOne({ n });
      inserted += 16;
      const arrived = async (): Promise<number> =>
        ((await eventsSoFar(work.lake)) ?? []).filter(({ event }) => event._meta.operationType === 'insert').length;
      await until('all of it is in the lake', async () => (await arrived()) >= inserted, left());
      // One that the broker has not heard for a while is given its partitions anew.
      const shared = (): number[] => processes.flatMap((each) => oursOf(each) ?? []).toSorted((a, b) => a - b);
      await until("each partition is one process's own", () => shared().join() === ALL_PARTITIONS.join(), left());
    };
    await using one = consumer();
    await carriedBy([one], 120_000);
    await using other = consumer();
    await carriedBy([one, other], MOVED_MS_MAX);
    await other.kill('SIGKILL');
    await carriedBy([one], MOVED_MS_MAX);
    await using third = consumer();
    await carriedBy([one, third], MOVED_MS_MAX);
    const to = await mark(client, 'shared', 'c0');
    await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
    const hour = new Date(to.t * 1000).toISOString().slice(0, 13).replaceAll('-', '').replace('T', '-');
    await until('the hour is published', async () => (await listLake(work.lake)).includes(`_sluice/shop/hours/${hour}.json`), 40_000);
    await produce.kill('SIGTERM');
    expect(await one.kill('SIGTERM'), one.stderr).toEqual({ code: 0, signal: null });
    await provenLake(work, 'shared', from, to);
    expect(await work.verify()).toEqual([]);
  });
});

/** The partitions that the process has been given last. */
function oursOf({ stderr }: RunProcess): number[] | null {
  const said = stderr
    .split('\n')
    .filter((line) => line.includes('these partitions are ours'))
    .at(-1);
  return said === undefined ? null : (JSON.parse(said) as { partitions: number[] }).partitions;
}

/** It has become the owner of each of its partitions, now or before. */
function ownsAll(process: RunProcess): boolean {
  const lines = process.stderr.split('\n');
  const owned = (index: number): boolean => lines.some((line) => line.includes('owner of the pipeline') && line.includes(`partition ${index} of`));
  return (oursOf(process) ?? []).every(owned);
}
