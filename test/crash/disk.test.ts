/**
 * The local lake on a disk that fails (faulty-disk.ts), at every single step: the system says that there is no room, half a
 * write arrives, a sync fails, the process ends, the power is cut. A process that is told of a failure must end with its
 * code; whatever happened, the next owner must bring the lake to a good end, and what it then holds must survive a power cut
 * in the same moment.
 *
 * `SLUICE_DISK` sets how many pairs of faults are tried, `SLUICE_SEED` the first seed.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { isSealedLine, readLedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { Capture } from '../../src/pipeline/capture.ts';
import { ScriptedSource } from '../fakes/scripted-source.ts';
import { disk, type DiskFault } from './faulty-disk.ts';
import { faultsOf } from './schedule-faults.ts';
import { OPTIONS, random, sha256, type History } from './schedule-world.ts';
import { SEED } from '../seed.ts';

vi.mock('node:fs/promises', async (original) => {
  const { faulty } = await import('./faulty-disk.ts');
  return faulty(await original<typeof import('node:fs/promises')>());
});

const PAIRS = Number(process.env['SLUICE_DISK'] ?? 60);
const HOUR = 3600;
const T0 = 1_795_248_000; // a full hour
function history(end: number, seconds: readonly (readonly [number, string])[]): History {
  return { events: seconds.map(([s, ns], id) => ({ at: { t: T0 + s, i: 1 }, ns, id })), batchEvents: 2, end: { t: T0 + end, i: 1 } };
}

/** For every single step. */
const SMALL = history(HOUR, [[1, 'db.a'], [2, 'db.a'], [2, 'db.a']]); // prettier-ignore
/** Two collections, two hours. */
const FULL = history(2 * HOUR, [[1, 'db.a'], [2, 'db.a'], [2, 'db.a'], [3, 'db.b'], [HOUR + 1, 'db.a'], [HOUR + 2, 'db.a']]); // prettier-ignore
const CODES: Readonly<Record<DiskFault, string | null>> = {
  EIO: 'SLC-1105',
  ENOSPC: 'SLC-1104',
  short: 'SLC-1104',
  torn: null,
  end: null,
};
const KINDS = Object.keys(CODES) as DiskFault[];

// What is durable is reckoned here and never asked of the machine, so that memory will do.
const folder = realpathSync(mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'sluice-disk-')));
const root = join(folder, 'lake');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let sealed: Map<string, string>;
let of: History;
beforeEach(() => {
  sealed = new Map();
  of = SMALL;
});

function ledger(): SealedLine[] {
  const files = [...disk.files()].filter(([path]) => path.includes('/ledger/')).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const texts = files.flatMap(([, bytes]) => bytes.toString('utf8').split('\n').slice(0, -1));
  return texts.map((text) => readLedgerLine(text)).filter((line) => line !== null).filter(isSealedLine); // prettier-ignore
}

/** A process from its start to its end. @returns what it ended with; `null` when it has done all its work */
async function run(kind: DiskFault | null, at: number): Promise<Error | null> {
  disk.plug(kind, at);
  let nowMs = T0 * 1000;
  const clock: Clock = { now: () => nowMs, sleep: async () => {} };
  const source = new ScriptedSource({ ...of, fingerprint: 'A', onBatch: (_, isLast) => void (nowMs += isLast ? 60_000 : 600) });
  try {
    const lake = await openLocalLake(root, clock);
    await new Capture({ ...OPTIONS, wait: false }, { source, lake, clock, stats: newStats(), log: silentLog }).run(new AbortController().signal);
    return null;
  } catch (error) {
    return error as Error;
  } finally {
    for (const line of ledger()) sealed.set(line.path, line.sha256);
  }
}

/** The same, with a fault that must be met, and the right end of it. */
async function fail(kind: DiskFault, at: number): Promise<void> {
  const error = await run(kind, at);
  if (!disk.hasFailed) return expect(error, disk.fault).toBeNull();
  // A process that is not there any more says nothing; the one that plays it here must not have come through.
  if (disk.hasEnded) return expect(error, disk.fault).not.toBeNull();
  // Nobody needs what is left beside the place where a name was taken already: it is removed when it is a day old.
  if (error === null && /unlink \S*\/\.tmp-/.test(disk.fault)) return;
  expect(error, disk.fault).toMatchObject({ code: CODES[kind] });
}

function newDisk(): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  disk.begin(root);
  sealed = new Map();
}

/** The next owner does everything, the power goes the moment it has ended, and the lake is right. */
async function endsWell(what: string): Promise<void> {
  expect(await run(null, 0), what).toBeNull();
  disk.cutPower(() => 0);
  const changed = (): string[] => {
    const files = disk.files();
    return [...sealed]
      .filter(([path, hash]) => sha256(files.get(path) ?? Buffer.from('gone')) !== hash)
      .map(([path]) => `${path} was sealed and has changed`);
  };
  const outcome = { faults: [], changed, files: () => disk.files(), ledger, lake: () => openLocalLake(root) };
  expect(await faultsOf(outcome, of), what).toEqual([]);
}

async function countSteps(): Promise<number> {
  newDisk();
  expect(await run(null, 0)).toBeNull();
  return disk.steps;
}

/** Half of it arrives only where something is written; anything may fail altogether. */
async function stepsOf(kind: DiskFault): Promise<number[]> {
  const steps = await countSteps();
  const all = Array.from({ length: steps }, (_, index) => index + 1);
  return kind === 'short' || kind === 'torn' ? all.filter((at) => disk.is('write', at)) : all;
}

describe('a lake on a disk that fails', () => {
  it('has a power cut that takes away what was never synced, or the tests below show nothing', async () => {
    const steps = await countSteps();
    expect(steps).toBeGreaterThan(50);
    const isSync = (at: number): boolean => disk.is('sync db/', at) && disk.is('write db/', at - 1);
    const sync = Array.from({ length: steps }, (_, index) => index + 1).find(isSync)!;
    newDisk();
    await run('end', sync);
    const part = [...disk.files()].find(([path]) => path.startsWith('db/'))!;
    expect(part[1].length).toBeGreaterThan(0);
    disk.cutPower(() => 0);
    expect(disk.files().get(part[0])).toHaveLength(0);
  });

  it.each(KINDS)('holds every event once after %s at any one step', async (kind) => {
    for (const at of await stepsOf(kind)) {
      newDisk();
      await fail(kind, at);
      await endsWell(disk.fault);
    }
  });

  it.each(['EIO', 'torn', 'end'] as const)('holds every event once after %s at any one step and a power cut', async (kind) => {
    for (const at of await stepsOf(kind)) {
      newDisk();
      await fail(kind, at);
      const { fault } = disk;
      // What is left is the least, the most, or something in between.
      disk.cutPower([() => 0, () => 0.999, random(at * 7919)][at % 3]!);
      await endsWell(`${fault}, then a power cut`);
    }
  });

  it(
    `holds every event once after ${PAIRS} pairs of faults, power cuts between them (SLUICE_SEED=${SEED})`,
    { timeout: 60_000 + PAIRS * 500 },
    async () => {
      of = FULL;
      const steps = await countSteps();
      for (let seed = SEED; seed < SEED + PAIRS; seed += 1) {
        const rnd = random(seed * 104_729);
        newDisk();
        const faults: string[] = [];
        for (let n = 0; n < 2; n += 1) {
          await fail(KINDS[Math.floor(rnd() * KINDS.length)]!, 1 + Math.floor(rnd() * steps));
          faults.push(disk.fault);
          if (rnd() < 0.6) disk.cutPower(rnd);
        }
        await endsWell(`SLUICE_SEED=${seed}: ${faults.join('; ')}`);
      }
    },
  );
});
