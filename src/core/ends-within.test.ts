import { describe, expect, it } from 'vitest';
import { TestClock, turns } from '../../test/fakes/capture-bench.ts';
import { endsWithin } from './ends-within.ts';

describe('a wait that has a limit', () => {
  /** @returns what comes of it, once `end` has been called */
  async function waiting(end: (of: { work: PromiseWithResolvers<void>; clock: TestClock; stop: AbortController }) => void): Promise<unknown> {
    const [work, clock, stop] = [Promise.withResolvers<void>(), new TestClock(), new AbortController()];
    const waited = endsWithin(1_000, work.promise, clock, stop.signal).catch((error: unknown) => error);
    clock.move(999);
    await turns();
    end({ work, clock, stop });
    const told = await waited;
    // Nobody hears of it any more, and that is no unhandled rejection.
    work.reject(new Error('late'));
    await turns();
    expect(clock.waiting).toBe(0);
    return told;
  }

  it('says whether what it waits for has ended before the time was over', async () => {
    expect(await waiting(({ work }) => work.resolve())).toBe(true);
    expect(await waiting(({ clock }) => clock.move(1))).toBe(false);
  });

  it('ends with the signal', async () => {
    expect(await waiting(({ stop }) => stop.abort(new Error('stopped')))).toBe(false);
  });

  it('fails with what it waits for', async () => {
    expect(await waiting(({ work }) => work.reject(new Error('broken')))).toMatchObject({ message: 'broken' });
  });
});
