/**
 * A lake on Azure under pressure: a storage that is away for a minute while the source could go on at full speed, what a million
 * events cost, and a part that may not be appended to any more.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../src/core/clock.ts';
import type { Lake } from '../../src/core/lake.ts';
import { appendBlobs } from '../../src/lake/azure/append-blobs.ts';
import { AzureLake } from '../../src/lake/azure/lake.ts';
import { connect, openAzureLake, type AzureLakeOptions } from '../../src/lake/azure/open.ts';
import { newLakeTraffic } from '../../src/ops/lake-traffic.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats, writesPerMillion } from '../../src/ops/stats.ts';
import { Capture, type CaptureOptions } from '../../src/pipeline/capture.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { startDfsServer, type DfsServer } from '../fakes/dfs/server.ts';
import { HttpProxy } from '../fakes/http-proxy.ts';
import { ScriptedSource } from '../fakes/scripted-source.ts';
import { until } from '../e2e/until.ts';
import { OPTIONS } from './schedule-world.ts';

const T0 = 1_795_248_000; // a full hour
const MIB = 2 ** 20;
const LINE_BYTES = 1_200;
const never = new AbortController().signal;

let server: DfsServer;
beforeAll(async () => {
  server = await startDfsServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const options = (container: string, more: Partial<AzureLakeOptions> = {}): AzureLakeOptions => ({
  url: `${server.url}/${container}/p`,
  writer: 'dfs',
  auth: { kind: 'accountKey', account: server.account.name, key: server.account.key },
  ...more,
});

/** Events of one busy collection, about as long as those of the benchmarks. */
function busy(events: number): { readonly at: { t: number; i: number }; readonly ns: string; readonly id: number; readonly bytes: number }[] {
  return Array.from({ length: events }, (_, id) => ({
    at: { t: T0 + 1 + Math.floor(id / 1000), i: id % 1000 },
    ns: 'db.a',
    id,
    bytes: LINE_BYTES - 250,
  }));
}

interface Busy {
  readonly lake: Lake;
  readonly events: number;
  readonly batchEvents: number;
  readonly onBatch?: (index: number) => void;
  readonly capture?: Partial<CaptureOptions>;
  readonly stats?: ReturnType<typeof newStats>;
}

/** Runs until all of it is sealed, by a clock that moves as fast as the pipeline at its full rate. */
async function run({ lake, events, batchEvents, onBatch, capture, stats = newStats() }: Busy): Promise<void> {
  let nowMs = T0 * 1000;
  const clock: Clock = { now: () => nowMs, sleep: (_, signal) => systemClock.sleep(1, signal) };
  const source = new ScriptedSource({
    events: busy(events),
    batchEvents,
    end: { t: T0 + 3000, i: 1 },
    fingerprint: 'A',
    onBatch: (index, isLast) => {
      nowMs += isLast ? 60_000 : 17;
      onBatch?.(index);
    },
  });
  const settings = { ...OPTIONS, rollBytesMax: 256 * MIB, flushBytesMax: 4 * MIB, flushAgeMs: 5_000, ...capture };
  await new Capture(settings, { source, lake, clock, stats, log: silentLog }).run(never);
}

async function rowsOf(lake: Lake): Promise<number> {
  const report = await verifyLake(lake, 'p', { signal: never });
  expect(report.findings).toEqual([]);
  return report.rows;
}

describe('a storage that is away for a minute', () => {
  it('holds the source back, loses nothing and is written to again', async () => {
    const HURRY = 50;
    const [events, batchEvents] = [60_000, 2_000];
    let isAway = false;
    let refused = 0;
    await using proxy = await HttpProxy.to(server.url, () => {
      if (!isAway) return 'pass';
      refused += 1;
      return refused % 2 === 0 ? 'busy' : 'cut';
    });
    const clock: Clock = { now: () => performance.now() * HURRY, sleep: (ms, signal) => systemClock.sleep(ms / HURRY, signal) };
    const traffic = newLakeTraffic();
    const lake = await openAzureLake(options('away', { url: `${proxy.url}/away/p`, clock, traffic }));
    let batches = 0;
    const running = run({
      lake,
      events,
      batchEvents,
      onBatch: (index) => {
        batches = index;
        // In the middle, with parts open and a flush to come.
        if (index === 10) isAway = true;
      },
    });
    await until('the storage is missed', () => traffic.awaySinceMs !== null);
    const [batchesThen, memoryThen] = [batches, process.memoryUsage()];
    const sinceMs = clock.now();
    await until('a minute has passed, and it was asked again and again', () => clock.now() - sinceMs > 60_000 && refused > 3);
    // What was read waits to be written, and one batch more was asked for: nothing else is held.
    expect(batches - batchesThen).toBeLessThanOrEqual(2);
    const grownBytes = process.memoryUsage().arrayBuffers - memoryThen.arrayBuffers;
    expect(grownBytes).toBeLessThan(64 * MIB);
    expect(traffic.awaySinceMs).not.toBeNull();
    isAway = false;
    await running;
    expect(traffic.awaySinceMs).toBeNull();
    expect(traffic.retries).toBeGreaterThan(3);
    expect(await rowsOf(lake)).toBe(events);
  });
});

describe('a million events of one busy collection', () => {
  it.each(['dfs', 'append-blob'] as const)('cost 400 writes at most with `lake.writer: %s`', async (writer) => {
    const stats = newStats();
    const lake = await openAzureLake(options(`cost-${writer}`, { writer, traffic: stats.lake }));
    const events = 150_000;
    const batchEvents = 1_000;
    let beforeWrites = 0;
    let beforeEvents = 0;
    let writes = Number.NaN;
    await run({
      lake,
      events,
      batchEvents,
      stats,
      onBatch: (index) => {
        // The start costs once, whatever comes after it.
        if (index === 20) [beforeWrites, beforeEvents] = [stats.lake.writes, stats.events];
        if (index === events / batchEvents - 1) writes = ((stats.lake.writes - beforeWrites) / (stats.events - beforeEvents)) * 1_000_000;
      },
    });
    expect(writes).toBeGreaterThan(100);
    expect(writes).toBeLessThan(400);
    expect(writesPerMillion(stats)).toBeGreaterThan(0);
  });
});

describe('an append blob', () => {
  it('is rolled before it takes no more blocks; the ledger goes on in a further one', async () => {
    const { endpoint, persistence, location } = await connect(options('blocks', { writer: 'append-blob' }));
    const writer = { ...appendBlobs(endpoint), appendsMax: 3 };
    const lake = new AzureLake({
      endpoint,
      persistence,
      writer,
      list: endpoint.list,
      clock: systemClock,
      renewMs: 20_000,
      assertUsable: null,
      description: location.shown,
    });
    await run({ lake, events: 100, batchEvents: 10, capture: { flushBytesMax: 1 } });
    const parts = server.paths('blocks').filter((path) => path.includes('/events-'));
    expect(parts).toHaveLength(4);
    const ledgers = server.paths('blocks').filter((path) => path.includes('/ledger/'));
    expect(ledgers.map((path) => path.split('/').at(-1))).toEqual(['20261121.jsonl', '20261121.part-0001.jsonl']);
    for (const path of ledgers) expect(server.node('blocks', path).blocks).toBeLessThanOrEqual(3);
    expect(await rowsOf(lake)).toBe(100);
  });
});
