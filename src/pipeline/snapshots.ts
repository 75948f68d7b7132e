/**
 * Reads collections whole while the stream goes on: workers read ranges into parts of their own, the main job names and seals them.
 *
 * Rows of a snapshot share the position at which it began, and every change after it comes in the stream, with a higher one: so
 * neither waits for the other, and silver is right as soon as both are there.
 * Invariants: as with events, a part exists only after a durable checkpoint has named it, and is sealed only after one holds its
 * ledger line; a range moves on to a key in the same checkpoint that holds the line of the part that reaches up to it. So a
 * document is in the sealed parts once, and whoever comes after a crash throws away what was not sealed and reads it again.
 *
 * Only the main job changes checkpoint and ledger, in {@link Snapshots.settle}: workers ask it, and it is woken.
 */
import type { Clock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { SNAPSHOT_FAILED } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { snapshotPath } from '../core/layout.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { SnapshotSource, SnapshotTarget } from '../core/snapshot.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { Committer } from './committer.ts';
import { SUFFIX, type Compression } from './compression.ts';
import type { Ledger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { SnapshotFile } from './snapshot-file.ts';
import {
  endLine,
  folderOf,
  isReadWhole,
  newSnapshot,
  snapshotLine,
  type RangeRecord,
  type SnapshotRecord,
  type SnapshotStart,
} from './snapshot-record.ts';

export interface SnapshotLimits {
  readonly compression: Compression;
  readonly rollBytesMax: number;
  readonly flushBytesMax: number;
  /** Ranges that are read at one time. */
  readonly rangesAtOnce: number;
}

export interface SnapshotParts {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly committer: Committer;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** What can be asked of the main job, and what it answers. */
type Ask = { readonly resolve: (file: SnapshotFile | null) => void; readonly reject: (error: unknown) => void } & (
  | { readonly kind: 'plan'; readonly targets: readonly SnapshotTarget[]; readonly start: Omit<SnapshotStart, 'since'> }
  | { readonly kind: 'name'; readonly record: SnapshotRecord; readonly part: number | null }
  | { readonly kind: 'seal'; readonly file: SnapshotFile; readonly sha256: string; readonly moved: Moved | null }
  | { readonly kind: 'move'; readonly moved: Moved }
);

/** How far a range has come with the part that is sealed. */
interface Moved {
  readonly range: RangeRecord;
  readonly after: Uint8Array | null;
  readonly done: boolean;
}

/** @typeParam range `null`: all of them are read, the snapshot is to be ended */
interface Task {
  readonly record: SnapshotRecord;
  readonly range: RangeRecord | null;
}

/** The source has failed, not the lake: that ends one collection's snapshot and not the run. */
class Unreadable extends Error {
  override readonly name = 'Unreadable';
}

const RANGES_MAX = 256;
/** Smaller collections are read in one go. */
const RANGE_BYTES_MIN = 16 * 1024 * 1024;
const FILES_AT_ONCE = 16;

export class Snapshots implements AsyncDisposable {
  readonly #options: SnapshotLimits;
  readonly #parts: SnapshotParts;
  readonly #wake: () => void;
  readonly #stop = new AbortController();
  readonly #workers: Promise<void>[] = [];
  readonly #files = new Set<SnapshotFile>();
  #asks: Ask[] = [];
  #alive = 0;
  #failure: { readonly error: unknown } | null = null;
  /** Ranges that somebody reads, and snapshots that somebody cuts or ends. */
  readonly #taken = new Set<RangeRecord | SnapshotRecord>();
  /** For workers that have nothing to do, and for whoever waits until they have ended. */
  #news = Promise.withResolvers<void>();

  /** @param wake makes the main job call {@link Snapshots.settle} soon */
  constructor(options: SnapshotLimits, parts: SnapshotParts, wake: () => void) {
    this.#options = options;
    this.#parts = parts;
    this.#wake = wake;
    this.#count();
  }

  /** Nothing is left to be read, or what is left cannot be. */
  get isIdle(): boolean {
    return this.#asks.length === 0 && this.#records.every(({ failed }) => failed !== undefined);
  }

  /** @throws SNAPSHOT_FAILED when a collection could not be read */
  assertRead(): void {
    const failed = this.#records.filter((record) => record.failed !== undefined);
    if (failed.length === 0) return;
    throw new SluiceError(SNAPSHOT_FAILED, failed.map((record) => `${formatNamespace(record.ns)}: ${record.failed}`).join('; '));
  }

  /**
   * What a former owner left: parts with a ledger line are sealed, the others thrown away. Called once, after the ledger is
   * fenced and before anything is written.
   */
  async recover(signal: AbortSignal): Promise<void> {
    const { lake, committer, ledger } = this.#parts;
    const { epoch } = committer.state;
    const left = this.#records.flatMap((record) => record.parts.map((part) => ({ record, part })));
    for (const record of this.#records) delete record.failed;
    if (left.length === 0) return;
    await inParallel(left, FILES_AT_ONCE, async ({ part }) => {
      failpoint('snapshot.before-fence');
      const appender = await lake.open(part.path, { epoch, expect: 'any', length: part.length }, signal);
      failpoint('snapshot.after-fence');
      await (part.state === 'sealing' ? appender.close() : appender[Symbol.asyncDispose]());
    });
    await committer.assertOwner();
    const sealing = left.filter(({ part }) => part.state === 'sealing');
    await ledger.append(
      sealing.map(({ part }) => part.line!),
      signal,
    );
    for (const { record, part } of sealing) this.#sealed(record, part.path);
    for (const { record, part } of left) {
      if (part.state === 'sealing') continue;
      // Not used again: numbers rise. A file that a former owner could still make under this name would be empty.
      failpoint('snapshot.before-remove');
      await lake.remove(part.path);
      failpoint('snapshot.after-remove');
      record.parts = record.parts.filter((each) => each !== part);
    }
    await committer.save('snapshot-recovered');
  }

  start(): void {
    for (let n = 0; n < this.#options.rangesAtOnce; n += 1) {
      this.#alive += 1;
      this.#workers.push(this.#work());
    }
  }

  /** Takes collections up; resolves when a durable checkpoint says so. Those that are being read already are not begun again. */
  async plan(targets: readonly SnapshotTarget[], start: Omit<SnapshotStart, 'since'>): Promise<void> {
    await this.#ask((answer) => ({ kind: 'plan', targets, start, ...answer }));
  }

  /** Answers what was asked since the last call. Called by the main job alone. @returns how many files were sealed */
  async settle(signal: AbortSignal): Promise<number> {
    if (this.#failure !== null) throw this.#failure.error;
    const asks = this.#asks;
    if (asks.length === 0) return 0;
    this.#asks = [];
    try {
      return await this.#answer(asks, signal);
    } catch (error) {
      for (const { reject } of asks) reject(error);
      throw error;
    }
  }

  /** What is being read ends with what was read so far; parts that have rows are sealed. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    this.#tell();
    while (this.#alive > 0 || this.#asks.length > 0) {
      await this.settle(signal);
      if (this.#alive > 0 && this.#asks.length === 0) await this.#news.promise;
    }
    await this.settle(signal);
  }

  /** Ends at once; the next owner throws away what is not sealed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const error = new Error('stopped');
    this.#failure ??= { error };
    this.#stop.abort(error);
    this.#tell();
    for (const { reject } of this.#asks.splice(0)) reject(error);
    await Promise.all(this.#workers);
    for (const file of this.#files) await file[Symbol.asyncDispose]();
  }

  get #records(): SnapshotRecord[] {
    return this.#parts.committer.state.snapshots;
  }

  async #answer(asks: readonly Ask[], signal: AbortSignal): Promise<number> {
    const { committer, ledger } = this.#parts;
    const answers = asks.map((ask) => ({ ask, file: this.#apply(ask) }));
    await committer.save('snapshot');
    const named = answers.flatMap(({ ask, file }) => (ask.kind === 'name' && file !== null ? [file] : []));
    const sealing = answers.flatMap(({ ask }) => (ask.kind === 'seal' ? [ask.file] : []));
    await this.#create(named, signal);
    await inParallel(sealing, FILES_AT_ONCE, async (file) => {
      failpoint('snapshot.before-close');
      await file.close();
      failpoint('snapshot.after-close');
      this.#files.delete(file);
    });
    await ledger.append(
      sealing.map(({ part }) => part.line!),
      signal,
    );
    for (const { record, part } of sealing) this.#sealed(record, part.path);
    this.#count();
    for (const { ask, file } of answers) ask.resolve(file);
    this.#tell();
    return sealing.length;
  }

  /** Changes the checkpoint as was asked, before it is saved. @returns the file that is named */
  #apply(ask: Ask): SnapshotFile | null {
    const { committer, ledger } = this.#parts;
    const { epoch } = committer.state;
    if (ask.kind === 'plan') {
      const known = new Set(this.#records.map(({ ns }) => formatNamespace(ns)));
      const fresh = ask.targets.filter(({ namespace }) => !known.has(formatNamespace(namespace)));
      this.#records.push(...fresh.map((target) => newSnapshot(target, { ...ask.start, since: ledger.day })));
      return null;
    }
    if (ask.kind === 'name') {
      const path = snapshotPath(folderOf(ask.record), ask.part, SUFFIX[this.#options.compression]);
      const file = new SnapshotFile(ask.record, { path, length: 0, rows: 0, epoch, state: 'open' }, this.#options.flushBytesMax);
      ask.record.parts.push(file.part);
      return file;
    }
    if (ask.kind === 'seal') {
      const { record, part } = ask.file;
      part.line = snapshotLine(record, part, ask.sha256, epoch, isEnd(record, part.path) ? 'snapshotEnd' : 'snapshot');
      part.state = 'sealing';
    }
    if (ask.moved !== null) {
      const { range, after, done } = ask.moved;
      range.done = done;
      if (after !== null) range.after = Buffer.from(after).toString('base64');
    }
    return null;
  }

  async #create(files: readonly SnapshotFile[], signal: AbortSignal): Promise<void> {
    if (files.length === 0) return;
    const { lake, committer } = this.#parts;
    await inParallel(files, FILES_AT_ONCE, async (file) => {
      failpoint('snapshot.before-create');
      file.created(await lake.open(file.part.path, { epoch: file.part.epoch, expect: 'absent' }, signal));
      failpoint('snapshot.after-create');
      this.#files.add(file);
    });
    await committer.assertOwner();
  }

  /** The ledger has its line. With the last one of them the snapshot is complete. */
  #sealed(record: SnapshotRecord, path: string): void {
    const { committer, ledger, clock, stats, log } = this.#parts;
    const { state } = committer;
    const part = record.parts.find((each) => each.path === path)!;
    record.parts = record.parts.filter((each) => each !== part);
    stats.partsSealed += 1;
    if (!isEnd(record, path)) {
      record.files += 1;
      record.rows += part.rows;
      record.bytesRead += part.length;
      return;
    }
    state.snapshots = state.snapshots.filter((each) => each !== record);
    ledger.forgetSnapshot(folderOf(record));
    log.info({ collection: formatNamespace(record.ns), rows: record.rows, files: record.files }, 'the snapshot of a collection is complete');
    if (record.cause !== 'repair' || state.snapshots.some(({ cause }) => cause === 'repair')) return;
    for (const gap of state.gaps) {
      if (gap.repairAt === undefined || gap.repaired !== undefined) continue;
      gap.repaired = new Date(clock.now()).toISOString();
      log.warn({ gap }, 'what a gap has left out is mended');
    }
  }

  #count(): void {
    const { stats } = this.#parts;
    stats.snapshotsOpen = this.#records.length;
    stats.snapshotsFailed = this.#records.filter(({ failed }) => failed !== undefined).length;
  }

  async #work(): Promise<void> {
    try {
      for (;;) {
        if (this.#stop.signal.aborted) return;
        const { promise } = this.#news;
        const task = await this.#next();
        if (task === 'cut') continue;
        if (task === null) {
          await promise;
          continue;
        }
        try {
          await (task.range === null ? this.#end(task.record) : this.#read(task.record, task.range));
        } catch (error) {
          this.#giveUp(task.record, error);
        } finally {
          this.#taken.delete(task.range ?? task.record);
        }
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#alive -= 1;
      this.#tell();
      this.#wake();
    }
  }

  /** @returns `cut` when a collection was cut meanwhile, so that there may be something; `null`: nothing for now */
  async #next(): Promise<Task | 'cut' | null> {
    for (const record of this.#records) {
      if (record.failed !== undefined || this.#taken.has(record)) continue;
      if (record.ranges === null) {
        await this.#cut(record);
        return 'cut';
      }
      const range = record.ranges.find((each) => !each.done && !this.#taken.has(each));
      if (range !== undefined) {
        this.#taken.add(range);
        return { record, range };
      }
      if (isReadWhole(record) && record.parts.length === 0) {
        this.#taken.add(record);
        return { record, range: null };
      }
    }
    return null;
  }

  async #cut(record: SnapshotRecord): Promise<void> {
    this.#taken.add(record);
    const { rangesAtOnce, rollBytesMax } = this.#options;
    const bytes = record.estimate?.bytes ?? Number.POSITIVE_INFINITY;
    const wanted = bytes < RANGE_BYTES_MIN ? 1 : Math.max(rangesAtOnce, Math.min(RANGES_MAX, Math.ceil(bytes / rollBytesMax)));
    try {
      const ranges = await this.#fromSource(() => this.#parts.source.cut(record.ns, Math.min(wanted, RANGES_MAX), this.#stop.signal));
      const text = (key: Uint8Array | null): string | null => (key === null ? null : Buffer.from(key).toString('base64'));
      record.ranges = ranges.map(({ from, to }) => ({ from: text(from), to: text(to), after: null, done: false }));
      const about = { collection: formatNamespace(record.ns), documents: record.estimate?.documents, ranges: ranges.length };
      this.#parts.log.info(about, 'reading a collection whole');
    } catch (error) {
      this.#giveUp(record, error);
    } finally {
      this.#taken.delete(record);
      this.#tell();
    }
  }

  async #read(record: SnapshotRecord, range: RangeRecord): Promise<void> {
    const { source, stats } = this.#parts;
    const key = (text: string | null): Uint8Array | null => (text === null ? null : Buffer.from(text, 'base64'));
    const reading = { from: key(range.from), to: key(range.to), after: key(range.after) };
    const batches = source.documents(record.ns, reading, record.at, this.#stop.signal)[Symbol.asyncIterator]();
    let file: SnapshotFile | null = null;
    let after: Uint8Array | null = null;
    let done = false;
    let trouble: Unreadable | null = null;
    try {
      while (!done && !this.#stop.signal.aborted) {
        const batch = await this.#fromSource(() => batches.next());
        if (batch.done === true) {
          done = true;
          break;
        }
        file ??= await this.#name(record, record.nextPart++);
        after = batch.value.lastKey;
        await file.add(batch.value);
        stats.snapshotRows += batch.value.count;
        if (file.bytes < this.#options.rollBytesMax && !file.isFull) continue;
        await this.#seal(file, { range, after, done: false });
        [file, after] = [null, null];
      }
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      trouble = error;
    } finally {
      await batches.return?.();
    }
    // What was read is not read again, whatever ended the reading.
    if (file !== null) await this.#seal(file, { range, after, done });
    else if (done) await this.#ask((answer) => ({ kind: 'move', moved: { range, after: null, done }, ...answer }));
    if (trouble !== null) throw trouble;
  }

  /** The last file of a snapshot says that it is whole, and until when what it holds may have been read. */
  async #end(record: SnapshotRecord): Promise<void> {
    const endedAt = await this.#fromSource(() => this.#parts.source.clusterTime(this.#stop.signal));
    const file = await this.#name(record, null);
    await file.add({ count: 1, lines: endLine(record, endedAt), lastKey: new Uint8Array(), release: () => {} });
    await this.#seal(file, null);
  }

  async #name(record: SnapshotRecord, part: number | null): Promise<SnapshotFile> {
    const file = await this.#ask((answer) => ({ kind: 'name', record, part, ...answer }));
    return file!;
  }

  async #seal(file: SnapshotFile, moved: Moved | null): Promise<void> {
    const sha256 = await file.finish();
    await this.#ask((answer) => ({ kind: 'seal', file, sha256, moved, ...answer }));
  }

  async #ask(make: (answer: Pick<Ask, 'resolve' | 'reject'>) => Ask): Promise<SnapshotFile | null> {
    if (this.#failure !== null) throw this.#failure.error;
    const { promise, resolve, reject } = Promise.withResolvers<SnapshotFile | null>();
    this.#asks.push(make({ resolve, reject }));
    this.#wake();
    this.#tell();
    return await promise;
  }

  async #fromSource<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw new Unreadable(reasonOf(error), { cause: error });
    }
  }

  /** A stop is no trouble; what the source does not give ends this collection's snapshot, what the lake does not take ends the run. */
  #giveUp(record: SnapshotRecord, error: unknown): void {
    if (!(error instanceof Unreadable)) throw error;
    if (this.#stop.signal.aborted) return;
    record.failed = error.message;
    this.#count();
    this.#parts.log.error(
      { err: error.cause, collection: formatNamespace(record.ns) },
      'a collection could not be read: its snapshot is not complete, the others go on',
    );
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

function isEnd(record: SnapshotRecord, path: string): boolean {
  return path.startsWith(`${folderOf(record)}end.`);
}
