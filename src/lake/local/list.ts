/**
 * Lists files in path order, one folder's names in memory at a time (per level).
 *
 * The order of a walk is not the order of paths: `a.b` comes before `a/c`, since `.` sorts before `/`. Names of folders
 * are therefore compared with their `/`; no such key is a prefix of another, so the order holds for all that is below.
 */
import type { Dirent } from 'node:fs';
import { lstat, readdir, unlink } from 'node:fs/promises';
import { systemCode } from '../../core/error.ts';
import type { LakeFile } from '../../core/lake.ts';
import { etagOf } from './etag.ts';

/** Begins the name of a file that is being put. Escaped names cannot begin with a dot, so it is never one of ours. */
export const TEMPORARY_PREFIX = '.tmp-';
/** What a crash left. A put takes milliseconds; a day leaves room for an owner that was paused in the middle of one. */
const TEMPORARY_STALE_MS = 24 * 3_600_000;
const STATS_AT_ONCE = 64;

/**
 * @param folder absolute
 * @param prefix of the paths that come out: `''` or with a `/` at its end
 * @param isHidden says of a path that it is not a file of the lake
 * @param nowMs wall clock, to know a leftover by its age
 */
export async function* walk(
  folder: string,
  prefix: string,
  isHidden: (path: string) => boolean,
  nowMs: number,
  signal: AbortSignal,
): AsyncGenerator<LakeFile> {
  signal.throwIfAborted();
  const entries = await namesIn(folder, nowMs);
  for (let from = 0; from < entries.length;) {
    const entry = entries[from] as Entry;
    if (entry.isFolder) {
      yield* walk(`${folder}/${entry.name}`, `${prefix}${entry.name}/`, isHidden, nowMs, signal);
      from += 1;
      continue;
    }
    signal.throwIfAborted();
    let to = from;
    while (to < entries.length && to - from < STATS_AT_ONCE && entries[to]?.isFolder === false) to += 1;
    const files = await Promise.all(entries.slice(from, to).map(({ name }) => fileAt(`${folder}/${name}`, `${prefix}${name}`)));
    for (const file of files) if (file !== null && !isHidden(file.path)) yield file;
    from = to;
  }
}

interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
}

async function namesIn(folder: string, nowMs: number): Promise<Entry[]> {
  let found: Dirent[];
  try {
    found = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
  const entries: (Entry & { key: string })[] = [];
  for (const entry of found) {
    const { name } = entry;
    if (entry.isDirectory()) entries.push({ name, isFolder: true, key: `${name}/` });
    else if (!entry.isFile()) continue;
    else if (name.startsWith(TEMPORARY_PREFIX)) await removeStale(`${folder}/${name}`, nowMs);
    else entries.push({ name, isFolder: false, key: name });
  }
  return entries.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

/** `null` when the file is gone by now. */
async function fileAt(absolute: string, path: string): Promise<LakeFile | null> {
  try {
    const stat = await lstat(absolute, { bigint: true });
    return stat.isFile() ? { path, size: Number(stat.size), etag: etagOf(stat) } : null;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Best effort: who only reads may lack the right, and a leftover does no harm. */
async function removeStale(absolute: string, nowMs: number): Promise<void> {
  try {
    const { mtimeMs } = await lstat(absolute);
    if (nowMs - mtimeMs > TEMPORARY_STALE_MS) await unlink(absolute);
  } catch {
    // Not ours to insist on.
  }
}
