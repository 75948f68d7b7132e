/**
 * Schedules of crashes, clean stops and changed filters, over a memory lake that behaves as the Azure ones do and over one
 * that cuts open parts back as a local disk does. Former owners that wake up: zombies.test.ts.
 *
 * After every schedule the lake must hold each event once, in order, in the right hour, agree with its ledger, and have
 * published every hour; nothing that was sealed may have changed. Single crashes are exhaustive,
 * of pairs on a small history every fourth is run.
 */
import { describe, expect, it } from 'vitest';
import { LAYOUT_PRESETS } from '../../src/core/layout.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { faultsOf } from './schedule-faults.ts';
import { World, calm, dieAt, random, type History, type How, type LakeKind, type WorldEvent } from './schedule-world.ts';

const HOUR = 3600;
const B = { seenBy: ['B'] };
const T0 = 1_795_248_000; // a full hour

/** Events of one second share a cluster time, as those of a transaction do. */
function history(end: number, batchEvents: number, seconds: readonly (readonly [number, string, Partial<WorldEvent>?])[]): History {
  const events = seconds.map(([s, coll, more], id): WorldEvent => ({ at: { t: T0 + s, i: 1 }, ns: `db.${coll}`, id, ...more }));
  return { events, batchEvents, end: { t: T0 + end, i: 1 } };
}

const FULL = history(3 * HOUR, 5, [
  [1, 'a'], [2, 'b'], [3, 'a'], [3, 'b'], [3, 'a'], [4, 'a'],
  [HOUR + 1, 'b'], [HOUR + 2, 'a'], [HOUR + 2, 'a'], [HOUR + 3, 'b'],
  [2 * HOUR + 1, 'b'], [2 * HOUR + 1, 'b'],
]); // prettier-ignore
/** A transaction that straddles batches and meets one key twice; an hour without events. */
const SMALL = history(3 * HOUR, 2, [[1, 'a'], [2, 'a', { key: 1 }], [2, 'b'], [2, 'a', { key: 3 }], [2, 'a', { key: 1 }], [HOUR + 1, 'a']]); // prettier-ignore
/** A collection that only the filter of `B` lets through, alone in the second hour. */
const WIDER = history(3 * HOUR, 2, [
  [1, 'a'], [2, 'a'], [3, 'c', B], [4, 'a'], [HOUR + 1, 'c', B], [HOUR + 2, 'c', B], [2 * HOUR + 1, 'a'], [2 * HOUR + 2, 'c', B],
]); // prettier-ignore

/** Everything is sealed and saved as soon as it may be. */
const EAGER: How = { partsOpenMax: 0, checkpointIntervalMs: 0 };

async function countSteps(of: History, how: How = {}): Promise<number> {
  const world = new World(of);
  const process = calm();
  expect(await world.run(process, how)).toBe(true);
  expect(await faultsOf(world, of)).toEqual([]);
  return process.steps;
}

/** Processes one after another, each dying at its step; then one that ends its work. */
async function chain(of: History, kind: LakeKind, deaths: readonly (readonly [number, How])[], last: How, what: string): Promise<void> {
  const world = new World(of, kind);
  for (const [step, how] of deaths) await world.run(dieAt(step), how);
  expect(await world.run(calm(), last), what).toBe(true);
  const isMixed = deaths.some(([, how]) => (how.fingerprint ?? 'A') !== (last.fingerprint ?? 'A'));
  expect(await faultsOf(world, of, isMixed ? 'mixed' : 'alike'), what).toEqual([]);
}

/** Every fourth pair of steps, another fourth for each first step. */
function* pairs(steps: number): Generator<readonly [number, number]> {
  for (let one = 1; one <= steps; one += 1) for (let two = 1 + (one % 4); two <= steps; two += 4) yield [one, two];
}

describe.each([
  ['leases', 'hive'],
  ['cutting', 'hive'],
  ['leases', 'per-event'],
  ['cutting', 'per-event'],
] as const)('a lake of the kind %s with the layout %s', (kind, preset) => {
  const layout = { layout: LAYOUT_PRESETS[preset] };

  it('holds every event once after a crash before any one step', async () => {
    const steps = await countSteps(FULL, layout);
    expect(steps).toBeGreaterThan(40);
    for (let step = 1; step <= steps; step += 1) await chain(FULL, kind, [[step, layout]], layout, `after a crash before step ${step}`);
  });

  it('holds every event once after two crashes', async () => {
    for (const [one, two] of pairs(await countSteps(SMALL, layout))) {
      await chain(SMALL, kind, [[one, layout], [two, layout]], layout, `crashes before ${one} and ${two}`); // prettier-ignore
    }
  });

  it('holds every event once after random chains of crashes and clean stops, with changed sizes on the way', async () => {
    const steps = await countSteps(FULL, layout);
    for (let seed = 1; seed <= 200; seed += 1) {
      const rnd = random(seed * 7919);
      const deaths = Array.from({ length: 1 + Math.floor(rnd() * 4) }, (): [number, How] => [
        1 + Math.floor(rnd() * steps),
        {
          ...layout,
          rollBytesMax: [200, 400, 10_000][Math.floor(rnd() * 3)]!,
          flushBytesMax: [1, 500, 10_000][Math.floor(rnd() * 3)]!,
          readAheadBytesMax: [0, 1, 10_000][Math.floor(rnd() * 3)]!,
          ...(rnd() < 0.5 && { stopAfterBatches: Math.floor(rnd() * 4) }),
        },
      ]);
      await chain(FULL, kind, deaths, layout, `seed ${seed}`);
    }
  });
});

/** More collections in a batch than a wave of a flush takes. */
const WIDE = history(
  2 * HOUR,
  40,
  Array.from({ length: 60 }, (_, n) => [1 + n, `c${n % 40}`] as const),
);

it.each(['leases', 'cutting'] as const)(
  'a lake of the kind %s holds every event once when a flush fills more parts than may be open',
  async (kind) => {
    const few: How = { partsOpenMax: 1 };
    const steps = await countSteps(WIDE, few);
    for (let step = 1; step <= steps; step += 5) await chain(WIDE, kind, [[step, few]], few, `after a crash before step ${step}`);
  },
);

it.each(['leases', 'cutting'] as const)(
  'a lake of the kind %s holds every event once when a day fills several ledger files, after a crash before any one step and another',
  async (kind) => {
    const short: How = { ...EAGER, ledgerLinesMax: 2 };
    const world = new World(SMALL, kind);
    expect(await world.run(calm(), short)).toBe(true);
    const ledgers = [...world.files().keys()].filter((path) => path.includes('/ledger/')).map((path) => path.split('/').at(-1));
    expect(ledgers.slice(0, 3)).toEqual(['20261121.jsonl', '20261121.part-0001.jsonl', '20261121.part-0002.jsonl']);
    expect((await verifyLake(await world.lake(), 'p', { signal: new AbortController().signal })).findings).toEqual([]);
    const steps = await countSteps(SMALL, short);
    for (let one = 1; one <= steps; one += 1) {
      const two = 1 + ((one * 7) % steps);
      await chain(SMALL, kind, [[one, short], [two, short]], short, `crashes before ${one} and ${two}`); // prettier-ignore
    }
  },
);

/** Eight o'clock to the next day's end. */
const DAYS = history(41 * HOUR, 2, [[1, 'a'], [2, 'b'], [5 * HOUR, 'a'], [5 * HOUR, 'a'], [16 * HOUR, 'a'], [20 * HOUR, 'b'], [21 * HOUR, 'a']]); // prettier-ignore

it.each(['leases', 'cutting'] as const)(
  'a lake of the kind %s with files of a day holds every event once after a crash before any one step',
  async (kind) => {
    const how: How = { layout: '{db}/{coll}/{yyyyMMdd}/events{part}-{yyyyMMdd}.jsonl', rollAgeMs: 24 * HOUR * 1000 };
    let steps = 1;
    for (let step = 0; step <= steps; step += 1) {
      const world = new World(DAYS, kind);
      const first = dieAt(step);
      await world.run(first, how);
      if (step === 0) steps = first.steps;
      expect(await world.run(calm(), how)).toBe(true);
      const files = [...world.files()];
      const ids = files.filter(([path]) => path.endsWith('.jsonl') && path.startsWith('db/')).flatMap(([path, bytes]) =>
      bytes.toString().split('\n').slice(0, -1).map((text) => [(JSON.parse(text) as { fullDocument: { _id: number } }).fullDocument._id, path.split('/')[2]!] as const),
    ); // prettier-ignore
      const wanted = DAYS.events.map(({ id, at }) => [id, at.t < T0 + 16 * HOUR ? '20261121' : '20261122']);
      expect(
        ids.toSorted(([a], [b]) => a - b),
        `step ${step}`,
      ).toEqual(wanted);
      const hours = files
        .filter(([path]) => path.includes('/hours/'))
        .map(([, bytes]) => (JSON.parse(bytes.toString()) as { collections: string[] }).collections.join());
      expect(hours, `step ${step}`).toEqual(Array.from({ length: 40 }, () => 'db.a,db.b'));
      const report = await verifyLake(await world.lake(), 'p', { signal: new AbortController().signal });
      expect([...report.findings, ...world.changed(), ...world.faults], `step ${step}`).toEqual([]);
    }
    expect(steps).toBeGreaterThan(30);
  },
);

describe('a lake whose stream changes its fingerprint', () => {
  it('holds every event once when it changes after a crash', async () => {
    const steps = await countSteps(FULL);
    for (let step = 1; step <= steps; step += 1) await chain(FULL, 'leases', [[step, {}]], { fingerprint: 'B' }, `step ${step}`);
  });

  it.each([
    ['stays changed', 'B', {}],
    ['is changed back', 'A', {}],
    ['stays changed, with every part sealed and the position saved at once', 'B', EAGER],
  ])('holds every event once when it changes between two crashes and %s', async (_, fingerprint, how: How) => {
    for (const [one, two] of pairs(await countSteps(SMALL, how))) {
      const deaths = [[one, how], [two, { ...how, fingerprint: 'B' }]] as const; // prettier-ignore
      await chain(SMALL, 'leases', deaths, { ...how, fingerprint }, `crashes before ${one} and ${two}`);
    }
  });

  it('holds every event once after random chains of crashes and changes', async () => {
    const steps = await countSteps(SMALL);
    for (let seed = 1; seed <= 250; seed += 1) {
      const rnd = random(seed * 15_485_863);
      const some = (): How => ({
        fingerprint: 'ABC'[Math.floor(rnd() * 3)]!,
        ...(rnd() < 0.3 && { stopAfterBatches: Math.floor(rnd() * 5) }),
        ...(rnd() < 0.5 && EAGER),
      });
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
