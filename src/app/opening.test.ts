/** The warehouse of a run, whose DuckDB file another process has open. */
import { describe, expect, it } from 'vitest';
import { TestClock } from '../../test/fakes/capture-bench.ts';
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_BUSY, WAREHOUSE_UNAVAILABLE } from '../core/errors.ts';
import { silentLog } from '../ops/log.ts';
import { Opening } from './opening.ts';

const busy = (): SluiceError => new SluiceError(WAREHOUSE_BUSY, 'process 7');

/** Fails as told, one after the other; then it is open. */
function failing(...errors: Error[]): { open: () => Promise<void>; tries: () => number } {
  let tries = 0;
  const open = async (): Promise<void> => {
    tries += 1;
    const error = errors.shift();
    if (error !== undefined) throw error;
  };
  return { open, tries: () => tries };
}

/** Time goes on by what is waited for. */
async function pass(clock: TestClock, isOver: () => boolean): Promise<void> {
  for (let n = 0; n < 1000 && !isOver(); n += 1) {
    clock.move(1_000);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

describe('an opening', () => {
  const never = new AbortController().signal;

  it('that succeeds at once is waited for', async () => {
    const { open, tries } = failing();
    const opening = await Opening.begin({ open, clock: new TestClock(), log: silentLog }, never);
    await opening.insist(never);
    expect(tries()).toBe(1);
  });

  it('that fails for another reason than a file in use ends the start', async () => {
    const { open } = failing(new SluiceError(WAREHOUSE_UNAVAILABLE, 'no such folder'));
    await expect(Opening.begin({ open, clock: new TestClock(), log: silentLog }, never)).rejects.toMatchObject({ kind: WAREHOUSE_UNAVAILABLE });
  });

  it('goes on until nobody has it any more, whatever is met meanwhile, and holds nobody up', async () => {
    const clock = new TestClock();
    const { open, tries } = failing(busy(), busy(), new SluiceError(WAREHOUSE_UNAVAILABLE, 'gone'), busy());
    const opening = await Opening.begin({ open, clock, log: silentLog }, never);
    expect(tries()).toBe(1);
    let isOpen = false;
    void opening.done.then(() => (isOpen = true));
    await pass(clock, () => isOpen);
    expect(tries()).toBe(5);
    await opening.insist(never);
  });

  it('is given up by who wants to end, after half a minute', async () => {
    const clock = new TestClock();
    const opening = await Opening.begin({ open: () => Promise.reject(busy()), clock, log: silentLog }, never);
    let isOver = false;
    const refused = expect(opening.insist(never).finally(() => (isOver = true))).rejects.toMatchObject({ kind: WAREHOUSE_BUSY });
    const beganMs = clock.now();
    await pass(clock, () => isOver);
    await refused;
    expect(clock.now() - beganMs).toBeGreaterThanOrEqual(30_000);
  });

  it('ends with a stop', async () => {
    const stop = new AbortController();
    const opening = await Opening.begin({ open: () => Promise.reject(busy()), clock: new TestClock(), log: silentLog }, stop.signal);
    stop.abort();
    await opening.done;
    await opening.insist(stop.signal);
  });
});
