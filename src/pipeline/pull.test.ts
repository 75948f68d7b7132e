import { describe, expect, it } from 'vitest';
import { CaptureBench, T0, events, turns } from '../../test/fakes/capture-bench.ts';
import type { ChangeBatch } from '../core/event.ts';
import { BatchPull } from './pull.ts';

const bench = new CaptureBench();
const start = await bench.source({ events: [], end: { t: T0, i: 1 } }).resolve({ kind: 'now' }, new AbortController().signal);

/** A source of eight batches of one event, which says how many were taken from it. */
function pullOf(aheadBytesMax: number, how: { readonly endsWith?: Error; readonly hangs?: boolean } = {}) {
  let given = 0;
  const stop = new AbortController();
  const script = events(...Array.from({ length: 8 }, (_, n): [number, string] => [n, 'a']));
  const inner = bench.source({ events: script, batchEvents: 1, end: { t: T0 + 100, i: 1 } });
  const source: typeof inner = Object.create(inner) as typeof inner;
  source.changes = async function* (after, signal): AsyncGenerator<ChangeBatch> {
    for await (const batch of inner.changes(after, signal)) {
      if (given === 8) {
        if (how.endsWith !== undefined) throw how.endsWith;
        if (how.hangs === true) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        return;
      }
      given += 1;
      yield batch;
    }
  };
  const pull = new BatchPull(source, start, stop.signal, { aheadBytesMax, clock: bench.clock });
  return { pull, stop, given: () => given };
}

const positions = (batches: readonly (ChangeBatch | 'woken' | 'end')[]): unknown[] =>
  batches.map((batch) => (typeof batch === 'string' ? batch : batch.resume.clusterTime.t - T0));

describe('batches', () => {
  it.each([0, 1, 3_000, 1e9])('come in order, and then the end, with %d bytes read ahead', async (ahead) => {
    const { pull } = pullOf(ahead);
    const seen: (ChangeBatch | 'woken' | 'end')[] = [];
    for (let n = 0; n < 10; n += 1) seen.push(await pull.next(null));
    expect(positions(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 'end', 'end']);
    await pull[Symbol.asyncDispose]();
  });

  it('are read one by one as they are asked for when none are to be read ahead', async () => {
    const { pull, given } = pullOf(0);
    await turns();
    expect(given()).toBe(0);
    await pull.next(null);
    await turns();
    expect(given()).toBe(1);
    await pull[Symbol.asyncDispose]();
  });

  it('are read ahead up to the bound, and further as they are taken', async () => {
    const { pull, given } = pullOf(2_500);
    await turns();
    // A small batch counts as 1,024 bytes: the third crosses the bound.
    expect(given()).toBe(3);
    expect(pull.isReady).toBe(true);
    await pull.next(null);
    await turns();
    expect(given()).toBe(4);
    await pull[Symbol.asyncDispose]();
  });

  it('that came before an error come before it', async () => {
    const { pull } = pullOf(1e9, { endsWith: new Error('lost') });
    await turns();
    const seen: (ChangeBatch | 'woken' | 'end')[] = [];
    for (let n = 0; n < 8; n += 1) seen.push(await pull.next(null));
    expect(positions(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await expect(pull.next(null)).rejects.toThrow('lost');
    await pull[Symbol.asyncDispose]();
  });
});

describe('whoever waits', () => {
  it('is woken, also before it waits, and loses no batch by that', async () => {
    const { pull } = pullOf(0, { hangs: true });
    pull.wake();
    expect(await pull.next(null)).toBe('woken');
    const seen: (ChangeBatch | 'woken' | 'end')[] = [];
    for (let n = 0; n < 8; n += 1) seen.push(await pull.next(null));
    expect(positions(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const waiting = pull.next(null);
    pull.wake();
    expect(await waiting).toBe('woken');
    await pull[Symbol.asyncDispose]();
  });

  it('wakes by itself after its time', async () => {
    const { pull } = pullOf(1e9, { hangs: true });
    for (let n = 0; n < 8; n += 1) await pull.next(null);
    const waiting = pull.next(500);
    await turns();
    bench.clock.move(500);
    expect(await waiting).toBe('woken');
    await pull[Symbol.asyncDispose]();
  });

  it('gets what was read before a stop, and then the end', async () => {
    const { pull, stop } = pullOf(1e9, { hangs: true });
    await turns();
    stop.abort();
    const seen: (ChangeBatch | 'woken' | 'end')[] = [];
    for (let n = 0; n < 9; n += 1) seen.push(await pull.next(null));
    expect(positions(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 'end']);
    await pull[Symbol.asyncDispose]();
  });
});
