/**
 * Where a pipeline begins, and where it goes on: at exactly the next event.
 */
import { Decimal128, deserialize, Double, EJSON, Int32, Long, type Timestamp } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { RunProcess } from '../crash/run-process.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, positionOf, readStream } from './change-stream.ts';
import { eventsOf, eventsSoFar, type LakeLine } from './lake-files.ts';
import { captureDuring, inTransaction, mark, PipelineRun, withoutMarks } from './pipeline-run.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

const source = (include: readonly string[], more: Record<string, unknown> = {}): Settings['source'] => ({ uri: set.uri, include, ...more });

interface Numbered extends Document {
  readonly _id: number;
}

async function capture(work: Workspace, settings: Settings, markIn: string, act?: () => Promise<void>): Promise<LakeLine[]> {
  return await captureDuring({ work, settings, client, markIn }, act);
}

describe('a start', () => {
  const ids = [1, 2, 3, 4, 5].map((_id) => ({ _id }));
  const keysOf = (lines: readonly LakeLine[]): unknown[] =>
    withoutMarks(lines).map(({ event }) => (event['documentKey'] as { _id: { $numberInt: string } })._id.$numberInt);

  it('at a time has all of that second and later, and is remembered', async () => {
    await using work = await Workspace.make();
    const a = client.db('start_time').collection<Numbered>('a');
    await a.insertMany(ids.slice(0, 2));
    // A time has whole seconds: what comes after has to be in a later one.
    const before = await clusterTime(client);
    let at = before;
    while (at.t === before.t) at = await noteTime();
    await a.insertMany(ids.slice(2));
    const startAt = new Date(at.t * 1000).toISOString();
    const settings = { source: source(['start_time.a'], { startAt }) };
    expect(keysOf(await capture(work, settings, 'start_time.a'))).toEqual(['3', '4', '5']);
    const later = { source: source(['start_time.a'], { startAt: 'now' }) };
    await a.insertOne({ _id: 6 });
    expect(keysOf(await capture(work, later, 'start_time.a'))).toEqual(['3', '4', '5', '6']);
  });

  /** @returns the cluster's time after a write that no pipeline sees */
  async function noteTime(): Promise<Timestamp> {
    const { operationTime } = await client.db('admin').command({ appendOplogNote: 1, data: {} });
    return operationTime as Timestamp;
  }

  it.each([
    ['int32', (n: number) => new Int32(n)],
    ['int64', (n: number) => Long.fromNumber(n)],
    ['double', (n: number) => new Double(n)],
    ['decimal', (n: number) => Decimal128.fromString(`${n}.00`)],
    ['array-holding', (n: number) => ({ a: [Long.fromNumber(n)] })],
  ])('at a token is at the event after it, also in the middle of a transaction, for %s keys', async (name, make) => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const db = client.db(`start_token_${name.slice(0, 5)}`);
    const a = db.collection<{ _id: unknown }>('a');
    await db.createCollection('a');
    await inTransaction(client, async (session) => {
      for (const { _id } of ids) await a.insertOne({ _id: make(_id) }, { session });
    });
    const to = await mark(client, db.databaseName, 'a');
    const told = await readStream(client, { db: db.databaseName, from, to });
    const inserts = told.filter((event) => event['operationType'].toString() === 'insert');
    const token = EJSON.serialize(inserts[2]?.['_id'] as Document, { relaxed: false });
    expect('_typeBits' in token).toBe(name !== 'int32');
    const settings = { source: source([`${db.databaseName}.*`], { startAt: { token } }), lake: { json: 'canonical' } };
    const lines = await capture(work, settings, `${db.databaseName}.a`);
    const expected = inserts.slice(3).map(positionOf);
    expect(lines.slice(0, expected.length).map(({ event }) => event._meta.position)).toEqual(expected);
    expect(withoutMarks(lines)).toHaveLength(2);
  });

  it('at a token is remembered with all of it: without its type bits the server would not find it again', async () => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const a = client.db('start_again').collection<{ _id: unknown }>('a');
    for (const { _id } of ids) await a.insertOne({ _id: Long.fromNumber(_id) });
    const told = await readStream(client, { db: 'start_again', from, to: await mark(client, 'start_again', 'a') });
    const third = told.find((event) => event['documentKey']?.['_id'].toString() === '3');
    const token = EJSON.serialize(third?.['_id'] as Document, { relaxed: false });
    const settings = { source: source(['start_again.*'], { startAt: { token } }), lake: { json: 'canonical' } };
    await using process = RunProcess.start(await work.writeConfig(settings), { env: { SLUICE_FAILPOINT: 'checkpoint.after-start' } });
    expect(await process.ended).toEqual({ code: null, signal: 'SIGKILL' });
    const { resume } = await work.checkpoint();
    expect(Object.keys(deserialize(resume?.token ?? new Uint8Array()))).toEqual(['_data', '_typeBits']);
    const lines = await capture(work, settings, 'start_again.a');
    expect(withoutMarks(lines).map(({ event }) => event['documentKey'])).toEqual([4, 5].map((n) => ({ _id: { $numberLong: String(n) } })));
  });

  it('at a token that is none is refused, with its code', async () => {
    await using work = await Workspace.make();
    const config = work.config({ source: source(['start_bad.*'], { startAt: { token: { _data: '8201' } } }) });
    await expect(new PipelineRun(config).done).rejects.toMatchObject({ code: 'SLC-1280' });
  });
});

describe('a restart', () => {
  it('goes on at exactly the next event, however often', async () => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const settings = { source: source(['again.*']), lake: { json: 'canonical', roll: { maxBytes: 4096 } } };
    const a = client.db('again').collection<Document>('a');
    const insert = async (count: number): Promise<void> => void (await a.insertMany(Array.from({ length: count }, () => ({ x: 'x'.repeat(500) }))));
    for (let round = 0; round < 6; round += 1) {
      await using run = await new PipelineRun(work.config(settings)).running();
      await insert(20);
      // Stops wherever it is.
      if (round % 2 === 0) await run.reaches(await mark(client, 'again', 'b'));
      await insert(20);
      await run.stop();
      expect((await work.checkpoint()).cleanStop).toBe(true);
      await insert(20);
    }
    const run = await new PipelineRun(work.config(settings)).running();
    const to = await mark(client, 'again', 'b');
    await run.reaches(to);
    await run.stop();
    const told = await readStream(client, { db: 'again', from, to });
    expect(told.length).toBeGreaterThan(6 * 60);
    expect(differences(await eventsOf(work.lake), told)).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });

  it.each(['none', 'gzip', 'zstd'])(
    'with another filter has nothing twice and nothing missing, the last event being in a transaction (compression: %s)',
    async (compression) => {
      await using work = await Workspace.make();
      const name = `refilter_${compression}`;
      const db = client.db(name);
      for (const coll of ['a', 'b', 'c']) await db.createCollection(coll);
      const narrow = { source: source([`${name}.a`, `${name}.b`]), lake: { json: 'canonical', compression } };
      const run = await new PipelineRun(work.config(narrow)).running();
      const from = await clusterTime(client);
      await inTransaction(client, async (session) => {
        // Twice the same key and operation: told apart by their number alone.
        for (let n = 0; n < 3; n += 1) {
          await db.collection<Numbered>('a').insertOne({ _id: n }, { session });
          await db.collection<Numbered>('a').updateOne({ _id: 0 }, { $inc: { n: 1 } }, { session });
          await db.collection<Numbered>('b').insertOne({ _id: n }, { session });
          await db.collection<Numbered>('c').insertOne({ _id: n }, { session });
        }
      });
      await until('the transaction is in the lake', async () => (await eventsSoFar(work.lake))?.length === 9);
      await run.stop();
      const wide = { source: source([`${name}.*`]), lake: { json: 'canonical', compression } };
      const again = await new PipelineRun(work.config(wide)).running();
      await db.collection<Numbered>('c').insertOne({ _id: 100 });
      const to = await mark(client, name, 'a');
      await again.reaches(to);
      await again.stop();
      const told = await readStream(client, { db: name, from, to });
      // The transaction is of the time at which the old filter ended: of collection c it may be there or not, but not in part.
      const isC = (event: Document): boolean => event['ns']['coll'].toString() === 'c' && event['documentKey']?.['_id'].valueOf() !== 100;
      const positions = (await eventsOf(work.lake)).map(({ event }) => event._meta.position);
      expect(positions.filter((position) => !told.filter(isC).map(positionOf).includes(position))).toEqual(
        told.filter((event) => !isC(event)).map(positionOf),
      );
      expect(new Set(positions).size).toBe(positions.length);
      expect(await work.verify()).toEqual([]);
    },
  );
});
