import { describe, expect, it } from 'vitest';
import { verifyLoop } from './verify-loop.ts';
import { keepVerification } from './verification.ts';
import type { VerificationOverview } from './overview-types.ts';
import type { VerifyArgs, VerifyReport } from './types.ts';
import { parseConfig } from '../config/load.ts';
import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { verificationPath } from '../pipeline/checkpoint.ts';

const START_MS = Date.parse('2026-11-21T10:00:00Z');
const never = new AbortController().signal;

/** Each sleep is over at once, and as long as it was asked to be. */
class SleptClock implements Clock {
  nowMs = START_MS;

  now(): number {
    return this.nowMs;
  }

  async sleep(ms: number): Promise<void> {
    this.nowMs += ms;
    await Promise.resolve();
  }
}

function configOf(verify: string): Config {
  return parseConfig(`pipeline: shop\nsource: { uri: "mongodb://h", include: ["shop.*"] }\nlake: { url: "file:/tmp/none" }\n${verify}`, {
    folder: '/',
    env: {},
  });
}

const EVERY_HOUR = configOf('verify: { cron: "0 * * * *" }');

/** Runs the schedule until it has verified `times` times, or failed to. */
async function runs(
  config: Config,
  store: MemoryStore,
  times: number,
  verify: (n: number) => Promise<VerifyReport>,
): Promise<[string, VerifyArgs][]> {
  const clock = new SleptClock();
  const stop = new AbortController();
  const seen: [string, VerifyArgs][] = [];
  await using lake = await openMemoryLake(store);
  const stats = newStats();
  const each = async (args: VerifyArgs): Promise<VerifyReport> => {
    seen.push([new Date(clock.nowMs).toISOString(), args]);
    if (seen.length >= times) stop.abort();
    return await verify(seen.length);
  };
  await verifyLoop(config, { lake, hasWarehouse: false, stats, clock, log: silentLog, verify: each }, stop.signal);
  return seen;
}

describe('the schedule of verifications', () => {
  const fine = async (): Promise<VerifyReport> => ({ ok: true, checks: [] });

  it('verifies all that there is at each of its times, and goes on after one that could not be done', async () => {
    const all = { lake: true, warehouse: false, source: true };
    const seen = await runs(EVERY_HOUR, new MemoryStore(), 3, async (n) => (n === 2 ? Promise.reject(new Error('away')) : fine()));
    expect(seen).toEqual([
      ['2026-11-21T11:00:00.000Z', all],
      ['2026-11-21T12:00:00.000Z', all],
      ['2026-11-21T13:00:00.000Z', all],
    ]);
  });

  it('verifies what it is told to', async () => {
    const [first] = await runs(configOf('verify: { cron: "0 * * * *", checks: [source] }'), new MemoryStore(), 1, fine);
    expect(first?.[1]).toEqual({ lake: false, warehouse: false, source: true });
  });

  it('leaves out a time that another process has taken', async () => {
    const store = new MemoryStore();
    await runs(EVERY_HOUR, store, 2, fine);
    expect((await runs(EVERY_HOUR, store, 1, fine))[0]?.[0]).toBe('2026-11-21T13:00:00.000Z');
  });

  it('tells what a former process has found, and writes anew what cannot be read', async () => {
    const store = new MemoryStore();
    await using lake = await openMemoryLake(store);
    const checks = [{ name: 'lake', outcome: 'failed' as const, detail: '', findings: [], counts: { order: 3 }, checked: 10 }];
    const last: VerificationOverview = {
      begunAt: '2026-11-21T09:00:00.000Z',
      endedAt: '2026-11-21T09:00:02.500Z',
      ok: false,
      failure: null,
      before: 0,
      checks,
    };
    await keepVerification(lake, 'shop', last, never);
    const stats = newStats();
    const using = { lake, hasWarehouse: false, stats, clock: new SleptClock(), log: silentLog, verify: fine };
    await verifyLoop({ ...EVERY_HOUR, verify: null }, using, never);
    expect(stats.verification).toEqual({
      endedAtMs: Date.parse(last.endedAt!),
      seconds: 2.5,
      ok: false,
      faults: new Map([['order', 3]]),
      checked: new Map([['lake', 10]]),
    });
    await lake.put(verificationPath('shop'), Buffer.from('{"v":1,"du'), (await lake.stat(verificationPath('shop')))!);
    expect(await runs(EVERY_HOUR, store, 1, fine)).toHaveLength(1);
  });
});
