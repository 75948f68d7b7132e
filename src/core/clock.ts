/**
 * Time comes in from outside, so that tests can move it and no promise depends on the machine's clock by accident.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/**
 * Is what happened at `sinceMs` at least `ms` ago? Also when the clock has been put back by as much since: a wait that had
 * to catch up with the old time first could take hours.
 */
export function hasPassed(ms: number, sinceMs: number, nowMs: number): boolean {
  return Math.abs(nowMs - sinceMs) >= ms;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
