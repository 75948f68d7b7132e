/**
 * The encoder on what real servers send: nothing of an event is lost, whatever its kind, and split events become whole.
 */
import {
  BSONRegExp,
  BSONSymbol,
  Binary,
  Code,
  Decimal128,
  Double,
  EJSON,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
  deserialize,
  serialize,
  type Document,
} from 'bson';
import type { ClientSession, Long as CursorId, MongoClient } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { startMongo } from '../../../../test/mongo.ts';
import { encoderOf, linesOf } from './raw-bson.ts';
import type { LineEncoder } from './line.ts';
import { encodeReply } from './reply.ts';
import { resumePointOf } from './token.ts';

/** Keys of every type. */
type Keyed = Document & { _id: unknown };

const META_FIELDS = ['_id', 'operationType', 'ns', 'clusterTime', 'wallTime', 'txnNumber', 'lsid'];

/** Raw cursors of a cluster-wide stream, one after another. */
class RawStream {
  readonly #client: MongoClient;
  readonly #session: ClientSession;
  #id: CursorId | null = null;

  constructor(client: MongoClient) {
    this.#client = client;
    this.#session = client.startSession({ causalConsistency: false });
  }

  async open(options: Document, stages: readonly Document[] = []): Promise<Buffer> {
    const pipeline = [{ $changeStream: { allChangesForCluster: true, showExpandedEvents: true, ...options } }, ...stages];
    return await this.#run({ aggregate: 1, pipeline, cursor: {} });
  }

  async more(): Promise<Buffer> {
    return await this.#run({ getMore: this.#id, collection: '$cmd.aggregate', maxTimeMS: 500 });
  }

  async #run(command: Document): Promise<Buffer> {
    const reply = await this.#client.db('admin').command(command, { session: this.#session, raw: true });
    const cursor = reply['cursor'] as Buffer;
    this.#id = deserialize(cursor, { promoteValues: false })['id'] as CursorId;
    return cursor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.endSession();
  }
}

const eventsOf = (cursor: Buffer): Document[] => {
  const { firstBatch, nextBatch } = deserialize(cursor, { promoteValues: false, bsonRegExp: true });
  return (firstBatch ?? nextBatch) as Document[];
};

/** Compares a canonical line with the event as the library reads it, member by member, order included. */
function expectWhole(line: string, event: Document): void {
  const { _meta: meta, ...body } = JSON.parse(line) as { _meta: Document };
  const sent = JSON.parse(EJSON.stringify(event, { relaxed: false })) as Document;
  expect(Object.keys(body)).toEqual(Object.keys(sent).filter((key) => !META_FIELDS.includes(key)));
  for (const [key, value] of Object.entries(body)) expect(value).toEqual(sent[key]);
  expect(meta['position']).toBe(sent['_id']._data);
  for (const key of META_FIELDS.slice(1)) expect(meta[key]).toEqual(sent[key]);
  expect(meta['at']).toBe(new Date(sent['clusterTime'].$timestamp.t * 1000).toISOString());
  expect(meta['lossy']).toBeUndefined();
}

async function readUntil(
  stream: RawStream,
  first: Buffer,
  encoder: LineEncoder,
  isLast: (event: Document) => boolean,
): Promise<[string, Document][]> {
  const read: [string, Document][] = [];
  for (let cursor = first; ; cursor = await stream.more()) {
    const events = eventsOf(cursor);
    const reply = encodeReply(cursor, encoder);
    expect(reply.events.count).toBe(events.length);
    for (const [i, line] of linesOf(reply).entries()) read.push([line, events[i]!]);
    const token = Buffer.from(serialize(deserialize(cursor, { promoteValues: false })['postBatchResumeToken'] as Document));
    expect(reply.postBatchResumeToken).toEqual(token);
    expect(resumePointOf(token).position >= (read.at(-1)?.[1]['_id']._data ?? '')).toBe(true);
    if (events.some(isLast)) return read;
  }
}

/** Everything that a server stores. */
const everything = {
  _id: new ObjectId(),
  double: new Double(12.34),
  whole: new Double(5),
  minusZero: new Double(-0),
  notANumber: new Double(Number.NaN),
  infinite: new Double(-Infinity),
  string: 'text with "quotes", größe, 🙂 and a \u0000',
  nested: { array: [1, 'two', { three: [new Int32(3), [new Int32(4)]] }], empty: {}, none: [] },
  binary: new Binary(Buffer.from('0123456789'), 0),
  old: new Binary(Buffer.from('abc'), 2),
  uuid: new UUID('c8edabc3-f738-4ca3-b68d-ab92a91478a3'),
  yes: true,
  date: new Date(1_795_247_101_123),
  early: new Date(-1),
  nothing: null,
  regex: new BSONRegExp('^a.b"$', 'im'),
  code: new Code('f()'),
  scoped: new Code('f()', { x: new Int32(1) }),
  symbol: new BSONSymbol('s'),
  int: new Int32(-7),
  time: new Timestamp({ t: 1, i: 2 }),
  long: Long.fromString('9223372036854775807'),
  decimal: Decimal128.fromString('-12.340'),
  tiny: Decimal128.fromString('1E-6176'),
  min: new MinKey(),
  max: new MaxKey(),
  'dotted.key': 1,
  $dollar: 1,
  '': 'empty key',
};

describe('on a real server', () => {
  it('every kind of event is a line that has all of it', async () => {
    await using set = await startMongo();
    const client = await set.connect();
    const shop = client.db('shop');
    await using stream = new RawStream(client);
    const first = await stream.open({});

    const orders = await shop.createCollection<Keyed>('orders');
    await orders.createIndex({ status: 1 }, { partialFilterExpression: { total: { $gt: 5 } } });
    await orders.insertOne(everything);
    await orders.updateOne({}, { $set: { 'nested.a': [1, 2.5], status: 'paid' }, $unset: { yes: '' } });
    await orders.replaceOne({}, { status: 'größe' });
    await client.withSession(async (session) => {
      await session.withTransaction(async () => {
        for (let i = 0; i < 5; i++) await orders.insertOne({ _id: Long.fromNumber(i), i }, { session });
        await shop.collection<Keyed>('others').insertOne({ _id: new Double(1.5) }, { session });
      });
    });
    await orders.deleteMany({});
    await shop.command({ collMod: 'orders', changeStreamPreAndPostImages: { enabled: true } });
    await orders.dropIndex('status_1');
    await orders.rename('renamed');
    await shop.collection('renamed').drop();
    await shop.dropDatabase();

    const read = await readUntil(stream, first, encoderOf({ json: 'canonical' }), (event) => event['operationType'] === 'dropDatabase');
    for (const [line, event] of read) expectWhole(line, event);
    const kinds = new Set(read.map(([, event]) => event['operationType'] as string));
    expect([...kinds].toSorted()).toEqual(
      ['create', 'createIndexes', 'delete', 'drop', 'dropDatabase', 'dropIndexes', 'insert', 'modify', 'rename', 'replace', 'update'].toSorted(),
    );
    const [line] = read.find(([, event]) => event['operationType'] === 'insert')!;
    const { fullDocument } = EJSON.parse(line, { relaxed: false }) as { fullDocument: Document };
    expect(Buffer.from(serialize(fullDocument)).equals(serialize(everything))).toBe(true);
    // The order of fields that the encoder must not rely on.
    expect(read.some(([, event]) => Object.keys(event)[0] !== '_id' && event['txnNumber'] !== undefined)).toBe(true);
  });

  it('an event over 16 MB that the server splits becomes one whole line', async () => {
    await using set = await startMongo({ wanted: '6.0.27' });
    const client = await set.connect();
    const shop = client.db('shop');
    const large = await shop.createCollection<Keyed>('large', { changeStreamPreAndPostImages: { enabled: true } });
    const [before, after] = ['b'.repeat(10_000_000), 'a'.repeat(10_000_000)];
    await large.insertOne({ _id: 1, text: before });
    await using stream = new RawStream(client);
    const options = { fullDocument: 'required', fullDocumentBeforeChange: 'required' };
    let cursor = await stream.open(options, [{ $changeStreamSplitLargeEvent: {} }]);
    await large.updateOne({}, { $set: { text: after } });
    await large.deleteOne({});

    const encoder = encoderOf();
    const lines: string[] = [];
    const fragments: Document[] = [];
    while (!lines.at(-1)?.includes('"operationType":"delete"')) {
      const reply = encodeReply(cursor, encoder);
      const events = eventsOf(cursor);
      fragments.push(...events.filter((event) => event['splitEvent'] !== undefined));
      const inside =
        events.length > 0 &&
        events.at(-1)!['splitEvent'] !== undefined &&
        events.at(-1)!['splitEvent'].fragment.value < events.at(-1)!['splitEvent'].of.value;
      expect(reply.postBatchResumeToken === null).toBe(inside);
      lines.push(...linesOf(reply));
      cursor = await stream.more();
    }
    expect(fragments.length).toBeGreaterThan(1);
    expect(lines.length).toBe(2);
    const update = JSON.parse(lines[0]!) as Document;
    expect(update['_meta']).toMatchObject({ position: fragments.at(-1)!['_id']._data, operationType: 'update', ns: { db: 'shop', coll: 'large' } });
    expect(update['fullDocument']).toEqual({ _id: 1, text: after });
    expect(update['fullDocumentBeforeChange']).toEqual({ _id: 1, text: before });
    expect(update['updateDescription'].updatedFields.text).toBe(after);
    expect(update['splitEvent']).toBeUndefined();
  });
});
