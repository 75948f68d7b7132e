/**
 * Folders that survive a power cut.
 *
 * A file is only as durable as the folder entry that leads to it, and that entry only as durable as the folder's own.
 * Invariant: when `ensure` resolves, every folder from the root down to the one that was asked for has been made and
 * its entry in its parent has been synced by this process. Folders that existed before are synced too, once: the
 * process that made them may have been killed before it came to that.
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from '../../core/error.ts';
import { makeFolders } from '../../core/folders.ts';
import { failpoint } from '../../ops/failpoint.ts';

/** Forgotten beyond this, which costs a few syncs that were not needed. */
const FOLDERS_KNOWN_MAX = 20_000;

/** Makes the entries of a folder durable. Does nothing where folders cannot be synced (Windows, some network mounts). */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // PostgreSQL does the same: these two say that this file system has no such call, not that it failed.
    const code = systemCode(error);
    if (code !== 'EINVAL' && code !== 'EBADF') throw error;
  } finally {
    await handle.close();
  }
}

/** Makes a folder and whatever is missing above it, durably. */
export async function makeRoot(path: string): Promise<void> {
  const first = await makeFolders(path);
  if (first === undefined) return;
  const stop = dirname(first);
  for (let at = path; at !== stop; at = dirname(at)) await syncFolder(dirname(at));
}

export class DurableFolders {
  readonly #root: string;
  /** Absolute path → the attempt that makes it durable, running or done. */
  readonly #known = new Map<string, Promise<void>>();

  constructor(root: string) {
    this.#root = root;
  }

  /** @param folder absolute, the root or below it */
  ensure(folder: string): Promise<void> {
    if (folder === this.#root) return Promise.resolve();
    let attempt = this.#known.get(folder);
    if (attempt === undefined) {
      if (this.#known.size >= FOLDERS_KNOWN_MAX) this.#known.clear();
      attempt = this.#make(folder);
      this.#known.set(folder, attempt);
      attempt.catch(() => this.#known.delete(folder));
    }
    return attempt;
  }

  /** After somebody has removed folders behind our back: everything is looked at again. */
  forget(): void {
    this.#known.clear();
  }

  async #make(folder: string): Promise<void> {
    const parent = dirname(folder);
    await this.ensure(parent);
    await mkdir(folder).catch((error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error;
    });
    failpoint('lake.folder.before-sync');
    await syncFolder(parent);
  }
}
