/**
 * A part of a snapshot while it is written: what was read is appended while more is read.
 */
import { createHash } from 'node:crypto';
import type { Appender } from '../core/lake.ts';
import type { DocumentBatch } from '../core/snapshot.ts';
import { failpoint } from '../ops/failpoint.ts';
import { compressionOf, storedForm } from './compression.ts';
import type { SnapshotPart, SnapshotRecord } from './snapshot-record.ts';

export class SnapshotFile implements AsyncDisposable {
  readonly record: SnapshotRecord;
  readonly part: SnapshotPart;
  readonly #flushBytesMax: number;
  readonly #hash = createHash('sha256');
  #appender: Appender | null = null;
  #chunks: Uint8Array[] = [];
  #releases: (() => void)[] = [];
  #rows = 0;
  #bytes = 0;
  /** The append that is under way. */
  #writing: Promise<void> = Promise.resolve();

  constructor(record: SnapshotRecord, part: SnapshotPart, flushBytesMax: number) {
    this.record = record;
    this.part = part;
    this.#flushBytesMax = flushBytesMax;
  }

  /** Of lines, as they will be stored once all of them are. */
  get bytes(): number {
    return this.part.length + this.#bytes;
  }

  get isFull(): boolean {
    return this.#appender?.isFull === true;
  }

  created(appender: Appender): void {
    this.#appender = appender;
  }

  async add({ lines, count, release }: DocumentBatch): Promise<void> {
    this.#chunks.push(lines);
    this.#releases.push(release);
    this.#bytes += lines.byteLength;
    this.#rows += count;
    if (this.#bytes >= this.#flushBytesMax) await this.#flush();
  }

  /** Everything that was added is durable. Its SHA-256, hex: nothing may be added any more. */
  async finish(): Promise<string> {
    if (this.#rows > 0) await this.#flush();
    await this.#writing;
    return this.#hash.digest('hex');
  }

  async close(): Promise<void> {
    await this.#appender?.close();
    this.#appender = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#appender?.[Symbol.asyncDispose]();
    this.#appender = null;
  }

  /** One append at a time: the next one waits for the last, and the reading for the next. */
  async #flush(): Promise<void> {
    await this.#writing;
    const [chunks, releases, rows] = [this.#chunks, this.#releases, this.#rows];
    [this.#chunks, this.#releases, this.#rows, this.#bytes] = [[], [], 0, 0];
    this.#writing = this.#append(chunks, releases, rows);
    // Whoever waits for it next is told.
    this.#writing.catch(() => {});
  }

  async #append(chunks: readonly Uint8Array[], releases: readonly (() => void)[], rows: number): Promise<void> {
    const stored = await storedForm(chunks, compressionOf(this.part.path));
    failpoint('snapshot.before-append');
    // What was read is written even when a stop comes.
    await this.#appender!.append(stored, new AbortController().signal);
    failpoint('snapshot.after-append');
    for (const chunk of stored) this.#hash.update(chunk);
    this.part.length = this.#appender!.length;
    this.part.rows += rows;
    for (const release of releases) release();
  }
}
