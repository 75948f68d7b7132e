/**
 * Restoring, dumps of changes and `verify --source` while others compact, erase from and retain the lake: at each of their questions, and in
 * the middle of each file, which an object storage takes away from whoever is reading it.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events } from '../../test/fakes/capture-bench.ts';
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import type { DocumentReader } from '../core/documents.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED, RESTORE_CHANGED, RESTORE_MOMENT, RESTORE_NOTHING } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { openParquetWriter } from '../warehouse/duckdb/parquet.ts';
import { compact } from './compaction.ts';
import { Dumper, type DumpOutcome } from './dump.ts';
import { readRecords } from './dump-record.ts';
import { erase } from './erase.ts';
import { readFile } from './read-file.ts';
import { restore } from './restore.ts';
import { LakeSource } from './restore-lake.ts';
import { retain } from './retain.ts';
import { verifyStream, type StreamReport } from './verify-stream.ts';

const never = new AbortController().signal;
const ANN = '"ann"';
const SCRIPT = {
  events: events(
    [0, 'a', { op: 'create' }],
    ...Array.from({ length: 11 }, (_, n) => [1 + n, 'a', { bytes: 200, ...(n % 3 === 0 && { key: ANN }) }] as const),
    ...Array.from({ length: 5 }, (_, n) => [HOUR + 1 + n, 'a', { bytes: 200, ...(n === 2 && { key: ANN }) }] as const),
    [2 * HOUR + 1, 'a'],
    [2 * HOUR + 2, 'a'],
  ),
  end: { t: T0 + 5 * HOUR, i: 1 },
  batchEvents: 2,
};
/** By then the third hour is over, too. */
const LATER = { ...SCRIPT, events: [...SCRIPT.events, ...events([4 * HOUR, 'a', { id: 100 }], [4 * HOUR + 1, 'a', { id: 101 }])] };
const SEVERAL_PARTS = { rollBytesMax: 900, flushBytesMax: 600 };
const NOW = T0 + 4 * HOUR;
const clock: Clock = { now: () => NOW * 1000, sleep: (ms, signal) => systemClock.sleep(ms, signal) };
const FORMS = { 'plain lines': {}, gzip: { compression: 'gzip' }, 'a file per event': { layout: LAYOUT_PRESETS['per-event'] } } as const;
type Form = keyof typeof FORMS;
const WORK = {
  capture: (bench: CaptureBench) => bench.runAndStop(LATER, SEVERAL_PARTS),
  compaction: async (bench: CaptureBench) => {
    const lake = await bench.lake();
    const options = { pipeline: 'p', takeOver: false, collections: [], from: null, to: null };
    await compact(options, { lake, clock, log: silentLog, openWriter: openParquetWriter, loaded: null }, never);
  },
  erasure: async (bench: CaptureBench) => {
    const lake = await bench.lake();
    const request = { collections: ['db.*'], keys: ['ann'], where: [], by: 'test', reason: null };
    await erase({ pipeline: 'p', request, dryRun: false }, { lake, clock, log: silentLog, warehouse: null, openWriter: openParquetWriter }, never);
  },
  retention: async (bench: CaptureBench) => {
    const lake = await bench.lake();
    const forEver = { dumpsMs: null, claimsMs: null, deadLettersMs: null, bronzeMs: null };
    await retain({ pipeline: 'p', hoursMs: 3 * HOUR * 1000, ...forEver, dryRun: false }, { lake, clock, log: silentLog, warehouse: null }, never);
  },
} as const;
type Work = keyof typeof WORK;

/** What somebody has changed of a lake. */
type Change = ReadonlyMap<LakePath, Buffer | null>;
interface Begun {
  readonly store: MemoryStore;
  /** One after another. */
  readonly changes: readonly Change[];
}

const contentOf = (store: MemoryStore): Map<LakePath, Buffer> =>
  new Map([...store.files].map(([path, { bytes, size }]) => [path, Buffer.from(bytes.subarray(0, size))]));

function put(store: MemoryStore, change: Change): void {
  for (const [path, bytes] of change) {
    if (bytes === null) store.files.delete(path);
    else store.files.set(path, { bytes: Buffer.from(bytes), size: bytes.length, version: store.nextVersion(), lease: null });
  }
}

function copyOf(store: MemoryStore): MemoryStore {
  const copy = new MemoryStore();
  put(copy, contentOf(store));
  return copy;
}

async function begin(form: Form, works: readonly Work[]): Promise<Begun> {
  const bench = new CaptureBench();
  await bench.runAndStop(SCRIPT, { ...SEVERAL_PARTS, ...FORMS[form] });
  const store = copyOf(bench.store);
  const changes: Change[] = [];
  for (const work of works) {
    const before = contentOf(bench.store);
    await WORK[work](bench);
    const after = contentOf(bench.store);
    const change = new Map<LakePath, Buffer | null>([...after].filter(([path, bytes]) => before.get(path)?.equals(bytes) !== true));
    for (const path of before.keys()) if (!after.has(path)) change.set(path, null);
    expect(change.size).toBeGreaterThan(2);
    changes.push(change);
  }
  return { store, changes };
}

/** A storage that takes a file away from whoever reads it, and tells each of its questions. */
async function vanishing(store: MemoryStore, onQuestion: () => void): Promise<Lake> {
  const lake = await openMemoryLake(store);
  const [stat, read] = [lake.stat.bind(lake), lake.read.bind(lake)];
  lake.stat = async (path) => {
    onQuestion();
    return await stat(path);
  };
  lake.read = async function* (path, from, signal) {
    onQuestion();
    for await (const chunk of read(path, from, signal)) {
      const half = Math.ceil(chunk.length / 2);
      yield chunk.subarray(0, half);
      onQuestion();
      if (!store.files.has(path)) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
      yield chunk.subarray(half);
    }
  };
  return lake;
}

/** `work` on a lake that is changed at its `at`th question, and again some questions later. @returns how many it has asked */
async function beside({ store: begun, changes }: Begun, at: number, work: (lake: Lake) => Promise<void>): Promise<number> {
  const store = copyOf(begun);
  let asked = 0;
  const lake = await vanishing(store, () => {
    asked += 1;
    for (const [index, change] of changes.entries()) if (asked === at + 2 * index) put(store, change);
  });
  await work(lake);
  return asked;
}

/** At every question there is. */
async function atEach(begun: Begun, work: (lake: Lake, at: number) => Promise<void>): Promise<void> {
  for (let [at, asked] = [1, Infinity]; at <= asked; at += 1) asked = await beside(begun, at, (lake) => work(lake, at));
}

async function restored(lake: Lake): Promise<unknown[]> {
  const asOf = { t: T0 + 2 * HOUR, i: 1 };
  const plan = await new LakeSource(lake, 'p').plan({ db: 'db', coll: 'a' }, asOf, never);
  const ids: unknown[] = [];
  for await (const { key } of restore(plan, { asOf, hasPostImages: false }, () => {}, never)) ids.push(key);
  return ids;
}

const reader: DocumentReader = {
  collections: () => Promise.reject(new Error('nobody asks for documents')),
  open: () => Promise.reject(new Error('nobody asks for documents')),
  [Symbol.asyncDispose]: async () => {},
};

/** Positions of the changes that are dumped by then, in the order of the files. */
async function dump(lake: Lake): Promise<{ outcomes: readonly DumpOutcome[]; lines: string[] }> {
  const names = { layout: 'ndjson', withDatabase: false } as const;
  const options = { pipeline: 'p', content: 'changes', names, collections: ['*.*'], timeoutMs: 60_000, changesMax: 4 } as const;
  const outcomes = await new Dumper(options, { lake, clock, log: silentLog, reader }).run({ collections: [], hour: null, interim: true }, never);
  const lines: string[] = [];
  for await (const { record } of readRecords(lake, 'p', never)) {
    expect(record.writing).toBe(null);
    for (const { path } of record.files) lines.push(...(await readFile(lake, path, never)).toString().split('\n').slice(0, -1));
  }
  return { outcomes, lines };
}

const verify = (lake: Lake): Promise<StreamReport> =>
  verifyStream(lake, 'p', new CaptureBench().source(LATER), { seconds: 1_000_000, eventsMax: 1_000 }, never);

describe.each<[Form, readonly Work[]]>([
  ['plain lines', ['compaction']],
  ['gzip', ['compaction']],
  ['plain lines', ['erasure']],
  ['a file per event', ['erasure']],
  ['plain lines', ['compaction', 'erasure']],
  ['plain lines', ['retention']],
  ['a file per event', ['retention']],
  ['plain lines', ['compaction', 'retention']],
  ['plain lines', ['capture', 'compaction']],
])('beside what happens to %s by %s', (form, works) => {
  let begun: Begun;
  let [documents, changes]: [readonly unknown[], readonly string[]] = [[], []];
  beforeAll(async () => {
    begun = await begin(form, works);
    documents = await restored(await openMemoryLake(copyOf(begun.store)));
    changes = (await dump(await openMemoryLake(copyOf(begun.store)))).lines;
    expect([documents.length, changes.length]).toEqual([12, 17]);
  });
  const isOnlyCompacted = works.every((work) => work === 'compaction' || work === 'capture');

  it('a restore gives back what it was begun for, or says that it has changed', async () => {
    const after = documents.filter((key) => key !== `{"_id":${ANN}}`);
    let changed = 0;
    await atEach(begun, async (lake, at) => {
      const found = await restored(lake).catch((error: unknown) => {
        const isTold = SluiceError.is(error, RESTORE_CHANGED, ...(works.includes('retention') ? [RESTORE_NOTHING, RESTORE_MOMENT] : []));
        if (isOnlyCompacted || !isTold) throw new Error(`at question ${at}`, { cause: error });
        if (SluiceError.is(error, RESTORE_CHANGED)) changed += 1;
        return null;
      });
      if (found === null) return;
      expect([documents, ...(works.includes('erasure') ? [after] : [])], `at question ${at}`).toContainEqual(found);
    });
    expect(changed > 0).toBe(!isOnlyCompacted);
  });

  it('a dump has each change that is left once', async () => {
    const left = changes.filter((line) => !line.includes(ANN));
    const secondOf = (line: string): number => Number(/"t":(\d+)/.exec(line)![1]);
    const removed = (line: string): boolean => works.includes('retention') && secondOf(line) < T0 + HOUR;
    await atEach(begun, async (lake, at) => {
      const { outcomes, lines: all } = await dump(lake);
      // An hour more may be sealed by now.
      const lines = all.filter((line) => secondOf(line) < T0 + 2 * HOUR);
      expect(
        outcomes.filter(({ outcome }) => outcome === 'failed'),
        `at question ${at}`,
      ).toEqual([]);
      const isOther = (line: string): boolean => !line.includes(ANN) && !removed(line);
      expect(lines.filter(isOther), `at question ${at}`).toEqual(left.filter((line) => !removed(line)));
      // Each at most once, and none that was not there.
      expect(new Set(lines).size).toBe(lines.length);
      expect(changes).toEqual(expect.arrayContaining(lines));
      if (isOnlyCompacted) expect(lines).toEqual(changes);
    });
  });

  it('a comparison with the stream finds nothing', async () => {
    await atEach(begun, async (lake, at) => {
      const report = await verify(lake);
      expect([report.reason, report.findings], `at question ${at}`).toEqual([null, []]);
      if (isOnlyCompacted) expect(report.events).toBeGreaterThanOrEqual(18);
      if (works.length === 1 && works[0] === 'erasure') expect(report.events + report.erased).toBe(18);
    });
  });
});

it('a file that nobody has replaced is missing, also where others were', async () => {
  const { store, changes } = await begin('plain lines', ['erasure']);
  put(store, changes[0]!);
  const lost = [...store.files.keys()].find((path) => path.includes('/hour=09/events-'))!;
  store.files.delete(lost);
  const lake = await openMemoryLake(store);
  await expect(restored(lake)).rejects.toMatchObject({ kind: LAKE_DAMAGED });
  await expect(verify(lake)).rejects.toMatchObject({ kind: LAKE_DAMAGED });
  expect((await dump(lake)).outcomes.filter(({ outcome }) => outcome === 'failed')).toMatchObject([
    { hour: '20261121-09', note: expect.stringContaining('SLC-1111') as string },
  ]);
});
