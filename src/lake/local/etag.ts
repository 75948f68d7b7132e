/**
 * The etag of a local file: inode, time of the last change and size.
 *
 * Each `put` makes a new inode, but a file system may give a freed inode number out again within one tick of its clock
 * (4 ms and more). So `put` stamps its files itself, with a time that never comes twice in one process.
 */
import type { BigIntStats } from 'node:fs';

export function etagOf(stat: BigIntStats): string {
  return `${stat.ino}-${stat.mtimeNs}-${stat.size}`;
}

let lastMicros = 0;

/** Now, in seconds, at least a microsecond after what was given out before. */
export function uniqueStamp(): number {
  lastMicros = Math.max(lastMicros + 1, Math.floor((performance.timeOrigin + performance.now()) * 1000));
  return lastMicros / 1_000_000;
}
