/**
 * What may be a path of a lake: relative, `/` between segments, none of them empty, `.` or `..`.
 *
 * Names from MongoDB are escaped long before they get here (core/layout.ts), so a path that breaks these rules is a
 * mistake of ours. It is refused all the same: outside the root there are files of other people.
 */
import type { LakePath } from '../core/lake.ts';

/** @throws Error when `path` is not the path of a file in a lake */
export function assertLakePath(path: LakePath): void {
  const bad = path.includes('\0') || path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..');
  if (bad) throw new Error(`not a path inside the lake: ${JSON.stringify(path)}`);
}

/** A prefix as `list` takes it (`''`, `a/b` or `a/b/`), in the form that every path below it begins with: `''` or `a/b/`. */
export function folderPrefix(prefix: LakePath): string {
  const folder = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
  if (folder === '') return '';
  assertLakePath(folder);
  return `${folder}/`;
}
