/**
 * A lake in memory that behaves as the Azure ones do, for tests that need thousands of runs.
 *
 * Several lakes over one store are several processes. Parts have leases: to open a part breaks the lease of whoever had
 * it, whose next append is a conflict; nothing is cut back, so the new holder must read what it finds.
 * Invariant: a step either throws and has changed nothing, or has happened as a whole.
 */
import { SluiceError } from '../../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED, LAKE_LOST_OWNERSHIP } from '../../core/errors.ts';
import type { Appender, Lake, LakeFile, LakePath, OpenHow, Ownership } from '../../core/lake.ts';
import { assertLakePath, folderPrefix } from '../path.ts';

const READ_CHUNK_BYTES = 256 * 1024;

/** A step after which the storage is another one. */
export interface MemoryOperation {
  readonly kind: 'open' | 'append' | 'close' | 'put' | 'remove' | 'own' | 'release';
  readonly path: LakePath;
}

interface StoredFile {
  bytes: Buffer;
  /** Bytes of `bytes` that are the file's; the rest is room to grow. */
  size: number;
  version: number;
  /** The appender that may write, or `null`. */
  lease: MemoryAppender | null;
}

/** What outlives a process. */
export class MemoryStore {
  /** Called before each step; what it throws is what the caller gets, and the step does not happen. */
  onOperation?: (operation: MemoryOperation) => void | Promise<void>;
  readonly files = new Map<LakePath, StoredFile>();
  readonly owners = new Map<LakePath, AbortController>();
  #version = 0;

  nextVersion(): number {
    this.#version += 1;
    return this.#version;
  }

  async before(kind: MemoryOperation['kind'], path: LakePath): Promise<void> {
    await this.onOperation?.({ kind, path });
  }

  fileAt(path: LakePath): LakeFile | null {
    const file = this.files.get(path);
    return file === undefined ? null : { path, size: file.size, etag: String(file.version) };
  }
}

export async function openMemoryLake(store: MemoryStore = new MemoryStore()): Promise<Lake> {
  return new MemoryLake(store);
}

class MemoryLake implements Lake {
  readonly description = 'memory';
  readonly #store: MemoryStore;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  async stat(path: LakePath): Promise<LakeFile | null> {
    assertLakePath(path);
    return this.#store.fileAt(path);
  }

  async open(path: LakePath, how: OpenHow, signal: AbortSignal): Promise<Appender> {
    assertLakePath(path);
    signal.throwIfAborted();
    await this.#store.before('open', path);
    let file = this.#store.files.get(path);
    if (file !== undefined && how.expect === 'absent') throw new SluiceError(LAKE_CONFLICT, `${path} exists already`);
    const size = file?.size ?? 0;
    if (how.expect === 'any' && size < (how.length ?? 0)) {
      throw new SluiceError(LAKE_DAMAGED, `${path} ${file === undefined ? 'is missing' : `holds ${size} bytes`}, ${how.length} were durable`);
    }
    if (file === undefined) {
      file = { bytes: Buffer.alloc(0), size: 0, version: this.#store.nextVersion(), lease: null };
      this.#store.files.set(path, file);
    }
    file.lease = new MemoryAppender(this.#store, path, file);
    return file.lease;
  }

  async own(checkpoint: LakePath, how: { readonly takeOver: boolean }, signal: AbortSignal): Promise<Ownership | null> {
    assertLakePath(checkpoint);
    signal.throwIfAborted();
    await this.#store.before('own', checkpoint);
    const { owners } = this.#store;
    const former = owners.get(checkpoint);
    if (former !== undefined && !how.takeOver) return null;
    const mine = new AbortController();
    owners.set(checkpoint, mine);
    former?.abort(new SluiceError(LAKE_LOST_OWNERSHIP, checkpoint));
    return {
      lost: mine.signal,
      [Symbol.asyncDispose]: async () => {
        await this.#store.before('release', checkpoint);
        if (owners.get(checkpoint) === mine) owners.delete(checkpoint);
      },
    };
  }

  async put(path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile> {
    assertLakePath(path);
    const copy = Buffer.from(bytes);
    await this.#store.before('put', path);
    const found = this.#store.fileAt(path);
    if (expect === 'absent' ? found !== null : found?.etag !== expect.etag) {
      throw new SluiceError(LAKE_CONFLICT, found === null ? `${path} is gone` : `${path} is not what was expected`);
    }
    const version = this.#store.nextVersion();
    this.#store.files.set(path, { bytes: copy, size: copy.length, version, lease: null });
    return { path, size: copy.length, etag: String(version) };
  }

  async *read(path: LakePath, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    assertLakePath(path);
    const file = this.#store.files.get(path);
    if (file === undefined) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
    const { bytes, size } = file;
    for (let at = from; at < size; at += READ_CHUNK_BYTES) {
      signal.throwIfAborted();
      yield Buffer.from(bytes.subarray(at, Math.min(at + READ_CHUNK_BYTES, size)));
    }
  }

  async *list(prefix: LakePath, signal: AbortSignal): AsyncIterable<LakeFile> {
    const below = folderPrefix(prefix);
    const paths = [...this.#store.files.keys()].filter((path) => path.startsWith(below)).toSorted((a, b) => (a < b ? -1 : 1));
    for (const path of paths) {
      signal.throwIfAborted();
      const file = this.#store.fileAt(path);
      if (file !== null) yield file;
    }
  }

  async remove(path: LakePath): Promise<void> {
    assertLakePath(path);
    await this.#store.before('remove', path);
    this.#store.files.delete(path);
  }

  localPath(): null {
    return null;
  }

  /** Nothing to give back: the store outlives its lakes, as a storage outlives a process. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

class MemoryAppender implements Appender {
  readonly path: LakePath;
  readonly #store: MemoryStore;
  readonly #file: StoredFile;
  #length: number;
  #closed = false;

  constructor(store: MemoryStore, path: LakePath, file: StoredFile) {
    this.#store = store;
    this.path = path;
    this.#file = file;
    this.#length = file.size;
  }

  get length(): number {
    return this.#length;
  }

  async append(chunks: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    if (this.#closed) throw new Error(`${this.path} is closed`);
    signal.throwIfAborted();
    const bytes = Buffer.concat(chunks);
    if (bytes.length === 0) return;
    await this.#store.before('append', this.path);
    this.#assertLease();
    const file = this.#file;
    if (file.size + bytes.length > file.bytes.length) {
      const room = Buffer.alloc(Math.max((file.size + bytes.length) * 2, 1024));
      file.bytes.copy(room, 0, 0, file.size);
      file.bytes = room;
    }
    bytes.copy(file.bytes, file.size);
    file.size += bytes.length;
    file.version = this.#store.nextVersion();
    this.#length = file.size;
  }

  async close(): Promise<LakeFile> {
    if (this.#closed) throw new Error(`${this.path} is closed`);
    await this.#store.before('close', this.path);
    this.#assertLease();
    this.#closed = true;
    this.#file.lease = null;
    return { path: this.path, size: this.#file.size, etag: String(this.#file.version) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#file.lease === this) this.#file.lease = null;
  }

  #assertLease(): void {
    if (this.#file.lease === this && this.#store.files.get(this.path) === this.#file) return;
    throw new SluiceError(LAKE_CONFLICT, `the lease on ${this.path} is somebody else's`);
  }
}
