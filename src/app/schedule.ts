/**
 * When the loader looks for work: as files seal, or at the times of a cron line. Times are UTC, as the hours of the lake are.
 */
import { Cron } from 'croner';
import type { Clock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { CONFIG_INVALID } from '../core/errors.ts';

/** A round while nothing was sealed moves `complete_through` on. */
const IDLE_MS = 5_000;
/** Timers hold no more than 24 days, and a clock may be put right meanwhile. */
export const SLEEP_MS_MAX = 3_600_000;

export interface LoadSchedule {
  /** A round at the start, and whenever something is sealed; else only when it is due. */
  readonly asSealed: boolean;
  /** Wall clock, ms, of the next round; Infinity: never. */
  dueMs(nowMs: number): number;
}

/** @param load `sealed` or a cron line of five fields */
export function scheduleOf(load: string): LoadSchedule {
  if (load === 'sealed') return { asSealed: true, dueMs: (nowMs) => nowMs + IDLE_MS };
  return { asSealed: false, dueMs: cronTimes(load, 'warehouse.load') };
}

/** Wall clock, ms, of the time after another one; Infinity: never. @param key of the configuration, for messages */
function cronTimes(line: string, key: string): (afterMs: number) => number {
  try {
    // Paused: croner works out the times, the clock of the application does the waiting.
    const cron = new Cron(line, { timezone: 'UTC', paused: true, mode: '5-part', sloppyRanges: true });
    return (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() ?? Number.POSITIVE_INFINITY;
  } catch (error) {
    throw new SluiceError(CONFIG_INVALID, `${key}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Runs `each` at the times of a cron line until the signal aborts. A time that comes while it runs is left out. @param key of the configuration, for messages */
export async function atTimes(line: string, key: string, clock: Clock, each: (dueMs: number) => Promise<void>, signal: AbortSignal): Promise<void> {
  const dueAfter = cronTimes(line, key);
  for (let due = dueAfter(clock.now()); !signal.aborted;) {
    const waitMs = due - clock.now();
    if (waitMs > 0) await clock.sleep(Math.min(waitMs, SLEEP_MS_MAX), signal).catch(() => {});
    if (signal.aborted || clock.now() < due) continue;
    await each(due);
    due = dueAfter(clock.now());
  }
}
