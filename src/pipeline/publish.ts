/**
 * What is put on the lake when an hour is over: manifests, `_SUCCESS`, the hour file.
 *
 * Every step may be done again by the next owner: what is there must have the same bytes. So the content may depend on
 * nothing but what durable checkpoints and the ledger say.
 */
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, LEDGER_BAD } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { escapeSegment, hourFolder, hoursPerPart } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { SECONDS_PER_HOUR, hourName, hourOf, parseHourName, type Hour, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { hourFilePath, type GapRecord } from './checkpoint.ts';
import { readFile } from './read-file.ts';

/** What of a pipeline its published files tell. */
export interface Published {
  readonly pipeline: string;
  readonly layout: string;
  readonly startedAt: Timestamp;
  readonly gaps: readonly GapRecord[];
}

export interface CollectionHour {
  readonly ns: Namespace;
  readonly hour: string;
  /** How many parts were ever named. */
  readonly parts: number;
  /** In path order. */
  readonly files: readonly SealedLine[];
}

/** Where the manifest of a collection-hour lies. */
export function manifestPath(pipeline: string, layout: string, ns: Namespace, hour: string): LakePath {
  const folder = hourFolder(layout, ns, parseHourName(hour)!);
  if (folder !== null) return `${folder}/_manifest.json`;
  return `_sluice/${pipeline}/manifests/${escapeSegment(ns.db)}/${ns.coll === null ? '_database' : escapeSegment(ns.coll)}/${hour}.json`;
}

/** @throws LEDGER_BAD, LAKE_CONFLICT when something else is there */
export async function publishCollectionHour(lake: Lake, about: Published, of: CollectionHour, signal: AbortSignal): Promise<void> {
  const { pipeline, layout, gaps } = about;
  const { ns, hour, parts, files } = of;
  // Every part that was ever named is sealed by now, if need be with 0 rows: a ledger that says less has lost lines.
  if (files.length !== parts) {
    const detail = `${formatNamespace(ns)} has ${parts} parts in the hour ${hour}, the ledger names ${files.length}`;
    throw new SluiceError(LEDGER_BAD, detail);
  }
  const path = manifestPath(pipeline, layout, ns, hour);
  const manifest = { v: 1, revision: 1, ns, hour, files };
  failpoint('hour.before-manifest');
  await putOnce(lake, path, Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`), signal);
  failpoint('hour.after-manifest');
  if (path.endsWith('/_manifest.json') && !isInGap(parseHourName(hour)!, hoursPerPart(layout), gaps)) {
    failpoint('hour.before-success');
    await putOnce(lake, `${path.slice(0, -'_manifest.json'.length)}_SUCCESS`, new Uint8Array(), signal);
    failpoint('hour.after-success');
  }
}

/** @throws LAKE_CONFLICT when something else is there */
export async function publishHour(
  lake: Lake,
  { pipeline, startedAt, gaps }: Published,
  { hour, collections }: { readonly hour: Hour; readonly collections: readonly Namespace[] },
  signal: AbortSignal,
): Promise<void> {
  const name = hourName(hour);
  // The hour in which the pipeline began has a beginning of its own.
  const from = hourOf(startedAt.t) === hour ? { from: new Date(startedAt.t * 1000).toISOString() } : {};
  const content = { v: 1, hour: name, complete: !isInGap(hour, 1, gaps), ...from, collections: collections.map(formatNamespace).toSorted() };
  failpoint('hour.before-hour-file');
  await putOnce(lake, hourFilePath(pipeline, name), Buffer.from(`${JSON.stringify(content)}\n`), signal);
  failpoint('hour.after-hour-file');
}

async function putOnce(lake: Lake, path: LakePath, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  try {
    await lake.put(path, bytes, 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    const there = await readFile(lake, path, signal);
    if (!there.equals(bytes)) throw new SluiceError(LAKE_CONFLICT, `${path} is there with other content`, { cause: error });
  }
}

function isInGap(hour: Hour, hours: number, gaps: readonly GapRecord[]): boolean {
  const [from, to] = [hour * SECONDS_PER_HOUR, (hour + hours) * SECONDS_PER_HOUR];
  return gaps.some((gap) => gap.from.t < to && (gap.to === null || gap.to.t >= from));
}
