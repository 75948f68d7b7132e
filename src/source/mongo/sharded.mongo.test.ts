/**
 * Collections of a sharded cluster through its router: read whole, each document has the key that its events have.
 *
 * The shards, the config server and their sharding are MongoDB's own; the `mongos` is a stand-in (test/sharded/router.ts).
 */
import { Decimal128, Double, Int32, Long, MinKey, ObjectId, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShardedCluster } from '../../../test/sharded/cluster.ts';
import { systemClock } from '../../core/clock.ts';
import type { ResumePoint } from '../../core/event.ts';
import { documentKeyOf, parseLine, textOf } from '../../core/line.ts';
import type { RangeReading } from '../../core/snapshot.ts';
import { silentLog } from '../../ops/log.ts';
import { newStats } from '../../ops/stats.ts';
import type { MaskOptions } from './mask/masker.ts';
import { MongoSource } from './mongo-source.ts';
import { MongoSnapshots } from './snapshot.ts';

const never = new AbortController().signal;
const WHOLE: RangeReading = { from: null, to: null, after: null };
let cluster: ShardedCluster;
let client: MongoClient;

beforeAll(async () => {
  cluster = await ShardedCluster.start();
  client = await cluster.connect();
});
afterAll(async () => await cluster.stop());

function sourceOf(mask?: MaskOptions): MongoSource {
  const options = { include: ['shop.*'], exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off' } as const;
  const limits = { uri: cluster.uri, json: 'canonical', maxLineBytes: 1 << 20, exhaust: true, unavailableAfterMs: 60_000 } as const;
  return new MongoSource({ ...options, ...limits, ...(mask === undefined ? {} : { mask }) }, systemClock, newStats(), silentLog);
}

function snapshotsOf(mask: MaskOptions | null = null): MongoSnapshots {
  const options = { uri: cluster.uri, include: ['shop.*'], exclude: [], json: 'canonical', exhaust: true } as const;
  return new MongoSnapshots({ ...options, maxLineBytes: 1 << 20, mask, bytesPerSecondMax: null }, systemClock, newStats(), silentLog);
}

/** Their own copies. */
function linesOf(lines: Uint8Array): Buffer[] {
  return Buffer.from(lines)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Buffer.from(`${line}\n`));
}

/** So many events after a point. */
async function eventsOf(source: MongoSource, after: ResumePoint, count: number): Promise<Buffer[]> {
  const lines: Buffer[] = [];
  for await (const { events, release } of source.changes(after, never)) {
    lines.push(...linesOf(events.lines.subarray(0, events.ends[events.count - 1] ?? 0)));
    release?.();
    if (lines.length >= count) break;
  }
  return lines;
}

async function rowsOf(from: MongoSnapshots, coll: string, at: ResumePoint): Promise<Buffer[]> {
  const rows: Buffer[] = [];
  for await (const { lines, release } of from.documents({ db: 'shop', coll }, WHOLE, at, never)) {
    rows.push(...linesOf(lines));
    release();
  }
  return rows;
}

/** What one shard holds itself. */
async function countOn(shard: number, coll: string): Promise<number> {
  return await (await cluster.shard(shard)).db('shop').collection(coll).countDocuments();
}

/** Texts of the keys by the texts of their documents. */
const keysByDocument = (lines: readonly Buffer[]): Map<string | null, string | null> =>
  new Map(lines.map((line) => [textOf(line, 'fullDocument'), documentKeyOf(line)]));

/** Documents with every form that a field of a shard key can have. */
const DOCUMENTS: readonly Document[] = [
  { _id: new Int32(1), region: 'eu', a: { b: new Int32(5) } },
  { _id: new Int32(2), region: 'us' },
  { _id: new Int32(3) },
  { _id: new Int32(4), region: null, a: { b: { x: new Int32(1) } } },
  { _id: new Int32(5), x: {}, a: { b: new Double(2) }, region: 'x' },
  { _id: new Int32(6), 'a.b': Long.fromNumber(7), a: { b: new Int32(8) }, region: 'eu' },
  { _id: new Int32(7), a: {}, region: new Int32(12) },
  { _id: { nested: new ObjectId('0123456789abcdef01234567') }, region: Decimal128.fromString('1.50'), a: { c: new Int32(1) } },
  { _id: 'text "quoted"', region: 'é\n', a: { b: new Date(5) } },
];

/** Collections by the fields that divide them. */
const SHARD_KEYS: Readonly<Record<string, Document>> = {
  'plain and nested': { region: 1, 'a.b': 1 },
  '_id in the middle': { region: 1, _id: 1, 'a.b': 1 },
  '_id alone': { _id: 1 },
  'hash of _id': { _id: 'hashed' },
  'hash of a nested field': { 'a.b': 'hashed' },
  'inside _id': { '_id.nested': 1, region: 1 },
  'names that are numbers': { region: 1, 2: 1, 1: 1 },
};

describe('a sharded collection read whole', () => {
  it('has the keys that its events have, whatever the shard key', async () => {
    const colls = Object.keys(SHARD_KEYS);
    for (const coll of colls) await cluster.shardCollection(`shop.${coll}`, SHARD_KEYS[coll]!, coll.startsWith('hash') ? 4 : 0);
    await cluster.moveFrom('shop.plain and nested', { region: 'f', 'a.b': new MinKey() }, 1);
    await using source = sourceOf();
    await source.open(never);
    const before = await source.resolve({ kind: 'now' }, never);
    for (const coll of colls) await client.db('shop').collection(coll).insertMany(DOCUMENTS);
    const events = await eventsOf(source, before, DOCUMENTS.length * colls.length);
    await using snapshots = snapshotsOf();
    const now = await source.resolve({ kind: 'now' }, never);
    for (const coll of colls) {
      const rows = await rowsOf(snapshots, coll, now);
      const own = events.filter((line) => parseLine(line).ns.coll === coll);
      expect([coll, keysByDocument(rows)]).toEqual([coll, keysByDocument(own)]);
      expect(keysByDocument(rows).size).toBe(DOCUMENTS.length);
    }
    expect(await countOn(0, 'plain and nested')).toBeGreaterThan(0);
    expect(await countOn(1, 'plain and nested')).toBeGreaterThan(0);
  });

  it('has the masked keys that its masked events have', async () => {
    await cluster.shardCollection('shop.masked', { region: 1, 'a.b': 1 });
    const mask: MaskOptions = {
      rules: { 'shop.masked.region': 'hash', 'shop.masked.a': { rename: 'z' }, 'shop.masked._id': 'hash' },
      key: 'k'.repeat(32),
    };
    await using source = sourceOf(mask);
    await source.open(never);
    const before = await source.resolve({ kind: 'now' }, never);
    const documents = DOCUMENTS.filter((document) => !('a.b' in document));
    await client.db('shop').collection('masked').insertMany(documents);
    const events = await eventsOf(source, before, documents.length);
    await using snapshots = snapshotsOf(mask);
    const rows = await rowsOf(snapshots, 'masked', await source.resolve({ kind: 'now' }, never));
    expect(keysByDocument(rows)).toEqual(keysByDocument(events));
    expect(rows.map(String).join('')).not.toMatch(/"eu"|"us"/);
    expect(rows.map((row) => documentKeyOf(row)).join('')).toContain('"z.b":');
  });
});

describe('a sharded collection with a mask', () => {
  it('has a position for each event, also where both shards have one at one cluster time', async () => {
    await cluster.shardCollection('shop.busy', { region: 1 });
    await cluster.moveFrom('shop.busy', { region: 'm' }, 1);
    const mask: MaskOptions = { rules: { 'shop.busy.name': 'hash' }, key: 'k'.repeat(32) };
    await using source = sourceOf(mask);
    await source.open(never);
    const before = await source.resolve({ kind: 'now' }, never);
    const busy = client.db('shop').collection<Document>('busy');
    let count = 0;
    let alike = 0;
    let after = before;
    const positions: string[] = [];
    // Until it has happened: whether two shards are at one time is up to them.
    while (alike === 0) {
      const write = async (region: string): Promise<unknown> =>
        await busy.insertMany(Array.from({ length: 100 }, (_, n) => ({ region, name: `${region} ${n}` })));
      await Promise.all([write('eu'), write('us'), write('eu'), write('us')]);
      count += 400;
      // Left at every batch, and gone on with: the numbers of what looks alike go on, too.
      while (positions.length < count) {
        for await (const { events, resume, release } of source.changes(after, never)) {
          positions.push(...linesOf(events.lines.subarray(0, events.ends[events.count - 1] ?? 0)).map((line) => String(parseLine(line).position)));
          after = resume;
          release?.();
          if (events.count > 0) break;
        }
      }
      alike = positions.filter((position) => /5A1004[0-9A-F]{32}04[0-9A-F]{4}$/.test(position)).length;
    }
    expect(positions).toHaveLength(count);
    expect(positions).toEqual([...new Set(positions)].toSorted());
    const again = (await eventsOf(source, before, count)).map((line) => String(parseLine(line).position));
    expect(again).toEqual(positions);
  });
});
