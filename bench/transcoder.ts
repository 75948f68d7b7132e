/**
 * How many change events a second of one core turns from BSON into lines, against what the driver's way costs.
 *
 * `npm run bench -- transcoder [seconds per figure]`
 *
 * Both sides get the same raw cursor replies, of events such as an order produces, 1.2 KB each, and run in turns in
 * this process, so that the ratio does not depend on the machine. The other way is `bson`'s `deserialize` and one
 * `JSON.stringify` per event, without the cost of turning the text into bytes.
 */
import { Decimal128, Long, ObjectId, Timestamp, UUID, deserialize, serialize, type Document } from 'bson';
import type { MaskRule } from '../src/core/mask.ts';
import { Masker } from '../src/source/mongo/mask/masker.ts';
import { LineEncoder } from '../src/source/mongo/encode/line.ts';
import { encodeReply } from '../src/source/mongo/encode/reply.ts';
import { report } from './report.ts';

const EVENTS_PER_REPLY = 1000;
const ROUNDS = 10;
const secondsPerFigure = Number(process.argv[2] ?? 2);
const START_SECONDS = 1_795_247_101;

const hex = (n: number): string => n.toString(16).padStart(8, '0').toUpperCase();

function token(second: number, ordinal: number, id: ObjectId): Document {
  const key = `463C5F6964003C64${id.toHexString().toUpperCase()}000004`;
  return { _data: `82${hex(second)}${hex(ordinal)}2B042C0100296E5A1004D5A1B2C3D4E5F60718293A4B5C6D7E8F${key}` };
}

/** An order: text, numbers of all kinds, dates, nested documents, an array of documents. */
function order(i: number, id: ObjectId): Document {
  const item = (n: number): Document => ({
    sku: `SKU-${10_000 + ((i * 7 + n * 13) % 9000)}`,
    title: ['Espresso cups, set of 6', 'Stainless "pour over" kettle', 'Filter paper no. 4', 'Grinder'][n % 4],
    quantity: 1 + ((i + n) % 5),
    price: Math.round(((i * 37 + n * 911) % 20_000) + 99) / 100,
    taxRate: 0.19,
  });
  return {
    _id: id,
    orderNumber: 4_000_000 + i,
    customerId: Long.fromNumber(9_007_199_254 + i),
    customer: { name: `Jürgen Müller ${i}`, email: `customer${i}@example.com`, vip: i % 10 === 0, phone: null },
    status: ['new', 'paid', 'packed', 'shipped'][i % 4],
    createdAt: new Date(1_795_240_000_000 + i * 1017),
    updatedAt: new Date(1_795_247_000_000 + i * 977),
    shipping: { street: `${i % 200} Long Street`, city: 'Zürich', postcode: '8001', country: 'CH', location: [8.541_694 + i * 1e-6, 47.376_887] },
    items: [item(0), item(1), item(2)],
    total: Decimal128.fromString(`${(i * 31) % 900}.${10 + (i % 90)}`),
    weightKg: ((i * 13) % 10_000) / 1000,
    score: Math.sin(i),
    tags: ['online', 'priority', `batch-${i % 32}`],
    note: 'Please leave the parcel with the neighbour on the second floor if nobody opens the door.\nThank you very much!',
    trace: { requestId: new UUID(), node: 'web-3', attempts: 1 },
  };
}

function event(i: number): Document {
  const id = new ObjectId();
  const second = START_SECONDS + Math.floor(i / 500);
  return {
    _id: token(second, 1 + (i % 500), id),
    operationType: 'insert',
    clusterTime: new Timestamp({ t: second, i: 1 + (i % 500) }),
    wallTime: new Date(second * 1000 + 123),
    fullDocument: order(i, id),
    ns: { db: 'shop', coll: 'orders' },
    documentKey: { _id: id },
  };
}

function reply(): Buffer {
  const nextBatch = Array.from({ length: EVENTS_PER_REPLY }, (_, i) => event(i));
  return Buffer.from(serialize({ nextBatch, postBatchResumeToken: nextBatch.at(-1)!['_id'], id: Long.fromNumber(77), ns: 'admin.$cmd.aggregate' }));
}

interface Figure {
  readonly documentsPerSecond: number;
  readonly bytesOut: number;
}

/** CPU time of this thread: what others do on the machine does not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Runs `once` for about `seconds` of CPU time. */
function measure(seconds: number, once: () => number): Figure {
  let rounds = 0;
  let bytesOut = 0;
  const start = cpuMs();
  let elapsed = 0;
  while (elapsed < seconds * 1000) {
    bytesOut = once();
    rounds++;
    elapsed = cpuMs() - start;
  }
  return { documentsPerSecond: (rounds * EVENTS_PER_REPLY * 1000) / elapsed, bytesOut };
}

const cursor = reply();

function encodeWith(json: 'relaxed' | 'canonical', rules: Readonly<Record<string, MaskRule>> | null = null): () => number {
  const mask = rules === null ? null : new Masker({ rules, key: 'a key of the mask, to measure with' });
  const encoder = new LineEncoder({ json, maxLineBytes: 100 * 1024 * 1024, database: null, collection: null, mask });
  return () => {
    const { events } = encodeReply(cursor, encoder);
    return events.ends[events.count - 1]!;
  };
}

function stringifyAll(): number {
  let length = 0;
  for (const change of deserialize(cursor)['nextBatch'] as Document[]) length += JSON.stringify(change).length + 1;
  return length;
}

const ways: [name: string, once: () => number][] = [
  ['sluice, relaxed', encodeWith('relaxed')],
  ['sluice, canonical', encodeWith('canonical')],
  ['relaxed, mask of another collection', encodeWith('relaxed', { 'others.email': 'hash' })],
  ['relaxed, one field dropped', encodeWith('relaxed', { 'orders.status': 'drop' })],
  ['relaxed, one field hashed', encodeWith('relaxed', { 'orders.status': 'hash' })],
  ['deserialize + JSON.stringify', stringifyAll],
];

const best = new Map<string, Figure>();
for (const [, once] of ways) measure(0.5, once);
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, once] of ways) {
    const figure = measure(secondsPerFigure / ROUNDS, once);
    const before = best.get(name);
    if (before === undefined || figure.documentsPerSecond > before.documentsPerSecond) best.set(name, figure);
  }
}

const baseline = best.get('deserialize + JSON.stringify')!.documentsPerSecond;
report(
  'transcoder',
  [...best].map(([way, { documentsPerSecond, bytesOut }]) => ({
    way,
    'documents/s': documentsPerSecond,
    'MB/s of BSON': (documentsPerSecond * (cursor.length / EVENTS_PER_REPLY)) / 1e6,
    'bytes of BSON': cursor.length / EVENTS_PER_REPLY,
    'bytes a line': bytesOut / EVENTS_PER_REPLY,
    'times plain': documentsPerSecond / baseline,
  })),
);
