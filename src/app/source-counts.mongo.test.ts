/** The documents that MongoDB has, noted in a real warehouse while the loader works. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startMongo } from '../../test/mongo.ts';
import type { Clock } from '../core/clock.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { silentLog, type Logger } from '../ops/log.ts';
import { openDuckDb } from '../warehouse/duckdb/duckdb.ts';
import type { ReplicaSet } from './demo/replica-set.ts';
import { SourceCounts } from './source-counts.ts';

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;
const ORDERS = { db: 'shop', coll: 'orders' };

let mongo: ReplicaSet;
let folder: string;
let warehouse: Warehouse;
beforeAll(async () => {
  mongo = await startMongo();
}, 120_000);
afterAll(() => mongo.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-counts-'));
  warehouse = await openDuckDb({ path: join(folder, 'warehouse.duckdb'), deletes: 'soft', columns: {}, log: silentLog });
  await warehouse.migrate();
});
afterEach(async () => {
  await warehouse[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** The registry's times are the machine's, so this one begins there. */
class MovedClock implements Clock {
  movedMs = 0;

  now(): number {
    return Date.now() + this.movedMs;
  }

  async sleep(): Promise<void> {}
}

const countOf = async (): Promise<number | null | undefined> =>
  (await warehouse.collections()).find((row) => row.namespace.coll === 'orders')?.sourceCount;

describe('the count of documents at the source', () => {
  it('is noted with the first files of a collection, and again when its time has come', async () => {
    const client = await mongo.connect();
    const documents = client.db('shop').collection('orders');
    await documents.insertMany(Array.from({ length: 12 }, (_, n) => ({ n })));
    const clock = new MovedClock();
    const counts = new SourceCounts(warehouse, { uri: mongo.uri, everyMs: HOUR_MS, clock, log: silentLog });
    const round = async (loaded: boolean): Promise<number | null | undefined> => {
      counts.onRound(loaded, never);
      await counts.settled();
      return countOf();
    };
    expect(await round(false)).toBeUndefined();
    await warehouse.discover([ORDERS, { db: 'shop', coll: null }]);
    clock.movedMs += 60_000;
    expect(await round(false)).toBeNull();
    expect(await round(true)).toBe(12);
    await documents.insertOne({ n: 13 });
    clock.movedMs += HOUR_MS / 2;
    expect(await round(true)).toBe(12);
    clock.movedMs += HOUR_MS;
    expect(await round(false)).toBe(13);
  });

  it('is left as it was while MongoDB cannot be reached, which is logged and nothing else', async () => {
    await warehouse.discover([ORDERS]);
    await warehouse.noteSourceCounts([{ namespace: ORDERS, count: 7 }]);
    const warnings: unknown[] = [];
    const log = { warn: (fields: unknown) => warnings.push(fields) } as unknown as Logger;
    const clock = new MovedClock();
    clock.movedMs = 2 * HOUR_MS;
    const uri = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100';
    const counts = new SourceCounts(warehouse, { uri, everyMs: HOUR_MS, clock, log });
    counts.onRound(true, never);
    await counts.settled();
    expect(warnings).toEqual([{ reason: expect.stringContaining('127.0.0.1:1') as string }]);
    expect(await countOf()).toBe(7);
  });
});
