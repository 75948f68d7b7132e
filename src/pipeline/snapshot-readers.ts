/**
 * The workers of a snapshot: each takes a range that nobody reads, and reads it into files that the main job names and seals.
 *
 * What the source does not give ends the snapshot of one collection, what the lake does not take ends the run.
 */
import { reasonOf } from '../core/error.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { SnapshotSource } from '../core/snapshot.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { SnapshotFile } from './snapshot-file.ts';
import { endLine, isReadWhole, type RangeRecord, type SnapshotRecord } from './snapshot-record.ts';

/** How far a range has come with the part that is sealed. */
export interface Moved {
  readonly range: RangeRecord;
  readonly after: Uint8Array | null;
  readonly done: boolean;
}

/** What a worker asks of the main job; each resolves once it is durable. */
export interface SnapshotDesk {
  readonly records: readonly SnapshotRecord[];
  /** @param part its number; `null`: the file that says that the snapshot is whole */
  name(record: SnapshotRecord, part: number | null): Promise<SnapshotFile>;
  seal(file: SnapshotFile, moved: Moved | null): Promise<void>;
  move(moved: Moved): Promise<void>;
  /** The record says why it does not go on. */
  failed(record: SnapshotRecord): Promise<void>;
  /** A worker has ended. @param error what the lake did not take, or what should not have happened */
  ended(error: unknown): void;
}

export interface ReaderOptions {
  readonly rollBytesMax: number;
  readonly rangesAtOnce: number;
}

interface ReaderParts {
  readonly source: SnapshotSource;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** @typeParam range `null`: all of them are read, the snapshot is to be ended */
interface Task {
  readonly record: SnapshotRecord;
  readonly range: RangeRecord | null;
}

/** The source has failed, not the lake. */
class Unreadable extends Error {
  override readonly name = 'Unreadable';
}

const RANGES_MAX = 256;
/** Smaller collections are read in one go. */
const RANGE_BYTES_MIN = 16 * 1024 * 1024;

export class SnapshotReaders {
  readonly #desk: SnapshotDesk;
  readonly #options: ReaderOptions;
  readonly #parts: ReaderParts;
  readonly #stop = new AbortController();
  /** Ranges that somebody reads, and snapshots that somebody cuts or ends. */
  readonly #taken = new Set<RangeRecord | SnapshotRecord>();
  readonly #workers: Promise<void>[] = [];
  #alive = 0;
  #news = Promise.withResolvers<void>();

  constructor(desk: SnapshotDesk, options: ReaderOptions, parts: ReaderParts) {
    this.#desk = desk;
    this.#options = options;
    this.#parts = parts;
  }

  get alive(): number {
    return this.#alive;
  }

  /** Resolves with the next thing that happens. */
  get news(): Promise<void> {
    return this.#news.promise;
  }

  start(): void {
    for (let n = 0; n < this.#options.rangesAtOnce; n += 1) {
      this.#alive += 1;
      this.#workers.push(this.#work());
    }
  }

  /** Each ends with what it has read so far. */
  stop(): void {
    this.#stop.abort(new Error('stopped'));
    this.tell();
  }

  async ended(): Promise<void> {
    await Promise.all(this.#workers);
  }

  /** Who has nothing to do looks again. */
  tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async #work(): Promise<void> {
    let ended: unknown = null;
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
          await this.#giveUp(task.record, error);
        } finally {
          this.#taken.delete(task.range ?? task.record);
        }
      }
    } catch (error) {
      ended = error;
    } finally {
      this.#alive -= 1;
      this.tell();
      this.#desk.ended(ended);
    }
  }

  /** @returns `cut` when a collection was cut meanwhile, so that there may be something; `null`: nothing for now */
  async #next(): Promise<Task | 'cut' | null> {
    for (const record of this.#desk.records) {
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
      await this.#giveUp(record, error);
    } finally {
      this.#taken.delete(record);
      this.tell();
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
        file ??= await this.#desk.name(record, record.nextPart++);
        after = batch.value.lastKey;
        await file.add(batch.value);
        stats.snapshotRows += batch.value.count;
        if (file.bytes < this.#options.rollBytesMax && !file.isFull) continue;
        await this.#desk.seal(file, { range, after, done: false });
        [file, after] = [null, null];
      }
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      trouble = error;
    } finally {
      await batches.return?.();
    }
    // What was read is not read again, whatever ended the reading.
    if (file !== null) await this.#desk.seal(file, { range, after, done });
    else if (done) await this.#desk.move({ range, after: null, done });
    if (trouble !== null) throw trouble;
  }

  /** The last file of a snapshot says that it is whole, and until when what it holds may have been read. */
  async #end(record: SnapshotRecord): Promise<void> {
    const endedAt = await this.#fromSource(() => this.#parts.source.clusterTime(this.#stop.signal));
    const file = await this.#desk.name(record, null);
    await file.add({ count: 1, lines: endLine(record, endedAt), lastKey: new Uint8Array(), release: () => {} });
    await this.#desk.seal(file, null);
  }

  async #fromSource<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw new Unreadable(reasonOf(error), { cause: error });
    }
  }

  /** A stop is no trouble. */
  async #giveUp(record: SnapshotRecord, error: unknown): Promise<void> {
    if (!(error instanceof Unreadable)) throw error;
    if (this.#stop.signal.aborted) return;
    record.failed = error.message;
    const collection = formatNamespace(record.ns);
    this.#parts.log.error({ err: error.cause, collection }, 'a collection could not be read: its snapshot is not complete, the others go on');
    await this.#desk.failed(record);
  }
}
