/**
 * How far capture lags behind live writes: from the moment at which a client sends a document to the moment at which its
 * line is durable on the local disk, at several rates. MongoDB, the writer and sluice share the machine.
 *
 * `npm run bench -- lag [rate …]`
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/core/clock.ts';
import type { Lake } from '../src/core/lake.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { newStats } from '../src/ops/stats.ts';
import { startServer } from './backlog.ts';
import { captureOf, sourceOf } from './pipeline.ts';
import { percentile, report, type Row } from './report.ts';

const RATES = process.argv.slice(2).length > 0 ? process.argv.slice(2).map(Number) : [100, 1_000, 10_000, 20_000];
const WARM_MS = 3_000;
const MEASURED_MS = Number(process.env['BENCH_MS'] ?? 10_000);
const MARK = Buffer.from('"sentAt":');

/** A lake that tells when lines became durable. */
function watched(lake: Lake, onDurable: (chunk: Uint8Array, nowMs: number) => void): Lake {
  const open: Lake['open'] = async (path, how, signal) => {
    const appender = await lake.open(path, how, signal);
    const append = appender.append.bind(appender);
    appender.append = async (chunks, stop) => {
      await append(chunks, stop);
      const now = performance.timeOrigin + performance.now();
      if (!path.startsWith('_')) for (const chunk of chunks) onDurable(chunk, now);
    };
    return appender;
  };
  return new Proxy(lake, {
    get: (target, name) => {
      if (name === 'open') return open;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function measure(rate: number): Promise<Row> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  await using set = await startServer();
  try {
    const client = await set.connect();
    await client.db('bench').createCollection('events');
    const lags: number[] = [];
    let from = Infinity;
    const note = (chunk: Uint8Array, nowMs: number): void => {
      if (nowMs < from) return;
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      // All documents of one insert have one time: a look at some of them is enough, and costs nothing.
      for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 10_000)) {
        lags.push(nowMs - Number.parseFloat(bytes.toString('latin1', at + MARK.length, at + MARK.length + 20)));
      }
    };
    const stats = newStats();
    await using source = sourceOf(set.uri, stats);
    await using lake = watched(await openLocalLake(join(folder, 'lake')), note);
    const stop = new AbortController();
    const running = captureOf(source, lake, stats, { kind: 'now' }).run(stop.signal);
    while (stats.state !== 'running') await systemClock.sleep(10);
    const writer = fork(fileURLToPath(new URL('writer.ts', import.meta.url)), [set.uri, String(rate)]);
    await systemClock.sleep(WARM_MS);
    const before = { events: stats.events, cpu: process.cpuUsage() };
    from = performance.timeOrigin + performance.now();
    await systemClock.sleep(MEASURED_MS);
    const events = stats.events - before.events;
    const { user, system } = process.cpuUsage(before.cpu);
    writer.send('end');
    const [acknowledged] = (await once(writer, 'message')) as [number];
    const behind = acknowledged - stats.events;
    stop.abort();
    await running;
    lags.sort((a, b) => a - b);
    return {
      'inserts/s': rate,
      'captured/s': (events / MEASURED_MS) * 1000,
      'p50 ms': percentile(lags, 0.5),
      'p99 ms': percentile(lags, 0.99),
      'max ms': lags.at(-1) ?? Number.NaN,
      'behind at the end': Math.max(0, behind),
      'sluice, % of a core': (user + system) / 10 / MEASURED_MS,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const rows: Row[] = [];
for (const rate of RATES) rows.push(await measure(rate));
report('lag', rows);
