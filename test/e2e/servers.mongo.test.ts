/**
 * Servers that fail over, are killed, restart, refuse us or have forgotten.
 */
import type { Document, MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { startShop, type Shop, type ShopWrite } from '../../src/app/demo/shop.ts';
import { forget, FORGETFUL, jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { RunProcess } from '../crash/run-process.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { placeFaults, writeFaults } from './lake-faults.ts';
import { byPosition, eventsOf, eventsSoFar, inShort, linesOf, listLake, readLake, type LakeLine } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { SLOWNESS, throughElections, until } from './until.ts';
import { PIPELINE, Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
const END_MS_MAX = 10_000;

describe('a replica set of three', () => {
  let set: ReplicaSet;
  beforeAll(async () => {
    set = await startMongo({ members: 3 });
  });
  afterAll(async () => await set.stop());

  it('may lose its primary by a step-down and by a kill under load: nothing is missing, nothing is there twice', async () => {
    await using work = await Workspace.make();
    const client = await set.connect();
    const settings: Settings = { source: { uri: set.uri, include: ['shop.*'] }, lake: { json: 'canonical', roll: { maxBytes: '256KiB' } } };
    await using run = await PipelineRun.patient(work.config(settings));
    const from = await throughElections(async () => await clusterTime(client));
    const writes: ShopWrite[] = [];
    await using shop = await openShop(client, writes);
    await moreWrites(writes, 100);
    await throughElections(async () => await client.db('admin').command({ replSetStepDown: 5, force: true }));
    await set.waitForPrimary(never);
    await moreWrites(writes, 100);
    const killed = await set.waitForPrimary(never);
    await set.kill(killed, 'SIGKILL');
    await set.waitForPrimary(never);
    await moreWrites(writes, 100);
    await set.restart(killed, never);
    await moreWrites(writes, 50);
    const { stepsUnsettled } = await shop.stop();
    await checkAll({ work, client, run, from, writes: stepsUnsettled === 0 ? writes : null });
    expect(run.stats.reconnects).toBeGreaterThan(0);
    expect(run.stats.state).toBe('stopped');
  });
});

async function openShop(client: MongoClient, writes: ShopWrite[]): Promise<Shop> {
  return await startShop(client, { db: 'shop', opsPerSecond: 150, ledger: (write) => void writes.push(write), signal: never });
}

/** A server under load may take its time to end. */
async function endInOrder(set: ReplicaSet): Promise<void> {
  const enough = new AbortController();
  const ended = set.kill(0, 'SIGTERM').finally(() => enough.abort());
  await systemClock.sleep(END_MS_MAX, enough.signal).then(
    async () => await set.kill(0, 'SIGKILL'),
    () => undefined,
  );
  await ended;
}

async function moreWrites(writes: readonly ShopWrite[], count: number): Promise<void> {
  const goal = writes.length + count;
  await until(`${count} more writes`, () => writes.length >= goal);
}

interface Check {
  readonly work: Workspace;
  readonly client: MongoClient;
  readonly run: PipelineRun;
  readonly from: BsonTimestamp;
  /** `null`: of some writes the shop does not know whether they came through. */
  readonly writes: readonly ShopWrite[] | null;
}

async function checkAll({ work, client, run, from, writes }: Check): Promise<void> {
  const to = await throughElections(async () => await mark(client, 'shop', 'mark'));
  await run.reaches(to);
  await run.stop();
  const lines = linesOf(await readLake(work.lake));
  expect(differences(lines.toSorted(byPosition), await readStream(client, { db: 'shop', from, to }))).toEqual([]);
  expect(placeFaults(lines)).toEqual([]);
  const ofShop = lines.filter(({ event }) => event._meta.ns.coll !== 'mark');
  if (writes !== null) expect(writeFaults(writes, ofShop)).toEqual([]);
  expect(await work.verify()).toEqual([]);
}

describe('a single server', () => {
  let set: ReplicaSet;
  beforeAll(async () => {
    set = await startMongo();
  });
  afterAll(async () => await set.stop());

  it('may restart, in order or not, while the pipeline runs', async () => {
    await using work = await Workspace.make();
    const client = await set.connect();
    const settings: Settings = { source: { uri: set.uri, include: ['shop.*'] }, lake: { json: 'canonical' } };
    await using run = await new PipelineRun(work.config(settings)).running();
    const from = await clusterTime(client);
    const writes: ShopWrite[] = [];
    await using shop = await openShop(client, writes);
    await moreWrites(writes, 50);
    await endInOrder(set);
    await set.restart(0, never);
    await set.waitForPrimary(never);
    await moreWrites(writes, 50);
    await set.kill(0, 'SIGKILL');
    await systemClock.sleep(200);
    await set.restart(0, never);
    await set.waitForPrimary(never);
    await moreWrites(writes, 50);
    const { stepsUnsettled } = await shop.stop();
    await checkAll({ work, client, run, from, writes: stepsUnsettled === 0 ? writes : null });
    expect(run.stats.reconnects).toBeGreaterThan(0);
  });

  it('may be away when the pipeline is stopped, which ends at once, in good order; a start without one says so', async () => {
    await using work = await Workspace.make();
    await using nowhere = await Workspace.make();
    // Nobody listens there; on a port that was free a moment ago somebody may.
    const uri = 'mongodb://127.0.0.1:1/?replicaSet=rs0';
    // It gives up after ten seconds: meanwhile the rest of the test is done.
    await using unreachable = RunProcess.start(await nowhere.writeConfig({ source: { uri, include: ['away.*'] } }));
    const configFile = await work.writeConfig({ source: { uri: set.uri, include: ['away.*'] } });
    await using process = await RunProcess.start(configFile).owner();
    await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    await set.kill(0, 'SIGKILL');
    await process.said('the change stream broke');
    const stoppedAtMs = systemClock.now();
    expect(await process.kill('SIGTERM'), process.stderr).toEqual({ code: 0, signal: null });
    expect(systemClock.now() - stoppedAtMs).toBeLessThan(5_000 * SLOWNESS);
    expect((await work.checkpoint()).cleanStop).toBe(true);
    expect(await unreachable.ended).toEqual({ code: 69, signal: null });
    expect(unreachable.stderr).toContain('SLC-1201');
    await set.restart(0, never);
    await set.waitForPrimary(never);
  });
});

describe('a server that refuses', () => {
  let set: ReplicaSet | undefined;
  afterEach(async () => await set?.stop());

  async function refusal(uri: string): Promise<{ code: number | null; text: string }> {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({ source: { uri, include: ['shop.*'] } });
    await using process = RunProcess.start(configFile);
    const { code } = await process.ended;
    expect(await listLake(work.lake)).not.toContain(`_sluice/${PIPELINE}/checkpoint.json`);
    return { code, text: process.stderr };
  }

  it('because it is a standalone one is told as that', async () => {
    set = await startMongo({ standalone: true });
    expect(await refusal(set.uri)).toEqual({ code: 69, text: expect.stringContaining('SLC-1240') });
  });

  it('because of the password or of missing rights says which, and never the password', async () => {
    set = await startMongo({ auth: { user: 'root', password: 'pw-of-root' } });
    const wrong = await refusal(set.uriFor({ user: 'root', password: 'pw-that-is-wrong' }));
    expect(wrong).toEqual({ code: 69, text: expect.stringContaining('SLC-1218') });
    expect(wrong.text).not.toContain('pw-that-is-wrong');
    const { ports } = set;
    const client = await set.connect();
    await client.db('admin').command({ createUser: 'nobody', pwd: 'pw-of-nobody', roles: [{ role: 'read', db: 'other' }] });
    await client.db('admin').command({ createUser: 'reader', pwd: 'pw-of-reader', roles: [{ role: 'read', db: 'shop' }] });
    expect(ports).toHaveLength(1);
    expect(await refusal(set.uriFor({ user: 'nobody', password: 'pw-of-nobody' }))).toEqual({ code: 69, text: expect.stringContaining('SLC-1213') });
    // Read on the one database is enough for a stream over that database.
    await using work = await Workspace.make();
    const uri = set.uriFor({ user: 'reader', password: 'pw-of-reader' });
    await using run = await new PipelineRun(work.config({ source: { uri, include: ['shop.*'] } })).running();
    await run.reaches(await mark(client, 'shop', 'a'));
    await run.stop();
    expect((await eventsOf(work.lake)).map(inShort)).toEqual(['create shop.a', 'insert shop.a', 'insert shop.a']);
  });
});

describe('a server that has forgotten', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  beforeAll(async () => {
    set = await startMongo(FORGETFUL);
    client = await set.connect();
    await jumpAhead(client);
  });
  afterAll(async () => await set.stop());

  const settings = (db: string): Settings => ({ source: { uri: set.uri, include: [`${db}.*`] }, lake: { json: 'canonical' } });

  async function nextHour(): Promise<number> {
    const hour = Math.floor((await clusterTime(client)).t / 3600);
    await jumpTo(client, (hour + 1) * 3600);
    return hour;
  }

  it('stops the pipeline with a gap on record, lets no run pass it by itself, and the hours of the gap are not complete', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('lost'));
    const a = client.db('lost').collection('a');
    await using run = await new PipelineRun(work.config(settings('lost'))).running();
    await a.insertOne({ n: 1 });
    await run.reaches(await mark(client, 'lost', 'a'));
    await run.stop();
    const before = await work.checkpoint();
    await a.insertOne({ n: 2 });
    await forget(client, await clusterTime(client));
    const inGap = await nextHour();

    await using lost = RunProcess.start(configFile);
    expect(await lost.ended, lost.stderr).toEqual({ code: 78, signal: null });
    expect(lost.stderr).toContain('SLC-1286');
    const { gaps } = await work.checkpoint();
    expect(gaps).toMatchObject([{ from: before.resume?.clusterTime, to: null, collections: ['lost.*'] }]);
    for (let again = 0; again < 2; again += 1) {
      await using refused = RunProcess.start(configFile);
      expect(await refused.ended, refused.stderr).toEqual({ code: 78, signal: null });
      expect(refused.stderr).toContain('SLC-1403');
    }

    await using accepted = await new PipelineRun(work.config(settings('lost')), { acceptGap: true }).running();
    await a.insertOne({ n: 3 });
    await accepted.reaches(await mark(client, 'lost', 'a'));
    const inGapToo = await nextHour();
    await a.insertOne({ n: 4 });
    const whole = await nextHour();
    await accepted.reaches(await mark(client, 'lost', 'a'));
    await accepted.stop();
    expect((await work.checkpoint()).gaps).toMatchObject([{ from: gaps[0]?.from, to: { t: expect.any(Number) } }]);
    const files = await readLake(work.lake);
    const numbers = linesOf(files).map(({ event }) => event['fullDocument']?.['n']?.['$numberInt'] as string | undefined);
    expect(numbers.filter((n) => n !== undefined)).toEqual(['1', '3', '4']);
    const complete = (hour: number): unknown => {
      const iso = new Date(hour * 3_600_000).toISOString();
      const path = `_sluice/${PIPELINE}/hours/${iso.slice(0, 10).replaceAll('-', '')}-${iso.slice(11, 13)}.json`;
      return (JSON.parse(files.get(path)?.toString() ?? '{}') as { complete?: unknown }).complete;
    };
    const gapEnd = (await work.checkpoint()).gaps[0]?.to?.t ?? Infinity;
    expect([inGap, inGapToo, whole].map(complete)).toEqual([false, gapEnd < inGapToo * 3600, true]);
    const successes = [...files.keys()].filter((path) => path.endsWith('_SUCCESS')).map((path) => Number(/hour=(\d+)/.exec(path)?.[1]));
    expect(successes).not.toContain(inGap % 24);
    expect(successes).toContain(whole % 24);
    expect(await work.verify()).toEqual([]);
    // Nothing is left to be accepted.
    await using later = await new PipelineRun(work.config(settings('lost'))).running();
    await later.stop();
  });

  it('refuses a start that lies before its memory, with nothing on record', async () => {
    await using work = await Workspace.make();
    const a = client.db('too_early').collection('a');
    const at = await clusterTime(client);
    const startAt = new Date(at.t * 1000).toISOString();
    await a.insertOne({ n: 1 });
    const [event] = await readStream(client, { db: 'too_early', from: at, to: await mark(client, 'too_early', 'a') });
    await nextHour();
    await forget(client, await clusterTime(client));
    for (const early of [startAt, { token: event?.['_id'] as unknown }]) {
      const config = work.config({ source: { uri: set.uri, include: ['too_early.*'], startAt: early } });
      await expect(new PipelineRun(config).done).rejects.toMatchObject({ code: 'SLC-1286', message: expect.stringContaining('startAt') });
      expect(await work.checkpoint()).toMatchObject({ resume: null, gaps: [] });
    }
    await using run = await new PipelineRun(work.config(settings('too_early'))).running();
    await run.reaches(await mark(client, 'too_early', 'a'));
    await run.stop();
    expect((await eventsOf(work.lake)).map(inShort)).toEqual(['insert too_early.a', 'insert too_early.a']);
    expect(await work.verify()).toEqual([]);
  });

  /** How many events the server has sent to a pipeline over `db`, whether that has taken them or not. */
  async function sentTo(db: string): Promise<number> {
    // While it is being taken up, a cursor may be listed neither as idle nor as in use.
    const { nDocsReturned } = await until('its cursor is listed', async () => await cursorOf(db));
    return Number(nDocsReturned);
  }

  async function cursorOf(db: string): Promise<Document | undefined> {
    const ofStream = { ns: { $in: [`${db}.$cmd`, `${db}.$cmd.aggregate`] }, 'cursor.cursorId': { $exists: true } };
    const [stream] = await client
      .db('admin')
      .aggregate([{ $currentOp: { allUsers: true, idleCursors: true } }, { $match: ofStream }])
      .toArray();
    return stream?.['cursor'] as Document | undefined;
  }

  /** The server has sent this one to a pipeline that it does not wait for, and thus has read all before it. */
  async function insertSent(db: string, document: Document): Promise<void> {
    const before = await sentTo(db);
    await client.db(db).collection('a').insertOne(document);
    await until('the server has sent it', async () => (await sentTo(db)) > before);
  }

  /** One change is captured, another one is made and forgotten while the process is frozen, which then goes on. */
  async function freeze(work: Workspace, db: string, exhaust: boolean): Promise<RunProcess> {
    const usual = settings(db);
    const configFile = await work.writeConfig({ ...usual, source: { ...usual.source, exhaust } });
    const process = await RunProcess.start(configFile).owner();
    await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    await client.db(db).collection('a').insertOne({ n: 1 });
    await until('it is in the lake', async () => (await eventsSoFar(work.lake))?.length === 2);
    await process.kill('SIGSTOP');
    if (exhaust) {
      await insertSent(db, { n: 2 });
      await forget(client, await clusterTime(client), async () => await insertSent(db, { filler: true }));
    } else {
      await client.db(db).collection('a').insertOne({ n: 2 });
      await forget(client, await clusterTime(client));
    }
    await process.kill('SIGCONT');
    return process;
  }

  it('is found out by an open cursor, too, that was overtaken while its process was frozen', async () => {
    await using work = await Workspace.make();
    await using process = await freeze(work, 'overtaken', false);
    expect(await process.ended, process.stderr).toEqual({ code: 78, signal: null });
    expect((await work.checkpoint()).gaps).toMatchObject([{ to: null }]);
    expect(await work.verify()).toEqual([]);
  });

  it('is none for a process that was frozen when the server had already sent by itself what it would forget', async () => {
    await using work = await Workspace.make();
    await using process = await freeze(work, 'sent', true);
    const isSecond = ({ event }: LakeLine): boolean => event['fullDocument']?.['n']?.['$numberInt'] === '2';
    await until('the change of that time is in the lake', async () => (await eventsSoFar(work.lake))?.some(isSecond));
    await process.kill('SIGTERM');
    expect(await process.ended, process.stderr).toEqual({ code: 0, signal: null });
    expect((await work.checkpoint()).gaps).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });
});
