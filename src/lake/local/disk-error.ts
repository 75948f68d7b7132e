/**
 * The one place where what the operating system says becomes an error of ours.
 */
import { SluiceError, reasonOf, systemCode } from '../../core/error.ts';
import { LAKE_BROKEN, LAKE_FULL, LAKE_NOT_WRITABLE } from '../../core/errors.ts';

/** EFBIG is a limit on the size of a file (`ulimit -f`, or the file system's own): there too, room is what is missing. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
/** ENOTDIR and EEXIST come when a file is where a folder should be, EISDIR the other way round. */
const NOT_WRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR']);

/** @param doing what was tried, with the path: `append to a/b.jsonl` */
export function diskError(error: unknown, doing: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const code = systemCode(error) ?? '';
  const kind = FULL.has(code) ? LAKE_FULL : NOT_WRITABLE.has(code) ? LAKE_NOT_WRITABLE : LAKE_BROKEN;
  return new SluiceError(kind, `${doing}: ${reasonOf(error)}`, { cause: error });
}
