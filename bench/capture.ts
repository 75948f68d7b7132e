/**
 * Capture to disk, durable, from a real mongod: sluice against what the server can give to a reader that does nothing, and
 * against the plain way, over the same backlog in the same run.
 *
 * `npm run bench -- capture [case …]`; without a case all of them. `BENCH_EVENTS` scales the number of events of 1.2 KB.
 */
import type { MongoClient } from 'mongodb';
import type { StreamOptions } from '../src/source/mongo/stream-plan.ts';
import { bestOf, insertDocuments, run, startServer, tokenOf, type Run } from './backlog.ts';
import { STREAM } from './pipeline.ts';
import { report, type Row } from './report.ts';
import type { Subject } from './subject.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 200_000);
const TIMES = Number(process.env['BENCH_TIMES'] ?? 2);

interface Case {
  readonly name: string;
  readonly events: number;
  readonly fill: (client: MongoClient, events: number) => Promise<void>;
  readonly stream?: Partial<StreamOptions>;
  readonly json?: 'canonical';
  readonly compression?: 'gzip' | 'zstd';
  /** More than ceiling and sluice. */
  readonly beside?: readonly Subject['kind'][];
}

const inserts =
  (bytes: number) =>
  (client: MongoClient, events: number): Promise<void> =>
    insertDocuments(client, events, bytes);

/** Changes of documents that are there, `events` in number. */
async function updates(client: MongoClient, events: number): Promise<void> {
  const collection = client.db('bench').collection('events');
  for (let n = 0; n < events; n += 5_000) {
    const models = Array.from({ length: Math.min(5_000, events - n) }, (_, i) => ({
      updateOne: { filter: { n: (n + i) % 20_000 }, update: { $set: { amount: Math.random(), at: new Date() } } },
    }));
    await collection.bulkWrite(models);
  }
}

async function transactions(client: MongoClient, events: number): Promise<void> {
  for (let n = 0; n < events; n += 100) {
    await client.withSession((session) =>
      session.withTransaction(() =>
        client
          .db('bench')
          .collection('events')
          .insertMany(
            Array.from({ length: 100 }, (_, i) => ({ n: n + i, note: 'x'.repeat(1000) })),
            { session },
          ),
      ),
    );
  }
}

const CASES: readonly Case[] = [
  { name: '1.2 KB', events: EVENTS, fill: inserts(1_200), beside: ['plain', 'plain, durable', 'sluice, driver'] },
  { name: '250 B', events: EVENTS * 2, fill: inserts(250), beside: ['plain'] },
  { name: '20 KB', events: EVENTS / 10, fill: inserts(20_000), beside: ['plain'] },
  { name: '1 MB', events: EVENTS / 500, fill: inserts(1_000_000), beside: ['plain'] },
  { name: 'canonical', events: EVENTS, fill: inserts(1_200), json: 'canonical' },
  { name: 'gzip', events: EVENTS / 2, fill: inserts(1_200), compression: 'gzip' },
  { name: 'zstd', events: EVENTS / 2, fill: inserts(1_200), compression: 'zstd' },
  { name: 'transactions', events: EVENTS / 4, fill: transactions },
  { name: 'updates', events: EVENTS / 2, fill: updates },
  { name: 'updates, updateLookup', events: EVENTS / 4, fill: updates, stream: { fullDocument: 'updateLookup' }, beside: ['plain'] },
  { name: 'updates, post-images', events: EVENTS / 4, fill: updates, stream: { fullDocument: 'whenAvailable' } },
];

function rowOf(name: string, kind: string, it: Run, { ceiling, plain }: { readonly ceiling: Run; readonly plain?: Run }): Row {
  return {
    events: name,
    reader: kind,
    'events/s': (it.events / it.ms) * 1000,
    'of the ceiling': ceiling.ms / it.ms,
    'mongod busy': it.serverCpuMs / it.ms,
    ...(plain === undefined ? {} : { 'times plain': plain.ms / it.ms }),
    'µs CPU': (it.cpuMs * 1000) / it.events,
    'µs CPU mongod': (it.serverCpuMs * 1000) / it.events,
    'RSS MB': it.rssMaxBytes / 1e6,
    'loop p99 ms': it.loopDelayP99Ms,
  };
}

async function measure({ name, events, fill, stream, json, compression, beside = [] }: Case): Promise<Row[]> {
  await using set = await startServer();
  const client = await set.connect();
  await client.db('bench').createCollection('events', { changeStreamPreAndPostImages: { enabled: stream?.fullDocument === 'whenAvailable' } });
  await client.db('bench').collection('events').createIndex({ n: 1 });
  if (fill === updates) await insertDocuments(client, 20_000, 1_200);
  const token = await tokenOf(client);
  await fill(client, events);
  const of = { token, events, stream: { ...STREAM, ...stream }, json: json ?? 'relaxed', compression: compression ?? 'none' } as const;
  const kinds = ['ceiling', 'sluice', ...beside] as const;
  const best = await bestOf(kinds, TIMES, (kind) => run(set, { ...of, kind }));
  return kinds.map((kind) => rowOf(name, kind, best[kind], best));
}

const wanted = process.argv.slice(2);
for (const each of CASES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) report('capture', await measure(each));
