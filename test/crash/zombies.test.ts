/**
 * Former owners that wake up: an owner is frozen before one of its steps, its successor goes on, and at some step of the
 * successor the former one wakes and does whatever it still can. It never hears that it has lost the pipeline.
 *
 * Exhaustive on a small history: every step of the former owner, in its recovery and in its work, times every step of the
 * successor. Two former owners at once at random. A successor may be thrown out by a conflict; the next one finishes.
 */
import { describe, expect, it } from 'vitest';
import { LAYOUT_PRESETS } from '../../src/core/layout.ts';
import { faultsOf } from './schedule-faults.ts';
import { Turns, World, calm, dieAt, freezeAt, pauseAt, random, type History, type How, type Process } from './schedule-world.ts';

const HOUR = 3600;
const T0 = 1_795_248_000; // a full hour

const SMALL: History = {
  events: [1, 2, 2, 3, HOUR + 1].map((s, id) => ({ at: { t: T0 + s, i: 1 }, ns: 'db.a', id })),
  batchEvents: 2,
  end: { t: T0 + 2 * HOUR, i: 1 },
};
const OWNERS_MAX = 4;
const SEEDS = 600;
/** A step settles within this many turns of the event loop. */
const TURNS_PER_STEP = 3;

/** How the lake begins before the former owner comes. */
const BEGINNINGS: readonly (readonly [string, (world: World) => Promise<unknown>])[] = [
  ['an empty lake', async () => {}],
  ['a part that a clean stop left in the middle of its hour', (world) => world.run(calm(), { stopAfterBatches: 0, rollBytesMax: 10_000 })],
  ['parts and a ledger that a clean stop left', (world) => world.run(calm(), { stopAfterBatches: 0, rollBytesMax: 200 })],
  ['a crash in the middle of a seal', (world) => world.run(dieAt(14), {})],
];

/** Lets whoever was woken run until it waits for nothing but its next death. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS_PER_STEP; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function stepsFrom(begin: (world: World) => Promise<unknown>, how: How): Promise<number> {
  const world = new World(SMALL, 'two steps');
  await begin(world);
  const process = calm();
  expect(await world.run(process, how)).toBe(true);
  expect(await faultsOf(world, SMALL)).toEqual([]);
  return process.steps;
}

/** Owners until one has done everything. */
async function finish(world: World, what: string): Promise<void> {
  let finished = false;
  for (let n = 0; n < OWNERS_MAX && !finished; n += 1) finished = await world.run(calm());
  expect(finished, what).toBe(true);
  // The rule "a checkpoint says so first" is that of one owner: two of them are looked at by what comes of it.
  world.faults.length = 0;
  expect(await faultsOf(world, SMALL), what).toEqual([]);
}

describe('a former owner that wakes up', () => {
  it.each(BEGINNINGS)('does no harm wherever it was frozen and whenever it wakes, after %s', async (_, begin) => {
    const steps = await stepsFrom(begin, { deaf: true, rollBytesMax: 10_000 });
    for (let frozenAt = 1; frozenAt <= steps; frozenAt += 1) {
      for (let wakenAt = 1; wakenAt <= steps; wakenAt += 1) {
        const world = new World(SMALL, 'two steps');
        await begin(world);
        const former = freezeAt(frozenAt);
        const first = world.run(former.process, { deaf: true, rollBytesMax: 10_000 });
        await Promise.race([former.frozen, first]);
        const wake = async (): Promise<void> => {
          former.wake();
          await settle();
        };
        const finished = await world.run(pauseAt(wakenAt, wake), { rollBytesMax: 10_000 });
        former.wake();
        await first;
        if (finished) expect(await world.run(calm())).toBe(true);
        await finish(world, `frozen at ${frozenAt}, woken at ${wakenAt}`);
      }
    }
  });

  it.each(['hive', 'per-event'] as const)('does no harm when several of them take their steps in any order, with the layout %s', async (layout) => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const rnd = random(seed * 104_729);
      const world = new World(SMALL, 'two steps', { layout: LAYOUT_PRESETS[layout] });
      await BEGINNINGS[seed % BEGINNINGS.length]![1](world);
      const turns = new Turns();
      const owners: Promise<unknown>[] = [];
      let chosen: Process | null = null;
      for (let live: readonly Process[] = []; owners.length === 0 || live.length > 0; live = await turns.live()) {
        if (owners.length === 0 || (owners.length < OWNERS_MAX && rnd() < 0.03)) {
          owners.push(turns.begin((process) => world.run(process, { deaf: true, looksAreSteps: true, rollBytesMax: rnd() < 0.5 ? 10_000 : 400 })));
          continue;
        }
        // In bursts: one that is let go for a while gets somewhere before another one wakes.
        if (chosen === null || !live.includes(chosen) || rnd() < 0.1) chosen = live[Math.floor(rnd() * live.length)]!;
        turns.step(chosen);
      }
      await Promise.all(owners);
      await finish(world, `seed ${seed}`);
    }
  });
});
