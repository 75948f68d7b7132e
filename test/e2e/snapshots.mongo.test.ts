/**
 * A pipeline that begins with what is there: collections read whole and the stream from the same point on give silver as the
 * source is.
 */
import { join } from 'node:path';
import { Binary, Decimal128, Int32, Long, MaxKey, MinKey, ObjectId, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snapshotPipeline } from '../../src/app/snapshot.ts';
import { readStatus } from '../../src/app/status.ts';
import { SNAPSHOT_FAILED, SNAPSHOT_REFUSED } from '../../src/core/errors.ts';
import { compareTimestamps } from '../../src/core/time.ts';
import { makeLog, silentLog } from '../../src/ops/log.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { FORGETFUL, forget, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { snapshotLinesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun, timeOf } from './pipeline-run.ts';
import { sluice } from './sluice.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo(FORGETFUL);
  client = await set.connect();
});
afterAll(async () => await set.stop());

const settings = (db: string, source: Readonly<Record<string, unknown>> = {}, lake: Readonly<Record<string, unknown>> = {}): Settings => ({
  source: { uri: set.uri, include: [`${db}.*`], startAt: 'snapshot', ...source },
  lake: { json: 'canonical', roll: { maxBytes: '16KiB' }, ...lake },
  warehouse: { url: 'duckdb:./warehouse.duckdb' },
});

/** Keys of many types. */
function keyOf(n: number): unknown {
  const kinds = [
    new Int32(n),
    `key ${n}`,
    Long.fromNumber(2 ** 40 + n),
    { n },
    new ObjectId(),
    Decimal128.fromString(`${n}.5`),
    new Date(n * 1e9),
    new Binary(Buffer.from([n % 256, n >> 8])),
  ];
  return n === 0 ? new MinKey() : n === 1 ? new MaxKey() : kinds[n % kinds.length];
}

async function fill(db: string, coll: string, count: number): Promise<void> {
  const documents = Array.from({ length: count }, (_, n) => ({ _id: keyOf(n), n, text: 'x'.repeat(100) }));
  await client
    .db(db)
    .collection<Document>(coll)
    .insertMany(documents as Document[]);
}

/** Rows of silver that are not current: their newest event, when they ended, and how many. */
async function endedIn(work: Workspace, table: string): Promise<readonly (readonly unknown[])[]> {
  await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
  return (await warehouse.query(`select operation, deleted_at, count(*) from silver.${table} where not is_current group by all`, 10, never)).rows;
}

/** Why each complete snapshot was taken, and of what. */
function snapshotEndsOf(files: ReadonlyMap<string, Buffer>): readonly string[] {
  const ends = snapshotLinesOf(files).filter(({ event }) => event._meta.operationType === 'snapshotEnd');
  return ends.map(({ event, text }) => `${(JSON.parse(text) as { snapshot: { cause: string } }).snapshot.cause} ${event._meta.ns.coll}`);
}

async function faultsOf(work: Workspace, db: string, ...colls: readonly string[]): Promise<unknown[]> {
  await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
  const faults: unknown[] = [...(await work.verify())];
  for (const coll of colls) faults.push(...(await silverFaults(warehouse, client, db, coll)));
  return faults;
}

describe('startAt: snapshot', () => {
  it('brings what was there before the beginning, and goes on with the stream', async () => {
    await fill('first', 'a', 1000);
    await fill('first', 'b', 10);
    await client.db('first').createCollection('empty');
    await client.db('first').createCollection('seen', { viewOn: 'a', pipeline: [] });
    await using work = await Workspace.make();
    const config = work.config(settings('first'));
    await new PipelineRun(config, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, 'first', 'a', 'b')).toEqual([]);
    const files = await readLake(work.lake);
    const rows = snapshotLinesOf(files).filter(({ event }) => event._meta.operationType === 'snapshot');
    expect(rows).toHaveLength(1010);
    const ends = snapshotLinesOf(files).filter(({ event }) => event._meta.operationType === 'snapshotEnd');
    expect(new Set(ends.map(({ event }) => event._meta.ns.coll))).toEqual(new Set(['a', 'b', 'empty']));
    expect(ends).toHaveLength(3);
    expect((await work.checkpoint()).snapshots).toEqual([]);

    await client
      .db('first')
      .collection('a')
      .updateMany({ n: { $lt: 100 } }, { $set: { changed: true } });
    await client
      .db('first')
      .collection('a')
      .deleteMany({ n: { $gt: 900 } });
    await mark(client, 'first', 'b');
    await new PipelineRun(config, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, 'first', 'a', 'b')).toEqual([]);
  });
});

describe('onHistoryLost: repair', () => {
  it('mends what a gap has left out: inserts, updates, deletes, a collection that is gone', async () => {
    const db = 'gap';
    await fill(db, 'a', 300);
    await fill(db, 'gone', 20);
    await using work = await Workspace.make();
    const config = work.config(settings(db, { onHistoryLost: 'repair' }));
    await new PipelineRun(config, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, db, 'a', 'gone')).toEqual([]);

    const a = client.db(db).collection<Document>('a');
    await a.insertMany(Array.from({ length: 50 }, (_, n) => ({ inside: n })));
    const inside = await clusterTime(client);
    await a.updateMany({ n: { $lt: 50 } }, { $set: { inside: true } });
    await a.deleteMany({ n: { $gte: 250 } });
    await client.db(db).dropCollection('gone');
    await fill(db, 'fresh', 10);
    // A server with other work to do may answer too late: then it is not known.
    const headroom = async (): Promise<number> =>
      await until('the oplog is read', async () => (await readStatus(config, { log: silentLog }, never)).oplogHeadroomSeconds);
    expect(await headroom()).toBeGreaterThan(0);
    await forget(client, await clusterTime(client));
    expect(await headroom()).toBe(0);
    await a.updateMany({ n: { $gte: 240 } }, { $set: { after: true } });

    await new PipelineRun(config, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, db, 'a', 'gone', 'fresh')).toEqual([]);
    const { gaps, snapshots } = await work.checkpoint();
    expect(snapshots).toEqual([]);
    expect(gaps).toMatchObject([
      { collections: [`${db}.*`], cause: expect.stringContaining('286') as string, repaired: expect.any(String) as string },
    ]);
    const [{ from, to, repairAt }] = gaps as [(typeof gaps)[0]];
    // What vanished inside it has ended as deleted, with the time of the snapshot that has not brought it.
    const endedAt = new Date(repairAt!.t * 1000).toISOString();
    expect(await endedIn(work, `${db}__a`)).toEqual([['snapshot', endedAt, 50]]);
    expect(await endedIn(work, `${db}__gone`)).toEqual([['snapshot', endedAt, 20]]);
    expect(compareTimestamps(from, timeOf(inside))).toBeLessThanOrEqual(0);
    expect(compareTimestamps(from, to!)).toBeLessThan(0);
    expect(compareTimestamps(to!, repairAt!)).toBeLessThanOrEqual(0);

    // Shown, and no repair is repeated.
    const run = new PipelineRun(config, { role: 'all', untilIdleMs: 100 });
    await run.done;
    expect(run.stats).toMatchObject({ gaps: 1, gapsOpen: 0, gapsMended: 1, snapshotRows: 0 });
    const status = await readStatus(config, { log: silentLog }, never);
    expect(status.gaps).toMatchObject([{ repaired: expect.stringMatching(/Z$/) as string }]);
    expect(status.snapshots).toEqual([]);
  });

  it('goes on by itself when history is lost while it runs', async () => {
    const db = 'live';
    await fill(db, 'a', 50);
    await using work = await Workspace.make();
    const config = work.config(settings(db, { onHistoryLost: 'repair', startAt: 'now' }));
    await using run = await new PipelineRun(config, { role: 'all' }).running();
    await client
      .db(db)
      .collection('a')
      .deleteMany({ n: { $lt: 10 } });
    await run.reaches(await mark(client, db, 'b'));
    // It cannot be read for so long that its history is gone when it can.
    const away = async (mode: Document | string): Promise<void> => {
      const data = { failCommands: ['aggregate', 'getMore'], errorCode: 91, appName: 'sluice' };
      await client.db('admin').command({ configureFailPoint: 'failCommand', mode, data });
    };
    await away('alwaysOn');
    await until('it is away', () => run.stats.state === 'reconnecting');
    await client
      .db(db)
      .collection('a')
      .deleteMany({ n: { $lt: 20 } });
    await forget(client, await clusterTime(client));
    await away('off');
    await until(
      'the gap is mended',
      async () => (await work.checkpoint()).gaps.some(({ repaired }) => repaired !== undefined) || run.stats.state === 'failed',
    );
    await run.reaches(await mark(client, db, 'b'));
    await run.stop();
    await new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done;
    expect(await faultsOf(work, db, 'a', 'b')).toEqual([]);
  });
});

describe('collections that begin without inserts', () => {
  const included = (db: string, ...colls: readonly string[]): readonly string[] => colls.map((coll) => `${db}.${coll}`);

  it('are read whole by themselves: renamed from outside and within, made by $out, included later and again', async () => {
    const db = 'arrivals';
    for (const [coll, count] of Object.entries({ a: 60, outside: 40, extra: 30, back: 20 })) await fill(db, coll, count);
    await using work = await Workspace.make();
    const first = work.config(settings(db, { include: included(db, 'a', 'b', 'c', 'out', 'back') }));
    await using run = await new PipelineRun(first, { role: 'all' }).running();
    await until('the first snapshots are complete', async () => run.stats.snapshotRows === 80 && run.stats.snapshotsOpen === 0);
    await client.db(db).renameCollection('outside', 'b');
    await client
      .db(db)
      .collection('a')
      .aggregate([{ $match: { n: { $lt: 25 } } }, { $out: 'out' }])
      .toArray();
    await client.db(db).renameCollection('a', 'c');
    await run.reaches(await mark(client, db, 'back'));
    await until('all of them are read', () => run.stats.snapshotRows === 80 + 40 + 25 + 60 && run.stats.snapshotsOpen === 0);
    await run.stop();
    await new PipelineRun(first, { role: 'all', untilIdleMs: 0 }).done;
    expect(await faultsOf(work, db, 'a', 'b', 'c', 'out', 'back')).toEqual([]);

    const narrower = work.config(settings(db, { include: included(db, 'b', 'c', 'out') }));
    await new PipelineRun(narrower, { role: 'all', untilIdleMs: 0 }).done;
    await client
      .db(db)
      .collection('back')
      .deleteMany({ n: { $lt: 5 } });
    const wider = work.config(settings(db, { include: included(db, 'b', 'c', 'out', 'back', 'extra') }));
    await new PipelineRun(narrower, { role: 'all', untilIdleMs: 100 }).done;
    await new PipelineRun(wider, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, db, 'b', 'c', 'out', 'back', 'extra')).toEqual([]);
    const causes = new Set(snapshotEndsOf(await readLake(work.lake)));
    expect(causes).toEqual(new Set(['start a', 'start back', 'renamed b', 'renamed out', 'renamed c', 'included back', 'included extra']));
  });

  it('are read once more when something else has come under their name while they were read', async () => {
    const db = 'twice';
    await fill(db, 'a', 400);
    await fill(db, 'outside', 50);
    await using work = await Workspace.make();
    const config = work.config(settings(db, { include: included(db, 'a'), snapshot: { maxBytesPerSecond: '64KiB' } }));
    await using run = await new PipelineRun(config, { role: 'all' }).running();
    await until('it is being read', () => run.stats.snapshotsOpen === 1);
    await client.db(db).renameCollection('outside', 'a', { dropTarget: true });
    await run.reaches(await mark(client, db, 'a'));
    await run.stop();
    await new PipelineRun(work.config(settings(db, { include: included(db, 'a') })), { role: 'all', untilIdleMs: 100 }).done;
    expect(snapshotEndsOf(await readLake(work.lake))).toEqual(['start a', 'renamed a']);
    expect(await faultsOf(work, db, 'a')).toEqual([]);
  });

  it('are read whole once MongoDB says again what there is, and nothing waits for that but they', async () => {
    const db = 'away';
    for (const coll of ['a', 'outside', 'late']) await fill(db, coll, 30);
    await using work = await Workspace.make();
    const config = work.config(settings(db, { include: included(db, 'a', 'b', 'c', 'd') }));
    const away = async (mode: Document | string): Promise<void> => {
      // The stream stays open: it is what is asked beside it that is not answered.
      const data = { failCommands: ['aggregate', 'listCollections', 'ping'], closeConnection: true, appName: 'sluice' };
      await client.db('admin').command({ configureFailPoint: 'failCommand', mode, data });
    };
    await using _ended = { [Symbol.asyncDispose]: async () => await away('off') };
    await using run = await new PipelineRun(config).running();
    await until('the first snapshot is complete', () => run.stats.snapshotRows === 30 && run.stats.snapshotsOpen === 0);
    await run.reaches(await mark(client, db, 'd'));
    await away('alwaysOn');
    await client.db(db).renameCollection('outside', 'b');
    await until('it is away', () => run.stats.state === 'reconnecting' || run.stats.state === 'failed');
    expect((await run.control.seal(never)).files).toContainEqual(expect.stringContaining(`${db}/d/`));
    await away('off');
    await until('it is read', () => run.stats.snapshotRows === 60 && run.stats.snapshotsOpen === 0);
    expect(run.stats.state).toBe('running');

    await away('alwaysOn');
    await client.db(db).renameCollection('late', 'c');
    await until('it is away', () => run.stats.state === 'reconnecting' || run.stats.state === 'failed');
    await run.stop();
    await away('off');
    await new PipelineRun(config, { role: 'all', untilIdleMs: 100 }).done;
    expect(await faultsOf(work, db, 'a', 'b', 'c', 'd')).toEqual([]);
    expect(new Set(snapshotEndsOf(await readLake(work.lake)))).toEqual(new Set(['start a', 'renamed b', 'renamed c']));
  });

  it('are named where snapshots were not asked for', async () => {
    const db = 'named';
    for (const coll of ['outside', 'extra']) await fill(db, coll, 5);
    await using work = await Workspace.make();
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = makeLog({ level: 'warn', destination, pretty: false, scrub: (text) => text });
    const narrow = work.config(settings(db, { startAt: 'now', include: included(db, 'a') }));
    await using run = await new PipelineRun(narrow, { role: 'all', log }).running();
    await client.db(db).renameCollection('outside', 'a');
    await run.reaches(await mark(client, db, 'a'));
    await run.stop();
    await new PipelineRun(work.config(settings(db, { startAt: 'now', include: included(db, 'a', 'extra') })), { role: 'all', untilIdleMs: 0, log })
      .done;
    expect(lines.filter((line) => line.includes('sluice snapshot'))).toEqual([
      expect.stringMatching(/named\.a.*were renamed/),
      expect.stringMatching(/named\.extra.*are included only now/),
    ]);
    expect(snapshotEndsOf(await readLake(work.lake))).toEqual([]);
  });
});

describe('sluice snapshot', () => {
  it('reads what was there before of a running pipeline, and of a stopped one', async () => {
    const db = 'asked';
    await fill(db, 'a', 300);
    await fill(db, 'b', 30);
    await client.db(db).createCollection('seen', { viewOn: 'a', pipeline: [] });
    await using work = await Workspace.make();
    const its = settings(db, { startAt: 'now' });
    const config = work.config(its);
    const args = { collections: [`${db}.a`, `${db}.seen`] };
    await expect(snapshotPipeline(config, args, { log: silentLog }, never)).rejects.toMatchObject({ kind: SNAPSHOT_REFUSED });
    await using run = await new PipelineRun(config, { role: 'all' }).running();
    await client
      .db(db)
      .collection('a')
      .deleteMany({ n: { $lt: 5 } });
    const summary = await run.control.snapshot(args, never);
    expect(summary).toMatchObject({
      collections: [{ namespace: `${db}.a`, documents: 295 }],
      refused: [{ namespace: `${db}.seen`, reason: expect.stringContaining('view') as string }],
      goesOn: true,
    });
    await expect(run.control.snapshot({ collections: ['nothing.*'] }, never)).rejects.toMatchObject({ kind: SNAPSHOT_REFUSED });
    await client
      .db(db)
      .collection('a')
      .deleteMany({ n: { $lt: 10 } });
    await until('it is read', () => run.stats.snapshotsOpen === 0);
    await run.reaches(await mark(client, db, 'c'));
    await run.stop();
    await new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done;
    expect(await faultsOf(work, db, 'a', 'c')).toEqual([]);

    const configFile = await work.writeConfig(its);
    const { code, out, err } = await sluice(configFile, 'snapshot', `${db}.b`);
    expect([code, out], err).toEqual([
      0,
      `${db}.b: read whole, about 30 documents\n\`sluice load\` brings it into the warehouse, as the next \`sluice run\` does.\n`,
    ]);
    expect((await sluice(configFile, 'load')).code).toBe(0);
    expect(await faultsOf(work, db, 'a', 'b', 'c')).toEqual([]);
    expect((await sluice(configFile, 'verify')).code).toBe(0);
  });

  it('says which collection it could not read, and reads it once it can', async () => {
    const db = 'denied';
    await fill(db, 'a', 20);
    await using work = await Workspace.make();
    const config = work.config(settings(db));
    const fail = async (mode: Document | string): Promise<void> => {
      await client.db('admin').command({
        configureFailPoint: 'failCommand',
        mode,
        data: { failCommands: ['find'], errorCode: 13, appName: 'sluice', namespace: `${db}.a` },
      });
    };
    await fail('alwaysOn');
    await expect(new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done).rejects.toMatchObject({ kind: SNAPSHOT_FAILED });
    expect((await readStatus(config, { log: silentLog }, never)).snapshots).toMatchObject([
      { namespace: `${db}.a`, failed: expect.stringContaining('13') as string },
    ]);
    await fail('off');
    await new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done;
    expect(await faultsOf(work, db, 'a')).toEqual([]);
  });
});
