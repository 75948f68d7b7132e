/**
 * Where an event's line goes: layouts are templates of a path.
 *
 * Placeholders: `{db}`, `{coll}`, `{yyyy}`, `{MM}`, `{dd}`, `{HH}`, `{yyyyMMdd}` and `{part}`, which is empty for the
 * first part of an hour and `.part-0001` for the next. What is unsafe in a path is percent-encoded, reversibly.
 *
 * A template without `{HH}` is one of day files: what is said of hours elsewhere is then true of days, and a day goes by
 * the name of its first hour. Parts of `per-event` are indexes, which name the files that hold the events
 * (docs/adr/0008-one-file-per-event.md).
 */
import { createHash } from 'node:crypto';
import { folderOf, type LakePath } from './lake.ts';
import type { Namespace } from './namespace.ts';
import { SECONDS_PER_HOUR, hourOf, type Hour, type Timestamp } from './time.ts';

export const LAYOUT_PRESETS = {
  hive: '{db}/{coll}/year={yyyy}/month={MM}/day={dd}/hour={HH}/events-{yyyyMMdd}-{HH}{part}.jsonl',
  hourly: '{coll}/{yyyy}-{MM}-{dd}-{HH}/events-{yyyyMMdd}-{HH}{part}.jsonl',
  'per-event': '{db}/{coll}/year={yyyy}/month={MM}/day={dd}/_index-{yyyyMMdd}-{HH}{part}.jsonl',
} as const;

const HOURS_PER_DAY = 24;

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

const COMPRESSED = /\.(?:gz|zst)$/;

export function isCompressed(path: LakePath): boolean {
  return COMPRESSED.test(path);
}

const ERASED = /\.erased-\d+(?=\.[^/]*$|$)/;
const EXTENSION = /(?:\.jsonl?(?:\.gz|\.zst)?|\.parquet)$/;

/** Path of what an erasure leaves of a sealed file. @param number from 1: it may not be the first erasure */
export function erasedPath(path: LakePath, number: number): LakePath {
  const plain = withoutErased(path);
  const extension = EXTENSION.exec(plain)?.[0] ?? '';
  return `${plain.slice(0, plain.length - extension.length)}.erased-${number}${extension}`;
}

/** Path of the file as it was called before the first erasure. */
export function withoutErased(path: LakePath): LakePath {
  return path.replace(ERASED, '');
}

/** Path of the Parquet file number `number` (0 is the first) of the hour, and the partition, that `part` is of. */
export function parquetPath(part: LakePath, number: number): LakePath {
  const plain = withoutErased(part)
    .replace(COMPRESSED, '')
    .replace(/\.part-\d{4,}(?=\.[^/]*$|$)/, '');
  const stem = plain.replace(/\.(?:jsonl?|parquet)$/, '');
  return `${stem}${number === 0 ? '' : `.part-${String(number).padStart(4, '0')}`}.parquet`;
}

/** How many hours a part covers. */
export function hoursPerPart(template: string): number {
  return template.includes('{HH}') ? 1 : HOURS_PER_DAY;
}

/** The hour by which the parts go that events of `hour` are in: itself, or the first of its day. */
export function partHour(template: string, hour: Hour): Hour {
  return hour - (hour % hoursPerPart(template));
}

/** The folder that holds an hour of a collection alone, or `null` when the layout has none (then manifests live under `_sluice`). */
export function hourFolder(template: string, ns: Namespace, hour: Hour): LakePath | null {
  const folder = folderOf(template);
  const has = (...names: readonly string[]): boolean => names.every((name) => folder.includes(`{${name}}`));
  const isOfOneCollection = has('coll') && (has('db') || !template.includes('{db}'));
  const isOfOneHour = (has('yyyyMMdd') || has('yyyy', 'MM', 'dd')) && (has('HH') || hoursPerPart(template) > 1);
  return isOfOneCollection && isOfOneHour ? partPath(folder, ns, hour, 0, '') : null;
}

export function isPerEvent(template: string): boolean {
  return template === LAYOUT_PRESETS['per-event'];
}

/** What the name of an event's file is made of. */
export interface EventName {
  readonly ns: Namespace;
  readonly op: string;
  /** `documentKey` as JSON text. */
  readonly key: string | null;
  readonly at: Timestamp;
  readonly position: string;
}

/** A key is there to be found by people; the hash of the position is what tells two files apart. */
const KEY_CHARS_MAX = 48;

/** `<op>-<key>-<cluster time>-<hash of the position>.json`, in the folder of its day. */
export function eventPath({ ns, op, key, at, position }: EventName): LakePath {
  const index = partPath(LAYOUT_PRESETS['per-event'], ns, hourOf(at.t), 0, '');
  const time = `${new Date(at.t * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z-${at.i}`;
  const hash = createHash('sha256').update(position).digest('hex').slice(0, 16);
  return `${folderOf(index)}/${op}-${keyName(key)}-${time}-${hash}.json`;
}

const EVENT_FILE = /\/[A-Za-z]+-[^/]*-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-(\d+)-[0-9a-f]{16}\.json$/;

/** The cluster time in the name of an event's file, or `null` when it is none. */
export function eventFileTime(path: LakePath): Timestamp | null {
  const m = EVENT_FILE.exec(path);
  if (m === null) return null;
  const ms = Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:${m[5]}:${m[6]}Z`);
  return Number.isNaN(ms) ? null : { t: ms / 1000, i: Number(m[7]) };
}

function keyName(key: string | null): string {
  if (key === null) return 'none';
  const id = (JSON.parse(key) as { readonly _id?: unknown } | null)?._id ?? null;
  // Canonical Extended JSON has one name for the type and one value: {"$oid":"…"}, {"$numberInt":"7"}.
  const values = typeof id === 'object' && id !== null ? Object.values(id) : [id];
  const [only] = values;
  const text = values.length === 1 && typeof only === 'string' ? only : JSON.stringify(id);
  return escapeSegment(text.slice(0, KEY_CHARS_MAX).toWellFormed());
}

/** Snapshots have a root of their own, so that nobody who looks for hours takes them for such. */
const SNAPSHOT_ROOT = '_snapshots/';

/** Folder of a snapshot that was taken at `at`, with its slash. */
export function snapshotFolder(ns: Namespace, at: Timestamp, id: string): LakePath {
  return `${SNAPSHOT_ROOT}${escapeSegment(ns.db)}/${escapeSegment(ns.coll ?? '')}/${at.t}-${at.i}-${id}/`;
}

/** @param part from 1; `null`: the file that says that the snapshot is whole */
export function snapshotPath(folder: LakePath, part: number | null, suffix: string): LakePath {
  return `${folder}${part === null ? 'end' : `part-${String(part).padStart(5, '0')}`}.jsonl${suffix}`;
}

/** A name that begins with an underscore is escaped, so that no collection's folder begins like this. */
export function isSnapshotPath(path: LakePath): boolean {
  return path.startsWith(SNAPSHOT_ROOT);
}
