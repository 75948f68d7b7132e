/**
 * Where an event's line goes: layouts are templates of a path.
 *
 * Placeholders: `{db}`, `{coll}`, `{yyyy}`, `{MM}`, `{dd}`, `{HH}`, `{yyyyMMdd}` and `{part}`, which is empty for the
 * first part of an hour and `.part-0001` for the next. What is unsafe in a path is percent-encoded, reversibly.
 */
import { createHash } from 'node:crypto';
import type { LakePath } from './lake.ts';
import type { Namespace } from './namespace.ts';
import { SECONDS_PER_HOUR, type Hour } from './time.ts';

export const LAYOUT_PRESETS = {
  hive: '{db}/{coll}/year={yyyy}/month={MM}/day={dd}/hour={HH}/events-{yyyyMMdd}-{HH}{part}.jsonl',
  hourly: '{coll}/{yyyy}-{MM}-{dd}-{HH}/events-{yyyyMMdd}-{HH}{part}.jsonl',
} as const;

const SEGMENT_BYTES_MAX = 255;
/** Folder for events that belong to no collection (dropDatabase). A collection of that name is escaped, so they differ. */
const DATABASE_FOLDER = '_database';

/** One path segment from a name: reversible with `decodeURIComponent` unless it had to be shortened. */
export function escapeSegment(name: string): string {
  let out = name.replace(/[%/\\:*?"<>|\u0000-\u001f\u007f]/g, percent);
  out = out.replace(/^[_.]/, percent).replace(/[. ]$/, percent);
  if (out === '') out = '%00empty';
  if (Buffer.byteLength(out) <= SEGMENT_BYTES_MAX) return out;
  // Two names that share their first 200 bytes must not share a folder.
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16);
  let head = out.slice(0, 200);
  while (Buffer.byteLength(head) > SEGMENT_BYTES_MAX - 20) head = head.slice(0, -1);
  return `${head.replace(/%[0-9A-F]?$/, '').replace(/[\uD800-\uDBFF]$/, '')}%00${digest}`;
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Path of part number `part` (0 is the first) of a collection's hour. */
export function partPath(template: string, ns: Namespace, hour: Hour, part: number, suffix: string): LakePath {
  const iso = new Date(hour * SECONDS_PER_HOUR * 1000).toISOString();
  const values: Record<string, string> = {
    db: escapeSegment(ns.db),
    coll: ns.coll === null ? DATABASE_FOLDER : escapeSegment(ns.coll),
    yyyy: iso.slice(0, 4),
    MM: iso.slice(5, 7),
    dd: iso.slice(8, 10),
    HH: iso.slice(11, 13),
    yyyyMMdd: iso.slice(0, 10).replaceAll('-', ''),
    part: part === 0 ? '' : `.part-${String(part).padStart(4, '0')}`,
  };
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole) + suffix;
}

/** The folder that holds an hour of a collection alone, or `null` when the layout has none (then manifests live under `_sluice`). */
export function hourFolder(template: string, ns: Namespace, hour: Hour): LakePath | null {
  const slash = template.lastIndexOf('/');
  const folder = template.slice(0, slash);
  const alone = folder.includes('{HH}') && folder.includes('{coll}') && /\{dd\}|\{yyyyMMdd\}/.test(folder);
  return alone ? partPath(folder, ns, hour, 0, '') : null;
}
