/**
 * Waits for something that another process or task brings about. Never longer than the test would wait, and with words
 * that say what did not happen.
 */
import { systemClock } from '../../src/core/clock.ts';

const POLL_MS = 10;

/** What a promise in seconds is multiplied by where machines are shared: that it is kept at all is asked there. */
export const SLOWNESS = process.env['CI'] === 'true' ? 5 : 2;

/** With one member frozen every vote counts, and on a busy machine votes come late: elections may take several rounds. */
export const ELECTIONS_MS_MAX = 90_000;

/** For what the driver does not try again by itself: another election may interrupt it, whether it was done or not. */
export async function throughElections<T>(act: () => Promise<T>): Promise<T> {
  const attempt = async (): Promise<{ value: T } | null> =>
    await act().then(
      (value) => ({ value }),
      () => null,
    );
  return (await until('a majority has acknowledged it', attempt, ELECTIONS_MS_MAX)).value;
}

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
