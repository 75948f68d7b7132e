/**
 * Capture to disk, durable, from a real mongod: sluice against the plain way (the driver's `watch`, `JSON.stringify`, a
 * file stream) over the same backlog in the same run. Prints events/s, the ratio, and µs of CPU per event.
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { MongoClient, type ResumeToken } from 'mongodb';
import { pino } from 'pino';
import { findMongod } from '../src/app/demo/mongod.ts';
import { startReplicaSet } from '../src/app/demo/replica-set.ts';
import { systemClock } from '../src/core/clock.ts';
import { LAYOUT_PRESETS } from '../src/core/layout.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { newStats } from '../src/ops/stats.ts';
import { Capture } from '../src/pipeline/capture.ts';
import { MongoSource } from '../src/source/mongo/mongo-source.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 200_000);
const log = pino({ level: 'silent' });
const { signal } = new AbortController();
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));

async function fill(client: MongoClient): Promise<void> {
  const collection = client.db('bench').collection('events');
  for (let n = 0; n < EVENTS; n += 20_000) {
    const documents = Array.from({ length: Math.min(20_000, EVENTS - n) }, (_, i) => ({
      n: n + i,
      name: `customer ${n + i}`,
      at: new Date(),
      amount: Math.random() * 1000,
      tags: ['new', 'web', 'promo'],
      address: { street: 'Example Street 12', city: 'Berlin', zip: '10115', country: 'DE' },
      note: 'x'.repeat(600),
    }));
    await collection.insertMany(documents);
  }
}

async function measured(work: () => Promise<number>): Promise<{ events: number; perSecond: number; cpuPerEvent: number }> {
  const cpu = process.cpuUsage();
  const from = performance.now();
  const events = await work();
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpu);
  return { events, perSecond: (events / ms) * 1000, cpuPerEvent: (user + system) / events };
}

async function sluice(uri: string, token: Uint8Array): Promise<number> {
  const stats = newStats();
  const options = { include: ['bench.*'], exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off' } as const;
  await using source = new MongoSource(
    { uri, ...options, json: 'relaxed', maxLineBytes: 1e8, exhaust: process.env['BENCH_EXHAUST'] !== '0', unavailableAfterMs: 60_000 },
    systemClock,
    stats,
    log,
  );
  await using lake = await openLocalLake(join(folder, 'lake'));
  const stop = new AbortController();
  const capture = new Capture(
    {
      pipeline: 'bench',
      startAt: { kind: 'token', token },
      collections: ['bench.*'],
      layout: LAYOUT_PRESETS.hive,
      compression: 'none',
      rollBytesMax: 256 << 20,
      rollAgeMs: 3_600_000,
      partsOpenMax: 2_000,
      flushBytesMax: 4 << 20,
      flushAgeMs: 0,
      readAheadBytesMax: 4 << 20,
      checkpointIntervalMs: 1_000,
      untilIdleMs: null,
      wait: false,
      takeOver: false,
      acceptGap: false,
    },
    { source, lake, clock: systemClock, stats, log },
  );
  const watching = setInterval(() => {
    if (stats.events >= EVENTS) stop.abort();
  }, 5);
  await capture.run(stop.signal);
  clearInterval(watching);
  return stats.events;
}

async function plain(client: MongoClient, resumeAfter: ResumeToken): Promise<number> {
  const path = join(folder, 'plain.jsonl');
  const out = createWriteStream(path);
  const stream = client.db('bench').watch([], { resumeAfter });
  let events = 0;
  for await (const event of stream) {
    if (!out.write(`${JSON.stringify(event)}\n`)) await once(out, 'drain');
    events += 1;
    if (events === EVENTS) break;
  }
  await stream.close();
  out.end();
  await once(out, 'finish');
  const file = await open(path, 'r+');
  await file.datasync();
  await file.close();
  return events;
}

try {
  const mongod = await findMongod({ onProgress: (text) => console.log(text), signal, log });
  await using set = await startReplicaSet({ mongod, signal });
  await using client = new MongoClient(set.uri);
  await client.connect();
  await client.db('bench').createCollection('events');
  const stream = client.db('bench').watch();
  await stream.tryNext();
  const token = stream.resumeToken;
  await stream.close();
  await fill(client);
  const { serialize } = await import('bson');
  const first = await measured(() => plain(client, token));
  const second = await measured(() => sluice(set.uri, serialize(token as Record<string, unknown>)));
  for (const [name, { events, perSecond, cpuPerEvent }] of [
    ['watch + stringify', first],
    ['sluice', second],
  ] as const) {
    console.log(`${name.padEnd(18)} ${events} events  ${Math.round(perSecond).toLocaleString('en')}/s  ${cpuPerEvent.toFixed(1)} µs CPU/event`);
  }
  console.log(`ratio ${(second.perSecond / first.perSecond).toFixed(2)}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
