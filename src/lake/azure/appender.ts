/**
 * Appends to a part under a lease that goes with every request.
 *
 * Invariant: `length` bytes are durable and the part is exactly that long whenever no append is running, as long as the lease
 * is ours. An append whose outcome is not known is settled under a changed lease id: what only seemed lost is refused from then
 * on, so that the length that is read stays true. Moved on by exactly our bytes: done. Unchanged: repeat. Else: conflict.
 */
import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../core/error.ts';
import { LAKE_BROKEN, LAKE_CONFLICT, LAKE_DAMAGED } from '../../core/errors.ts';
import type { Appender, LakeFile, LakePath } from '../../core/lake.ts';
import type { BlobEndpoint, Head } from './blob-endpoint.ts';
import type { PartWriter } from './part-writer.ts';
import type { Persistence } from './persistence.ts';
import { isContainerGone, isGone, isLeaseLost, isUnmet, unexpected, type Refused } from './reply.ts';

/** A refusal that the settled length does not explain is not met more often than this. */
const REFUSALS_MAX = 5;

/** A lease id that tells the epoch to whoever looks at it. */
export function leaseOf(epoch: number): string {
  return epoch.toString(16).padStart(8, '0').slice(-8) + randomUUID().slice(8);
}

export interface PartState {
  readonly length: number;
  readonly etag: string;
  readonly lease: string;
  readonly blocks: number;
  readonly epoch: number;
}

export class AzureAppender implements Appender {
  readonly path: LakePath;
  readonly #endpoint: BlobEndpoint;
  readonly #writer: PartWriter;
  readonly #persistence: Persistence;
  #length: number;
  #etag: string;
  readonly #epoch: number;
  #lease: string;
  #blocks: number;
  #state: 'open' | 'broken' | 'closed' = 'open';
  #busy = false;

  constructor(path: LakePath, endpoint: BlobEndpoint, writer: PartWriter, persistence: Persistence, from: PartState) {
    this.path = path;
    this.#endpoint = endpoint;
    this.#writer = writer;
    this.#persistence = persistence;
    this.#length = from.length;
    this.#etag = from.etag;
    this.#lease = from.lease;
    this.#blocks = from.blocks;
    this.#epoch = from.epoch;
  }

  get length(): number {
    return this.#length;
  }

  get isFull(): boolean {
    return this.#blocks >= this.#writer.appendsMax;
  }

  async append(chunks: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    if (this.#busy) throw new Error(`two appends to ${this.path} at once`);
    signal.throwIfAborted();
    this.#busy = true;
    try {
      for (const bytes of inAppends(this.path, chunks, this.#writer.appendBytesMax)) await this.#append(bytes, signal);
    } catch (error) {
      // What the part holds is not known any more, or it is not ours: only whoever opens it anew can tell.
      this.#state = 'broken';
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<LakeFile> {
    this.#assertOpen();
    if (this.#busy) throw new Error(`${this.path} is closed while an append is running`);
    const { finish } = this.#writer;
    if (finish !== null) {
      const told = await this.#persistence.again((s) => finish(this.path, this.#length, this.#lease, s), `close ${this.path}`);
      if (told.is === 'refused') throw this.#lost(told);
      // The answer's etag is not always the file's.
      this.#etag = (await this.#head()).etag;
    }
    await this.#release();
    this.#state = 'closed';
    return { path: this.path, size: this.#length, etag: this.#etag };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    // One try: the next owner breaks what is left, and nobody waits for a storage that is away.
    await this.#persistence.once((s) => this.#endpoint.release(this.path, this.#lease, s), `release ${this.path}`).catch(() => {});
  }

  async #append(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const doing = `append to ${this.path}`;
    const tries = this.#persistence.tries(doing, signal);
    for (let refusals = 0; ;) {
      const at = { position: this.#length, lease: this.#lease, etag: this.#etag };
      const reply = await this.#persistence.once((s) => this.#writer.append(this.path, bytes, at, s), doing, bytes.byteLength);
      this.#blocks += 1;
      if (reply.is === 'ok') {
        this.#length += bytes.byteLength;
        this.#etag = reply.value;
        return;
      }
      if (reply.is === 'refused') {
        if (isLeaseLost(reply) || isGone(reply) || isContainerGone(reply)) throw this.#lost(reply);
        // Its condition did not hold. Under our lease only we can have moved it: an earlier sending of this request, which something on
        // the way has repeated, or a change of the file's properties.
        refusals += 1;
        if (refusals > REFUSALS_MAX) throw isUnmet(reply) ? this.#conflict(reply.code, reply.error) : unexpected(reply, doing);
      } else {
        await tries.pause(reply);
      }
      if (await this.#settle(bytes.byteLength, signal)) return;
    }
  }

  /** True when the bytes of an append are there, false when they are not and never will be. @throws LAKE_CONFLICT */
  async #settle(bytes: number, signal: AbortSignal): Promise<boolean> {
    const next = leaseOf(this.#epoch);
    const changed = await this.#persistence.again(
      (s) => this.#endpoint.change(this.path, this.#lease, next, s),
      `change the lease of ${this.path}`,
      signal,
    );
    if (changed.is === 'refused') throw this.#lost(changed);
    this.#lease = next;
    const head = await this.#head(signal);
    this.#etag = head.etag;
    if (head.length === this.#length) return false;
    if (head.length !== this.#length + bytes)
      throw this.#conflict(`it holds ${head.length} bytes, ${this.#length} were ours and ${bytes} on the way`);
    this.#length = head.length;
    return true;
  }

  async #head(signal?: AbortSignal): Promise<Head> {
    const found = await this.#persistence.again((s) => this.#endpoint.head(this.path, s), `look at ${this.path}`, signal);
    if (found.is === 'refused') throw this.#lost(found);
    if (found.value === null) throw new SluiceError(LAKE_DAMAGED, `${this.path} is a folder now`);
    return found.value;
  }

  async #release(): Promise<void> {
    const doing = `release ${this.path}`;
    const reply = await this.#persistence.again((s) => this.#endpoint.release(this.path, this.#lease, s), doing);
    // After an answer that was lost the repeat is refused because the first has done it.
    if (reply.is === 'refused' && !(reply.repeated && !isGone(reply))) throw this.#lost(reply);
  }

  #lost(reply: Refused): SluiceError {
    if (isGone(reply) || isContainerGone(reply)) {
      return new SluiceError(LAKE_DAMAGED, `${this.path} has been removed while it was being written`, { cause: reply.error });
    }
    return this.#conflict(reply.code, reply.error);
  }

  #conflict(why: string, cause?: unknown): SluiceError {
    return new SluiceError(LAKE_CONFLICT, `${this.path}: ${why}`, { cause });
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    if (this.#state === 'broken') throw new SluiceError(LAKE_CONFLICT, `${this.path}: an earlier append failed, what it left is not known`);
    throw new Error(`${this.path} is closed`);
  }
}

const NEWLINE = 0x0a;

/** Whole chunks together, as many as one append takes. */
function* inAppends(path: LakePath, chunks: readonly Uint8Array[], bytesMax: number): Generator<Uint8Array> {
  let group: Uint8Array[] = [];
  let bytes = 0;
  const whole = (): Uint8Array => (group.length === 1 ? group[0]! : Buffer.concat(group, bytes));
  for (const piece of chunks.flatMap((chunk) => (chunk.byteLength <= bytesMax ? [chunk] : atLineEnds(path, chunk, bytesMax)))) {
    if (piece.byteLength === 0) continue;
    if (bytes + piece.byteLength > bytesMax) {
      yield whole();
      [group, bytes] = [[], 0];
    }
    group.push(piece);
    bytes += piece.byteLength;
  }
  if (bytes > 0) yield whole();
}

/** What is larger than one append takes, cut where a crash between two of them leaves whole lines. @throws LAKE_BROKEN it cannot be cut */
function atLineEnds(path: LakePath, chunk: Uint8Array, bytesMax: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < chunk.byteLength;) {
    const isLast = chunk.byteLength - from <= bytesMax;
    const end = isLast ? chunk.byteLength : chunk.lastIndexOf(NEWLINE, from + bytesMax - 1) + 1;
    if (end <= from || /\.(?:gz|zst)$/.test(path)) {
      throw new SluiceError(LAKE_BROKEN, `${path}: ${chunk.byteLength} bytes in one piece, one append takes ${bytesMax}`, {
        next: 'Lower `lake.maxLineBytes` and `lake.flush.maxBytes`, or use `lake.writer: dfs`.',
      });
    }
    pieces.push(chunk.subarray(from, end));
    from = end;
  }
  return pieces;
}
