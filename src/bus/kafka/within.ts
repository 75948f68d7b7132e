import type { Clock } from '../../core/clock.ts';
import { endsWithin } from '../../core/ends-within.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';

/**
 * Whatever the client does, within a limit of our own. It has limits, but not everywhere: who asks for a connection in the
 * moment in which it breaks is not told anything any more. @throws BUS_UNAVAILABLE
 */
export async function within<T>(msMax: number, work: Promise<T>, clock: Clock): Promise<T> {
  if (!(await endsWithin(msMax, work, clock))) throw new SluiceError(BUS_UNAVAILABLE, `nothing was heard for ${msMax / 1000} s`);
  return await work;
}
