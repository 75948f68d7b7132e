/**
 * What a compaction may take, and what it makes of it.
 *
 * Invariant: only hours are taken that are over for good. The owner puts manifests of hours that its durable checkpoint has not
 * passed yet, and expects its own bytes there; and after a change of the stream it reads sealed files again from the cluster time of its
 * position on. Before both, nobody but a reader looks at a file any more.
 */
import type { LakePath } from '../core/lake.ts';
import { hoursPerPart, isCompressed, isSnapshotPath, parquetPath, partHour } from '../core/layout.ts';
import { isSealedLine, type LedgerLine, type SealedLine } from '../core/ledger.ts';
import { NamespaceFilter } from '../core/namespace.ts';
import { hourOf, parseHourName, type Hour } from '../core/time.ts';
import { hourKey } from './checkpoint.ts';
import { isGone, type Horizon } from './horizon.ts';
import { isParquet } from './parquet-lines.ts';
import type { WholePipeline } from './whole.ts';

export interface CompactionRange {
  /** Globs over `db.collection`; empty: all. */
  readonly collections: readonly string[];
  /** Both included; `null`: from the beginning, up to the last that is over. */
  readonly from: Hour | null;
  readonly to: Hour | null;
}

/** Sealed files, in order, and the Parquet file that takes their place. */
export interface Merge {
  readonly path: LakePath;
  readonly originals: readonly SealedLine[];
}

/** A collection-hour with something to do. */
export interface HourPlan {
  readonly key: string;
  readonly merges: readonly Merge[];
}

export interface CompactionPlan {
  /** In order. */
  readonly hours: readonly HourPlan[];
  /** All lines in force of the hours that are planned, by hour key. */
  readonly inForce: ReadonlyMap<string, readonly SealedLine[]>;
}

/** What one Parquet file is made of, before compression: it is held in memory once, compressed, and on this machine's disk. */
const MERGE_BYTES_MAX = 512 * 1024 ** 2;
/** A guess: of a compressed part only the compressed size is known. */
const COMPRESSION_RATIO = 8;

export async function planCompaction(
  ledger: AsyncIterable<LedgerLine>,
  about: WholePipeline,
  horizon: Horizon,
  range: CompactionRange,
): Promise<CompactionPlan> {
  const isChosen = chooser(about, range);
  const lines: SealedLine[] = [];
  const superseded = new Set<LakePath>();
  /** Every path that a Parquet file ever had. */
  const taken = new Set<LakePath>();
  for await (const line of ledger) {
    if (!isSealedLine(line) || isSnapshotPath(line.path) || isGone(line, horizon) || !isChosen(line)) continue;
    lines.push(line);
    if (isParquet(line.path)) taken.add(line.path);
    for (const path of line.supersedes ?? []) superseded.add(path);
  }
  const inForce = Map.groupBy(
    lines.filter(({ path }) => !superseded.has(path)).toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    ({ db, coll, hour }) => hourKey({ db, coll }, hour),
  );
  const hours: HourPlan[] = [];
  for (const [key, files] of [...inForce].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    // Files of which each begins after the last: parts of a partition, files of late events.
    const sequences = Map.groupBy(files, ({ path }) => parquetPath(path, 0));
    const merges = [...sequences.values()].flatMap((sequence) => mergesOf(sequence, taken));
    if (merges.length > 0) hours.push({ key, merges });
    else inForce.delete(key);
  }
  return { hours, inForce };
}

/** Is it over for good? Before an hour that is, all are. @param hour that parts go by */
export function isOver(about: WholePipeline, hour: Hour): boolean {
  return hour < firstNotOver(about);
}

/** By the watermark, the position and the hour files. */
export function firstNotOver({ layout, resume, watermark, nextHour }: WholePipeline): Hour {
  return resume === null ? 0 : partHour(layout, Math.min(nextHour, hourOf(watermark.t), hourOf(resume.clusterTime.t)));
}

function chooser(about: WholePipeline, range: CompactionRange): (line: SealedLine) => boolean {
  const globs = range.collections.length === 0 ? null : new NamespaceFilter(range.collections, []);
  const perPart = hoursPerPart(about.layout);
  return ({ db, coll, hour: name, eventBytes }) => {
    const hour = parseHourName(name);
    if (hour === null || eventBytes !== undefined || !isOver(about, hour)) return false;
    if (range.from !== null && hour + perPart <= range.from) return false;
    if (range.to !== null && hour > range.to) return false;
    return globs === null || globs.matches({ db, coll });
  };
}

function mergesOf(sequence: readonly SealedLine[], taken: Set<LakePath>): Merge[] {
  const merges: Merge[] = [];
  let originals: SealedLine[] = [];
  let bytes = 0;
  const flush = (): void => {
    const isWorthIt = originals.some(({ rows, path }) => rows > 0 && !isParquet(path));
    if (isWorthIt) {
      let number = 0;
      while (taken.has(parquetPath(originals[0]!.path, number))) number += 1;
      const path = parquetPath(originals[0]!.path, number);
      taken.add(path);
      merges.push({ path, originals });
    }
    originals = [];
    bytes = 0;
  };
  for (const line of sequence) {
    const size = plainBytes(line);
    if (bytes > 0 && bytes + size > MERGE_BYTES_MAX) flush();
    originals.push(line);
    bytes += size;
  }
  flush();
  return merges;
}

function plainBytes(line: SealedLine): number {
  return line.lines?.bytes ?? line.bytes * (isCompressed(line.path) ? COMPRESSION_RATIO : 1);
}
