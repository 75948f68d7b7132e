/**
 * Making a folder with whatever is missing above it, and taking one away.
 *
 * `mkdir` of Node.js with `recursive` never ends where a folder exists and its children cannot (below /proc, and on some
 * mounts whose server answers ENOENT): it goes up and down between the two for ever.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCode } from './error.ts';

/**
 * @param path absolute, or from the working folder
 * @param mode of the folders that are made
 * @returns the uppermost folder that was made, or `undefined` when all of them were there
 * @throws what the operating system says, EEXIST when a file has the name
 */
export async function makeFolders(path: string, mode = 0o777): Promise<string | undefined> {
  let top: string | undefined;
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) return await unlessFolder(path, error);
    top = await makeFolders(dirname(path), mode);
  }
  try {
    await mkdir(path, { mode });
  } catch (error) {
    await unlessFolder(path, error);
  }
  return top ?? path;
}

/** Nothing is wrong when the folder is there: others make folders too, and a root that nobody may write to exists. */
async function unlessFolder(path: string, error: unknown): Promise<undefined> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory() !== true) throw error;
}

/**
 * Takes a folder away with all that is in it, where it is there: `mark` last, so that what a process that is killed in the
 * middle has left can still be told for what it is.
 * @param mark name of a file in it
 */
export async function removeMarkedFolder(path: string, mark: string): Promise<void> {
  const names = await readdir(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) if (name !== mark) await rm(join(path, name), { recursive: true, force: true });
  await rm(path, { recursive: true, force: true });
}
