/**
 * Schedules of crashes, clean stops and changed filters, over a memory lake that behaves as the Azure ones do and over one
 * that cuts open parts back as a local disk does. Former owners that wake up: zombies.test.ts.
 *
 * After every schedule the lake must hold each event once, in order, in the right hour, agree with its ledger, and have
 * published every hour; nothing that was sealed may have changed. Single crashes are exhaustive, pairs on a small history.
 */
import { describe, expect, it } from 'vitest';
import { faultsOf } from './oracle.ts';
import { World, calm, dieAt, type History, type How, type WorldEvent } from './world.ts';

const HOUR = 3600;
const T0 = 1_795_248_000; // a full hour

/** Events of one second share a cluster time, as those of a transaction do. */
function history(end: number, batchEvents: number, seconds: readonly (readonly [number, string, ('A' | 'B')?])[]): History {
  const events = seconds.map(([s, coll, seenBy], id): WorldEvent => ({ at: { t: T0 + s, i: 1 }, ns: `db.${coll}`, id, ...(seenBy && { seenBy: [seenBy] }) }));
  return { events, batchEvents, end: { t: T0 + end, i: 1 } };
}

const FULL = history(3 * HOUR, 5, [
  [1, 'a'], [2, 'b'], [3, 'a'], [3, 'b'], [3, 'a'], [4, 'a'],
  [HOUR + 1, 'b'], [HOUR + 2, 'a'], [HOUR + 2, 'a'], [HOUR + 3, 'b'],
  [2 * HOUR + 1, 'b'], [2 * HOUR + 1, 'b'],
]); // prettier-ignore
/** Transactions that straddle batches and hold one key; an hour without events. */
const SMALL = history(3 * HOUR, 2, [[1, 'a'], [2, 'a'], [2, 'b'], [2, 'a'], [2, 'a'], [3, 'a'], [HOUR + 1, 'a']]); // prettier-ignore
/** A collection that only the filter of `B` lets through. */
const WIDER = history(3 * HOUR, 3, [[1, 'a'], [2, 'a'], [3, 'c', 'B'], [4, 'a'], [HOUR - 1, 'c', 'B'], [HOUR + 1, 'a'], [HOUR + 2, 'c', 'B']]); // prettier-ignore

async function countSteps(of: History, how: How = {}): Promise<number> {
  const world = new World(of);
  const process = calm();
  expect(await world.run(process, how)).toBe(true);
  expect(await faultsOf(world, of)).toEqual([]);
  return process.steps;
}

/** Processes one after another, each dying at its step; then one that ends its work. */
async function chain(of: History, kind: 'leases' | 'cutting', deaths: readonly (readonly [number, How])[], last: How, what: string): Promise<void> {
  const world = new World(of, kind);
  for (const [step, how] of deaths) await world.run(dieAt(step), how);
  expect(await world.run(calm(), last), what).toBe(true);
  expect(await faultsOf(world, of), what).toEqual([]);
}

function random(seed: number): () => number {
  let s = seed >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s >>>= 0;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s / 4_294_967_296;
  };
}

describe.each(['leases', 'cutting'] as const)('a lake of the kind %s', (kind) => {
  it('holds every event once after a crash before any one step', async () => {
    const steps = await countSteps(FULL);
    expect(steps).toBeGreaterThan(40);
    for (let step = 1; step <= steps; step += 1) await chain(FULL, kind, [[step, {}]], {}, `after a crash before step ${step}`);
  });

  it('holds every event once after two crashes, before any two steps', async () => {
    const steps = await countSteps(SMALL);
    for (let one = 1; one <= steps; one += 1) {
      for (let two = 1; two <= steps; two += 1) await chain(SMALL, kind, [[one, {}], [two, {}]], {}, `crashes before ${one} and ${two}`); // prettier-ignore
    }
  });

  it('holds every event once after random chains of crashes and clean stops, with changed sizes on the way', async () => {
    const steps = await countSteps(FULL);
    for (let seed = 1; seed <= 400; seed += 1) {
      const rnd = random(seed * 7919);
      const deaths = Array.from({ length: 1 + Math.floor(rnd() * 4) }, (): [number, How] => [
        1 + Math.floor(rnd() * steps),
        { rollBytesMax: [200, 400, 10_000][Math.floor(rnd() * 3)]!, ...(rnd() < 0.5 && { stopAfterBatches: Math.floor(rnd() * 4) }) },
      ]);
      await chain(FULL, kind, deaths, {}, `seed ${seed}`);
    }
  });
});

describe('a lake whose stream changes its fingerprint', () => {
  it('holds every event once when it changes after a crash', async () => {
    const steps = await countSteps(FULL);
    for (let step = 1; step <= steps; step += 1) await chain(FULL, 'leases', [[step, {}]], { fingerprint: 'B' }, `step ${step}`);
  });

  it.each([
    ['stays changed', 'AB', 'B'],
    ['is changed back', 'AB', 'A'],
  ])('holds every event once when it changes between two crashes and %s', async (_, [one, two], last) => {
    const steps = await countSteps(SMALL);
    for (let i = 1; i <= steps; i += 1) {
      for (let j = 1; j <= steps; j += 1) {
        await chain(SMALL, 'leases', [[i, { fingerprint: one! }], [j, { fingerprint: two! }]], { fingerprint: last }, `crashes before ${i} and ${j}`); // prettier-ignore
      }
    }
  });

  it('holds every event once after random chains of crashes and changes', async () => {
    const steps = await countSteps(SMALL);
    for (let seed = 1; seed <= 600; seed += 1) {
      const rnd = random(seed * 15_485_863);
      const some = (): How => ({ fingerprint: 'ABC'[Math.floor(rnd() * 3)]!, ...(rnd() < 0.3 && { stopAfterBatches: Math.floor(rnd() * 5) }) });
      const deaths = Array.from({ length: 2 + Math.floor(rnd() * 3) }, (): [number, How] => [1 + Math.floor(rnd() * steps), some()]);
      await chain(SMALL, 'leases', deaths, { fingerprint: 'ABC'[Math.floor(rnd() * 3)]! }, `seed ${seed}`);
    }
  });

  it('takes in what a wider filter lets through, without touching what is published', async () => {
    const steps = await countSteps(WIDER);
    for (const kind of ['leases', 'cutting'] as const) {
      for (let step = 1; step <= steps; step += 1) await chain(WIDER, kind, [[step, {}]], { fingerprint: 'B' }, `${kind}, step ${step}`);
    }
  });
});
