/**
 * What lies beside a DuckDB file while it is open, and stays there when its process dies: files that are being loaded, and what did not
 * fit into memory, with the data of people in both; and the draft of a new file.
 *
 * Invariant: nothing is removed but by the first opening of a process that has the file, so that none of it is in use. A draft may still
 * be: whoever makes it comes too late, and then it is nothing to him.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Files on their way into the database at `path`. */
export function stagedFolder(path: string): string {
  return `${path}.staged`;
}

/** Of a new file, until it has its name. */
export function draftOf(path: string): string {
  return `${path}.new-${randomUUID()}`;
}

/** Of a draft what comes after the name of the file, with what DuckDB puts beside it. */
const DRAFT = /^\.new-[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?:\.wal)?$/;
/** What DuckDB calls its files in its `temp_directory`, which is `${path}.tmp` unless it is told otherwise. */
const SPILT = /^duckdb_temp_/;

export async function removeLeftovers(path: string): Promise<void> {
  await rm(stagedFolder(path), { recursive: true, force: true });
  const spills = `${path}.tmp`;
  // It may be a link to another disk, or have something else in it: only what DuckDB itself would remove goes.
  await removeIn(spills, (name) => SPILT.test(name));
  await rmdir(spills).catch(() => undefined);
  const own = basename(path);
  await removeIn(dirname(path), (name) => name.startsWith(own) && DRAFT.test(name.slice(own.length)));
}

/** What belongs to somebody else stays: it is no reason not to open the file. */
async function removeIn(folder: string, isOurs: (name: string) => boolean): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (isOurs(name)) await rm(join(folder, name), { force: true }).catch(() => {});
}
