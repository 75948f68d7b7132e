/**
 * One way to read a change stream, in a process of its own, so that its processor time and its memory are its own. The
 * benchmark that started it gets one message with the result.
 *
 * - `ceiling`: takes what the server gives and does nothing with it.
 * - `sluice`: the capture into a local lake, everything durable; `sluice, driver` with one question for each batch.
 * - `plain`: what a careful person writes in an afternoon: `watch()`, `JSON.stringify`, a file stream; nothing is synced.
 * - `plain, durable`: the same with the `change` event that the driver's manual shows, synced every 4 MiB.
 */
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { deserialize } from 'bson';
import { MongoClient, type ResumeToken } from 'mongodb';
import { openLocalLake } from '../src/lake/local/local.ts';
import { newStats } from '../src/ops/stats.ts';
import { ExhaustCursor } from '../src/source/mongo/exhaust-cursor.ts';
import { changeStreamOf } from '../src/source/mongo/raw-cursor.ts';
import { planStream, type StreamOptions } from '../src/source/mongo/stream-plan.ts';
import { captureOf, sourceOf } from './pipeline.ts';

export interface Subject {
  readonly kind: 'ceiling' | 'sluice' | 'sluice, driver' | 'plain' | 'plain, durable';
  readonly uri: string;
  readonly folder: string;
  /** Where to begin: BSON, base64. */
  readonly token: string;
  readonly events: number;
  readonly stream: StreamOptions;
  readonly json: 'relaxed' | 'canonical';
  readonly compression: 'none' | 'gzip' | 'zstd';
}

export interface Measured {
  readonly events: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly rssMaxBytes: number;
  readonly loopDelayP99Ms: number;
}

/** The delay is looked at this often, and what is measured contains it. */
const LOOP_MS = 5;
const FLUSH_BYTES = 4 << 20;
const never = new AbortController().signal;

async function ceiling({ uri, token, events, stream }: Subject): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  const startAfter = deserialize(Buffer.from(token, 'base64'), { promoteValues: false });
  const plan = planStream(stream);
  const pipeline = [{ $changeStream: { ...plan.changeStream, startAfter } }, ...plan.stages];
  const cursor = await ExhaustCursor.open(client, plan, changeStreamOf(plan, pipeline), 60_000, never);
  let reply: Uint8Array | null = cursor.reply;
  for (let seen = 0; seen < events;) {
    if (reply === null) throw new Error('the stream has ended');
    seen += countEvents(Buffer.from(reply.buffer, reply.byteOffset, reply.byteLength));
    reply = await cursor.more(reply, never);
  }
  await cursor.close();
}

/** Documents in the batch of a reply, which comes first in it. */
function countEvents(cursor: Buffer): number {
  const at = cursor.indexOf('Batch\0', 0, 'latin1') + 'Batch\0'.length;
  const end = at + cursor.readInt32LE(at) - 1;
  let count = 0;
  for (let p = at + 4; p < end; count += 1) {
    const document = cursor.indexOf(0, p + 1) + 1;
    p = document + cursor.readInt32LE(document);
  }
  return count;
}

async function sluice({ kind, uri, token, events, stream, json, compression, folder }: Subject): Promise<void> {
  const stats = newStats();
  await using source = sourceOf(uri, stats, { ...stream, json, exhaust: kind === 'sluice' });
  await using lake = await openLocalLake(join(folder, 'lake'));
  const stop = new AbortController();
  const capture = captureOf(source, lake, stats, { kind: 'token', token: Buffer.from(token, 'base64') }, { compression });
  const watching = setInterval(() => {
    if (stats.events >= events) stop.abort();
  }, 5);
  await capture.run(stop.signal);
  clearInterval(watching);
}

async function plain({ uri, token, events, stream, folder }: Subject): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  const path = join(folder, 'plain.jsonl');
  const out = createWriteStream(path);
  const resumeAfter = deserialize(Buffer.from(token, 'base64')) as ResumeToken;
  const { fullDocument } = stream;
  const changes = client.db('bench').watch([], { resumeAfter, ...(fullDocument === 'off' ? {} : { fullDocument }) });
  let seen = 0;
  for await (const event of changes) {
    if (!out.write(`${JSON.stringify(event)}\n`)) await once(out, 'drain');
    seen += 1;
    if (seen === events) break;
  }
  await changes.close();
  out.end();
  await once(out, 'finish');
  const file = await open(path, 'r+');
  await file.datasync();
  await file.close();
}

async function plainDurable({ uri, token, events, stream, folder }: Subject): Promise<void> {
  await using client = await new MongoClient(uri).connect();
  await using file = await open(join(folder, 'plain.jsonl'), 'w');
  const resumeAfter = deserialize(Buffer.from(token, 'base64')) as ResumeToken;
  const { fullDocument } = stream;
  const changes = client.db('bench').watch([], { resumeAfter, ...(fullDocument === 'off' ? {} : { fullDocument }) });
  let seen = 0;
  let lines: string[] = [];
  let bytes = 0;
  let written = Promise.resolve();
  const all = Promise.withResolvers<void>();
  const write = (): void => {
    const text = lines.join('');
    [lines, bytes] = [[], 0];
    written = written.then(async () => {
      await file.write(text);
      await file.datasync();
    });
  };
  changes.on('change', (event) => {
    const line = `${JSON.stringify(event)}\n`;
    lines.push(line);
    bytes += line.length;
    seen += 1;
    if (bytes >= FLUSH_BYTES) write();
    if (seen === events) all.resolve();
  });
  await all.promise;
  await changes.close();
  write();
  await written;
}

const SUBJECTS = { ceiling, sluice, 'sluice, driver': sluice, plain, 'plain, durable': plainDurable };
const subject = JSON.parse(process.argv[2]!) as Subject;
const loop = monitorEventLoopDelay({ resolution: LOOP_MS });
loop.enable();
const cpu = process.cpuUsage();
const from = performance.now();
await SUBJECTS[subject.kind](subject);
const ms = performance.now() - from;
const { user, system } = process.cpuUsage(cpu);
loop.disable();
const measured: Measured = {
  events: subject.events,
  ms,
  cpuMs: (user + system) / 1000,
  rssMaxBytes: process.resourceUsage().maxRSS * 1024,
  loopDelayP99Ms: loop.percentile(99) / 1e6 - LOOP_MS,
};
process.send!(measured, () => process.exit());
