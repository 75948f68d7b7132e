/**
 * From which files a collection can be given back as it was at a moment, and at which moments it can.
 *
 * A state begins where everything about the collection is known: it was created or dropped (then it is empty), or a
 * snapshot of it is complete. It can be followed from there through the events, up to a gap, to a rename that brought documents
 * from elsewhere, or to what is not sealed yet. While a snapshot was read it is of no one moment: its state begins at its end.
 * Invariant: no moment is answered about which something is not known.
 */
import { SluiceError } from '../core/error.ts';
import { RESTORE_MOMENT, RESTORE_NOTHING } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { type SealedLine } from '../core/ledger.ts';
import { parseLine, textOf } from '../core/line.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, hourName, hourOf, SECONDS_PER_HOUR, type Timestamp } from '../core/time.ts';
import { sealedEvents } from './event-files.ts';
import { isGone, reachIn, readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { readWhole } from './whole.ts';

/** Where a state begins. */
interface Base {
  /** First moment at which it is whole. */
  readonly at: Timestamp;
  /** Events after this position are to be followed. */
  readonly position: string;
  /** Files of the snapshot that it is; none when it is empty. */
  readonly snapshot: readonly SealedLine[];
}

export interface RestorePlan {
  readonly base: Base;
  /** Files with events of the collection after the base, in order. */
  readonly events: readonly SealedLine[];
  /** Lines of its files, up to that moment, that were erased since they were written: their documents are not given back. */
  readonly erased: number;
}

/** Events of these make or end a state. */
const MARKS = ['create', 'drop', 'rename', 'dropDatabase'] as const;

/** @param asOf inclusive @throws RESTORE_NOTHING, RESTORE_MOMENT with the nearest moments that can be had */
export async function planRestore(lake: Lake, pipeline: string, ns: Namespace, asOf: Timestamp, signal: AbortSignal): Promise<RestorePlan> {
  const name = formatNamespace(ns);
  const whole = await readWhole(lake, pipeline, signal);
  if (whole === null) throw new SluiceError(RESTORE_NOTHING, `${lake.description} has no pipeline ${pipeline}`);
  const horizon = await readHorizon(lake, pipeline, signal);
  const { inForce: lines, erasures } = await linesOfLedger(lake, pipeline, signal);
  const kept = lines.filter((line) => !isGone(line, horizon));
  const own = kept.filter((line) => formatNamespace(line) === name && !isSnapshotPath(line.path));
  const { bases, breaks } = await marksOf(lake, ns, kept, signal);
  bases.push(
    ...(await snapshotsOf(
      lake,
      kept.filter((line) => formatNamespace(line) === name && isSnapshotPath(line.path)),
      erasures,
      signal,
    )),
  );
  for (const { from, to } of whole.gaps) breaks.push(from, ...(to === null ? [] : [to]));
  // What the horizon has taken cannot be followed.
  const { from: begins } = reachIn(horizon, ns);
  if (begins !== null) breaks.push({ t: begins * SECONDS_PER_HOUR, i: 0 });
  const unknown = unknownMarks(ns, lines.filter((line) => isGone(line, horizon))); // prettier-ignore
  for (const { from } of unknown) breaks.push(from);
  const open = whole.parts.filter((part) => formatNamespace(part.ns) === name && part.firstAt !== null).map((part) => part.firstAt!);
  const end = [whole.watermark, ...open].toSorted(compareTimestamps)[0]!;
  const spans = bases.map((base) => ({
    base,
    until: [...breaks.filter((at) => compareTimestamps(at, base.at) > 0), end].toSorted(compareTimestamps)[0]!,
  }));
  const isWithin = (at: Timestamp): boolean => unknown.some(({ from, to }) => compareTimestamps(from, at) <= 0 && compareTimestamps(at, to) < 0);
  const good = spans.filter(({ base, until }) => compareTimestamps(base.at, until) < 0 && !isWithin(base.at));
  if (good.length === 0)
    throw new SluiceError(
      RESTORE_NOTHING,
      `no file of the lake says what ${name} held: it was neither created nor snapshotted while it was captured, or that is not sealed yet`,
    );
  const fitting = good.filter(({ base, until }) => compareTimestamps(base.at, asOf) <= 0 && compareTimestamps(asOf, until) < 0);
  const best = fitting.toSorted((a, b) => compareTimestamps(a.base.at, b.base.at)).at(-1);
  if (best === undefined) throw refusal(asOf, good, end);
  const events = own.filter((line) => line.last !== null && line.last > best.base.position && compareTimestamps(line.firstAt!, asOf) <= 0);
  const until = hourName(hourOf(asOf.t));
  const erased = erasures
    .filter((line) => formatNamespace(line) === name && line.hour <= until)
    .reduce((sum, line) => sum + (line.erased?.rows ?? 0), 0);
  return { base: best.base, events: events.toSorted((a, b) => (a.first! < b.first! ? -1 : 1)), erased };
}

function refusal(asOf: Timestamp, good: readonly { base: Base; until: Timestamp }[], end: Timestamp): SluiceError {
  const before = good
    .map(({ until }) => until)
    .filter((at) => compareTimestamps(at, asOf) <= 0)
    .toSorted(compareTimestamps)
    .at(-1);
  const after = good
    .map(({ base }) => base.at)
    .filter((at) => compareTimestamps(at, asOf) > 0)
    .toSorted(compareTimestamps)[0];
  const near = [
    ...(before === undefined ? [] : [`just before ${shownMoment(before)}`]),
    ...(after === undefined ? [] : [`from ${shownMoment(after)} on`]),
  ].join(', or ');
  const hint = compareTimestamps(asOf, end) >= 0 ? ' What is later is not sealed yet: `sluice seal` does that.' : '';
  return new SluiceError(RESTORE_MOMENT, `${shownMoment(asOf)}; the nearest moments are ${near}`, {
    next: `Give one of these as \`--as-of\`.${hint}`,
  });
}

/** As `--as-of` takes it. */
export function shownMoment({ t, i }: Timestamp): string {
  return `${t}.${i} (${new Date(t * 1000).toISOString().slice(0, 19)}Z)`;
}

/** Lines in force, and all that erasures have ever written. */
async function linesOfLedger(lake: Lake, pipeline: string, signal: AbortSignal): Promise<{ inForce: SealedLine[]; erasures: SealedLine[] }> {
  const { lines, superseded } = await readSealed(lake, pipeline, () => true, signal);
  const inForce = lines.filter(({ path, rows }) => rows > 0 && !superseded.has(path));
  return { inForce, erasures: lines.filter(({ erased }) => erased !== undefined) };
}

/** Only files that say so hold such events. */
async function marksOf(
  lake: Lake,
  ns: Namespace,
  lines: readonly SealedLine[],
  signal: AbortSignal,
): Promise<{ bases: Base[]; breaks: Timestamp[] }> {
  const [bases, breaks]: [Base[], Timestamp[]] = [[], []];
  for (const line of lines.filter(({ ops }) => MARKS.some((op) => ops[op] !== undefined))) {
    // Renames of any collection may end here; all else is of the collection or of its database.
    if (line.ops.rename === undefined && (line.db !== ns.db || (line.coll !== null && line.coll !== ns.coll))) continue;
    for await (const event of sealedEvents(lake, line, signal)) {
      const bytes = Buffer.from(event.buffer, event.byteOffset, event.byteLength);
      const { op, at, position, ns: of } = factsOf(bytes);
      const isOwn = of.db === ns.db && of.coll === ns.coll;
      const isEmpty = (isOwn && (op === 'create' || op === 'drop' || op === 'rename')) || (op === 'dropDatabase' && of.db === ns.db);
      if (isEmpty) bases.push({ at, position, snapshot: [] });
      if (op === 'rename' && isTo(bytes, ns)) breaks.push(at);
    }
  }
  return { bases, breaks };
}

/** Files that are gone and have ended this collection, or brought documents to it, or not: their ledger lines do not say of which they speak. */
function unknownMarks(ns: Namespace, gone: readonly SealedLine[]): { readonly from: Timestamp; readonly to: Timestamp }[] {
  const may = gone.filter(({ db, ops }) => ops.rename !== undefined || (ops.dropDatabase !== undefined && db === ns.db));
  return may.flatMap(({ firstAt, lastAt }) => (firstAt === null || lastAt === null ? [] : [{ from: firstAt, to: lastAt }]));
}

function factsOf(bytes: Buffer): { op: string; at: Timestamp; position: string; ns: Namespace } {
  const { _meta } = JSON.parse(bytes.toString('utf8')) as { _meta: { operationType: string } };
  const { at, position, ns } = parseLine(bytes);
  return { op: _meta.operationType, at, position, ns };
}

function isTo(bytes: Buffer, ns: Namespace): boolean {
  const text = textOf(bytes, 'to');
  const to = text === null ? null : (JSON.parse(text) as { db?: unknown; coll?: unknown });
  return to?.db === ns.db && to.coll === ns.coll;
}

/** Snapshots that are complete: they have a file that says so, and as many rows as it says, but for those that were erased. */
async function snapshotsOf(lake: Lake, lines: readonly SealedLine[], erasures: readonly SealedLine[], signal: AbortSignal): Promise<Base[]> {
  const bases: Base[] = [];
  for (const [folder, files] of Map.groupBy(lines, ({ path }) => path.slice(0, path.lastIndexOf('/')))) {
    const erased = erasures.filter(({ path }) => path.startsWith(`${folder}/`)).reduce((sum, line) => sum + (line.erased?.rows ?? 0), 0);
    const end = files.find(({ ops }) => (ops as Readonly<Record<string, number>>)['snapshotEnd'] !== undefined);
    if (end === undefined) continue;
    for await (const event of sealedEvents(lake, end, signal)) {
      const text = textOf(Buffer.from(event.buffer, event.byteOffset, event.byteLength), 'snapshot');
      const said = text === null ? null : (JSON.parse(text) as { files: number; rows: number; endedAt: { $timestamp: Timestamp } });
      const parts = files.filter((file) => file !== end);
      const rows = parts.reduce((sum, part) => sum + part.rows, 0);
      if (said === null || said.rows !== rows + erased) continue;
      bases.push({ at: said.endedAt.$timestamp, position: end.first!, snapshot: parts });
    }
  }
  return bases;
}
