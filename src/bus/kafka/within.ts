import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';

/** A reason that is made once: without one, each abort makes an error with its stack. */
const DONE = new Error('done');

/**
 * Whatever the client does, within a limit of our own. It has limits, but not everywhere: who asks for a connection in the
 * moment in which it breaks is not told anything any more. @throws BUS_UNAVAILABLE
 */
export async function within<T>(msMax: number, work: Promise<T>, clock: Clock): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(msMax, over.signal).then(() => {
    throw new SluiceError(BUS_UNAVAILABLE, `nothing was heard for ${msMax / 1000} s`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort(DONE);
    late.catch(() => {});
    work.catch(() => {});
  }
}
