/**
 * Files that are not what was written: cut, longer, torn in the middle of a line, turned into something else, gone, or of
 * another version. Each is told with a code before anything is written over it, never guessed at; what a crash can leave
 * by itself is settled without a word.
 *
 * On the local disk, which cuts back what no checkpoint covers, and in memory, where it is kept, as on object storages.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { Lake } from '../../src/core/lake.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import type { CaptureOptions } from '../../src/pipeline/capture.ts';
import { checkpointPath } from '../../src/pipeline/checkpoint.ts';
import { CaptureBench, HOUR, T0, events, folderOf } from '../fakes/capture-bench.ts';
import type { Script } from '../fakes/scripted-source.ts';

const CHECKPOINT = checkpointPath('p');
const OPEN = `${folderOf('a', 1)}events-20261121-09.jsonl`;
const YESTERDAY = '_sluice/p/ledger/20261121.jsonl';
const TODAY = '_sluice/p/ledger/20261122.jsonl';
const DAY_MS = 24 * HOUR * 1000;
const LIST = [[1, 'a'], [2, 'b'], [HOUR + 1, 'b'], [HOUR + 2, 'b'], [HOUR + 3, 'a'], [HOUR + 4, 'a'], [HOUR + 5, 'a']] as const; // prettier-ignore

/** Captures whose files a test may read and spoil behind their back. */
abstract class Shelf extends CaptureBench {
  abstract write(path: string, bytes: Uint8Array | null): void;

  /** Every file; the checkpoint aside, since a new owner says first who it is. */

  snapshot(): [string, string][] {
    return this.paths().filter((path) => path !== CHECKPOINT).map((path) => [path, this.bytes(path).toString('latin1')]); // prettier-ignore
  }
}

class MemoryShelf extends Shelf {
  write(path: string, bytes: Uint8Array | null): void {
    if (bytes === null) this.store.files.delete(path);
    else this.store.files.set(path, { bytes: Buffer.from(bytes), size: bytes.length, version: this.store.nextVersion(), lease: null });
  }
}

class DiskShelf extends Shelf {
  readonly root = mkdtempSync(join(tmpdir(), 'sluice-torn-'));

  override lake(): Promise<Lake> {
    return openLocalLake(this.root);
  }

  override paths(): string[] {
    const entries = readdirSync(this.root, { recursive: true, encoding: 'utf8' });
    return entries.filter((path) => statSync(join(this.root, path)).isFile() && !path.endsWith('/lock')).toSorted();
  }

  override bytes(path: string): Buffer {
    return readFileSync(join(this.root, path));
  }

  write(path: string, bytes: Uint8Array | null): void {
    const absolute = join(this.root, path);
    if (bytes === null) return rmSync(absolute);
    mkdirSync(dirname(absolute), { recursive: true });
    writeFileSync(absolute, bytes);
  }
}

const shelves: DiskShelf[] = [];
afterEach(() => {
  for (const { root } of shelves.splice(0)) rmSync(root, { recursive: true, force: true });
});

const KINDS = { 'the local disk': () => diskShelf(), 'a lake that keeps': () => new MemoryShelf() } as const;

function diskShelf(): DiskShelf {
  const shelf = new DiskShelf();
  shelves.push(shelf);
  return shelf;
}

const script = (events_: number, seconds: number): Partial<Script> => ({ events: events(...LIST.slice(0, events_)), end: { t: T0 + seconds, i: 1 } });

/**
 * A lake in the middle of its second hour: the first one is published; of the second, a file of `b` is sealed with a line
 * in yesterday's ledger, another one in today's, and a part of `a` is open. The last owner stopped cleanly.
 */
async function lakeInUse(shelf: Shelf, options: Partial<CaptureOptions> = {}): Promise<void> {
  await shelf.run(script(3, HOUR + 2), options);
  shelf.clock.move(DAY_MS);
  await shelf.run(script(4, HOUR + 3), options);
  await shelf.runAndStop(script(6, HOUR + 5), options);
  expect(shelf.paths()).toEqual(expect.arrayContaining([YESTERDAY, TODAY]));
  expect(shelf.checkpoint().parts).toHaveLength(1);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'done',
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
}

/** The rest of the history, its second hour published. */
const goOn = (shelf: Shelf, options: Partial<CaptureOptions> = {}): Promise<string> => codeOf(shelf.run(script(7, 2 * HOUR), options));

const half = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length >> 1);
/** Without its last line. */
const lessALine = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.lastIndexOf('\n', bytes.length - 2) + 1);
const more = (text: string) => (bytes: Buffer) => Buffer.concat([bytes, Buffer.from(text)]);
const gone = (): null => null;
const garbled = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => (byte === 0x3a ? 0x20 : byte)));

type Damage = (bytes: Buffer) => Buffer | null;

describe.each(Object.entries(KINDS))('on %s', (_, make) => {
  it('a lake that nobody touched goes on', async () => {
    const shelf = make();
    await lakeInUse(shelf);
    expect(await goOn(shelf)).toBe('done');
    expect((await shelf.verify()).findings).toEqual([]);
  });

  it.each([
    ['an open part that is cut in half', OPEN, half, 'SLC-1111'],
    ['an open part that has lost a line', OPEN, lessALine, 'SLC-1111'],
    ['an open part that is empty', OPEN, () => Buffer.alloc(0), 'SLC-1111'],
    ['an open part that is gone', OPEN, gone, 'SLC-1111'],
    ['a ledger that is cut in half', TODAY, half, 'SLC-1111'],
    ['a ledger that has lost a line', TODAY, lessALine, 'SLC-1111'],
    ['a ledger that is gone', TODAY, gone, 'SLC-1111'],
    ['a ledger with lines that say nothing', TODAY, garbled, 'SLC-1112'],
    ['a ledger with a line that is no object', TODAY, (bytes) => Buffer.from(`null${bytes.subarray(4).toString('utf8')}`), 'SLC-1112'],
    ['an earlier ledger file that is cut in half', YESTERDAY, half, 'SLC-1112'],
    ['an earlier ledger file with lines that say nothing', YESTERDAY, garbled, 'SLC-1112'],
    ['a checkpoint that is cut in half', CHECKPOINT, half, 'SLC-1109'],
    ['a checkpoint that is empty', CHECKPOINT, () => Buffer.alloc(0), 'SLC-1109'],
    ['a checkpoint that is garbage', CHECKPOINT, (bytes) => Buffer.alloc(bytes.length, 0xa5), 'SLC-1109'],
    [
      'a checkpoint in which a length is another one',
      CHECKPOINT,
      (bytes) => Buffer.from(bytes.toString().replace(/"length": \d/, '"length": 9')),
      'SLC-1109',
    ],
    ['a checkpoint that is gone', CHECKPOINT, gone, 'SLC-1109'],
    ['a checkpoint of a newer version', CHECKPOINT, (bytes) => Buffer.from(bytes.toString().replace('"v": 2', '"v": 3')), 'SLC-1110'],
    ['a claim that is cut in half', '_sluice/pipeline.json', half, 'SLC-1111'],
    ['a claim that is empty', '_sluice/pipeline.json', () => Buffer.alloc(0), 'SLC-1111'],
    ['a claim of another pipeline', '_sluice/pipeline.json', () => Buffer.from('{"v":1,"pipeline":"q"}\n'), 'SLC-1107'],
  ] as readonly [string, string, Damage, string][])('%s is told, and nothing is written', async (what, path, damage, code) => {
    const shelf = make();
    await lakeInUse(shelf);
    shelf.write(path, damage(shelf.bytes(path)));
    const before = shelf.snapshot();
    const checkpoint = path === CHECKPOINT && shelf.paths().includes(path) ? shelf.bytes(path) : null;
    expect(await goOn(shelf), what).toBe(code);
    expect(shelf.snapshot()).toEqual(before);
    if (checkpoint !== null) expect(shelf.bytes(CHECKPOINT)).toEqual(checkpoint);
    // Nor does the next try find it mended.
    expect(await goOn(shelf), what).toBe(code);
  });

  it.each([
    ['has lost the line of a file', (bytes: Buffer) => bytes.subarray(0, bytes.lastIndexOf('{"path"'))],
    ['is gone', gone],
  ])('an earlier ledger file that %s is told before the hour is published', async (_what, damage) => {
    const shelf = make();
    await lakeInUse(shelf);
    shelf.write(YESTERDAY, damage(shelf.bytes(YESTERDAY)));
    expect(await goOn(shelf)).toBe('SLC-1112');
    expect(shelf.paths().filter((path) => path.startsWith(folderOf('b', 1)) && path.includes('/_'))).toEqual([]);
    expect(shelf.paths()).not.toContain('_sluice/p/hours/20261121-09.json');
  });

  it('a lake without its checkpoint is told, also while it holds nothing but an open part', async () => {
    const shelf = make();
    await shelf.runAndStop(script(1, 2));
    shelf.write(CHECKPOINT, null);
    const before = shelf.snapshot();
    expect(await goOn(shelf)).toBe('SLC-1109');
    expect(shelf.snapshot()).toEqual(before);
  });

  it('a checkpoint of the version before is read and replaced', async () => {
    const shelf = make();
    await lakeInUse(shelf);
    const { sum: _sum, ...raw } = shelf.json(CHECKPOINT);
    shelf.write(CHECKPOINT, Buffer.from(`${JSON.stringify({ ...raw, v: 1 }, null, 1)}\n`));
    expect(await goOn(shelf)).toBe('done');
    expect(shelf.json(CHECKPOINT)).toMatchObject({ v: 2, sum: expect.any(String) });
    expect((await shelf.verify()).findings).toEqual([]);
  });
});

describe('on the local disk', () => {
  it.each([
    ['a part', OPEN, 'half a li'],
    ['a part', OPEN, 'whole lines that are none of ours\n'],
    ['the ledger', TODAY, '{"path":"db/a/'],
    ['the ledger', TODAY, 'nonsense\n'],
  ])('what lies in %s beyond the checkpoint is cut away', async (_what, path, text) => {
    const shelf = diskShelf();
    await lakeInUse(shelf);
    shelf.write(path, more(text)(shelf.bytes(path)));
    expect(await goOn(shelf)).toBe('done');
    expect((await shelf.verify()).findings).toEqual([]);
  });
});

describe('on a lake that keeps', () => {
  it.each([
    ['a part that ends in half a line', OPEN, more('{"_meta":{"position":"8'), 'SLC-1111'],
    ['a part with a line that is none of ours', OPEN, more('nonsense\n'), 'SLC-1111'],
    ['a ledger that ends in half a line', TODAY, more('{"path":"db/a/'), 'SLC-1112'],
    ['a ledger with a line that is none of ours', TODAY, more('nonsense\n'), 'SLC-1112'],
  ] as const)('%s beyond the checkpoint is told, and nothing is written', async (_what, path, damage, code) => {
    const shelf = new MemoryShelf();
    await lakeInUse(shelf);
    shelf.write(path, damage(shelf.bytes(path)));
    const before = shelf.snapshot();
    expect(await goOn(shelf)).toBe(code);
    expect(shelf.snapshot()).toEqual(before);
  });

  it.each([
    ['half a member', half(gzipSync('{"_meta":{"position":"8'.repeat(9)))],
    ['a member that ends in half a line', gzipSync('{"_meta":{"position":"8')],
  ])('a compressed part with %s beyond the checkpoint is told, and nothing is written', async (_what, tail) => {
    const shelf = new MemoryShelf();
    const path = `${OPEN}.gz`;
    await lakeInUse(shelf, { compression: 'gzip' });
    shelf.write(path, Buffer.concat([shelf.bytes(path), tail]));
    const before = shelf.snapshot();
    expect(await goOn(shelf, { compression: 'gzip' })).toBe('SLC-1111');
    expect(shelf.snapshot()).toEqual(before);
  });
});
