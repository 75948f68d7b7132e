/**
 * Compaction, on storages that keep and on one that cuts: the lines stay, byte for byte and in order, whatever moment it dies at, and
 * whoever reads meanwhile finds each of them once.
 *
 * Every step of the storage is a moment to die at: the step that fails is the one that a killed process never took.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { SluiceError } from '../../src/core/error.ts';
import { COMPACT_BUSY, COMPACT_LAYOUT } from '../../src/core/errors.ts';
import type { Lake, LakePath } from '../../src/core/lake.ts';
import { LAYOUT_PRESETS } from '../../src/core/layout.ts';
import { isSealedLine, type SealedLine } from '../../src/core/ledger.ts';
import { openAzureLake } from '../../src/lake/azure/open.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { MemoryStore } from '../../src/lake/memory/memory.ts';
import { silentLog } from '../../src/ops/log.ts';
import { MAINTENANCE, checkpointPath } from '../../src/pipeline/checkpoint.ts';
import { compact, type CompactionOptions, type CompactionTotals } from '../../src/pipeline/compaction.ts';
import { sealedEvents } from '../../src/pipeline/event-files.ts';
import { saveHorizon } from '../../src/pipeline/horizon.ts';
import { readLedger } from '../../src/pipeline/ledger.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { openParquetWriter } from '../../src/warehouse/duckdb/parquet.ts';
import { CaptureBench, HOUR, T0, events, folderOf } from '../fakes/capture-bench.ts';
import { startDfsServer, type DfsServer } from '../fakes/dfs/server.ts';

const never = new AbortController().signal;
const NOTHING = { hours: 0, files: 0, replaced: 0, rows: 0, bytesBefore: 0, bytesAfter: 0, waiting: [], failed: [] };
/** Two hours of two collections in several parts, and the beginning of a third. */
const SCRIPT = {
  events: events(
    ...Array.from({ length: 12 }, (_, n) => [1 + n, n % 3 === 0 ? 'b' : 'a', { bytes: 300 }] as const),
    ...Array.from({ length: 6 }, (_, n) => [HOUR + 1 + n, 'a', { bytes: 300, key: '"é \\u00e9 🐟"' }] as const),
    [2 * HOUR + 1, 'a'],
  ),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 2,
};
const SEVERAL_PARTS = { rollBytesMax: 1_000, flushBytesMax: 600 };

async function run(
  lake: Lake,
  options: Partial<CompactionOptions> = {},
  loaded: ((paths: readonly LakePath[]) => ReadonlySet<string>) | null = null,
): Promise<CompactionTotals> {
  const whole = { pipeline: 'p', takeOver: false, collections: [], from: null, to: null, ...options };
  const ask = loaded === null ? null : async (paths: readonly LakePath[]): Promise<ReadonlySet<string>> => loaded(paths);
  return await compact(whole, { lake, clock: systemClock, log: silentLog, openWriter: openParquetWriter, loaded: ask }, never);
}

/** What the ledger promises now. */
async function inForce(lake: Lake): Promise<SealedLine[]> {
  const lines: SealedLine[] = [];
  for await (const line of readLedger(lake, 'p', '', never)) if (isSealedLine(line)) lines.push(line);
  const superseded = new Set(lines.flatMap(({ supersedes = [] }) => supersedes));
  return lines.filter(({ path }) => !superseded.has(path)).toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** All lines, read as a reader of the ledger does, by collection and hour. */
async function linesOf(lake: Lake): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const sealed of await inForce(lake)) {
    const key = `${sealed.coll} ${sealed.hour}`;
    for await (const line of sealedEvents(lake, sealed, never)) texts[key] = (texts[key] ?? '') + Buffer.from(line).toString();
  }
  return texts;
}

async function faults(lake: Lake): Promise<string[]> {
  const { findings } = await verifyLake(lake, 'p', { signal: never });
  return findings.map(({ check, path, detail }) => `${check} ${path}: ${detail}`);
}

async function filesBelow(lake: Lake, prefix: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of lake.list(prefix, never)) paths.push(path.slice(prefix.length));
  return paths;
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean();
});

class LocalBench extends CaptureBench {
  readonly root: string;

  constructor(root: string) {
    super();
    this.root = root;
  }

  override lake(): Promise<Lake> {
    return openLocalLake(this.root);
  }
}

async function localBench(): Promise<LocalBench> {
  const root = await mkdtemp(join(tmpdir(), 'sluice-compaction-'));
  cleanups.push(() => rm(root, { recursive: true, force: true }));
  return new LocalBench(root);
}

describe.each(['none', 'gzip', 'zstd'] as const)('the hours of a lake (compression %s)', (compression) => {
  it('become one Parquet file each, with the lines as they were', async () => {
    const bench = await localBench();
    await bench.runAndStop(SCRIPT, { ...SEVERAL_PARTS, compression });
    const lake = await bench.lake();
    const before = await linesOf(lake);
    const count = (await inForce(lake)).length;
    const totals = await run(lake);
    expect(totals).toMatchObject({ hours: 3, files: 3, rows: 18, waiting: [], failed: [] });
    expect(totals.replaced).toBeGreaterThan(3);
    const after = await inForce(lake);
    expect(after.length).toBe(count - totals.replaced + 3);
    expect(await linesOf(lake)).toEqual(before);
    expect(await faults(lake)).toEqual([]);
    expect(await filesBelow(lake, folderOf('a'))).toEqual(['_SUCCESS', '_manifest.json', 'events-20261121-08.parquet']);
    const line = after.find(({ path }) => path.endsWith('.parquet'))!;
    const text = before[`${line.coll} ${line.hour}`]!;
    expect(line.lines).toEqual({ bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') });
    expect(await run(lake)).toEqual(NOTHING);
  });
});

describe('columns of a Parquet file', () => {
  it('say what the line says, for programs that read it by themselves', async () => {
    const bench = await localBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    await run(lake, { collections: ['db.a'], to: Math.floor(T0 / HOUR) });
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const file = lake.localPath(`${folderOf('a')}events-20261121-08.parquet`);
    const rows = (await connection.runAndReadAll(`SELECT * REPLACE (CAST("at" AS VARCHAR) AS "at") FROM '${file}'`)).getRowObjectsJson();
    expect(rows.length).toBe(8);
    for (const row of rows) {
      const { _meta: meta, documentKey } = JSON.parse(row['line'] as string) as {
        _meta: { position: string; operationType: string; clusterTime: { $timestamp: { t: number; i: number } } };
        documentKey: { _id: unknown };
      };
      const { t, i } = meta.clusterTime.$timestamp;
      expect(row).toMatchObject({
        position: meta.position,
        operation: meta.operationType,
        db: 'db',
        coll: 'a',
        key: JSON.stringify(documentKey._id),
      });
      expect([row['cluster_time_t'], row['cluster_time_i']]).toEqual([String(t), String(i)]);
      expect(new Date(`${(row['at'] as string).slice(0, 19)}Z`).getTime()).toBe(t * 1000);
    }
    connection.closeSync();
    instance.closeSync();
  });
});

describe('what is compacted', () => {
  it('is only what is over, and what was asked for', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    const hour = Math.floor(T0 / HOUR);
    expect(await run(lake, { from: hour + 2 })).toEqual(NOTHING);
    expect(await run(lake, { collections: ['other.*'] })).toEqual(NOTHING);
    // Nobody who has nothing to do leaves a trace.
    expect(await filesBelow(lake, '_sluice/p/maintenance/')).toEqual([]);
    expect(await run(lake, { collections: ['db.b'], from: hour, to: hour })).toMatchObject({ hours: 1 });
    expect((await inForce(lake)).filter(({ path }) => path.endsWith('.parquet')).map(({ coll }) => coll)).toEqual(['b']);
    expect(await faults(lake)).toEqual([]);
  });

  it('waits for the warehouse', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    const [first] = await inForce(lake);
    const totals = await run(lake, {}, (paths) => new Set(paths.filter((path) => path !== first!.path)));
    expect(totals).toMatchObject({ hours: 2, waiting: ['20261121-08/db.a'] });
    expect(await run(lake, {}, (paths) => new Set(paths))).toMatchObject({ hours: 1, waiting: [] });
    expect(await faults(lake)).toEqual([]);
  });

  it('leaves an hour alone whose file is not what the ledger says', async () => {
    const bench = await localBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    const [first] = await inForce(lake);
    const bytes = Buffer.from((await linesOf(lake))['a 20261121-08']!.slice(0, first!.bytes).replace('"v":1', '"v":2'));
    await lake.put(first!.path, bytes, (await lake.stat(first!.path))!);
    const totals = await run(lake);
    expect(totals).toMatchObject({ hours: 2, failed: [{ hour: '20261121-08/db.a' }] });
    expect(totals.failed[0]!.reason).toContain('SHA-256');
    expect(await lake.stat(first!.path)).not.toBeNull();
  });

  it('is never the layout of one file per event', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, { layout: LAYOUT_PRESETS['per-event'] });
    await expect(run(await bench.lake())).rejects.toSatisfy((error) => SluiceError.is(error, COMPACT_LAYOUT));
  });

  it('may be days, and hours without a folder of their own', async () => {
    const bench = new CaptureBench();
    const days = { ...SCRIPT, events: [...SCRIPT.events, ...events([16 * HOUR, 'a'])], end: { t: T0 + 17 * HOUR, i: 1 } };
    await bench.runAndStop(days, { ...SEVERAL_PARTS, layout: '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl' });
    const lake = await bench.lake();
    const before = await linesOf(lake);
    expect(await run(lake)).toMatchObject({ hours: 2 });
    expect(await linesOf(lake)).toEqual(before);
    expect(await faults(lake)).toEqual([]);
  });

  it('is told by the proof when it holds other lines than before', async () => {
    const bench = await localBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    await run(lake);
    // Somebody makes the file anew and swaps two keys, with a ledger that goes along: only what it has replaced tells.
    const ledger = (await filesBelow(lake, '_sluice/p/ledger/maintenance/')).map((name) => `_sluice/p/ledger/maintenance/${name}`)[0]!;
    const text = (await readAll(lake, ledger)).replace(
      /"lines":\{"bytes":\d+,"sha256":"[0-9a-f]+"\}/,
      `"lines":{"bytes":7,"sha256":"${'0'.repeat(64)}"}`,
    );
    await lake.put(ledger, Buffer.from(text), (await lake.stat(ledger))!);
    expect((await faults(lake)).filter((fault) => fault.startsWith('same-lines'))).toHaveLength(1);
  });
});

async function readAll(lake: Lake, path: LakePath): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lake.read(path, 0, never)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('hours that retention has taken away', () => {
  it('are left alone, also where a compaction of them was cut short', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    bench.store.onOperation = ({ kind }) => {
      if (kind === 'remove') throw new Died();
    };
    expect(await run(lake).then(() => false, hasDied)).toBe(true);
    delete bench.store.onOperation;
    const hour = Math.floor(T0 / HOUR);
    await saveHorizon(lake, 'p', { from: hour + 1, removed: null, apart: new Map(), there: null }, '');
    for (const path of [...(await filesBelow(lake, folderOf('a'))).map((name) => folderOf('a') + name), ...(await filesBelow(lake, folderOf('b'))).map((name) => folderOf('b') + name)]) await lake.remove(path); // prettier-ignore
    expect(await run(lake)).toMatchObject({ hours: 1, failed: [] });
    expect(await faults(lake)).toEqual([]);
  });
});

describe('two compactions', () => {
  it('do not work at one time', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    await using _owner = await lake.own(checkpointPath('p', MAINTENANCE), { takeOver: false }, never);
    await expect(run(await bench.lake())).rejects.toSatisfy((error) => SluiceError.is(error, COMPACT_BUSY));
  });

  it('can take turns with an owner that goes on', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    await run(await bench.lake());
    const more = { ...SCRIPT, events: [...SCRIPT.events, ...events([3 * HOUR + 1, 'a', { id: 100 }])], end: { t: T0 + 4 * HOUR, i: 1 } };
    // A changed stream: what is sealed is looked at again from the position on.
    await bench.runAndStop({ ...more, fingerprint: 'B' }, SEVERAL_PARTS);
    const lake = await bench.lake();
    expect(await faults(lake)).toEqual([]);
    const before = await linesOf(lake);
    expect(await run(lake)).toMatchObject({ hours: 1, failed: [] });
    expect(await linesOf(lake)).toEqual(before);
    expect(await faults(lake)).toEqual([]);
    expect(Object.values(before).join('').split('\n').length - 1).toBe(19);
  });
});

describe('a proof that is under way', () => {
  it.each(['events-20261121-08.jsonl', '_manifest.json'])('finds nothing wrong when the lake is compacted as it comes to %s', async (name) => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const lake = await bench.lake();
    const other = await bench.lake();
    let compacted = 0;
    const read = lake.read.bind(lake);
    lake.read = async function* (path, from, signal) {
      if (path.endsWith(name) && compacted === 0) {
        compacted = -1;
        compacted = (await run(other)).hours;
      }
      yield* read(path, from, signal);
    };
    expect(await faults(lake)).toEqual([]);
    expect(compacted).toBe(3);
  });
});

class Died extends Error {}

describe('a compaction that dies', () => {
  it('at any step of a storage that keeps leaves every line readable once, and the next one ends it', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const begun = copyOf(bench.store);
    const before = await linesOf(await bench.lake());
    let steps = 0;
    for (let at = 1; ; at += 1) {
      const store = copyOf(begun);
      const lake = await new CaptureBench(store).lake();
      let left = at;
      store.onOperation = ({ kind }) => {
        left -= 1;
        // Dead is dead: whatever it would have done to clean up does not happen either. What it has owned is given up below.
        if (left <= 0 && kind !== 'release') throw new Died();
      };
      const died = await run(lake, { to: Math.floor(T0 / HOUR) }).then(
        () => false,
        (error: unknown) => hasDied(error),
      );
      delete store.onOperation;
      store.owners.clear();
      if (!died) break;
      steps = at;
      const next = await new CaptureBench(store).lake();
      expect(await linesOf(next), `after ${at} steps`).toEqual(before);
      expect(await faults(next), `after ${at} steps`).toEqual([]);
      await run(next, { to: Math.floor(T0 / HOUR) });
      expect(await linesOf(next), `after ${at} steps, and another one`).toEqual(before);
      expect(await faults(next)).toEqual([]);
      expect(await filesBelow(next, folderOf('a')), `after ${at} steps`).toEqual(['_SUCCESS', '_manifest.json', 'events-20261121-08.parquet']);
    }
    expect(steps).toBeGreaterThan(15);
  });
});

function hasDied(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof Died) return true;
  throw error;
}

function copyOf({ files }: MemoryStore): MemoryStore {
  const copy = new MemoryStore();
  for (const [path, file] of files)
    copy.files.set(path, { bytes: Buffer.from(file.bytes), size: file.size, version: copy.nextVersion(), lease: null });
  return copy;
}

describe('a hierarchical account', () => {
  let server: DfsServer;
  beforeAll(async () => {
    server = await startDfsServer();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  it.each(['dfs', 'append-blob'] as const)('is compacted beside its owner (%s)', async (writer) => {
    const { account } = server;
    const url = `${server.url}/compact-${writer}/lake`;
    class AzureBench extends CaptureBench {
      override lake(): Promise<Lake> {
        return openAzureLake({ url, writer, auth: { kind: 'accountKey', account: account.name, key: account.key }, renewMs: 50 });
      }
    }
    const bench = new AzureBench();
    const live = await bench.start(
      bench.source({ ...SCRIPT, onBatch: async (_, isLast) => void (isLast && (await new Promise(() => {}))) }),
      SEVERAL_PARTS,
    );
    await using lake = await bench.lake();
    await expect.poll(async () => (await filesBelow(lake, '_sluice/p/hours/')).length, { timeout: 60_000 }).toBe(2);
    await using _live = live;
    const before = await linesOf(lake);
    // The checkpoint that says so comes after the hour file.
    let hours = 0;
    await expect.poll(async () => (hours += (await run(lake)).hours), { timeout: 60_000 }).toBe(3);
    expect(await linesOf(lake)).toEqual(before);
    expect(await faults(lake)).toEqual([]);
  });
});

it('leaves nothing in the folder of temporary files', async () => {
  // Other tests have folders in the usual place at the same time.
  const own = await mkdtemp(join(tmpdir(), 'sluice-alone-'));
  vi.stubEnv('TMPDIR', own);
  try {
    const bench = new CaptureBench();
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    await run(await bench.lake());
    expect(await readdir(own)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
    await rm(own, { recursive: true, force: true });
  }
});
