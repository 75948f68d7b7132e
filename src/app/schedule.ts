/**
 * When the loader looks for work: as files seal, or at the times of a cron line. Times are UTC, as the hours of the lake are.
 */
import { Cron } from 'croner';
import { reasonOf, SluiceError } from '../core/error.ts';
import { CONFIG_INVALID } from '../core/errors.ts';

/** A round while nothing was sealed moves `complete_through` on. */
const IDLE_MS = 5_000;

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
export function cronTimes(line: string, key: string): (afterMs: number) => number {
  try {
    // Paused: croner works out the times, the clock of the application does the waiting.
    const cron = new Cron(line, { timezone: 'UTC', paused: true, mode: '5-part', sloppyRanges: true });
    return (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() ?? Number.POSITIVE_INFINITY;
  } catch (error) {
    throw new SluiceError(CONFIG_INVALID, `${key}: ${reasonOf(error)}`, { cause: error });
  }
}
