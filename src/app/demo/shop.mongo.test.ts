import { BSON, type ChangeStreamDocument, type MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../../test/e2e/until.ts';
import { systemClock } from '../../core/clock.ts';
import { startMongo } from '../../../test/mongo.ts';
import type { ReplicaSet } from './replica-set.ts';
import { startShop, type ShopSummary, type ShopWrite } from './shop.ts';

const signal = new AbortController().signal;
const OPERATIONS = ['insert', 'update', 'replace', 'delete'];

/** Type and value: two keys that only look alike must differ. */
function identity(ns: string, op: string, id: unknown): string {
  return `${op} ${ns} ${BSON.EJSON.stringify({ id }, { relaxed: false })}`;
}

describe('the shop', () => {
  let set: ReplicaSet;
  let client: MongoClient;

  beforeAll(async () => {
    set = await startMongo();
    client = await set.connect();
  });
  afterAll(async () => await set.stop());

  /** The change events of a database from its first one on, until so many have come and no more follow. */
  async function eventsOf(db: string, since: BSON.Timestamp, count: number): Promise<ChangeStreamDocument[]> {
    await using stream = client.db(db).watch([{ $match: { operationType: { $in: OPERATIONS } } }], {
      startAtOperationTime: since,
      promoteValues: false,
      maxAwaitTimeMS: 200,
    });
    const events: ChangeStreamDocument[] = [];
    for (;;) {
      const event = await stream.tryNext();
      if (event !== null) events.push(event);
      else if (events.length >= count) return events;
    }
  }

  async function now(): Promise<BSON.Timestamp> {
    return (await client.db('admin').command({ ping: 1 }))['operationTime'] as BSON.Timestamp;
  }

  it('says exactly what it wrote: each acknowledged write is one change event', async () => {
    const since = await now();
    const ledger: ShopWrite[] = [];
    const shop = await startShop(client, { db: 'exact', opsPerSecond: Infinity, seed: 7, ledger: (write) => ledger.push(write), signal });
    await until('it has done all that it does', () => Object.values(shop.summary().perOperation).every((count) => count > 20));
    const summary = await shop.stop();
    expect(summary.stepsUnsettled).toBe(0);
    expect(summary.writes).toBe(ledger.length);

    const events = await eventsOf('exact', since, summary.writes);
    const seen = events.map((event) => {
      if (!('documentKey' in event) || !('coll' in event.ns)) throw new Error(`unexpected ${event.operationType}`);
      return identity(`${event.ns.db}.${event.ns.coll}`, event.operationType, event.documentKey._id);
    });
    expect(seen.sort()).toEqual(ledger.map(({ ns, op, id }) => identity(ns, op, id)).sort());

    for (const [collection, counts] of Object.entries(summary.perCollection)) {
      const documents = await client.db('exact').collection(collection).countDocuments();
      expect(documents, collection).toBe(counts.insert - counts.delete);
    }
  });

  it('is believable: transactions keep stock and orders together, and keys are of several types', async () => {
    const since = await now();
    const shop = await startShop(client, { db: 'mixed', opsPerSecond: Infinity, stepsMax: 600, signal });
    const summary = await shop.closed;
    const events = await eventsOf('mixed', since, summary.writes);
    const bought = events.filter((event) => event.operationType === 'insert' && event.ns.coll === 'orders');
    expect(bought.length).toBeGreaterThan(100);
    for (const order of bought) expect(order).toHaveProperty('txnNumber');
    const types = await client
      .db('mixed')
      .collection('customers')
      .distinct('_id')
      .then((ids) => new Set(ids.map((id) => (typeof id === 'object' ? id._bsontype : typeof id))));
    // The driver reads an int64 within 2^53 as a number; these are beyond.
    expect([...types].sort()).toEqual(['Long', 'ObjectId', 'number', 'string']);
    const kinds = await client
      .db('mixed')
      .collection('orders')
      .aggregate([
        { $limit: 1 },
        {
          $project: {
            _id: 0,
            total: { $type: '$total' },
            number: { $type: '$number' },
            placedAt: { $type: '$placedAt' },
            lines: { $type: '$lines' },
          },
        },
      ])
      .next();
    expect(kinds).toEqual({ total: 'decimal', number: 'long', placedAt: 'date', lines: 'array' });
  });

  it('does the same again with the same seed, and something else with another', async () => {
    const outcome = async (db: string, seed: number): Promise<ShopSummary> =>
      await (
        await startShop(client, { db, seed, stepsMax: 203, writers: 3, opsPerSecond: Infinity, signal })
      ).closed;
    const first = await outcome('seed1', 5);
    expect(await outcome('seed2', 5)).toEqual(first);
    expect(await outcome('seed3', 6)).not.toEqual(first);
    // In a database that is open for business already the shelves are not filled again.
    const again = await outcome('seed1', 5);
    expect(again.perCollection.stock.insert).toBe(0);
    expect(again.perCollection.orders).toEqual(first.perCollection.orders);
  });

  it('keeps the pace it is given', async () => {
    const shop = await startShop(client, { db: 'pace', opsPerSecond: 40, writers: 2, signal });
    const { writes: before } = shop.summary();
    const begunAtMs = systemClock.now();
    await until('it has worked for a while', () => shop.summary().writes - before >= 150);
    const seconds = (systemClock.now() - begunAtMs) / 1000;
    const { writes } = await shop.stop();
    // A step is four writes at most, and each writer may be a step ahead. Without a pace it would be over at once.
    expect((writes - before) / 4).toBeLessThan(40 * (seconds + 0.5) + 4);
    expect(seconds).toBeGreaterThan(0.5);
  });

  it('closes with the signal', async () => {
    const closing = new AbortController();
    const shop = await startShop(client, { db: 'closing', signal: closing.signal });
    closing.abort();
    const summary = await shop.closed;
    await systemClock.sleep(300);
    expect(shop.summary()).toEqual(summary);
  });

  it('waits while the server is away, and goes on', async () => {
    await using shop = await startShop(client, { db: 'outage', opsPerSecond: Infinity, signal });
    await systemClock.sleep(300);
    await set.kill(0, 'SIGKILL');
    const { writes: before } = shop.summary();
    await set.restart(0, signal);
    await set.waitForPrimary(signal);
    await until('it writes again', () => shop.summary().writes >= before + 100);
    const summary = await shop.stop();
    // Nothing that was acknowledged is lost; only a step that is counted as unsettled may have left more or less.
    const { insert, delete: deleted } = summary.perCollection.orders;
    const off = (await client.db('outage').collection('orders').countDocuments()) - (insert - deleted);
    expect(Math.abs(off)).toBeLessThanOrEqual(summary.stepsUnsettled);
  });

  it('closes with the error when the server refuses a write for good', async () => {
    await client.db('refused').createCollection('customers', { validator: { never: 1 } });
    const shop = await startShop(client, { db: 'refused', signal });
    await expect(shop.closed).rejects.toMatchObject({ code: 121 });
    await expect(shop.stop()).rejects.toMatchObject({ code: 121 });
  });
});
