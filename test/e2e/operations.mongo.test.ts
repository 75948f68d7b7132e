/**
 * Every kind of operation, over a deployment, a database and a collection: what the server tells is what the lines say.
 */
import { Decimal128, ObjectId } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { jumpAhead, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { inShort, type LakeLine } from './lake-files.ts';
import { captureDuring, inTransaction, PipelineRun, withoutMarks } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

const source = (include: readonly string[], more: Record<string, unknown> = {}): Settings['source'] => ({ uri: set.uri, include, ...more });

interface Numbered extends Document {
  readonly _id: number;
}

async function capture(work: Workspace, settings: Settings, markIn: string, act?: () => Promise<void>): Promise<LakeLine[]> {
  return await captureDuring({ work, settings, client, markIn }, act);
}

describe('a pipeline over a database', () => {
  it('has every kind of operation in its lines, exactly as the server tells it, and goes on after the database was dropped', async () => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const db = client.db('ops');
    const lines = await capture(work, { source: source(['ops.*']), lake: { json: 'canonical' } }, 'ops.mark', async () => {
      await db.createCollection('a');
      await db.collection('a').createIndex({ x: 1 });
      await db.command({ collMod: 'a', validationLevel: 'moderate' });
      await db.collection('a').dropIndex('x_1');
      await db.collection<Numbered>('a').insertOne({ _id: 1 });
      await db.collection<Numbered>('a').updateOne({ _id: 1 }, { $set: { x: 1, 'deep.y': [1, 2] } });
      await db.collection<Numbered>('a').replaceOne({ _id: 1 }, { y: 1 });
      await db.collection<Numbered>('a').deleteOne({ _id: 1 });
      await db.createCollection('b');
      await db.renameCollection('a', 'b', { dropTarget: true });
      await db.dropCollection('b');
      await db.createCollection('c');
      await db.dropDatabase();
      await db.collection<Numbered>('a').insertOne({ _id: 2 });
    });
    expect(withoutMarks(lines).map(inShort)).toEqual([
      'create ops.a',
      'createIndexes ops.a',
      'modify ops.a',
      'dropIndexes ops.a',
      'insert ops.a',
      'update ops.a',
      'replace ops.a',
      'delete ops.a',
      'create ops.b',
      'rename ops.a',
      'drop ops.b',
      'create ops.c',
      'drop ops.c',
      'dropDatabase ops',
      'invalidate ops',
      'create ops.a',
      'insert ops.a',
    ]);
    const hour = lines[0]?.event._meta.at.slice(0, 13).replace('T', '-') ?? '';
    const [yyyy, MM, dd, HH] = hour.split('-');
    expect(new Set(lines.filter((line) => inShort(line).endsWith(' ops')).map((line) => line.path))).toEqual(
      new Set([`ops/_database/year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/events-${yyyy}${MM}${dd}-${HH}.jsonl`]),
    );
    expect(lines[9]?.event['to']).toEqual({ db: 'ops', coll: 'b' });
    // The driver's reader ends where the database was dropped; ours went on. The server gives an invalidate no namespace.
    const told = await readStream(client, { db: 'ops', from, to: lines.at(-1)!.event._meta.clusterTime.$timestamp });
    expect(told.at(-1)?.['operationType'].toString()).toBe('invalidate');
    expect(differences(lines.slice(0, 15), [...told.slice(0, -1), { ...told.at(-1), ns: { db: 'ops' } }])).toEqual([]);
  });

  it('keeps a transaction together: one time, one session and number, in order, over collections', async () => {
    await using work = await Workspace.make();
    const db = client.db('txn');
    await db.createCollection('a');
    await db.createCollection('b');
    const lines = await capture(work, { source: source(['txn.*']) }, 'txn.mark', async () => {
      await inTransaction(client, async (session) => {
        await db.collection<Numbered>('a').insertOne({ _id: 1 }, { session });
        await db.collection<Numbered>('b').insertOne({ _id: 1 }, { session });
        await db.collection<Numbered>('a').updateOne({ _id: 1 }, { $set: { x: 1 } }, { session });
        await db.collection<Numbered>('b').replaceOne({ _id: 1 }, { y: 1 }, { session });
        await db.collection<Numbered>('a').deleteOne({ _id: 1 }, { session });
      });
      // Over 16 MB: several entries of the oplog, one transaction all the same.
      await inTransaction(client, async (session) => {
        for (let _id = 10; _id < 14; _id += 1) await db.collection<Numbered>('b').insertOne({ _id, big: 'x'.repeat(6_000_000) }, { session });
      });
    });
    const [small, big] = [withoutMarks(lines).slice(0, 5), withoutMarks(lines).slice(5)];
    expect(small.map(inShort)).toEqual(['insert txn.a', 'insert txn.b', 'update txn.a', 'replace txn.b', 'delete txn.a']);
    expect(big.map(({ event }) => event['documentKey'])).toEqual([10, 11, 12, 13].map((n) => ({ _id: { $numberInt: String(n) } })));
    for (const events of [small, big]) {
      const [first] = events;
      for (const { event } of events) {
        expect(event._meta.clusterTime).toEqual(first?.event._meta.clusterTime);
        expect(event._meta['lsid']).toEqual(first?.event._meta['lsid']);
        expect(event._meta['txnNumber']).toEqual(first?.event._meta['txnNumber']);
        expect(event._meta['txnNumber']).toEqual({ $numberLong: expect.stringMatching(/^\d+$/) });
        expect(event._meta['lsid']).toMatchObject({ id: { $binary: { subType: '04' } } });
      }
    }
  });
});

describe('a pipeline over several databases', () => {
  it('has a dropped database as one more event, without an end of the stream', async () => {
    await using work = await Workspace.make();
    const lines = await capture(work, { source: source(['wide1.*', 'wide2']) }, 'wide2.mark', async () => {
      await client.db('wide1').collection<Numbered>('a').insertOne({ _id: 1 });
      await client.db('wide2').collection<Numbered>('a').insertOne({ _id: 1 });
      await client.db('wide3').collection<Numbered>('a').insertOne({ _id: 1 });
      await client.db('wide3').dropDatabase();
      await client.db('wide1').dropDatabase();
      await client.db('wide1').collection<Numbered>('a').insertOne({ _id: 2 });
    });
    expect(withoutMarks(lines).map(inShort)).toEqual([
      'create wide1.a',
      'insert wide1.a',
      'create wide2.a',
      'insert wide2.a',
      'drop wide1.a',
      'dropDatabase wide1',
      'create wide1.a',
      'insert wide1.a',
    ]);
  });

  it('takes what its globs include and leaves out what they exclude, whatever the names are', async () => {
    await using work = await Workspace.make();
    const include = ['gl?b.*', 'glob_exact.orders', 'glob_dots.a.*'];
    const names = ['plain', 'tmp_1', 'a.b.c', 'we/ird\\na%me', '_database', 'x'.repeat(120), 'Ünï-文', 'a+b(c)[d]^e'];
    const lines = await capture(work, { source: source(include, { exclude: ['*.tmp_*', 'glob.+'] }) }, 'glob.mark', async () => {
      for (const name of names) await client.db('glob').collection<Numbered>(name).insertOne({ _id: 1 });
      await client.db('glxb').collection<Numbered>('tmp_').insertOne({ _id: 1 });
      await client.db('glxxb').collection<Numbered>('orders').insertOne({ _id: 1 });
      for (const name of ['orders', 'orders2', 'ordersx']) await client.db('glob_exact').collection<Numbered>(name).insertOne({ _id: 1 });
      for (const name of ['a.b', 'a', 'ab', 'aa.b']) await client.db('glob_dots').collection<Numbered>(name).insertOne({ _id: 1 });
      // Into the filter and out of it again.
      await client.db('glob').renameCollection('tmp_1', 'kept');
      await client.db('glob').renameCollection('plain', 'tmp_2');
    });
    const inserts = withoutMarks(lines).filter((line) => line.event._meta.operationType === 'insert');
    expect(inserts.map(inShort)).toEqual([
      ...names.filter((name) => name !== 'tmp_1').map((name) => `insert glob.${name}`),
      'insert glob_exact.orders',
      'insert glob_dots.a.b',
    ]);
    expect(lines.filter((line) => line.event._meta.operationType === 'rename').map(inShort)).toEqual(['rename glob.tmp_1', 'rename glob.plain']);
    const folders = new Set(lines.map((line) => line.path.split('/').slice(0, -5).join('/')));
    expect(folders).toContain('glob/we%2Fird%5Cna%25me');
    expect(folders).toContain('glob/%5Fdatabase');
  });
});

describe('a pipeline over one collection', () => {
  it('goes on after the collection was dropped or renamed, with the next one of its name', async () => {
    await using work = await Workspace.make();
    const db = client.db('solo');
    const lines = await capture(work, { source: source(['solo.orders']) }, 'solo.orders', async () => {
      await db.collection<Numbered>('orders').insertOne({ _id: 1 });
      await db.collection('other').insertOne({});
      await db.dropCollection('orders');
      await db.collection<Numbered>('orders').insertOne({ _id: 2 });
      await db.renameCollection('orders', 'aside');
      await db.collection<Numbered>('orders').insertOne({ _id: 3 });
      await db.dropDatabase();
      await db.collection<Numbered>('orders').insertOne({ _id: 4 });
    });
    const told = withoutMarks(lines).map((line) => line.event._meta.operationType);
    expect(told.join(' ')).toBe(
      'create insert drop invalidate  create insert rename invalidate  create insert drop invalidate  create insert'.replaceAll('  ', ' '),
    );
    expect(new Set(lines.map((line) => line.path.split('/').slice(0, 2).join('/')))).toEqual(new Set(['solo/orders']));
  });

  it('goes on in a later run when the collection was dropped while none ran', async () => {
    await using work = await Workspace.make();
    const settings = { source: source(['solo2.orders']) };
    const orders = client.db('solo2').collection<Numbered>('orders');
    await capture(work, settings, 'solo2.orders', async () => void (await orders.insertOne({ _id: 1 })));
    await orders.drop();
    await orders.insertOne({ _id: 2 });
    const lines = await capture(work, settings, 'solo2.orders', async () => void (await orders.insertOne({ _id: 3 })));
    expect(withoutMarks(lines).map((line) => line.event._meta.operationType)).toEqual([
      'create',
      'insert',
      'drop',
      'invalidate',
      'create',
      'insert',
      'insert',
    ]);
  });
});

describe("the user's own match", () => {
  it('is applied by the server, with its Extended JSON values', async () => {
    await using work = await Workspace.make();
    const wanted = new ObjectId();
    const match = {
      $or: [
        { 'documentKey._id': { $oid: wanted.toHexString() } },
        { 'fullDocument.total': { $gt: { $numberDecimal: '10.00' } } },
        { 'fullDocument.mark': true },
      ],
    };
    const lines = await capture(work, { source: source(['matched.*'], { match }) }, 'matched.a', async () => {
      const a = client.db('matched').collection<Document>('a');
      await a.insertOne({ _id: wanted });
      await a.insertOne({ total: Decimal128.fromString('9.99') });
      await a.insertOne({ total: Decimal128.fromString('10.01') });
      await a.deleteOne({ _id: wanted });
      await a.deleteMany({});
    });
    expect(withoutMarks(lines).map((line) => line.event._meta.operationType)).toEqual(['insert', 'insert', 'delete']);
  });

  it('that the server does not accept is a configuration error, before anything is written', async () => {
    await using work = await Workspace.make();
    const config = work.config({ source: source(['matched.*'], { match: { $bogus: 1 } }) });
    await expect(new PipelineRun(config).done).rejects.toMatchObject({ code: 'SLC-1004', message: expect.stringContaining('$bogus') });
  });
});
