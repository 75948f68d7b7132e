/**
 * A wait for somebody else that has a limit, and leaves no timer behind.
 */
import type { Clock } from './clock.ts';

/** A reason that is made once: without one, each abort makes an error with its stack. */
const DONE = new Error('done');

/**
 * Waits for `work`, whose failure is nobody's any more once this has resolved.
 * @param signal ends the wait, as the time does
 * @returns whether it has ended by then @throws what it fails with by then
 */
export async function endsWithin(msMax: number, work: Promise<unknown>, clock: Clock, signal?: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const ends = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
  const isLate = (): boolean => false;
  try {
    return await Promise.race([work.then(() => true), clock.sleep(msMax, ends).then(isLate, isLate)]);
  } finally {
    over.abort(DONE);
  }
}
