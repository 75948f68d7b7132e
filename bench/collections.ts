/**
 * Many collections at once: capture of a backlog that is spread over 1, 50 and 500 of them, each with a part of its own open.
 */
import { bestOf, insertDocuments, run, startServer, tokenOf } from './backlog.ts';
import { STREAM } from './pipeline.ts';
import { report, type Row } from './report.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 200_000);
const KINDS = ['ceiling', 'sluice'] as const;

async function measure(collections: number): Promise<Row[]> {
  await using set = await startServer();
  const client = await set.connect();
  const names = Array.from({ length: collections }, (_, n) => (collections === 1 ? 'events' : `events_${n}`));
  for (const name of names) await client.db('bench').createCollection(name);
  const token = await tokenOf(client);
  await insertDocuments(client, EVENTS, 1_200, collections);
  const best = await bestOf(KINDS, 2, (kind) => run(set, { kind, token, events: EVENTS, stream: STREAM, json: 'relaxed', compression: 'none' }));
  return KINDS.map((kind) => ({
    collections,
    reader: kind,
    'events/s': (EVENTS / best[kind].ms) * 1000,
    'of the ceiling': best.ceiling.ms / best[kind].ms,
    'µs CPU': (best[kind].cpuMs * 1000) / EVENTS,
    'RSS MB': best[kind].rssMaxBytes / 1e6,
    'loop p99 ms': best[kind].loopDelayP99Ms,
  }));
}

const rows: Row[] = [];
for (const collections of [1, 50, 500]) rows.push(...(await measure(collections)));
report('collections', rows);
