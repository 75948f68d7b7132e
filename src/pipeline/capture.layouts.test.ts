/**
 * Layouts other than one file per collection and hour: one file per event, files of a day; and what a limit on open parts
 * does with more collections than it allows. Crashes at every step: test/crash/.
 */
import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events } from '../../test/fakes/capture-bench.ts';
import type { ScriptedEvent } from '../../test/fakes/scripted-source.ts';
import { LAYOUT_PRESETS, eventFileTime } from '../core/layout.ts';
import { MemoryStore } from '../lake/memory/memory.ts';
import { checkpointPath, encodeCheckpoint } from './checkpoint.ts';

const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });
const PER_EVENT = { layout: LAYOUT_PRESETS['per-event'] };
const DAY = 'db/a/year=2026/month=11/day=21/';

const eventFiles = (bench: CaptureBench): string[] => bench.paths().filter((path) => eventFileTime(path) !== null);
const eventIds = (bench: CaptureBench): number[] => eventFiles(bench).flatMap((path) => bench.ids(path));

interface IndexLine {
  readonly _meta: { readonly operationType: string; readonly ns: unknown };
  readonly file: { readonly path: string; readonly bytes: number };
}

function indexOf(bench: CaptureBench, path: string): IndexLine[] {
  return bench.bytes(path).toString().split('\n').slice(0, -1).map((text) => JSON.parse(text) as IndexLine); // prettier-ignore
}

describe('one file per event', () => {
  it('is a file of one line, named by an index, which is what the ledger and the manifest name', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a'], [2, 'a', { op: 'delete', key: 0 }], [2, 'b'], [HOUR, 'a']), ...end(HOUR + 1) }, PER_EVENT);
    const index = indexOf(bench, `${DAY}_index-20261121-08.jsonl`);
    expect(index.map(({ _meta: { operationType } }) => operationType)).toEqual(['insert', 'delete']);
    expect(index.map(({ file }) => file.path.replace(/-[0-9a-f]{16}\.json$/, ''))).toEqual([
      `${DAY}insert-0-20261121T080001Z-1`,
      `${DAY}delete-0-20261121T080002Z-1`,
    ]);
    expect(index.map(({ file }) => bench.ids(file.path))).toEqual([[0], [1]]);
    const eventBytes = index.reduce((sum, { file }) => sum + bench.bytes(file.path).length, 0);
    const line = expect.objectContaining({ path: `${DAY}_index-20261121-08.jsonl`, rows: 2, ops: { insert: 1, delete: 1 }, eventBytes });
    expect(bench.ledger()).toHaveLength(3);
    expect(bench.ledger()).toContainEqual(line);
    expect(bench.json('_sluice/p/manifests/db/a/20261121-08.json')).toMatchObject({ files: [line] });
    expect(bench.hourFile(0)).toMatchObject({ complete: true, collections: ['db.a', 'db.b'] });
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('goes on after a clean stop in the same index', async () => {
    const bench = new CaptureBench();
    const list = [[1, 'a'], [2, 'a'], [3, 'a']] as const; // prettier-ignore
    await bench.runAndStop({ events: events(...list.slice(0, 2)), ...end(2) }, PER_EVENT);
    await bench.run({ events: events(...list), ...end(HOUR) }, PER_EVENT);
    expect(bench.ledger()).toMatchObject([{ rows: 3, epoch: 2 }]);
    expect(eventIds(bench).toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('that was put before a crash stands, also when the document is another one on replay', async () => {
    const bench = new CaptureBench();
    const list = [
      [1, 'a'],
      [2, 'a'],
    ] as const;
    bench.store.onOperation = ({ kind, path }) => {
      if (kind === 'append' && path.includes('/_index-')) throw new Error('dead');
    };
    await expect(bench.run({ events: events(...list), ...end(HOUR) }, PER_EVENT)).rejects.toThrow('dead');
    delete bench.store.onOperation;
    const [path = '', ...others] = eventFiles(bench);
    expect(others).toHaveLength(1);
    const before = bench.bytes(path);
    // The verifier knows that these may still come to their index.
    expect((await bench.verify()).findings).toEqual([]);
    const grown = events(...list).map((event) => ({ ...event, bytes: 50 }));
    await bench.run({ events: grown, ...end(HOUR) }, PER_EVENT);
    expect(bench.bytes(path)).toEqual(before);
    expect(eventFiles(bench)).toEqual([path, ...others]);
    expect(bench.ledger().map(({ rows }) => rows)).toEqual([0, 2]);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('whose name is taken by something else stops the run', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a']), ...end(10) }, PER_EVENT);
    const [path = ''] = eventFiles(bench);
    const other = new CaptureBench();
    await other.runAndStop({ events: [], ...end(0) }, PER_EVENT);
    await (await other.lake()).put(path, Buffer.from('what is this\n'), 'absent');
    await expect(other.run({ events: events([1, 'a']), ...end(10) }, PER_EVENT)).rejects.toThrow('is there and is not the event');
  });

  it('after a crash and a changed filter leaves what the new stream calls otherwise, which no reader of the ledger sees', async () => {
    const bench = new CaptureBench();
    const script = { events: events([1, 'a'], [2, 'a']), ...end(HOUR) };
    bench.store.onOperation = ({ kind, path }) => {
      if (kind === 'append' && path.includes('/_index-')) throw new Error('dead');
    };
    await expect(bench.run(script, PER_EVENT)).rejects.toThrow('dead');
    delete bench.store.onOperation;
    await bench.run({ ...script, fingerprint: 'B' }, PER_EVENT);
    const named = bench.ledger().flatMap(({ path }) => indexOf(bench, path).map(({ file }) => file.path));
    expect(named.flatMap((path) => bench.ids(path))).toEqual([0, 1]);
    const left = eventFiles(bench).filter((path) => !named.includes(path));
    expect((await bench.verify()).findings.map(({ check, path }) => [check, path])).toEqual(left.map((path) => ['unknown-file', path]));
    expect(left).toHaveLength(2);
  });

  it('is put with a limit on how many at once, and thousands in an hour leave a checkpoint as small as ever', async () => {
    const bench = new CaptureBench();
    let [now, most, saved] = [0, 0, 0];
    bench.store.onOperation = async ({ kind, path }) => {
      if (path === checkpointPath('p')) saved = Math.max(saved, bench.store.files.get(path)?.size ?? 0);
      if (kind !== 'put' || eventFileTime(path) === null) return;
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
    };
    const list = Array.from({ length: 5_000 }, (_, id): ScriptedEvent => ({ at: { t: T0 + 1, i: id }, ns: 'db.a', id }));
    await bench.run({ events: list, batchEvents: 1_000, ...end(HOUR) }, { ...PER_EVENT, rollBytesMax: 1e7 });
    expect(most).toBe(32);
    expect(saved).toBeLessThan(4_000);
    expect(bench.ledger()).toMatchObject([{ rows: 5_000 }]);
    expect((await bench.verify()).findings).toEqual([]);
  });
});

describe('files of a day', () => {
  const layout = '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl';
  const how = { layout, rollAgeMs: 24 * HOUR * 1000 };
  // T0 is 08:00.
  const MIDNIGHT = 16 * HOUR;
  const list = [[1, 'a'], [2 * HOUR, 'b'], [3 * HOUR, 'a'], [MIDNIGHT, 'a']] as const; // prettier-ignore

  it('hold the events of a day, and its hours are complete when the day is over', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events(...list), ...end(MIDNIGHT + HOUR) }, how);
    expect(bench.content()).toEqual({
      'db/a/2026/11/21/events-20261121.jsonl': [0, 2],
      'db/a/2026/11/22/events-20261122.jsonl': [3],
      'db/b/2026/11/21/events-20261121.jsonl': [1],
    });
    expect(bench.ledger().map(({ hour, coll }) => [hour, coll])).toEqual([
      ['20261121-00', 'a'],
      ['20261121-00', 'b'],
      ['20261122-00', 'a'],
    ]);
    expect(bench.paths().filter((path) => path.includes('/hours/')).map((path) => path.slice(-'DD-HH.json'.length))).toEqual(
      Array.from({ length: 16 }, (_, n) => `21-${String(8 + n).padStart(2, '0')}.json`),
    ); // prettier-ignore
    // What is known of a day is known of each of its hours: no more.
    for (const hour of [0, 5, 15]) expect(bench.hourFile(hour)).toMatchObject({ complete: true, collections: ['db.a', 'db.b'] });
    expect(bench.json('db/a/2026/11/21/_manifest.json')).toMatchObject({ hour: '20261121-00', files: [expect.objectContaining({ rows: 2 })] });
    expect(bench.paths().filter((path) => path.endsWith('_SUCCESS'))).toEqual(['db/a/2026/11/21/_SUCCESS', 'db/b/2026/11/21/_SUCCESS']);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('go on after a clean stop in another hour, and roll as others do', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...list.slice(0, 1)), ...end(10) }, how);
    await bench.runAndStop({ events: events(...list.slice(0, 3)), ...end(3 * HOUR) }, { ...how, rollBytesMax: 300 });
    expect(bench.ledger()).toEqual([]);
    await bench.run({ events: events(...list), ...end(MIDNIGHT + HOUR) }, { ...how, rollBytesMax: 300 });
    expect(bench.content()).toMatchObject({ 'db/a/2026/11/21/events-20261121.jsonl': [0, 2] });
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('are without _SUCCESS when a gap lies anywhere in their day, and its other hours are complete', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...list.slice(0, 1)), ...end(10) }, how);
    const gap = { from: { t: T0 + HOUR, i: 1 }, to: { t: T0 + HOUR + 1, i: 1 }, detectedAt: '', collections: [], cause: '' };
    const bytes = encodeCheckpoint({ ...bench.checkpoint(), gaps: [gap] });
    Object.assign(bench.store.files.get(checkpointPath('p'))!, { bytes, size: bytes.length });
    await bench.run({ events: events(...list), ...end(MIDNIGHT + HOUR) }, how);
    expect([0, 1, 2].map((hour) => bench.hourFile(hour)['complete'])).toEqual([true, false, true]);
    expect(bench.paths().filter((path) => path.endsWith('_SUCCESS'))).toEqual([]);
    expect((await bench.verify()).findings).toEqual([]);
  });
});

/** What people have at hand; those that this machine has not are left out, Node's own is always there. */
const READERS: Readonly<Record<'gzip' | 'zstd', readonly (readonly string[])[]>> = {
  gzip: [['zcat'], ['python3', '-c', 'import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())']],
  zstd: [['zstd', '-dcq']],
};

/** A file as each standard reader gives it. */
async function asRead(stored: Buffer, compression: 'gzip' | 'zstd'): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-readers-'));
  try {
    const path = join(folder, compression === 'gzip' ? 'x.jsonl.gz' : 'x.jsonl.zst');
    await writeFile(path, stored);
    const stream = createReadStream(path).pipe(compression === 'gzip' ? createGunzip() : createZstdDecompress());
    const read: Record<string, string> = { node: Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>)).toString() };
    for (const [tool = '', ...args] of READERS[compression]) {
      const { error, status, stdout, stderr } = spawnSync(tool, [...args, path], { maxBuffer: 2 ** 28 });
      if (error === undefined) read[tool] = status === 0 ? stdout.toString() : `status ${status}: ${stderr.toString()}`;
      else expect(error).toMatchObject({ code: 'ENOENT' });
    }
    return read;
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe.each([
  ['gzip', '.gz'],
  ['zstd', '.zst'],
] as const)('a part with %s', (compression, suffix) => {
  it('of several members is read whole by every standard reader', async () => {
    const bench = new CaptureBench();
    const list = Array.from({ length: 40 }, (_, n) => [1 + n, 'a', { bytes: n * 100 }] as const);
    await bench.run({ events: events(...list), batchEvents: 7, ...end(HOUR) }, { compression });
    const plain = new CaptureBench();
    await plain.run({ events: events(...list), ...end(HOUR) });
    const [path = ''] = bench.parts();
    const [plainPath = ''] = plain.parts();
    for (const [reader, text] of Object.entries(await asRead(bench.bytes(path), compression))) {
      expect(text, reader).toBe(plain.bytes(plainPath).toString());
    }
  });

  it('that was named and never written to is sealed as a valid file without lines', async () => {
    const bench = new CaptureBench();
    bench.store.onOperation = ({ kind, path }) => {
      if (kind === 'append' && path.startsWith('db/')) throw new Error('dead');
    };
    await expect(bench.run({ events: events([1, 'a']), ...end(HOUR) }, { compression })).rejects.toThrow('dead');
    delete bench.store.onOperation;
    // Also by an owner that would compress otherwise.
    await bench.run({ events: events([1, 'a']), ...end(HOUR) });
    const [empty = '', full] = bench.parts();
    expect([empty, full].map((path) => path!.split('/').at(-1))).toEqual([`events-20261121-08.jsonl${suffix}`, 'events-20261121-08.part-0001.jsonl']);
    expect(bench.bytes(empty).length).toBeGreaterThan(0);
    for (const [reader, text] of Object.entries(await asRead(bench.bytes(empty), compression))) expect(text, reader).toBe('');
    expect(bench.ledger()).toContainEqual(expect.objectContaining({ path: empty, rows: 0, bytes: bench.bytes(empty).length, first: null }));
    expect((await bench.verify()).findings).toEqual([]);
  });
});

/** Counts how many parts are open at once. */
class CountingStore extends MemoryStore {
  most = 0;

  constructor() {
    super();
    this.onOperation = () => {
      let open = 0;
      for (const file of this.files.values()) if (file.lease !== null) open += 1;
      this.most = Math.max(this.most, open);
    };
  }
}

describe('a limit on open parts', () => {
  const LIMIT = 50;
  const COLLECTIONS = 3_000;
  const all = (rounds: number): ScriptedEvent[] =>
    Array.from({ length: rounds * COLLECTIONS }, (_, id) => ({ at: { t: T0 + 1, i: id }, ns: `db.c${(id * 7) % COLLECTIONS}`, id }));

  it('holds when one batch has many times as many collections, and nothing is lost', async () => {
    const store = new CountingStore();
    const bench = new CaptureBench(store);
    const stats = await bench.run({ events: all(2), batchEvents: COLLECTIONS, ...end(HOUR) }, { partsOpenMax: LIMIT, rollBytesMax: 1e6 });
    // Twice the limit while a batch is written, those that are closed just then, and the ledger.
    expect(store.most).toBeLessThanOrEqual(2 * LIMIT + 9);
    expect(stats.events).toBe(2 * COLLECTIONS);
    expect(bench.ledger().reduce((sum, { rows }) => sum + rows, 0)).toBe(2 * COLLECTIONS);
    expect((bench.hourFile(0)['collections'] as string[]).length).toBe(COLLECTIONS);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('holds for the owner after a crash, too', async () => {
    const store = new CountingStore();
    const bench = new CaptureBench(store);
    const count = store.onOperation!;
    let appends = 0;
    store.onOperation = (operation) => {
      void count(operation);
      if (operation.kind !== 'append') return;
      appends += 1;
      if (appends === 900) throw new Error('dead');
    };
    const few = all(1).slice(0, 1_000);
    await expect(bench.run({ events: few, batchEvents: 1_000, ...end(HOUR) }, { partsOpenMax: LIMIT })).rejects.toThrow('dead');
    expect(bench.checkpoint().parts).toHaveLength(1_000);
    await bench.run({ events: few, batchEvents: 1_000, ...end(HOUR) }, { partsOpenMax: LIMIT });
    expect(store.most).toBeLessThanOrEqual(2 * LIMIT + 9);
    expect(bench.ledger().reduce((sum, { rows }) => sum + rows, 0)).toBe(1_000);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('rolls the least recently used one by one, and what it costs grows with the events alone', async () => {
    const bench = new CaptureBench();
    let [written, largest] = [0, 0];
    bench.store.onOperation = ({ kind, path }) => {
      const size = bench.store.files.get(path)?.size ?? 0;
      if (kind === 'put' && path === checkpointPath('p')) [written, largest] = [written + size, Math.max(largest, size)];
    };
    const rounds = 2;
    const list = all(rounds).slice(0, rounds * 500);
    await bench.run({ events: list, batchEvents: 100, ...end(HOUR) }, { partsOpenMax: LIMIT, checkpointIntervalMs: 60_000 });
    expect(bench.ledger().reduce((sum, { rows }) => sum + rows, 0)).toBe(list.length);
    // Named are the parts of a batch and of the limit, and one small record for each collection of the hour.
    expect(largest).toBeLessThan(list.length * 200 + (LIMIT + 100) * 1_200);
    expect((await bench.verify()).findings).toEqual([]);
  });
});
