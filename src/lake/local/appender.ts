/**
 * Appends to a part on the local disk: one write for all chunks, then one sync.
 *
 * Invariant: `length` bytes are durable, and the file is exactly that long whenever no append is running. After a
 * write or a sync that failed nobody knows that any more (the page cache may have dropped the pages and marked them
 * clean), so the appender refuses all further use; the next owner cuts the part back to what its checkpoint knows.
 */
import { fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { SluiceError } from '../../core/error.ts';
import { LAKE_BROKEN, LAKE_CONFLICT, LAKE_DAMAGED, LAKE_FULL } from '../../core/errors.ts';
import type { Appender, LakeFile, LakePath } from '../../core/lake.ts';
import { failpoint } from '../../ops/failpoint.ts';
import { diskError } from './disk-error.ts';
import { etagOf } from './etag.ts';

export class LocalAppender implements Appender {
  readonly path: LakePath;
  readonly #handle: FileHandle;
  readonly #onEnd: () => void;
  #length: number;
  #state: 'open' | 'broken' | 'fenced' | 'closed' = 'open';
  /** The append that is running, so that a fence can wait for it. Never rejects. */
  #running: Promise<void> | null = null;

  constructor(path: LakePath, handle: FileHandle, length: number, onEnd: () => void) {
    this.path = path;
    this.#handle = handle;
    this.#length = length;
    this.#onEnd = onEnd;
  }

  get length(): number {
    return this.#length;
  }

  async append(chunks: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    if (this.#running !== null) throw new Error(`two appends to ${this.path} at once`);
    signal.throwIfAborted();
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (bytes === 0) return;
    this.#assertOurs();
    // Not abortable from here on: half a write would leave the part in a state that only recovery can settle.
    const write = this.#write(chunks, bytes);
    this.#running = write.then(
      () => {},
      () => {},
    );
    try {
      await write;
    } finally {
      this.#running = null;
    }
  }

  async close(): Promise<LakeFile> {
    this.#assertOpen();
    if (this.#running !== null) throw new Error(`${this.path} is closed while an append is running`);
    this.#assertOurs();
    try {
      const stat = await this.#handle.stat({ bigint: true });
      return { path: this.path, size: this.#length, etag: etagOf(stat) };
    } catch (error) {
      throw diskError(error, `close ${this.path}`);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  /** The part has been opened anew in this process: what is running ends, nothing more begins. */
  async fence(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'fenced';
    await this.#running;
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'fenced' || this.#state === 'closed') return;
    this.#state = 'closed';
    await this.#running;
    this.#onEnd();
    await this.#handle.close();
  }

  async #write(chunks: readonly Uint8Array[], bytes: number): Promise<void> {
    try {
      let rest = chunks.filter((chunk) => chunk.byteLength > 0);
      for (let written = 0; written < bytes;) {
        const { bytesWritten } = await this.#handle.writev(rest, this.#length + written);
        if (bytesWritten === 0) throw new SluiceError(LAKE_FULL, `${this.path} took ${written} of ${bytes} bytes`);
        written += bytesWritten;
        // A short write hides its reason; writing the rest makes the system say it.
        if (written < bytes) rest = after(rest, bytesWritten);
      }
      failpoint('lake.append.before-sync');
      await this.#handle.datasync();
      this.#length += bytes;
    } catch (error) {
      if (this.#state === 'open') this.#state = 'broken';
      throw diskError(error, `append to ${this.path}`);
    }
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    if (this.#state === 'fenced') throw new SluiceError(LAKE_CONFLICT, `${this.path} has been opened anew`);
    if (this.#state === 'broken') throw new SluiceError(LAKE_BROKEN, `${this.path}: an earlier write failed, what it left is not known`);
    throw new Error(`${this.path} is closed`);
  }

  /**
   * The lock keeps other sluices away, but not people and their tools. An append to an unlinked file would be
   * acknowledged and be nowhere; one to a file that somebody else has made longer would not come last.
   */
  #assertOurs(): void {
    const stat = fstatSync(this.#handle.fd);
    if (stat.nlink === 0) throw new SluiceError(LAKE_DAMAGED, `${this.path} has been removed while it was being written`);
    if (stat.size === this.#length) return;
    throw new SluiceError(LAKE_CONFLICT, `${this.path} holds ${stat.size} bytes, ${this.#length} are ours`);
  }
}

/** What is left of `chunks` after their first `bytes` bytes. */
function after(chunks: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.byteLength) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.byteLength);
  }
  return rest;
}
