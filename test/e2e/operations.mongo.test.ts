import { Binary, BSONRegExp, BSONSymbol, Code, Decimal128, Double, EJSON, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID, serialize } from 'bson';
import { MongoClient, type ClientSession, type Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { SluiceError } from '../../src/core/error.ts';
import { SOURCE_IMAGES_MISSING } from '../../src/core/errors.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, positionOf, readStream } from './change-stream.ts';
import { eventsOf, inShort, type LakeLine } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

interface Numbered extends Document {
  readonly _id: number;
}

const source = (include: readonly string[], more: Record<string, unknown> = {}): Settings['source'] => ({ uri: set.uri, include, ...more });

/** Captures while `work` is done, up to the mark that it ends with. */
async function capture(workspace: Workspace, settings: Settings, markIn: string, work: () => Promise<void>): Promise<LakeLine[]> {
  const [db = '', coll = ''] = markIn.split('.');
  await using run = await new PipelineRun(workspace.config(settings)).running();
  await work();
  await run.reaches(await mark(client, db, coll));
  await run.stop();
  expect(await workspace.verify()).toEqual([]);
  return await eventsOf(workspace.lake);
}

/** Without the mark and what comes with it. */
function upToMark(lines: readonly LakeLine[]): LakeLine[] {
  const isOfMark = ({ event }: LakeLine): boolean => (event['fullDocument'] as Document | undefined)?.['mark'] === true || event._meta.ns.coll === 'mark';
  return lines.filter((line) => !isOfMark(line));
}

async function transaction(work: (session: ClientSession) => Promise<void>): Promise<void> {
  await client.withSession(async (session) => {
    await session.withTransaction(async () => await work(session), { writeConcern: { w: 'majority' } });
  });
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
    expect(upToMark(lines).map(inShort)).toEqual([
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
      await transaction(async (session) => {
        await db.collection<Numbered>('a').insertOne({ _id: 1 }, { session });
        await db.collection<Numbered>('b').insertOne({ _id: 1 }, { session });
        await db.collection<Numbered>('a').updateOne({ _id: 1 }, { $set: { x: 1 } }, { session });
        await db.collection<Numbered>('b').replaceOne({ _id: 1 }, { y: 1 }, { session });
        await db.collection<Numbered>('a').deleteOne({ _id: 1 }, { session });
      });
      // Over 16 MB: several entries of the oplog, one transaction all the same.
      await transaction(async (session) => {
        for (let _id = 10; _id < 14; _id += 1) await db.collection<Numbered>('b').insertOne({ _id, big: 'x'.repeat(6_000_000) }, { session });
      });
    });
    const [small, big] = [upToMark(lines).slice(0, 5), upToMark(lines).slice(5)];
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
    expect(upToMark(lines).map(inShort)).toEqual([
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
    const inserts = upToMark(lines).filter((line) => line.event._meta.operationType === 'insert');
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
    expect(upToMark(lines).map((line) => line.event._meta.operationType)).toEqual([
      ...['create', 'insert', 'drop', 'invalidate'],
      ...['create', 'insert', 'rename', 'invalidate'],
      ...['create', 'insert', 'drop', 'invalidate'],
      ...['create', 'insert'],
    ]);
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
    expect(upToMark(lines).map((line) => line.event._meta.operationType)).toEqual(['create', 'insert', 'drop', 'invalidate', 'create', 'insert', 'insert']);
  });
});

describe("the user's own match", () => {
  it('is applied by the server, with its Extended JSON values', async () => {
    await using work = await Workspace.make();
    const wanted = new ObjectId();
    const match = { $or: [{ 'documentKey._id': { $oid: wanted.toHexString() } }, { 'fullDocument.total': { $gt: { $numberDecimal: '10.00' } } }, { 'fullDocument.mark': true }] };
    const lines = await capture(work, { source: source(['matched.*'], { match }) }, 'matched.a', async () => {
      const a = client.db('matched').collection<Document>('a');
      await a.insertOne({ _id: wanted });
      await a.insertOne({ total: Decimal128.fromString('9.99') });
      await a.insertOne({ total: Decimal128.fromString('10.01') });
      await a.deleteOne({ _id: wanted });
      await a.deleteMany({});
    });
    expect(upToMark(lines).map((line) => line.event._meta.operationType)).toEqual(['insert', 'insert', 'delete']);
  });

  it('that the server does not accept is a configuration error, before anything is written', async () => {
    await using work = await Workspace.make();
    const config = work.config({ source: source(['matched.*'], { match: { $bogus: 1 } }) });
    await expect(new PipelineRun(config).done).rejects.toMatchObject({ code: 'SLC-1004', message: expect.stringContaining('$bogus') });
  });
});

describe('documents and images', () => {
  const images = { changeStreamPreAndPostImages: { enabled: true } };

  /** What an insert, an update, an update whose document is gone by then, a replace and a delete carry. */
  async function documentsOf(db: string, more: Record<string, unknown>, withImages: boolean): Promise<Document[]> {
    await using work = await Workspace.make();
    const a = client.db(db).collection<Numbered>('a');
    await client.db(db).createCollection('a', withImages ? images : {});
    const settings = { source: source([`${db}.a`], { startAt: 'now', ...more }) };
    // The first run only fixes the start: the second one reads when all is over, so that a look-up finds no document 2.
    await capture(work, settings, `${db}.a`, async () => undefined);
    await a.insertOne({ _id: 1, v: 1 });
    await a.updateOne({ _id: 1 }, { $set: { v: 2 } });
    await a.insertOne({ _id: 2, v: 1 });
    await a.updateOne({ _id: 2 }, { $set: { v: 2 } });
    await a.replaceOne({ _id: 1 }, { v: 3 });
    await a.deleteOne({ _id: 2 });
    const lines = await capture(work, settings, `${db}.a`, async () => undefined);
    return upToMark(lines).map(({ event }) => ({
      op: event._meta.operationType,
      ...('fullDocument' in event ? { after: event['fullDocument'] as Document } : {}),
      ...('fullDocumentBeforeChange' in event ? { before: event['fullDocumentBeforeChange'] as Document } : {}),
    }));
  }

  it('are as the server sends them with `off`', async () => {
    expect(await documentsOf('off', { fullDocument: 'off' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update' },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update' },
      { op: 'replace', after: { _id: 1, v: 3 } },
      { op: 'delete' },
    ]);
  });

  it('are those of the moment of reading with `updateLookup`, null when there is none any more', async () => {
    expect(await documentsOf('lookup', { fullDocument: 'updateLookup' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: { _id: 1, v: 3 } },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: null },
      { op: 'replace', after: { _id: 1, v: 3 } },
      { op: 'delete' },
    ]);
  });

  it('are those of the moment of the change with `required` and images', async () => {
    expect(await documentsOf('required', { fullDocument: 'required', fullDocumentBeforeChange: 'required' }, true)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: { _id: 1, v: 2 }, before: { _id: 1, v: 1 } },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: { _id: 2, v: 2 }, before: { _id: 2, v: 1 } },
      { op: 'replace', after: { _id: 1, v: 3 }, before: { _id: 1, v: 2 } },
      { op: 'delete', before: { _id: 2, v: 2 } },
    ]);
  });

  it('are null with `whenAvailable` where no images are kept', async () => {
    expect(await documentsOf('without', { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: null, before: null },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: null, before: null },
      { op: 'replace', after: { _id: 1, v: 3 }, before: null },
      { op: 'delete', before: null },
    ]);
    expect((await documentsOf('with', { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' }, true))[1]).toEqual({
      op: 'update',
      after: { _id: 1, v: 2 },
      before: { _id: 1, v: 1 },
    });
  });

  it('that are required and not kept stop the pipeline there, time after time, until less is asked for', async () => {
    await using work = await Workspace.make();
    const settings = { source: source(['missing.a'], { fullDocument: 'required' }) };
    const a = client.db('missing').collection<Numbered>('a');
    const run = await new PipelineRun(work.config(settings)).running();
    await a.insertOne({ _id: 1 });
    await a.updateOne({ _id: 1 }, { $set: { v: 1 } });
    await a.insertOne({ _id: 2 });
    const error = await run.done.catch((reason: unknown) => reason);
    if (!SluiceError.is(error, SOURCE_IMAGES_MISSING)) throw error;
    expect(error.message).toMatch(/db: "missing", coll: "a"/);
    await expect(new PipelineRun(work.config(settings)).done).rejects.toMatchObject({ code: 'SLC-1247' });
    const milder = { source: source(['missing.a'], { fullDocument: 'whenAvailable' }) };
    const lines = await capture(work, milder, 'missing.a', async () => undefined);
    expect(upToMark(lines).map(inShort)).toEqual(['create missing.a', 'insert missing.a', 'update missing.a', 'insert missing.a']);
  });
});

describe('a start', () => {
  const ids = [1, 2, 3, 4, 5].map((_id) => ({ _id }));
  const keysOf = (lines: readonly LakeLine[]): unknown[] => upToMark(lines).map(({ event }) => (event['documentKey'] as { _id: { $numberInt: string } })._id.$numberInt);

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
    expect(keysOf(await capture(work, settings, 'start_time.a', async () => undefined))).toEqual(['3', '4', '5']);
    const later = { source: source(['start_time.a'], { startAt: 'now' }) };
    await a.insertOne({ _id: 6 });
    expect(keysOf(await capture(work, later, 'start_time.a', async () => undefined))).toEqual(['3', '4', '5', '6']);
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
    await transaction(async (session) => {
      for (const { _id } of ids) await a.insertOne({ _id: make(_id) }, { session });
    });
    const to = await mark(client, db.databaseName, 'a');
    const told = await readStream(client, { db: db.databaseName, from, to });
    const inserts = told.filter((event) => event['operationType'].toString() === 'insert');
    const token = EJSON.serialize(inserts[2]?.['_id'] as Document, { relaxed: false });
    expect('_typeBits' in token).toBe(name !== 'int32');
    const settings = { source: source([`${db.databaseName}.*`], { startAt: { token } }), lake: { json: 'canonical' } };
    const lines = await capture(work, settings, `${db.databaseName}.a`, async () => undefined);
    expect(lines.slice(0, 3).map(({ event }) => event._meta.position)).toEqual(inserts.slice(3).map(positionOf));
    expect(lines).toHaveLength(4);
  });

  it('at a token that is none is refused, with its code', async () => {
    await using work = await Workspace.make();
    const config = work.config({ source: source(['start_bad.*'], { startAt: { token: { _data: '8201' } } }) });
    await expect(new PipelineRun(config).done).rejects.toMatchObject({ code: 'SLC-1280' });
  });
});

describe('a line', () => {
  it('in canonical form gives back the document byte for byte, with every BSON type', async () => {
    await using work = await Workspace.make();
    const document = {
      _id: Long.fromString('9007199254740993'),
      double: [1, 1.5, -0, 5e-324, 1.7976931348623157e308, Number.NaN, Infinity, -Infinity, 1e21].map((n) => new Double(n)),
      string: ['', 'plain', '"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028', '文😀', '$dollar', 'a'.repeat(5000)],
      object: { '': 1, 'a.b': new Int32(1), $x: new Int32(2), 文: new Int32(3), nested: deep(60) },
      array: [[], {}, [[new Int32(1)]]],
      binary: [0, 1, 3, 5, 6, 128].map((type) => new Binary(Buffer.from([1, 2, 3, 254, 255]), type)),
      uuid: new UUID('01234567-89ab-4cde-8f01-23456789abcd'),
      objectId: new ObjectId('0123456789abcdef01234567'),
      boolean: [true, false],
      date: [0, -1, 1_795_247_101_123, -62_135_596_800_001, 253_402_300_800_000, 8.64e15, -8.64e15].map((ms) => new Date(ms)),
      null: null,
      regex: [new BSONRegExp('^a"\\/', 'imsx'), new BSONRegExp('', '')],
      code: [new Code('function () {}'), new Code('x', { y: Long.fromNumber(1) })],
      symbol: new BSONSymbol('s'),
      int32: [0, -1, 2_147_483_647, -2_147_483_648].map((n) => new Int32(n)),
      timestamp: [new Timestamp({ t: 1, i: 2 }), new Timestamp({ t: 4_294_967_295, i: 4_294_967_295 })],
      int64: ['0', '-1', '9223372036854775807', '-9223372036854775808', '9007199254740993'].map((n) => Long.fromString(n)),
      decimal: ['0', '-0', '1.10', '1E+6144', '1E-6176', '9.999999999999999999999999999999999E+6144', 'NaN', 'Infinity', '-Infinity', '-123.4500'].map((n) => Decimal128.fromString(n)),
      minKey: new MinKey(),
      maxKey: new MaxKey(),
    };
    const lines = await capture(work, { source: source(['types.*']), lake: { json: 'canonical' } }, 'types.a', async () => {
      await client.db('types').collection<{ _id: Long }>('a').insertOne(document);
      await client.db('types').collection<{ _id: Long }>('a').updateOne({ _id: document._id }, { $set: { 'object.x': document.double, more: document.decimal } });
    });
    const [, insert, update] = lines;
    const back = EJSON.parse(insert?.text ?? '', { relaxed: false }) as Document;
    expect(Buffer.from(serialize(back['fullDocument'] as Document)).toString('hex')).toBe(Buffer.from(serialize(document)).toString('hex'));
    expect(back['documentKey']).toEqual({ _id: document._id });
    expect(insert?.event._meta['lossy']).toBeUndefined();
    const changed = EJSON.parse(update?.text ?? '', { relaxed: false }) as Document;
    const { updatedFields } = changed['updateDescription'] as Document;
    expect(Buffer.from(serialize(updatedFields as Document))).toEqual(Buffer.from(serialize({ more: document.decimal, 'object.x': document.double })));
  });
});

function deep(levels: number): Document {
  return levels === 0 ? { end: true } : { d: deep(levels - 1) };
}

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

  it('with another filter has nothing twice and nothing missing, with the last event in the middle of a transaction', async () => {
    await using work = await Workspace.make();
    const db = client.db('refilter');
    for (const name of ['a', 'b', 'c']) await db.createCollection(name);
    const narrow = { source: source(['refilter.a', 'refilter.b']), lake: { json: 'canonical' } };
    const run = await new PipelineRun(work.config(narrow)).running();
    const from = await clusterTime(client);
    await transaction(async (session) => {
      // Twice the same key and operation: told apart by their number alone.
      for (let n = 0; n < 3; n += 1) {
        await db.collection<Numbered>('a').insertOne({ _id: n }, { session });
        await db.collection<Numbered>('a').updateOne({ _id: 0 }, { $inc: { n: 1 } }, { session });
        await db.collection<Numbered>('b').insertOne({ _id: n }, { session });
        await db.collection<Numbered>('c').insertOne({ _id: n }, { session });
      }
    });
    const { operationTime } = await db.command({ ping: 1 });
    await run.reaches(operationTime as Timestamp);
    await run.stop();
    const wide = { source: source(['refilter.*']), lake: { json: 'canonical' } };
    const again = await new PipelineRun(work.config(wide)).running();
    await db.collection<Numbered>('c').insertOne({ _id: 100 });
    const to = await mark(client, 'refilter', 'a');
    await again.reaches(to);
    await again.stop();
    const told = await readStream(client, { db: 'refilter', from, to });
    // The transaction is of the time at which the old filter ended: of collection c it may be there or not, but not in part.
    const isC = (event: Document): boolean => event['ns']['coll'].toString() === 'c' && event['documentKey']?.['_id'].valueOf() !== 100;
    const positions = (await eventsOf(work.lake)).map(({ event }) => event._meta.position);
    expect(positions.filter((position) => !told.filter(isC).map(positionOf).includes(position))).toEqual(told.filter((event) => !isC(event)).map(positionOf));
    expect(new Set(positions).size).toBe(positions.length);
    expect(await work.verify()).toEqual([]);
  });
});
