/**
 * The proof of a lake: every file is what its ledger line says, every event is there once and in order, and what is
 * published is true.
 *
 * It only reads, and an owner may be running meanwhile. What the ledger has when it begins is proved byte by byte; what
 * is sealed while it runs is proved by the next one. Open parts are not promised yet: only their durable length is.
 */
import { SluiceError } from '../core/error.ts';
import { CHECKPOINT_BAD, LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { eventFileTime, hoursPerPart, isPerEvent, isSnapshotPath, parquetPath, partPath, withoutErased } from '../core/layout.ts';
import { isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace } from '../core/namespace.ts';
import { compareTimestamps, hourName, parseHourName, type Hour } from '../core/time.ts';
import { MAINTENANCE, checkpointPath, openPaths, type Checkpoint, type PartRecord } from './checkpoint.ts';
import { readLedger } from './ledger.ts';
import { isParquet } from './parquet-lines.ts';
import { proveEvents, proveNoOthers } from './verify-events.ts';
import { positionsOf, verifyFile } from './verify-file.ts';
import { dumpPaths } from './dump-record.ts';
import { Extent, readHorizon, type Horizon } from './horizon.ts';
import { Findings, type LakeCheck, type LakeFinding } from './verify-findings.ts';
import { viewLedger, type LedgerView } from './verify-ledger.ts';
import { listLake, PublishedProof, type LedgerNow } from './verify-published.ts';
import { readWhole, type WholePipeline } from './whole.ts';
import { readCheckpoint } from './read-checkpoint.ts';

export interface LakeReport {
  readonly pipeline: string;
  readonly ok: boolean;
  /** Sealed files that were proved, and what was found in them; bytes as stored. */
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
  /** Distinct hours and collections of these files. */
  readonly hours: number;
  readonly collections: number;
  readonly openParts: number;
  /** `YYYYMMDD-HH`: retention has removed all hours before it; `null`: none. */
  readonly removedBefore: string | null;
  /** Collections of which less was removed, because they are held back. */
  readonly heldBack: readonly { readonly collection: string; readonly removedBefore: string | null }[];
  /** The first thousand. */
  readonly findings: readonly LakeFinding[];
  readonly findingsTotal: number;
  /** Findings per check, for checks that have any. */
  readonly checks: Readonly<Partial<Record<LakeCheck, number>>>;
}

export interface VerifyProgress {
  readonly files: number;
  readonly filesTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
}

export interface VerifyLakeOptions {
  /** Proves the files of this hour and later ones. */
  readonly since?: Hour;
  readonly signal: AbortSignal;
  /** Called before each file and at the end. */
  readonly onProgress?: (progress: VerifyProgress) => void;
}

/** Files that overlap are compared event by event with this many of their predecessors. */
const OVERLAPS_COMPARED_MAX = 16;

/** @throws CHECKPOINT_NEWER, and what the lake throws when it cannot be read; what is wrong in it is in the report */
export async function verifyLake(lake: Lake, pipeline: string, options: VerifyLakeOptions): Promise<LakeReport> {
  for (;;) {
    const horizon = await readHorizon(lake, pipeline, options.signal);
    const report = await proveLake(lake, pipeline, horizon, options);
    // What retention took away while it was looked for is not missing: looked at again, without it.
    if (report.ok || (await readHorizon(lake, pipeline, options.signal)).there?.etag === horizon.there?.etag) return report;
  }
}

async function proveLake(lake: Lake, pipeline: string, horizon: Horizon, options: VerifyLakeOptions): Promise<LakeReport> {
  const { signal } = options;
  const findings = new Findings();
  // Of this first reading nothing is told: the second one sees the same and more.
  const before = await checkpointOf(lake, pipeline, new Findings(), signal);
  const layout = before?.layout ?? null;
  // What retention has removed is not missing.
  const extent = new Extent(horizon, options.since ?? null, layout);
  const ledger = await viewLedger(lake, pipeline, extent, before, new Findings(), signal);
  await proveOpenParts(lake, before, findings);
  const sums = await proveFiles(lake, pipeline, ledger, before, findings, options);

  const open = new Set(openPaths(before));
  // Files of single events are many: they are looked at folder by folder, by a listing of their own.
  const isEvent = (path: LakePath): boolean => layout !== null && isPerEvent(layout) && eventFileTime(path) !== null;
  const listing = await listLake(lake, pipeline, (path) => open.has(path) || ledger.paths.has(path) || isEvent(path), signal);
  // A dump's record names its files before it makes them.
  const dumps = await dumpPaths(lake, pipeline, signal);
  const found = { ...listing, unknown: listing.unknown.filter((path) => !dumps.has(path)) };
  const after = await checkpointOf(lake, pipeline, findings, signal);
  const ledgerAfter = await viewLedger(lake, pipeline, extent, after, findings, signal);
  // Against the older view: a running owner moves both on.
  if (after !== null && ledger.epochLast > after.epoch) {
    findings.add('checkpoint', checkpointPath(pipeline), `is of epoch ${after.epoch}, the ledger of ${ledger.epochLast}`);
  }
  const maintained = await maintenance(lake, pipeline, findings, signal);
  const ledgerNow = async (): Promise<LedgerView> => await viewLedger(lake, pipeline, extent, after, new Findings(), signal);
  const reread = async (): Promise<LedgerNow> => {
    const again = await ledgerNow();
    return { ledger: again, maintained: await maintenance(lake, pipeline, new Findings(), signal) };
  };
  const now = { ledger: ledgerAfter, maintained };
  await new PublishedProof(lake, pipeline, after, { now, reread }, extent, findings).prove(found, signal);
  if (after !== null && isPerEvent(after.layout))
    await proveNoOthers(lake, after, { ledger: ledgerAfter, reread: ledgerNow, extent }, findings, signal);
  return {
    pipeline,
    ok: findings.total === 0,
    ...sums,
    hours: new Set(ledger.lines.filter(({ path }) => !isSnapshotPath(path)).map((line) => line.hour)).size,
    collections: new Set(ledger.lines.map(collectionOf)).size,
    openParts: after?.parts.length ?? 0,
    removedBefore: nameOf(horizon.from),
    heldBack: [...horizon.apart]
      .filter(([, { from }]) => from !== horizon.from)
      .map(([collection, { from }]) => ({ collection, removedBefore: nameOf(from) })),
    findings: findings.list,
    findingsTotal: findings.total,
    checks: Object.fromEntries(findings.counts),
  };
}

async function checkpointOf(lake: Lake, pipeline: string, findings: Findings, signal: AbortSignal): Promise<WholePipeline | null> {
  try {
    const whole = await readWhole(lake, pipeline, signal);
    if (whole === null) findings.add('checkpoint', checkpointPath(pipeline), 'is missing');
    return whole;
  } catch (error) {
    if (!SluiceError.is(error, CHECKPOINT_BAD)) throw error;
    findings.add('checkpoint', checkpointPath(pipeline), error.message);
    return null;
  }
}

/** What whoever compacts has named and may be about to do. */
async function maintenance(lake: Lake, pipeline: string, findings: Findings, signal: AbortSignal): Promise<readonly PartRecord[]> {
  const path = checkpointPath(pipeline, MAINTENANCE);
  try {
    return (await readCheckpoint(lake, pipeline, MAINTENANCE, signal))?.parts ?? [];
  } catch (error) {
    if (!SluiceError.is(error, CHECKPOINT_BAD)) throw error;
    findings.add('checkpoint', path, error.message);
    return [];
  }
}

/** A part of length 0 may not have been made yet: the checkpoint names it first. */
async function proveOpenParts(lake: Lake, checkpoint: Checkpoint | null, findings: Findings): Promise<void> {
  const snapshots = checkpoint?.snapshots.flatMap(({ parts }) => parts) ?? [];
  for (const { path, length } of [...(checkpoint?.parts ?? []), ...snapshots]) {
    if (length === 0) continue;
    const file = await lake.stat(path);
    if (file === null) findings.add('open-part', path, `is missing, ${length} bytes were durable`);
    else if (file.size < length) findings.add('open-part', path, `holds ${file.size} bytes, ${length} were durable`);
  }
}

const GONE: readonly LakeCheck[] = ['file-missing', 'event-file'];

async function isSuperseded(lake: Lake, pipeline: string, { path }: SealedLine, signal: AbortSignal): Promise<boolean> {
  for await (const line of readLedger(lake, pipeline, '', signal)) if (isSealedLine(line) && line.supersedes?.includes(path) === true) return true;
  return false;
}

async function proveFiles(
  lake: Lake,
  pipeline: string,
  ledger: LedgerView,
  checkpoint: Checkpoint | null,
  findings: Findings,
  { signal, onProgress }: VerifyLakeOptions,
): Promise<{ files: number; rows: number; bytes: number }> {
  const sequence = sequenceOf(checkpoint);
  const lines = ledger.lines.toSorted((a, b) => inOrderOfEvents(a, b, sequence));
  const sums = { files: 0, rows: 0, bytes: 0 };
  const total = { filesTotal: lines.length, bytesTotal: lines.reduce((sum, line) => sum + line.bytes + (line.eventBytes ?? 0), 0) };
  const layout = checkpoint?.layout ?? null;
  const provePath = pathProof(layout);
  let earlier: EarlierFiles = { collection: '', lines: [], furthest: null };
  for (const line of lines) {
    signal.throwIfAborted();
    onProgress?.({ ...sums, ...total });
    const isSnapshot = isSnapshotPath(line.path);
    const own = new Findings();
    const originals = originalsOf(line, ledger, own);
    const facts = await verifyFile(lake, line, layout === null || isSnapshot ? 1 : hoursPerPart(layout), originals, own, signal);
    if (layout !== null && isPerEvent(layout) && !isSnapshot) facts.bytes += await proveEvents(lake, line, own, signal);
    // A compaction or an erasure has put another file in its place meanwhile: the next proof proves that one. Erased events go before their index.
    if (GONE.some((check) => own.counts.has(check)) && (await isSuperseded(lake, pipeline, line, signal))) continue;
    findings.take(own);
    sums.files += 1;
    sums.rows += facts.rows;
    sums.bytes += facts.bytes;
    // All rows of a snapshot share one position, and their files have no order among each other.
    if (isSnapshot) continue;
    const expected = provePath(line);
    if (expected !== null) findings.add('file-path', line.path, `the layout puts it at ${expected}`);
    if (line.rows === 0) continue;
    const collection = sequence(line);
    if (earlier.collection !== collection) earlier = { collection, lines: [], furthest: null };
    await proveOrder(lake, line, earlier, findings, signal);
    earlier.lines.push(line);
    if (earlier.furthest === null || isBefore(earlier.furthest, line)) earlier.furthest = line;
  }
  onProgress?.({ ...sums, ...total });
  return sums;
}

/** Ledger lines of the files whose lines it holds. Of one that an erasure has written only its own: the one before it had more. */
function originalsOf(line: SealedLine, { superseded }: LedgerView, findings: Findings): readonly SealedLine[] {
  const originals = (line.supersedes ?? []).flatMap((path) => superseded.get(path) ?? []);
  if (line.erased === undefined) return originals;
  const before = originals[0]?.rows ?? 0;
  if (line.rows + line.erased.rows !== before)
    findings.add('erased-rows', line.path, `${line.rows} rows and ${line.erased.rows} that were erased, the file before it had ${before}`);
  return [line];
}

/** Files of one collection that have rows, in order, up to one of them. */
interface EarlierFiles {
  readonly collection: string;
  readonly lines: SealedLine[];
  /** The one that ends last: while files are in order, the last one. */
  furthest: SealedLine | null;
}

/**
 * A file begins after every file of its collection that comes before it. Where it does not, it is compared event by
 * event with those that share its range: out of order is one thing, an event that is there twice another.
 */
async function proveOrder(lake: Lake, line: SealedLine, { lines, furthest }: EarlierFiles, findings: Findings, signal: AbortSignal): Promise<void> {
  if (furthest === null || isBefore(furthest, line)) return;
  findings.add('order', line.path, `begins at ${line.first}, but ${furthest.path} comes before it and ends at ${furthest.last}`);
  const sharing = lines.filter((other) => !isBefore(other, line) && !isBefore(line, other));
  for (const other of sharing.slice(-OVERLAPS_COMPARED_MAX)) {
    const { count, first } = await commonPositions(lake, other, line, signal);
    if (count > 0) findings.add('duplicate', line.path, `${count} of its positions are in ${other.path} too, the first is ${first}`);
  }
}

/**
 * Cluster time decides first: it compares over all positions there can be, which are only comparable under one
 * fingerprint. Between two fingerprints it can be equal only in the middle of a transaction.
 */
function isBefore(a: SealedLine, b: SealedLine): boolean {
  if (a.last === null || b.first === null) return true;
  const order = a.lastAt === null || b.firstAt === null ? 0 : compareTimestamps(a.lastAt, b.firstAt);
  return order < 0 || (order === 0 && a.last < b.first);
}

/** Positions that are in both files, each of which rises. */
async function commonPositions(lake: Lake, a: SealedLine, b: SealedLine, signal: AbortSignal): Promise<{ count: number; first: string }> {
  const common = { count: 0, first: '' };
  try {
    const [left, right] = [positionsOf(lake, a, signal), positionsOf(lake, b, signal)];
    let [x, y] = [await left.next(), await right.next()];
    while (x.done !== true && y.done !== true) {
      if (x.value === y.value) {
        if (common.count === 0) common.first = x.value;
        common.count += 1;
      }
      const wasBelow = x.value <= y.value;
      const wasAbove = x.value >= y.value;
      if (wasBelow) x = await left.next();
      if (wasAbove) y = await right.next();
    }
    await left.return(undefined);
    await right.return(undefined);
  } catch (error) {
    signal.throwIfAborted();
    // A file that is missing or cannot be decompressed has a finding of its own by now.
    if (error instanceof SluiceError && error.kind !== LAKE_DAMAGED) throw error;
  }
  return common;
}

/**
 * Says where a file should lie, or `null` when it lies right. A path that the layout could not have made is of an
 * earlier layout, about which nothing is known: only what looks like this one is judged.
 */
function pathProof(layout: string | null): (line: SealedLine) => string | null {
  if (layout === null) return () => null;
  const regex = layoutRegex(layout);
  const ofParquet = layoutRegex(`${layout.replace('{part}', '').replace(/\.jsonl?$/, '')}{part}.parquet`);
  return (line) => {
    const isMade = isParquet(line.path);
    const path = withoutErased(line.path);
    const groups = (isMade ? ofParquet : regex).exec(path)?.groups;
    const hour = parseHourName(line.hour);
    if (groups === undefined || hour === null) return null;
    const number = Number(groups['part']?.slice('.part-'.length) ?? 0);
    const part = partPath(layout, { db: line.db, coll: line.coll }, hour, isMade ? 0 : number, groups['suffix'] ?? '');
    const expected = isMade ? parquetPath(part, number) : part;
    return expected === path ? null : expected;
  };
}

function layoutRegex(template: string): RegExp {
  const digits: Record<string, number> = { yyyy: 4, MM: 2, dd: 2, HH: 2, yyyyMMdd: 8 };
  const source = template.replace(/\{(\w+)\}|[^\w/]/g, (whole, name: string | undefined) => {
    if (name === 'part') return String.raw`(?<part>\.part-\d{4,})?`;
    if (name === 'db' || name === 'coll') return '[^/]+';
    const width = name === undefined ? undefined : digits[name];
    return width === undefined ? whole.replace(/[^\w]/g, String.raw`\$&`) : String.raw`\d{${width}}`;
  });
  // A group that is always there, so that a match has `groups` whatever the template is.
  return new RegExp(String.raw`^${source}(?<suffix>\.gz|\.zst)?$`);
}

function nameOf(hour: Hour | null): string | null {
  return hour === null ? null : hourName(hour);
}

function collectionOf(line: SealedLine): string {
  return formatNamespace({ db: line.db, coll: line.coll });
}

/** Files of which each begins after the last: of a collection, or of its part of a partition when it is shared out by document. */
function sequenceOf(checkpoint: Checkpoint | null): (line: SealedLine) => string {
  if (checkpoint?.bus?.partitionBy !== 'document') return collectionOf;
  return (line) => `${collectionOf(line)} ${/\.(p\d{3,})(?:\.part-\d+)?\.[a-z.]+$/.exec(withoutErased(line.path))?.[1] ?? ''}`;
}

/** By sequence, then hour, then path: the order in which its events were written. */
function inOrderOfEvents(a: SealedLine, b: SealedLine, sequence: (line: SealedLine) => string): number {
  const [left, right] = [sequence(a), sequence(b)];
  if (left !== right) return left < right ? -1 : 1;
  if (a.hour !== b.hour) return a.hour < b.hour ? -1 : 1;
  return a.path < b.path ? -1 : 1;
}
