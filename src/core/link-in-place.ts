/**
 * A whole file under a name that nobody has: made beside it under another name, and linked. A rename would take the place of what somebody
 * has put there meanwhile.
 */
import { link, open, rename, rm } from 'node:fs/promises';
import { systemCode } from './error.ts';

/** Of file systems that have no links (FAT, some shares): what is to be done there depends on the file. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/**
 * The draft stays; it is the caller's to remove.
 * @returns `taken`: the name is somebody's already; `no-links`: nothing was done
 */
export async function linkInPlace(draft: string, path: string): Promise<'placed' | 'taken' | 'no-links'> {
  try {
    await link(draft, path);
    return 'placed';
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') return 'taken';
    if (NO_LINKS.includes(code)) return 'no-links';
    throw error;
  }
}

/**
 * As {@link linkInPlace}, also where there are no links. The draft may be gone afterwards.
 * @returns `false`: somebody has the name
 */
export async function putInPlace(draft: string, path: string): Promise<boolean> {
  const placed = await linkInPlace(draft, path);
  if (placed !== 'no-links') return placed === 'placed';
  try {
    // Empty for a moment: nobody else can make it then, and it is ours to replace.
    await (await open(path, 'wx')).close();
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return false;
  }
  try {
    await rename(draft, path);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return true;
}
