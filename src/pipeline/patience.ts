/**
 * Asking a broker again and again until it answers: it may be away for as long as it likes, and nothing is skipped meanwhile.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_UNAVAILABLE } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineState, PipelineStats } from '../ops/stats.ts';

export interface Patience {
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** After this long without an answer it is said aloud; there is no limit to the trying. */
  readonly unavailableAfterMs: number;
}

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;

/** Those who wait now, by whose state it is, and what that was before the first of them. */
const waiting = new WeakMap<PipelineStats, { count: number; readonly before: PipelineState }>();

/** @param work may be done again after it has failed. @throws what it fails with, other than BUS_UNAVAILABLE */
export async function patiently<T>(patience: Patience, what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (!SluiceError.is(error, BUS_UNAVAILABLE)) throw error;
    const { stats } = patience;
    const others = waiting.get(stats) ?? { count: 0, before: stats.state };
    waiting.set(stats, others);
    others.count += 1;
    try {
      return await again(patience, { what, error }, work, signal);
    } finally {
      others.count -= 1;
      if (others.count === 0) {
        waiting.delete(stats);
        stats.state = others.before;
      }
    }
  }
}

async function again<T>(
  { clock, stats, log, unavailableAfterMs }: Patience,
  { what, error: first }: { readonly what: string; readonly error: SluiceError },
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const sinceMs = clock.now();
  let error = first;
  for (let failures = 0; ; failures += 1) {
    stats.state = 'reconnecting';
    const isLong = hasPassed(unavailableAfterMs, sinceMs, clock.now());
    log[isLong ? 'error' : 'warn']({ err: error, seconds: (clock.now() - sinceMs) / 1000 }, `${what}: the broker does not answer, trying again`);
    await clock.sleep(Math.min(BACKOFF_MS_MIN * 2 ** failures, BACKOFF_MS_MAX), signal);
    try {
      return await work();
    } catch (failure) {
      signal.throwIfAborted();
      if (!SluiceError.is(failure, BUS_UNAVAILABLE)) throw failure;
      error = failure;
    }
  }
}
