/**
 * Asking a broker again and again until it answers: it may be away for as long as it likes, and nothing is skipped meanwhile.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_UNAVAILABLE } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';

export interface Patience {
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** After this long without an answer it is said aloud; there is no limit to the trying. */
  readonly unavailableAfterMs: number;
}

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;

/** @param work may be done again after it has failed. @throws what it fails with, other than BUS_UNAVAILABLE */
export async function patiently<T>(patience: Patience, what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const { clock, stats, log, unavailableAfterMs } = patience;
  const before = stats.state;
  const sinceMs = clock.now();
  for (let failures = 0; ; failures += 1) {
    try {
      const result = await work();
      if (failures > 0) stats.state = before;
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (!SluiceError.is(error, BUS_UNAVAILABLE)) throw error;
      stats.state = 'reconnecting';
      const isLong = hasPassed(unavailableAfterMs, sinceMs, clock.now());
      log[isLong ? 'error' : 'warn']({ err: error, seconds: (clock.now() - sinceMs) / 1000 }, `${what}: the broker does not answer, trying again`);
      await clock.sleep(Math.min(BACKOFF_MS_MIN * 2 ** failures, BACKOFF_MS_MAX), signal);
    }
  }
}
