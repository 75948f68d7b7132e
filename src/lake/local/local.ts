/**
 * A lake in a folder of the local disk.
 *
 * Nothing on a disk refuses a late write of a former owner, so the fence is the lock (lock.ts): while it is held no
 * other sluice writes, and a new owner cuts every open part back to the length that the checkpoint knows.
 * Invariant: whatever `open`, `append`, `put` and `remove` have promised survives a power cut, folder entries included.
 */
import { randomUUID } from 'node:crypto';
import { link, open, realpath, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { systemClock, type Clock } from '../../core/clock.ts';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED, LAKE_NOT_WRITABLE } from '../../core/errors.ts';
import type { Appender, Lake, LakeFile, LakePath, OpenHow, Ownership } from '../../core/lake.ts';
import { failpoint } from '../../ops/failpoint.ts';
import { assertLakePath, folderPrefix } from '../path.ts';
import { LocalAppender } from './appender.ts';
import { diskError } from './disk-error.ts';
import { etagOf, uniqueStamp } from './etag.ts';
import { DurableFolders, makeRoot, syncFolder } from './folders.ts';
import { TEMPORARY_PREFIX, walk } from './list.ts';
import { takeLock } from './lock.ts';
import { inTurn } from './turns.ts';

/** Large enough that a system call per chunk does not show, small enough to be made anew for each. */
const READ_CHUNK_BYTES = 256 * 1024;

/** Appenders of this process by absolute path: opening a part anew ends the one before it, whichever lake opened it. */
const appenders = new Map<string, LocalAppender>();

/** @param root made when it is missing @throws LAKE_NOT_WRITABLE, LAKE_FULL, LAKE_BROKEN when it cannot be made */
export async function openLocalLake(root: string, clock: Clock = systemClock): Promise<Lake> {
  const absolute = resolve(root);
  try {
    await makeRoot(absolute);
    return new LocalLake(await realpath(absolute), absolute, clock);
  } catch (error) {
    const doing = `open the folder ${absolute}`;
    // Every folder above that was missing was made, or tried: this one cannot be.
    if (systemCode(error) === 'ENOENT') throw new SluiceError(LAKE_NOT_WRITABLE, `${doing}: ${reasonOf(error)}`, { cause: error });
    throw diskError(error, doing);
  }
}

class LocalLake implements Lake {
  readonly description: string;
  readonly #root: string;
  readonly #folders: DurableFolders;
  readonly #clock: Clock;

  constructor(root: string, description: string, clock: Clock) {
    this.#root = root;
    this.description = description;
    this.#folders = new DurableFolders(root);
    this.#clock = clock;
  }

  async stat(path: LakePath): Promise<LakeFile | null> {
    return statFile(this.#absolute(path), path);
  }

  async open(path: LakePath, how: OpenHow, signal: AbortSignal): Promise<Appender> {
    signal.throwIfAborted();
    const absolute = this.#absolute(path);
    return inTurn(absolute, () => this.#open(absolute, path, how));
  }

  /** `takeOver` does nothing here: a lock ends with its process. */
  async own(checkpoint: LakePath, _how: { readonly takeOver: boolean }, signal: AbortSignal): Promise<Ownership | null> {
    signal.throwIfAborted();
    const folder = dirname(this.#absolute(checkpoint));
    // Elsewhere the lock's file would be listed and could be opened like any other.
    if (!isLock(join(dirname(checkpoint), LOCK_NAME))) throw new Error(`a checkpoint lies below _sluice/, not at ${checkpoint}`);
    try {
      await this.#folders.ensure(folder);
    } catch (error) {
      throw diskError(error, `make the folder ${folder}`);
    }
    return takeLock(join(folder, LOCK_NAME));
  }

  async put(path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile> {
    const absolute = this.#absolute(path);
    try {
      return await inTurn(absolute, () => this.#put(absolute, path, bytes, expect));
    } catch (error) {
      throw diskError(error, `write ${path}`);
    }
  }

  async *read(path: LakePath, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    let handle: FileHandle | null = null;
    try {
      signal.throwIfAborted();
      handle = await open(this.#absolute(path), 'r');
      const { size } = await handle.stat();
      for (let at = from; at < size;) {
        signal.throwIfAborted();
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_CHUNK_BYTES, size - at));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } catch (error) {
      if (signal.aborted && error === signal.reason) throw error;
      if (systemCode(error) === 'ENOENT') throw new SluiceError(LAKE_DAMAGED, `${path} is missing`, { cause: error });
      throw diskError(error, `read ${path}`);
    } finally {
      await handle?.close();
    }
  }

  async *list(prefix: LakePath, signal: AbortSignal): AsyncIterable<LakeFile> {
    const below = folderPrefix(prefix);
    try {
      yield* walk(this.#inside(below.slice(0, -1)), below, isLock, this.#clock.now(), signal);
    } catch (error) {
      if (signal.aborted && error === signal.reason) throw error;
      throw diskError(error, `list ${prefix === '' ? 'the lake' : prefix}`);
    }
  }

  async remove(path: LakePath): Promise<void> {
    const absolute = this.#absolute(path);
    try {
      await unlink(absolute);
      await syncFolder(dirname(absolute));
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw diskError(error, `remove ${path}`);
    }
  }

  localPath(path: LakePath): string {
    return this.#absolute(path);
  }

  /** Nothing to give back: appenders and ownership belong to those who asked for them. */
  async [Symbol.asyncDispose](): Promise<void> {}

  async #open(absolute: string, path: LakePath, how: OpenHow): Promise<Appender> {
    await appenders.get(absolute)?.fence();
    try {
      const existing = how.expect === 'any' ? await openExisting(absolute) : null;
      if (existing === null && (how.length ?? 0) > 0) throw new SluiceError(LAKE_DAMAGED, `${path} is missing, ${how.length} bytes were durable`);
      const handle = existing ?? (await this.#create(absolute, path));
      try {
        const length = existing === null ? 0 : await cutBack(handle, path, how.length);
        failpoint('lake.open.before-sync');
        await handle.sync();
        failpoint('lake.open.before-folder-sync');
        await syncFolder(dirname(absolute));
        return this.#register(absolute, path, handle, length);
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw diskError(error, `open ${path}`);
    }
  }

  /** A new, empty file; its folders durable, its own entry not yet. */
  async #create(absolute: string, path: LakePath): Promise<FileHandle> {
    try {
      return await this.#inFolder(absolute, () => open(absolute, 'wx+'));
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw new SluiceError(LAKE_CONFLICT, `${path} exists already`, { cause: error });
      throw error;
    }
  }

  #register(absolute: string, path: LakePath, handle: FileHandle, length: number): Appender {
    const appender = new LocalAppender(path, handle, length, () => {
      if (appenders.get(absolute) === appender) appenders.delete(absolute);
    });
    appenders.set(absolute, appender);
    return appender;
  }

  async #put(absolute: string, path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile> {
    if (expect !== 'absent') await assertUnchanged(absolute, path, expect);
    const temporary = join(dirname(absolute), `${TEMPORARY_PREFIX}${process.pid}-${randomUUID()}`);
    const handle = await this.#inFolder(absolute, () => open(temporary, 'wx'));
    try {
      try {
        await handle.writeFile(bytes);
        const stamp = uniqueStamp();
        await handle.utimes(stamp, stamp);
        failpoint('lake.put.before-sync');
        await handle.sync();
      } finally {
        await handle.close();
      }
      failpoint('lake.put.before-rename');
      if (expect === 'absent') {
        // A link fails when the name is taken, in one step; a rename would replace what is there.
        await link(temporary, absolute);
        await unlink(temporary);
      } else {
        await assertUnchanged(absolute, path, expect);
        await rename(temporary, absolute);
      }
    } catch (error) {
      await unlink(temporary).catch(() => {});
      if (systemCode(error) !== 'EEXIST') throw error;
      // The name may be that of an owner who was killed before it was durable. Who finds there what it wanted to put goes on
      // as if it had, and a power cut would take it away after all.
      await syncFolder(dirname(absolute));
      throw new SluiceError(LAKE_CONFLICT, `${path} exists already`, { cause: error });
    }
    failpoint('lake.put.before-folder-sync');
    await syncFolder(dirname(absolute));
    const file = await statFile(absolute, path);
    if (file === null) throw new SluiceError(LAKE_DAMAGED, `${path} has been removed right after it was written`);
    return file;
  }

  /** Runs `make` with the file's folder there; once more if somebody has removed a folder that this process had made. */
  async #inFolder(absolute: string, make: () => Promise<FileHandle>): Promise<FileHandle> {
    await this.#folders.ensure(dirname(absolute));
    try {
      return await make();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      this.#folders.forget();
      await this.#folders.ensure(dirname(absolute));
      return make();
    }
  }

  #absolute(path: LakePath): string {
    assertLakePath(path);
    // Opening and closing the lock's file would give the lock up without a word.
    if (isLock(path)) throw new Error(`${path} is the owner's lock, not a file of the lake`);
    return this.#inside(path);
  }

  #inside(path: string): string {
    const absolute = join(this.#root, path);
    const root = this.#root.endsWith(sep) ? this.#root : this.#root + sep;
    if (absolute !== this.#root && !absolute.startsWith(root)) throw new Error(`${path} is outside the lake`);
    return absolute;
  }
}

const LOCK_NAME = 'lock';

/** The lock lies beside a checkpoint, so below `_sluice`; a collection's folder cannot begin with `_`. */
function isLock(path: LakePath): boolean {
  return path.startsWith('_sluice/') && path.endsWith(`/${LOCK_NAME}`);
}

async function statFile(absolute: string, path: LakePath): Promise<LakeFile | null> {
  try {
    const found = await stat(absolute, { bigint: true });
    return found.isFile() ? { path, size: Number(found.size), etag: etagOf(found) } : null;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw diskError(error, `look at ${path}`);
  }
}

async function openExisting(absolute: string): Promise<FileHandle | null> {
  try {
    return await open(absolute, 'r+');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** @returns the part's length after everything beyond `length` is gone */
async function cutBack(handle: FileHandle, path: LakePath, length: number | undefined): Promise<number> {
  const { size } = await handle.stat();
  if (length === undefined || size === length) return size;
  if (size < length) throw new SluiceError(LAKE_DAMAGED, `${path} holds ${size} bytes, ${length} were durable`);
  await handle.truncate(length);
  return length;
}

async function assertUnchanged(absolute: string, path: LakePath, expect: LakeFile): Promise<void> {
  const found = await statFile(absolute, path);
  if (found?.etag === expect.etag) return;
  throw new SluiceError(LAKE_CONFLICT, found === null ? `${path} is gone` : `${path} has been replaced`);
}
