import { describe, expect, it } from 'vitest';
import type { Clock } from '../core/clock.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import type { Loader, LoadTotals } from '../pipeline/loader.ts';
import { LoadLoop } from './load-loop.ts';
import { scheduleOf } from './schedule.ts';

const START_MS = Date.parse('2026-11-21T07:45:00Z');
const NOTHING: LoadTotals = { files: 0, rows: 0, merged: 0, rejected: [] };

/** A loop whose sleeps end at once, on a clock that they move; ends after `rounds` rounds. */
async function roundsOf(load: string, rounds: number, onSleep: (loop: LoadLoop, sleeps: number) => void = () => {}, failing = 0): Promise<string[]> {
  let nowMs = START_MS;
  let sleeps = 0;
  const times: string[] = [];
  const stop = new AbortController();
  const clock: Clock = {
    now: () => nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      sleeps += 1;
      onSleep(loop, sleeps);
      if (signal?.aborted !== true) nowMs += ms;
    },
  };
  const loader = {
    catchUp: async (_signal: AbortSignal, how: { retry: boolean }) => {
      times.push(`${new Date(nowMs).toISOString().slice(11, 19)}${how.retry ? ' with all' : ''}`);
      if (times.length >= rounds) stop.abort();
      if (times.length <= failing) throw new Error('no warehouse');
      return NOTHING;
    },
  };
  const loop = new LoadLoop(loader as unknown as Loader, scheduleOf(load), clock, newStats(), silentLog);
  await loop.run(stop.signal);
  return times;
}

describe('the loop', () => {
  it('loads at the start and looks again every few seconds', async () => {
    expect(await roundsOf('sealed', 3)).toEqual(['07:45:00', '07:45:05', '07:45:10']);
  });

  it('loads at once when something is sealed', async () => {
    expect(await roundsOf('sealed', 2, (loop) => loop.notify())).toEqual(['07:45:00', '07:45:00']);
  });

  it('loads at the times of a cron line alone, in UTC, whatever is sealed', async () => {
    expect(await roundsOf('10 */6 * * *', 2, (loop) => loop.notify())).toEqual(['12:10:00', '18:10:00']);
  });

  it('loads between two times of the cron line when a person asks, with all that was rejected', async () => {
    const rounds = await roundsOf('10 */6 * * *', 3, (loop, sleeps) => {
      if (sleeps === 1) loop.retry();
    });
    expect(rounds).toEqual(['07:45:00 with all', '12:10:00', '18:10:00']);
  });

  it('waits longer after each failure', async () => {
    expect(await roundsOf('sealed', 6, () => {}, 4)).toEqual(['07:45:00', '07:45:10', '07:45:30', '07:46:10', '07:47:10', '07:47:15']);
  });
});

it('a cron line that has no time never comes, and one that is none is refused', () => {
  expect(scheduleOf('0 0 31 2 *').dueMs(START_MS)).toBe(Number.POSITIVE_INFINITY);
  expect(() => scheduleOf('61 * * * *')).toThrow('warehouse.load');
});
