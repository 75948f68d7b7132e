/**
 * Folders for what does not fit into memory, in the system's folder for temporary files.
 *
 * A process that is killed leaves its folder behind. Whoever comes next of the same kind takes it away, and must not take away that of a
 * process that lives: so each holds a lock of the operating system on a file in its folder, as the owner of a local lake does
 * (file-lock.ts). A lock says more than a process id, which is given again and means nothing in another container.
 */
import { existsSync, type Stats } from 'node:fs';
import { lstat, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { lockFile } from './file-lock.ts';
import { removeMarkedFolder } from './folders.ts';

const LOCK = 'lock';
/** Whoever sweeps may have the lock for a moment, just after the folder was made. */
const TRIES_MAX = 10;
/** Of this process: an attempt on them would end their locks in silence. */
const held = new Set<string>();

export class Scratch implements AsyncDisposable {
  readonly folder: string;
  readonly #lock: DatabaseSync;

  private constructor(folder: string, lock: DatabaseSync) {
    this.folder = folder;
    this.#lock = lock;
  }

  /** Takes away what dead processes have left, and makes a folder of our own. @param kind begins its name */
  static async make(kind: string): Promise<Scratch> {
    await sweepScratch(kind);
    for (let tries = 1; ; tries += 1) {
      const folder = await mkdtemp(join(tmpdir(), `${kind}-`));
      held.add(folder);
      const lock = lockOf(folder, 'rwc');
      if (lock !== null) return new Scratch(folder, lock);
      held.delete(folder);
      if (tries === TRIES_MAX) throw new Error(`${folder} cannot be locked`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Still locked while it goes: nobody else must think of it as a leftover meanwhile.
    await removeMarkedFolder(this.folder, LOCK);
    this.#lock.close();
    held.delete(this.folder);
  }
}

/** Removes folders of this kind that no living process has. Those that it may not look into stay. */
export async function sweepScratch(kind: string): Promise<void> {
  const names = (await readdir(tmpdir()).catch(() => [])).filter((name) => name.startsWith(`${kind}-`));
  for (const name of names) {
    const folder = join(tmpdir(), name);
    // Anybody may make a folder there: only what is ours, and as we make it.
    const isOurs = isOwn(await lstat(folder).catch(() => null), 'folder') && isOwn(await lstat(join(folder, LOCK)).catch(() => null), 'file');
    if (!isOurs || held.has(folder)) continue;
    const lock = lockOf(folder, 'rw');
    if (lock === null) continue;
    await removeMarkedFolder(folder, LOCK).catch(() => {});
    lock.close();
  }
}

function isOwn(stat: Stats | null, what: 'folder' | 'file'): boolean {
  if (stat === null || !(what === 'folder' ? stat.isDirectory() : stat.isFile())) return false;
  return process.getuid === undefined || stat.uid === process.getuid();
}

/**
 * `null`: somebody else has it, or the folder is gone.
 * @param mode `rw` makes no file: in a folder that its owner is just taking away it would be in the way
 */
function lockOf(folder: string, mode: 'rwc' | 'rw'): DatabaseSync | null {
  let database: DatabaseSync | null = null;
  try {
    const url = pathToFileURL(join(folder, LOCK));
    url.searchParams.set('mode', mode);
    database = lockFile(url);
    // Somebody who swept may have had it just before, and then it is the lock of a file that is gone.
    if (!existsSync(join(folder, LOCK))) throw new Error('swept away');
    return database;
  } catch {
    database?.close();
    return null;
  }
}
