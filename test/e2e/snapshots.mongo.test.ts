/**
 * A pipeline that begins with what is there: collections read whole and the stream from the same point on give silver as the
 * source is.
 */
import { join } from 'node:path';
import { Binary, Decimal128, Int32, Long, MaxKey, MinKey, ObjectId, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { startMongo } from '../mongo.ts';
import { snapshotLinesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
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
    expect(ends.map(({ event }) => event._meta.ns.coll).toSorted()).toEqual(['a', 'b', 'empty']);
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
