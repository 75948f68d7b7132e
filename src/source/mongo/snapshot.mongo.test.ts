/**
 * Collections read in ranges on a real server: every type of key, wherever the cuts lie, once, at no older a time than asked for.
 */
import { Binary, BSONSymbol, Code, DBRef, Decimal128, Double, EJSON, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMongo } from '../../../test/mongo.ts';
import { TcpProxy } from '../../../test/fakes/tcp-proxy.ts';
import type { ReplicaSet } from '../../app/demo/replica-set.ts';
import { systemClock } from '../../core/clock.ts';
import type { ResumePoint } from '../../core/event.ts';
import type { KeyRange, RangeReading } from '../../core/snapshot.ts';
import { silentLog } from '../../ops/log.ts';
import { newStats } from '../../ops/stats.ts';
import { MongoSource } from './mongo-source.ts';
import { MongoSnapshots, type MongoSnapshotOptions } from './snapshot.ts';

const never = new AbortController().signal;
const WHOLE: RangeReading = { from: null, to: null, after: null };
let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(() => set.stop());

function snapshots(options: Partial<MongoSnapshotOptions> = {}): MongoSnapshots {
  const all = {
    uri: set.uri,
    include: ['shop.*'],
    exclude: [],
    json: 'canonical',
    maxLineBytes: 1 << 20,
    exhaust: true,
    mask: null,
    bytesPerSecondMax: null,
  } as const;
  return new MongoSnapshots({ ...all, ...options }, systemClock, newStats(), silentLog);
}

async function now(): Promise<ResumePoint> {
  const options = { include: ['shop.*'], exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off' } as const;
  const limits = { uri: set.uri, json: 'relaxed', maxLineBytes: 1 << 20, exhaust: false, unavailableAfterMs: 60_000 } as const;
  await using source = new MongoSource({ ...options, ...limits }, systemClock, newStats(), silentLog);
  await source.open(never);
  return await source.resolve({ kind: 'now' }, never);
}

interface Line {
  readonly text: string;
  readonly meta: Document;
  readonly key: string;
  readonly document: string;
}

/** `_meta` aside, texts and not objects: those would lose what the test is about. */
function lineOf(text: string): Line {
  const m = /^\{"_meta":(\{.*?"v":1\}),"documentKey":(.*),"fullDocument":(.*)\}$/s.exec(text);
  if (m === null) throw new Error(`not a line: ${text}`);
  return { text, meta: JSON.parse(m[1]!) as Document, key: m[2]!, document: m[3]! };
}

async function readRange(from: MongoSnapshots, coll: string, range: RangeReading, at: ResumePoint): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const batch of from.documents({ db: 'shop', coll }, range, at, never)) {
    const texts = Buffer.from(batch.lines).toString('utf8').split('\n');
    expect(texts.pop()).toBe('');
    expect(texts).toHaveLength(batch.count);
    lines.push(...texts.map(lineOf));
    batch.release();
  }
  return lines;
}

async function readRanges(from: MongoSnapshots, coll: string, ranges: readonly KeyRange[], at: ResumePoint): Promise<Line[][]> {
  return await Promise.all(ranges.map((range) => readRange(from, coll, { ...range, after: null }, at)));
}

/** As the driver and `bson` have them: another way to the same texts. */
async function plain(coll: string): Promise<Document[]> {
  return await client
    .db('shop')
    .collection(coll)
    .find({}, { sort: { _id: 1 }, promoteValues: false, bsonRegExp: true })
    .toArray();
}

const canonical = (value: unknown): string => EJSON.stringify(value, { relaxed: false });

/** Keys of every type that a server takes, the ends of their ranges among them. */
function keysOfAllTypes(): unknown[] {
  const numbers = Array.from({ length: 40 }, (_, n) => [
    new Int32(n * 7 - 100),
    new Double(n + 0.5),
    Long.fromNumber(2 ** 40 + n),
    Decimal128.fromString(`${n}.25`),
  ]);
  const texts = Array.from({ length: 40 }, (_, n) => [
    `key ${n}`,
    new ObjectId(),
    { a: n, b: `x${n}` },
    new Binary(Buffer.from([n, 255 - n])),
    new Date(n * 1e12 - 2e13),
  ]);
  const ends = [
    new MinKey(), new MaxKey(), null, true, false, new Double(Number.NaN), new Double(Infinity), new Double(-Infinity), new Int32(2 ** 31 - 1),
    Long.MAX_VALUE, Long.MIN_VALUE, Decimal128.fromString('9.999999999999999999999999999999999E+6144'), Decimal128.fromString('-1E-6176'),
    '', '\u0000', 'é', '🙂', '\uffff', 'z'.repeat(900), {}, { nested: { deep: [1, { a: null }] } }, new Binary(Buffer.alloc(0)),
    new Binary(Buffer.alloc(16, 7), Binary.SUBTYPE_UUID), new Binary(Buffer.from([1, 2]), 0x80), new Timestamp({ t: 0xffffffff, i: 0xffffffff }),
    new Timestamp({ t: 1, i: 1 }), new BSONSymbol('symbol'), new Code('f()'), new Code('g()', { a: 1 }), new DBRef('orders', new ObjectId()),
    new ObjectId('000000000000000000000000'), new ObjectId('ffffffffffffffffffffffff'), new Date(8.64e15), new Date(-8.64e15),
  ]; // prettier-ignore
  return [...numbers.flat(), ...texts.flat(), ...ends];
}

describe('a collection read in ranges', () => {
  let at: ResumePoint;
  beforeAll(async () => {
    const all = keysOfAllTypes().map((_id, n) => ({ _id, n: new Int32(n) }));
    await client
      .db('shop')
      .collection<Document>('mixed')
      .insertMany(all as Document[], { ignoreUndefined: false });
    // A date that JavaScript does not have.
    const far = [
      { $documents: [{ _id: { $toDate: Long.fromString('9000000000000000000') } }, { _id: { $toDate: Long.fromString('-9000000000000000000') } }] },
    ];
    await client
      .db('shop')
      .aggregate([...far, { $merge: 'mixed' }])
      .toArray();
    at = await now();
  }, 120_000);

  it('has all documents once, whatever type their keys are of and wherever it is cut', async () => {
    await using source = snapshots();
    const documents = await plain('mixed');
    const count = documents.length;
    const expected = new Map(documents.map((document) => [canonical({ _id: document['_id'] as unknown }), canonical(document)]));
    for (const parts of [1, 2, 7, 64]) {
      const ranges = await source.cut({ db: 'shop', coll: 'mixed' }, parts, never);
      if (parts > 1) expect(ranges.length).toBeGreaterThan(1);
      const lines = (await readRanges(source, 'mixed', ranges, at)).flat();
      expect(lines).toHaveLength(count);
      const keys = new Set(lines.map(({ key }) => key));
      expect(keys.size).toBe(count);
      // EJSON has no text for the two dates; the server's digits are in the lines.
      expect(keys).toContain('{"_id":{"$date":{"$numberLong":"9000000000000000000"}}}');
      expect(keys).toContain('{"_id":{"$date":{"$numberLong":"-9000000000000000000"}}}');
      for (const { key, document } of lines) if (!key.includes('9000000000000000000')) expect(document).toBe(expected.get(key));
    }
  });

  it('is cut between any two keys without losing or repeating one', async () => {
    await using source = snapshots();
    const whole = await readRange(source, 'mixed', WHOLE, at);
    const ranges = await source.cut({ db: 'shop', coll: 'mixed' }, 1000, never);
    expect(ranges.length).toBeGreaterThan(100);
    const parts = await readRanges(source, 'mixed', ranges, at);
    expect(parts.flat().map(({ key }) => key)).toEqual(whole.map(({ key }) => key));
  });

  it('goes on strictly after the key where it stopped, be it there still or not', async () => {
    await client
      .db('shop')
      .collection('stops')
      .insertMany(Array.from({ length: 3000 }, (_, n) => ({ n, pad: 'x'.repeat(100) })));
    const point = await now();
    await using source = snapshots();
    const whole = (await readRange(source, 'stops', WHOLE, point)).map(({ key }) => key);
    const reading = source.documents({ db: 'shop', coll: 'stops' }, WHOLE, point, never)[Symbol.asyncIterator]();
    const { value: first } = (await reading.next()) as { value: { count: number; lastKey: Uint8Array } };
    await reading.return?.(undefined);
    const rest = (await readRange(source, 'stops', { ...WHOLE, after: first.lastKey }, point)).map(({ key }) => key);
    expect(rest).toEqual(whole.slice(first.count));
    await client
      .db('shop')
      .collection('stops')
      .deleteOne({ _id: new ObjectId((JSON.parse(whole[first.count - 1]!) as { _id: { $oid: string } })._id.$oid) });
    expect((await readRange(source, 'stops', { ...WHOLE, after: first.lastKey }, await now())).map(({ key }) => key)).toEqual(rest);
  });

  it('has lines with the position of the snapshot', async () => {
    await using source = snapshots();
    for (const { meta } of await readRange(source, 'mixed', WHOLE, at)) {
      expect(meta).toMatchObject({ position: at.position, operationType: 'snapshot', ns: { db: 'shop', coll: 'mixed' } });
      expect(meta['clusterTime']).toEqual({ $timestamp: at.clusterTime });
    }
  });

  it('is the same over the driver, and with a string order of its own', async () => {
    await client.db('shop').createCollection('collated', { collation: { locale: 'en', strength: 2 } });
    await client
      .db('shop')
      .collection<Document>('collated')
      .insertMany(Array.from({ length: 200 }, (_, n) => ({ _id: n % 2 === 0 ? `k${n}` : `K${n}` })) as Document[]);
    const point = await now();
    await using mine = snapshots();
    await using drivers = snapshots({ exhaust: false });
    for (const source of [mine, drivers]) {
      const ranges = await source.cut({ db: 'shop', coll: 'collated' }, 8, never);
      expect(ranges.length).toBeGreaterThan(4);
      const keys = (await readRanges(source, 'collated', ranges, point)).flat().map(({ key }) => key);
      expect(new Set(keys).size).toBe(200);
      expect(keys).toHaveLength(200);
    }
    expect((await readRange(drivers, 'mixed', WHOLE, at)).map(({ text }) => text)).toEqual(
      (await readRange(mine, 'mixed', WHOLE, at)).map(({ text }) => text),
    );
  });

  it('writes a stub for a document that is too large for a line, and says what JSON cannot carry', async () => {
    await client
      .db('shop')
      .collection<Document>('odd')
      .insertMany([
        { _id: 1, text: 'x'.repeat(2000) },
        { _id: 2, $oid: 'looks like a wrapper' },
        { _id: 3, a: 1 },
      ] as Document[]);
    await using source = snapshots({ maxLineBytes: 1000, json: 'relaxed' });
    const texts: string[] = [];
    for await (const { lines } of source.documents({ db: 'shop', coll: 'odd' }, WHOLE, await now(), never))
      texts.push(...Buffer.from(lines).toString('utf8').trimEnd().split('\n'));
    const [large, wrapped, fine] = texts.map((text) => JSON.parse(text) as Document);
    expect(large).toMatchObject({ _meta: { oversize: true, v: 1 }, documentKey: { _id: { $numberInt: '1' } } });
    expect(large).not.toHaveProperty('fullDocument');
    expect(large!['_meta'].bytes).toBeGreaterThan(2000);
    expect(wrapped).toMatchObject({ _meta: { lossy: true }, fullDocument: { _id: 2, $oid: 'looks like a wrapper' } });
    expect(fine).toMatchObject({ documentKey: { _id: { $numberInt: '3' } }, fullDocument: { _id: 3, a: 1 } });
    expect(fine!['_meta']).not.toHaveProperty('lossy');
  });

  it('hides what is masked, also in the keys that a checkpoint keeps, and goes on by them all the same', async () => {
    const people = Array.from({ length: 400 }, (_, n) => ({
      _id: `alice-${String(n).padStart(4, '0')}`,
      email: `alice-${n}@example.com`,
      city: 'Ulm',
    }));
    await client
      .db('shop')
      .collection<Document>('people')
      .insertMany(people as Document[]);
    const point = await now();
    await using source = snapshots({ mask: { key: 'a secret of more than sixteen', rules: { 'people._id': 'hash', '*.email': 'drop' } } });
    const ranges = await source.cut({ db: 'shop', coll: 'people' }, 4, never);
    const kept: (Uint8Array | null)[] = ranges.flatMap(({ from, to }) => [from, to]);
    const lines: Line[] = [];
    for (const range of ranges) {
      for await (const batch of source.documents({ db: 'shop', coll: 'people' }, { ...range, after: null }, point, never)) {
        kept.push(batch.lastKey);
        lines.push(...Buffer.from(batch.lines).toString('utf8').trimEnd().split('\n').map(lineOf));
      }
      expect(await readRange(source, 'people', { ...range, after: kept.at(-1)! }, point)).toEqual([]);
    }
    expect(new Set(lines.map(({ key }) => key)).size).toBe(400);
    expect(lines.every(({ document }) => document.includes('"city":"Ulm"'))).toBe(true);
    const all = [...lines.map(({ text }) => text), ...kept.map((key) => Buffer.from(key ?? []).toString('latin1'))];
    expect(all.filter((text) => text.includes('alice'))).toEqual([]);
  });

  it('survives lost connections in the middle', async () => {
    await client
      .db('shop')
      .collection('cuts')
      .insertMany(Array.from({ length: 20_000 }, (_, n) => ({ n, pad: 'x'.repeat(300) })));
    const point = await now();
    await using proxy = await TcpProxy.to({ port: Number(/:(\d+)/.exec(set.uri.slice('mongodb://'.length))![1]) });
    await using source = snapshots({ uri: proxy.uri });
    const keys: string[] = [];
    let cuts = 0;
    for await (const { lines } of source.documents({ db: 'shop', coll: 'cuts' }, WHOLE, point, never)) {
      keys.push(
        ...Buffer.from(lines)
          .toString('utf8')
          .trimEnd()
          .split('\n')
          .map((text) => lineOf(text).key),
      );
      if (keys.length > (cuts + 1) * 5000 && cuts < 3) {
        proxy.cut();
        cuts += 1;
      }
    }
    expect(cuts).toBe(3);
    expect(keys).toHaveLength(20_000);
    expect(new Set(keys).size).toBe(20_000);
  });
});

describe('what can be read', () => {
  it('names views and time series with the reason, capped collections with what they do not promise, and counts the others', async () => {
    const db = client.db('shop');
    await db.collection('counted').insertMany(Array.from({ length: 10 }, (_, n) => ({ n })));
    await db.createCollection('seen', { viewOn: 'counted', pipeline: [] });
    await db.createCollection('weather', { timeseries: { timeField: 'at' } });
    await db.createCollection('log', { capped: true, size: 4096 });
    await using source = snapshots();
    const targets = new Map((await source.targets(never)).map((target) => [target.namespace.coll, target]));
    expect(targets.get('counted')).toMatchObject({ documents: 10, refused: null, caveat: null });
    expect(targets.get('counted')!.bytes).toBeGreaterThan(0);
    expect(targets.get('seen')!.refused).toContain('view');
    expect(targets.get('weather')!.refused).toContain('time series');
    expect(targets.get('log')).toMatchObject({ refused: null, caveat: expect.stringContaining('capped') as string });
    expect([...targets.keys()].some((name) => name!.startsWith('system.'))).toBe(false);
  });

  it('is read no faster than allowed', async () => {
    const waits: number[] = [];
    const clock = { now: () => 0, sleep: (ms: number) => (waits.push(ms), Promise.resolve()) };
    const options = {
      mask: null,
      uri: set.uri,
      include: ['shop.*'],
      exclude: [],
      json: 'relaxed',
      maxLineBytes: 1 << 20,
      exhaust: true,
      bytesPerSecondMax: 100_000,
    } as const;
    await using source = new MongoSnapshots(options, clock, newStats(), silentLog);
    let bytes = 0;
    await client
      .db('shop')
      .collection('slow')
      .insertMany(Array.from({ length: 2000 }, (_, n) => ({ n, pad: 'x'.repeat(200) })));
    for await (const { lines } of source.documents({ db: 'shop', coll: 'slow' }, WHOLE, await now(), never)) bytes += lines.byteLength;
    expect(bytes).toBeGreaterThan(400_000);
    // Half a megabyte of BSON at a hundred thousand bytes a second.
    expect(waits.at(-1)).toBeGreaterThan(4000);
  });

  it('ends when the collection is gone', async () => {
    await using source = snapshots();
    expect(await readRange(source, 'never_there', WHOLE, await now())).toEqual([]);
    expect(await source.cut({ db: 'shop', coll: 'never_there' }, 8, never)).toEqual([{ from: null, to: null }]);
  });
});
