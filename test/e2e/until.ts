/**
 * Waits for something that another process or task brings about. Never longer than the test would wait, and with words
 * that say what did not happen.
 */
import { systemClock } from '../../src/core/clock.ts';

const POLL_MS = 10;

/** What a promise in seconds is multiplied by where machines are shared: that it is kept at all is asked there. */
export const SLOWNESS = process.env['CI'] === 'true' ? 5 : 2;

/** @returns the first value that is not `null`, `undefined` or `false` */
export async function until<T>(what: string, poll: () => T | Promise<T>, msMax = 60_000): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = systemClock.now() + msMax;
  for (;;) {
    const value = await poll();
    if (value !== null && value !== undefined && value !== false) return value as NonNullable<Exclude<T, false>>;
    if (systemClock.now() > deadline) throw new Error(`not within ${msMax} ms: ${what}`);
    await systemClock.sleep(POLL_MS);
  }
}
