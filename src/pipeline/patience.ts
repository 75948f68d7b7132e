/**
 * Asking a broker, or a source, again and again until it answers: it may be away for as long as it likes, and nothing is skipped
 * meanwhile. A source's stream comes back by itself; what is asked beside it in a run that is under way is asked like this.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_UNAVAILABLE, SOURCE_UNAVAILABLE } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineState, PipelineStats } from '../ops/stats.ts';

export interface Patience {
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** After this long without an answer it is said aloud; there is no limit to the trying. */
  readonly unavailableAfterMs: number;
  /** Called before each further try: what is due must not wait for an answer. */
  readonly meanwhile?: () => Promise<void>;
}

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;

/** Those who wait now, by whose state it is, and what that was before the first of them. */
const waiting = new WeakMap<PipelineStats, { count: number; readonly before: PipelineState }>();

/** @param work may be done again after it has failed. @throws what it fails with, other than BUS_UNAVAILABLE and SOURCE_UNAVAILABLE */
export async function patiently<T>(patience: Patience, what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (!isAway(error)) throw error;
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
        // Of a stream that was coming back as well, and has, or says so again.
        if (stats.state === 'reconnecting') stats.state = others.before === 'reconnecting' ? 'running' : others.before;
      }
    }
  }
}

/** As {@link patiently}, for who ends in good order on a stop. @returns false when the signal has aborted before it was done */
export async function doneBeforeStop(patience: Patience, what: string, work: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
  try {
    await patiently(patience, what, work, signal);
    return true;
  } catch (error) {
    if (signal.aborted && error === signal.reason) return false;
    throw error;
  }
}

function isAway(error: unknown): error is SluiceError {
  return SluiceError.is(error, BUS_UNAVAILABLE, SOURCE_UNAVAILABLE);
}

async function again<T>(
  { clock, stats, log, unavailableAfterMs, meanwhile }: Patience,
  { what, error: first }: { readonly what: string; readonly error: SluiceError },
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const sinceMs = clock.now();
  let error = first;
  for (let failures = 0; ; failures += 1) {
    stats.state = 'reconnecting';
    const isLong = hasPassed(unavailableAfterMs, sinceMs, clock.now());
    log[isLong ? 'error' : 'warn']({ err: error, seconds: (clock.now() - sinceMs) / 1000 }, `${what}: there is no answer, trying again`);
    await meanwhile?.();
    await clock.sleep(Math.min(BACKOFF_MS_MIN * 2 ** failures, BACKOFF_MS_MAX), signal);
    try {
      return await work();
    } catch (failure) {
      signal.throwIfAborted();
      if (!isAway(failure)) throw failure;
      error = failure;
    }
  }
}
