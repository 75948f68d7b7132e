/**
 * Collections read whole by a producer, while their changes go over a real broker: silver is as the source is.
 *
 * The roles are those that a user starts, in processes of their own where the command line matters, and the proofs are the product's:
 * `sluice verify`, the source included. The tests' own checker of silver agrees with it.
 */
import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { KafkaBus } from '../../src/bus/kafka/kafka.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLog } from '../../src/ops/log.ts';
import { PRODUCER, type Checkpoint, type GapRecord } from '../../src/pipeline/checkpoint.ts';
import { compareTimestamps, hourName, hourOf } from '../../src/core/time.ts';
import { RunProcess } from '../crash/run-process.ts';
import { KafkaBroker, whyNoKafka } from '../kafka.ts';
import { FORGETFUL, forget, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { listLake, readLake, snapshotLinesOf } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const PARTITIONS = 2;
const WAIT_MS_MAX = 60_000;

const absent = await whyNoKafka();

describe.skipIf(absent !== null)('collections read whole beside a bus', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let broker: KafkaBroker;

  beforeAll(async () => {
    [set, broker] = await Promise.all([startMongo(FORGETFUL), KafkaBroker.start()]);
    client = await set.connect();
  });
  afterAll(async () => {
    await set.stop();
    await broker[Symbol.asyncDispose]();
  });

  function settings(db: string, source: Readonly<Record<string, unknown>> = {}, bus: Readonly<Record<string, unknown>> = {}): Settings {
    return {
      source: { uri: set.uri, include: [`${db}.*`], startAt: 'snapshot', ...source },
      lake: { json: 'canonical', roll: { maxBytes: '16KiB' } },
      checkpoint: { interval: '100ms' },
      bus: { url: `kafka://${broker.plain}/${db}`, auth: { kind: 'none' }, ...bus },
      warehouse: { url: 'duckdb:./warehouse.duckdb' },
    };
  }

  async function fill(db: string, coll: string, count: number): Promise<void> {
    await client.db(db).collection<Document>(coll).insertMany(Array.from({ length: count }, (_, n) => ({ n, text: 'x'.repeat(100) }))); // prettier-ignore
  }

  async function checkpointOf(work: Workspace, scope: string): Promise<Checkpoint | null> {
    return await work.checkpoint(scope).catch(() => null);
  }

  async function nothingIsLeftToRead(work: Workspace): Promise<void> {
    await until('all that was to be read is read', async () => (await checkpointOf(work, PRODUCER!))?.snapshots.length === 0, WAIT_MS_MAX);
  }

  async function stop(...processes: readonly RunProcess[]): Promise<void> {
    for (const process of processes) expect(await process.kill('SIGTERM'), process.stderr).toEqual({ code: 0, signal: null });
  }

  /** To the end of what there is, all in one process; a warehouse is loaded, too. */
  async function runToTheEnd(config: Config): Promise<void> {
    await new PipelineRun(config, { role: 'all', untilIdleMs: 200 }).done;
  }

  async function verified(work: Workspace, configFile: string, db: string, ...colls: readonly string[]): Promise<void> {
    const { code, out, err } = await sluice(configFile, 'verify', '--lake', '--warehouse', '--source');
    expect(code, `${out}${err}`).toBe(0);
    await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
    for (const coll of colls) expect(await silverFaults(warehouse, client, db, coll)).toEqual([]);
  }

  /** In a gap: inserts, updates, deletes, a collection that goes and one that comes. */
  async function changeAll(db: string): Promise<void> {
    const a = client.db(db).collection<Document>('a');
    await a.insertMany(Array.from({ length: 50 }, (_, n) => ({ inside: n })));
    await a.updateMany({ n: { $lt: 50 } }, { $set: { inside: true } });
    await a.deleteMany({ n: { $gte: 250 } });
    await client.db(db).dropCollection('gone');
    await fill(db, 'fresh', 10);
  }

  interface GapInStatus {
    readonly from: string;
    readonly to: string;
    readonly repaired: string | null;
  }

  async function gapsIn(configFile: string): Promise<readonly GapInStatus[]> {
    const { out, err } = await sluice(configFile, 'status', '--json');
    expect(err).toBe('');
    return (JSON.parse(out) as { gaps: GapInStatus[] }).gaps;
  }

  /** Producer and consumer run until the gaps are mended. */
  async function mend(db: string, config: Config, isMended: () => Promise<boolean>): Promise<void> {
    await using produce = new PipelineRun(config, { role: 'produce' });
    await using consume = new PipelineRun(config, { role: 'consume' });
    const alive = (): boolean => produce.stats.state !== 'failed' && consume.stats.state !== 'failed';
    // Time passes in every partition, and is saved with what comes.
    const pass = async (): Promise<void> => {
      for (let n = 0; n < 8; n += 1) await client.db(db).collection<Document>(`time_${n}`).insertOne({ n }); // prettier-ignore
      await systemClock.sleep(200);
    };
    await until('the gap is mended', async () => !alive() || (await isMended()) || (await pass()), WAIT_MS_MAX);
    await produce.stop();
    await consume.stop();
  }

  it('mend a gap in the history of MongoDB: silver is as the source is, and the gap is closed once all partitions are past it', async () => {
    const db = 'source_gap';
    await broker.createTopic(db, PARTITIONS);
    await fill(db, 'a', 300);
    await fill(db, 'gone', 20);
    await using work = await Workspace.make();
    const its = settings(db, { onHistoryLost: 'repair' });
    const config = work.config(its);
    const configFile = await work.writeConfig(its);
    await runToTheEnd(config);
    // In the topic, and in no partition's files yet, when the history is lost; and gone when it is read whole.
    await fill(db, 'late', 5);
    await new PipelineRun(config, { role: 'produce', untilIdleMs: 200 }).done;
    await client.db(db).dropCollection('late');
    await changeAll(db);
    await forget(client, await clusterTime(client));
    await client.db(db).collection<Document>('a').updateMany({ n: { $gte: 240 } }, { $set: { after: true } }); // prettier-ignore

    const gaps = async (): Promise<readonly GapRecord[]> => (await checkpointOf(work, PRODUCER!))?.gaps ?? [];
    await mend(db, config, async () => (await gaps()).some(({ repaired }) => repaired !== undefined));
    await runToTheEnd(config);
    await verified(work, configFile, db, 'a', 'gone', 'fresh', 'late');
    const [{ from, to, repairAt }] = (await gaps()) as [GapRecord];
    expect(compareTimestamps(from, to!)).toBeLessThan(0);
    expect(compareTimestamps(to!, repairAt!)).toBeLessThanOrEqual(0);
    expect(await gapsIn(configFile)).toMatchObject([{ repaired: expect.stringMatching(/Z$/) as string }]);
  });

  it('mend a gap in the topic, in all partitions that have one', async () => {
    const db = 'topic_gap';
    await broker.createTopic(db, PARTITIONS);
    await fill(db, 'a', 300);
    await fill(db, 'gone', 20);
    await using work = await Workspace.make();
    const its = settings(db, { onHistoryLost: 'repair' }, { partitionBy: 'document' });
    const config = work.config(its);
    const configFile = await work.writeConfig(its);
    await runToTheEnd(config);
    await changeAll(db);
    await new PipelineRun(config, { role: 'produce', untilIdleMs: 200 }).done;
    await forgetTopic(db);
    await client.db(db).collection<Document>('a').updateMany({ n: { $gte: 240 } }, { $set: { after: true } }); // prettier-ignore

    await mend(db, config, async () => {
      const { mends = [] } = (await checkpointOf(work, PRODUCER!)) ?? {};
      return mends.length === PARTITIONS && mends.every(({ repaired }) => repaired !== undefined);
    });
    await runToTheEnd(config);
    await verified(work, configFile, db, 'a', 'gone', 'fresh');
    expect((await work.checkpoint(PRODUCER)).gaps).toEqual([]);
    const gaps = await gapsIn(configFile);
    expect(gaps).toHaveLength(PARTITIONS);
    for (const { from, to, repaired } of gaps) {
      expect(Date.parse(from)).toBeLessThanOrEqual(Date.parse(to));
      expect(repaired).toMatch(/Z$/);
    }
  });

  /** As retention does it: nothing that was sent so far is there any more. */
  async function forgetTopic(topic: string): Promise<void> {
    const login = { kind: 'none' };
    await using bus = new KafkaBus(
      { url: `kafka://${broker.plain}/${topic}`, login, token: () => Promise.reject(new Error('none')) },
      systemClock,
      silentLog,
    );
    const ranges = await bus.ranges(new AbortController().signal);
    const partitions = ranges.map(({ next }, partition) => ({ partition, offset: next }));
    await broker.withAdmin(async (admin) => await admin.deleteRecords({ topics: [{ name: topic, partitions }] }));
  }

  it('are read when somebody asks: of a producer that runs, by way of the lake, and of one that does not', async () => {
    const db = 'asked';
    await broker.createTopic(db, PARTITIONS);
    await fill(db, 'a', 300);
    await fill(db, 'b', 30);
    await client.db(db).createCollection('seen', { viewOn: 'a', pipeline: [] });
    await using work = await Workspace.make();
    const its = settings(db, { startAt: 'now' });
    const config = work.config(its);
    const configFile = await work.writeConfig(its);
    const first = await sluice(configFile, 'snapshot', `${db}.a`);
    expect([first.code, first.err]).toEqual([2, expect.stringContaining('has not begun yet')]);
    await runToTheEnd(config);
    {
      await using produce = RunProcess.start(configFile, { args: ['--role', 'produce'] });
      await using consume = RunProcess.start(configFile, { args: ['--role', 'consume'] });
      await produce.said('reading changes');
      await client.db(db).collection<Document>('a').deleteMany({ n: { $lt: 5 } }); // prettier-ignore
      const { code, out, err } = await sluice(configFile, 'snapshot', `${db}.a`, `${db}.seen`);
      expect([code, err]).toEqual([0, '']);
      expect(out).toMatch(/^asked\.a: begun, about 295 documents\nasked\.seen: left out, .*view.*\n`sluice status` shows how far it is\.\n$/);
      const nothing = await sluice(configFile, 'snapshot', 'nothing.*');
      expect([nothing.code, nothing.err]).toEqual([2, expect.stringContaining('SLC-1420  This snapshot cannot be taken: the source has no such')]);
      await nothingIsLeftToRead(work);
      await stop(produce, consume);
    }
    const { code, out, err } = await sluice(configFile, 'snapshot', `${db}.b`);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(`${db}.b: read whole, about 30 documents\n`);
    await runToTheEnd(config);
    await verified(work, configFile, db, 'a', 'b', 'c');
  });

  it('are in silver with all that has happened since', async () => {
    const db = 'whole';
    await broker.createTopic(db, PARTITIONS);
    for (const [coll, count] of [
      ['a', 1_000],
      ['b', 40],
      ['c', 200],
    ] as const)
      await fill(db, coll, count);
    await using work = await Workspace.make();
    const its = settings(db, { snapshot: { maxBytesPerSecond: '100KiB' } });
    const config = work.config(its);
    const configFile = await work.writeConfig(its);
    await using produce = RunProcess.start(configFile, { args: ['--role', 'produce'] });
    await using consume = RunProcess.start(configFile, { args: ['--role', 'consume'] });
    await produce.said('reading changes');
    const a = client.db(db).collection<Document>('a');
    for (let n = 0; n < 1_000; n += 10) {
      await a.updateOne({ n }, { $set: { changed: true } });
      if (n % 30 === 0) await a.deleteOne({ n: n + 1 });
      if (n % 50 === 0) await client.db(db).collection<Document>('c').insertOne({ later: n }); // prettier-ignore
    }
    await nothingIsLeftToRead(work);
    // The hour in which they were read is published without them.
    const to = await mark(client, db, 'b');
    await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
    await until(
      'the hour is published',
      async () => (await listLake(work.lake)).includes(`_sluice/shop/hours/${hourName(hourOf(to.t))}.json`),
      WAIT_MS_MAX,
    );
    await stop(produce, consume);
    await runToTheEnd(config);
    await verified(work, configFile, db, 'a', 'b', 'c');
    const whole = snapshotLinesOf(await readLake(work.lake));
    const ends = whole.filter(({ event }) => event._meta.operationType === 'snapshotEnd').map(({ event }) => event._meta.ns.coll);
    expect(new Set(ends)).toEqual(new Set(['a', 'b', 'c']));
    expect(ends).toHaveLength(3);
  });
});
