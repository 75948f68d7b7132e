/**
 * A lock of the operating system on a file, which ends with its process: taken through SQLite, since Node.js has no `flock` or `fcntl`.
 *
 * Invariant: of those who ask at one moment, one gets it. SQLite goes from a shared lock to an exclusive one, and two who are on the
 * way there see each other's: without patience both would give up.
 */
import { DatabaseSync } from 'node:sqlite';

/** Only for those who ask at one moment: whoever has the lock is met at the first statement, which does not wait. */
const TOGETHER_MS_MAX = 1_000;
/** Primary result codes of SQLite: somebody else has a lock on the file. */
const BUSY = new Set([5, 6]);

/**
 * @returns what holds the lock until it is closed, or the process ends; `null` when somebody else has it
 * @throws the error of SQLite, with its `errcode`
 */
export function lockFile(file: string | URL): DatabaseSync | null {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    // The default journal would be a second file, and a leftover of it would be replayed into the next owner's lock.
    database.exec('PRAGMA journal_mode=MEMORY');
    // One of them waits until the others have stepped back, and these until it has the lock or is gone.
    database.exec(`PRAGMA busy_timeout=${TOGETHER_MS_MAX}`);
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database?.close();
    if (BUSY.has(resultCode(error))) return null;
    throw error;
  }
}

/** Primary result code of an error of SQLite; 0: it is none. */
export function resultCode(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff;
}
