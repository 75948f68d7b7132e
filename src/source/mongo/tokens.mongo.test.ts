/**
 * Where real servers go on for the tokens that they are given, good and bad: after exactly that event, or not at all.
 */
import { Decimal128, Double, Int32, Long, serialize, type Document, type Timestamp } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMongo } from '../../../test/mongo.ts';
import { clusterTime, positionOf, readStream } from '../../../test/e2e/change-stream.ts';
import { inTransaction, mark } from '../../../test/e2e/pipeline-run.ts';
import { until } from '../../../test/e2e/until.ts';
import type { ReplicaSet } from '../../app/demo/replica-set.ts';
import { systemClock } from '../../core/clock.ts';
import { positionAt, type ResumePoint } from '../../core/event.ts';
import type { StartAt } from '../../core/source.ts';
import { silentLog } from '../../ops/log.ts';
import { newStats } from '../../ops/stats.ts';
import { resumePointOf } from './encode/token.ts';
import { MongoSource } from './mongo-source.ts';

const never = new AbortController().signal;

let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

function sourceOf(db: string, uri = set.uri): MongoSource {
  const options = { include: [`${db}.*`], exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off', uri } as const;
  return new MongoSource(
    { ...options, json: 'canonical', maxLineBytes: 1e8, exhaust: true, unavailableAfterMs: 1e6 },
    systemClock,
    newStats(),
    silentLog,
  );
}

/** Positions of the next `count` events after `after`. */
async function read(source: MongoSource, after: ResumePoint, count: number): Promise<string[]> {
  const enough = new AbortController();
  const positions: string[] = [];
  for await (const { events } of source.changes(after, enough.signal)) {
    for (let i = 0; i < events.count; i += 1) positions.push(positionAt(events.lines, i === 0 ? 0 : events.ends[i - 1]!));
    if (positions.length >= count) break;
  }
  return positions;
}

const tokenOf = (event: Document): Uint8Array => serialize(event['_id'] as Document);

describe('after every single event', () => {
  const compareEqual = [
    new Int32(1),
    Long.fromNumber(1),
    new Double(1),
    Decimal128.fromString('1'),
    Decimal128.fromString('1.0'),
    Decimal128.fromString('1.00'),
  ];
  const zeros = [new Double(0), new Double(-0), Decimal128.fromString('0'), Decimal128.fromString('-0.0'), Decimal128.fromString('0E+3'), Long.ZERO];

  it.each([
    ['keys of other types that compare equal', 'equal', compareEqual, {}],
    ['keys that are zero, with a sign or without', 'zero', zeros, {}],
    ['keys that hold such numbers deep inside', 'deep', compareEqual.map((n) => ({ a: [n, { b: n }], c: 'x' })), {}],
    ['keys that a collation takes for one', 'collation', ['straße', 'STRASSE', 'Straße', 'strasse'], { collation: { locale: 'de', strength: 1 } }],
    ['keys with a zero byte or empty', 'odd', ['', '\u0000', 'a\u0000b', {}, new Double(Number.NaN), new Date(-1)], {}],
  ])('the stream goes on at exactly the next one: %s', async (_, name, keys, options) => {
    const db = `resume_${name}`;
    const from = await clusterTime(client);
    const a = await client.db(db).createCollection<{ _id: unknown }>('a', options);
    for (const _id of keys) {
      await a.insertOne({ _id });
      await a.deleteOne({ _id } as object);
    }
    // At one cluster time there are only their numbers, and what the token keeps of the types, to tell them by.
    await inTransaction(client, async (session) => {
      for (const _id of keys) {
        await a.insertOne({ _id }, { session });
        await a.deleteOne({ _id } as object, { session });
      }
    });
    const told = await readStream(client, { db, from, to: await mark(client, db, 'mark') });
    const positions = told.map(positionOf);
    expect(told.length).toBeGreaterThan(4 * keys.length);
    await using source = sourceOf(db);
    await source.open(never);
    for (const [index, event] of told.entries()) {
      const rest = positions.slice(index + 1);
      if (rest.length > 0) expect(await read(source, resumePointOf(tokenOf(event)), rest.length)).toEqual(rest);
    }
  });
});

describe('a token that this server did not give', () => {
  let good: string;
  beforeAll(async () => {
    const from = await clusterTime(client);
    await client.db('bad').collection<{ _id: number }>('a').insertOne({ _id: 1.5 });
    const told = await readStream(client, { db: 'bad', from, to: await mark(client, 'bad', 'a') });
    good = positionOf(told.find((event) => event['operationType'].toString() === 'insert')!);
  });

  async function refusals(tokens: readonly Document[]): Promise<unknown[]> {
    await using source = sourceOf('bad');
    await source.open(never);
    const codes: unknown[] = [];
    for (const token of tokens) {
      const start: StartAt = { kind: 'token', token: serialize(token) };
      codes.push(
        await source.resolve(start, never).then(
          () => 'taken',
          (error: { code: unknown }) => error.code,
        ),
      );
    }
    return codes;
  }

  it('is refused with its code wherever it was cut', async () => {
    // What ends after the whole of it but for the last bytes is a token without its key: the event is not found.
    const cuts = Array.from({ length: good.length - 2 }, (_, length) => ({ _data: good.slice(0, length) }));
    expect(new Set(await refusals(cuts))).toEqual(new Set(['SLC-1280']));
  });

  it('is refused with its code when it is anything but a token', async () => {
    const at = (index: number, text: string): Document => ({ _data: good.slice(0, index) + text + good.slice(index + text.length) });
    const tokens: Document[] = [
      {},
      { _data: '' },
      { _data: 5 },
      { _data: Buffer.from(good, 'hex') },
      { _data: 'not hexadecimal' },
      { _data: '00'.repeat(30) },
      { _data: good, _typeBits: 'x' },
      { _data: good, _typeBits: Buffer.from([1, 2, 3]) },
      { _data: `${good.slice(0, 18)}2B02${'46'.repeat(1000)}` },
      // Of a token version that there is not yet, of a kind that there is not, and of another event.
      at(18, '2B10'),
      at(22, '2C10'),
      at(40, good[40] === '0' ? '1' : '0'),
    ];
    expect(await refusals(tokens)).toEqual(tokens.map(() => 'SLC-1280'));
  });

  it('but another deployment did is refused when it names an event', async () => {
    await using other = await startMongo();
    const there = await other.connect();
    const from = await clusterTime(there);
    await there.db('bad').collection('a').insertOne({});
    const [event] = await readStream(there, { db: 'bad', from, to: await mark(there, 'bad', 'a') });
    await using source = sourceOf('bad');
    await source.open(never);
    // Without an event after its time the server cannot know yet, and takes it; with the first one it does.
    await until('this one is past that time', async () => {
      await client.db('bad').collection('a').insertOne({});
      return (await clusterTime(client)).greaterThan(event!['clusterTime'] as Timestamp);
    });
    await client.db('bad').collection('a').insertOne({});
    await expect(read(source, resumePointOf(tokenOf(event!)), 1)).rejects.toMatchObject({ code: 'SLC-1280' });
  });

  it('is refused when its time has not come here: the server would wait, and leave out what happens meanwhile', async () => {
    const { t } = await clusterTime(client);
    const later = (t + 3600).toString(16).toUpperCase().padStart(8, '0');
    expect(await refusals([{ _data: `82${later}000000012B0229296E04` }])).toEqual(['SLC-1287']);
    await using source = sourceOf('bad');
    await source.open(never);
    await expect(source.resolve({ kind: 'time', at: { t: t + 3600, i: 0 } }, never)).rejects.toMatchObject({ code: 'SLC-1287' });
    // A checkpoint of a deployment that is ahead.
    const ahead = resumePointOf(serialize({ _data: `82${later}000000012B0229296E04` }));
    await expect(read(source, ahead, 1)).rejects.toMatchObject({ code: 'SLC-1287' });
  });
});
