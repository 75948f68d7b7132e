/**
 * What lies beside a DuckDB file while it is open, and stays there when its process dies: files that are being loaded, and what did not
 * fit into memory, with the data of people in both.
 *
 * Invariant: nothing is removed but by the first opening of a process that has the file, so that none of it is in use.
 */
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/error.ts';

/** Files on their way into the database at `path`. */
export function stagedFolder(path: string): string {
  return `${path}.staged`;
}

/** What DuckDB calls its files in its `temp_directory`, which is `${path}.tmp` unless it is told otherwise. */
const SPILT = /^duckdb_temp_/;

export async function removeLeftovers(path: string): Promise<void> {
  await rm(stagedFolder(path), { recursive: true, force: true });
  const spills = `${path}.tmp`;
  // It may be a link to another disk, or have something else in it: only what DuckDB itself would remove goes.
  for (const name of await namesIn(spills)) if (SPILT.test(name)) await rm(join(spills, name), { force: true });
  await rmdir(spills).catch(() => undefined);
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return [];
    throw error;
  });
}
