/**
 * The contract of a storage that sluice writes to. Local disk, memory, ADLS Gen2 and append blobs keep it; the suite
 * `test/contracts/lake.ts` runs on each. The writer, the sealer and recovery know no storage, only this.
 */

/** Relative to the lake's root, `/` between segments, every segment already escaped (layout.ts). */
export type LakePath = string;

/** Without the slash at its end; `''` for what lies at the root. */
export function folderOf(path: LakePath): LakePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export interface LakeFile {
  readonly path: LakePath;
  readonly size: number;
  /** Opaque; differs whenever the content was replaced or grew. */
  readonly etag: string;
}

export interface OpenHow {
  /** Number of the owner that opens the part. */
  readonly epoch: number;
  /** `absent`: the part must not exist (else LAKE_CONFLICT). `any`: fence it, make it when it is missing. */
  readonly expect: 'absent' | 'any';
  /**
   * With `any`: bytes that the checkpoint knows to be durable. Storages without a fence of their own (local disk) cut
   * the part back to it; the others keep what lies beyond, and the caller reads it.
   * @throws LAKE_DAMAGED when the part is shorter
   */
  readonly length?: number;
}

/**
 * A part of the lake that this epoch alone may write.
 *
 * Promise to the writer: when `append` resolves, the bytes are durable and are the last bytes of the part; when it
 * rejects with LAKE_CONFLICT, none of them is there and none will be later. An unknown outcome is settled inside.
 * Not promised: that a reader sees the part before it is closed.
 */
export interface Appender extends AsyncDisposable {
  readonly path: LakePath;
  /** Bytes in the part, all durable. */
  readonly length: number;
  /** The storage takes few more appends to this part, if it counts them: roll it. */
  readonly isFull?: boolean;
  /**
   * @param chunks whole lines (or whole compressed members), in order, written as one
   * @throws LAKE_CONFLICT another owner has written: stand down
   * @throws LAKE_FULL, LAKE_BROKEN the process must end: the next owner cuts back to what was durable
   */
  append(chunks: readonly Uint8Array[], signal: AbortSignal): Promise<void>;
  /** The part will not grow again; event-driven readers are told. The appender is done. */
  close(): Promise<LakeFile>;
}

/** Ownership of a pipeline, by lock or lease on its checkpoint. */
export interface Ownership extends AsyncDisposable {
  /** Aborts when the ownership is lost before it is released. A local lock is never lost. */
  readonly lost: AbortSignal;
}

export interface Lake extends AsyncDisposable {
  /** Where it is, for messages. Never a secret. */
  readonly description: string;
  stat(path: LakePath): Promise<LakeFile | null>;
  /** Makes the part ours for this epoch: from here on no earlier holder can add a byte to it. */
  open(path: LakePath, how: OpenHow, signal: AbortSignal): Promise<Appender>;
  /** Takes the lock or lease; `null` while another owner lives. `takeOver` breaks a lease (no effect on a local lock). */
  own(checkpoint: LakePath, how: { readonly takeOver: boolean }, signal: AbortSignal): Promise<Ownership | null>;
  /** Whole file, atomic and durable. @throws LAKE_CONFLICT when `expect` does not hold; then nothing has changed */
  put(path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile>;
  /** Bytes from offset `from` to the end as it is now. @throws LAKE_DAMAGED when the file is missing */
  read(path: LakePath, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Files below a prefix (a folder, `''` for all), in path order: plain comparison of the whole path. */
  list(prefix: LakePath, signal: AbortSignal): AsyncIterable<LakeFile>;
  remove(path: LakePath): Promise<void>;
  /** `false`: a file that was appended to is of another kind once it is put, and takes no more appends. Left out: it does. */
  readonly appendsAfterPut?: boolean;
  /** Where another program on this machine can read the file, or `null` when the lake is not on a local disk. */
  localPath(path: LakePath): string | null;
}
