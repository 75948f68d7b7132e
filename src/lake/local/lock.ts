/**
 * One owner per checkpoint on this machine: an exclusive lock of the operating system (core/file-lock.ts).
 *
 * It is held until the process ends, so that a paused owner keeps it and a killed one loses it, without a clock and without a lease to
 * renew.
 *
 * A POSIX lock is lost in silence when its process opens and closes the file in any other way, when the handle is
 * collected, or when the file is unlinked. So: `LocalLake` refuses the path for everything else, the handles live in a
 * map of this module, nobody unlinks the file, and a second attempt in this process ends before it opens anything.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { SluiceError, reasonOf } from '../../core/error.ts';
import { LAKE_BROKEN, LAKE_FULL, LAKE_NOT_WRITABLE } from '../../core/errors.ts';
import { lockFile, resultCode } from '../../core/file-lock.ts';
import type { Ownership } from '../../core/lake.ts';

/** Locks that this process holds, by device and inode: one file may have many names (links, mounts). */
const held = new Map<string, DatabaseSync>();

/** Primary result codes of SQLite. */
const SQLITE_READONLY = 8;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;

/** @param file absolute path of the lock file, in a folder that exists; `null` when another owner lives, here or elsewhere */
export function takeLock(file: string): Ownership | null {
  const before = identityOf(file);
  if (before !== null && held.has(before)) return null;
  // From here to `held.set` nothing is awaited: two attempts of this process cannot be in between at once.
  let database: DatabaseSync | null;
  try {
    database = lockFile(file);
  } catch (error) {
    throw lockError(error, file);
  }
  if (database === null) return null;
  const identity = identityOf(file);
  if (identity === null) {
    database.close();
    throw new SluiceError(LAKE_BROKEN, `the lock file ${file} vanished while it was being locked`);
  }
  held.set(identity, database);
  return new LocalOwnership(identity, database);
}

function identityOf(file: string): string | null {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`;
}

function lockError(error: unknown, file: string): SluiceError {
  const code = resultCode(error);
  const detail = `lock ${file}: ${reasonOf(error)}`;
  if (code === SQLITE_FULL) return new SluiceError(LAKE_FULL, detail, { cause: error });
  const kind = code === SQLITE_READONLY || code === SQLITE_CANTOPEN ? LAKE_NOT_WRITABLE : LAKE_BROKEN;
  return new SluiceError(kind, detail, { cause: error });
}

class LocalOwnership implements Ownership {
  /** Never aborts: the lock ends with the process or by being released. */
  readonly lost: AbortSignal = new AbortController().signal;
  readonly #identity: string;
  readonly #database: DatabaseSync;

  constructor(identity: string, database: DatabaseSync) {
    this.#identity = identity;
    this.#database = database;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Released before: by now the same file may be locked by somebody else in this process.
    if (held.get(this.#identity) !== this.#database) return;
    held.delete(this.#identity);
    this.#database.close();
  }
}
