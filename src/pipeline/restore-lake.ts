/**
 * Restoring out of the lake: which of its sealed files hold what, by the ledger.
 *
 * That takes its time, and others compact, erase and retain meanwhile. Invariant: what is given back is what the ledger promised when it
 * was planned, whole, or it is told that it has changed.
 */
import { SluiceError } from '../core/error.ts';
import { RESTORE_CHANGED, RESTORE_NOTHING } from '../core/errors.ts';
import { folderOf, type Lake } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, hourName, hourOf, SECONDS_PER_HOUR, type Timestamp } from '../core/time.ts';
import { isGone, reachIn, readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { PlannedFiles, TakenAway } from './planned.ts';
import { History, MARKS, snapshotOf, type RestorePlan, type RestoreSource } from './restore-plan.ts';
import { readWhole, type WholePipeline } from './whole.ts';

const BEYOND = 'What is later is not sealed yet: `sluice seal` does that.';

type Files = readonly SealedLine[];

export class LakeSource implements RestoreSource {
  readonly name = 'the lake';
  readonly #lake: Lake;
  readonly #pipeline: string;

  constructor(lake: Lake, pipeline: string) {
    this.#lake = lake;
    this.#pipeline = pipeline;
  }

  async plan(ns: Namespace, asOf: Timestamp, signal: AbortSignal): Promise<RestorePlan> {
    const [lake, name] = [this.#lake, formatNamespace(ns)];
    const whole = await readWhole(lake, this.#pipeline, signal);
    if (whole === null) throw new SluiceError(RESTORE_NOTHING, `${lake.description} has no pipeline ${this.#pipeline}`);
    const horizon = await readHorizon(lake, this.#pipeline, signal);
    const { inForce: lines, erasures } = await linesOfLedger(lake, this.#pipeline, signal);
    const files = new PlannedFiles(lake, this.#pipeline);
    const kept = lines.filter((line) => !isGone(line, horizon));
    const own = kept.filter((line) => formatNamespace(line) === name);
    const history = new History<Files>(ns);
    await addMarks(files, ns, kept, history, signal);
    await addSnapshots(
      files,
      own.filter(({ path }) => isSnapshotPath(path)),
      erasures,
      history,
      signal,
    );
    for (const { from, to } of whole.gaps) for (const at of to === null ? [from] : [from, to]) history.addBreak(at);
    // What the horizon has taken cannot be followed.
    const { from: begins } = reachIn(horizon, ns);
    if (begins !== null) history.addBreak({ t: begins * SECONDS_PER_HOUR, i: 0 });
    addUnknownMarks(
      ns,
      lines.filter((line) => isGone(line, horizon)),
      history,
    );
    const base = history.choose(asOf, { end: endOf(whole, ns), beyond: BEYOND }, this.name);
    const events = own
      .filter((line) => !isSnapshotPath(line.path) && line.last !== null && line.last > base.position && compareTimestamps(line.firstAt!, asOf) <= 0)
      .toSorted((a, b) => (a.first! < b.first! ? -1 : 1));
    const until = hourName(hourOf(asOf.t));
    const erased = erasures
      .filter((line) => formatNamespace(line) === name && line.hour <= until)
      .reduce((sum, line) => sum + (line.erased?.rows ?? 0), 0);
    return {
      from: this.name,
      position: base.position,
      erased,
      snapshot: (stop) => linesOf(files, base.snapshot ?? [], stop),
      events: (stop) => linesOf(files, events, stop),
    };
  }
}

/** @throws RESTORE_CHANGED */
async function* linesOf(planned: PlannedFiles, files: Files, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for (const file of files) yield* planned.events(file, signal);
  } catch (error) {
    throw error instanceof TakenAway ? new SluiceError(RESTORE_CHANGED, error.message, { cause: error }) : error;
  }
}

/** What is in a part that is open cannot be read yet: its own events, those of its database, and renames, which may end here. */
function endOf({ parts, watermark }: WholePipeline, ns: Namespace): Timestamp {
  const open = parts.filter(
    (part) =>
      part.firstAt !== null &&
      (formatNamespace(part.ns) === formatNamespace(ns) || (part.ns.db === ns.db && part.ns.coll === null) || part.ops.rename !== undefined),
  );
  return [watermark, ...open.map((part) => part.firstAt!)].toSorted(compareTimestamps)[0]!;
}

/** Lines in force, and all that erasures have ever written. */
async function linesOfLedger(lake: Lake, pipeline: string, signal: AbortSignal): Promise<{ inForce: SealedLine[]; erasures: SealedLine[] }> {
  const { lines, superseded } = await readSealed(lake, pipeline, () => true, signal);
  const inForce = lines.filter(({ path, rows }) => rows > 0 && !superseded.has(path));
  return { inForce, erasures: lines.filter(({ erased }) => erased !== undefined) };
}

/** Only files that say so hold such events. */
async function addMarks(planned: PlannedFiles, ns: Namespace, lines: Files, history: History<Files>, signal: AbortSignal): Promise<void> {
  for (const line of lines.filter(({ ops }) => MARKS.some((op) => ops[op] !== undefined))) {
    // Renames of any collection may end here; all else is of the collection or of its database.
    if (line.ops.rename === undefined && (line.db !== ns.db || (line.coll !== null && line.coll !== ns.coll))) continue;
    for await (const event of linesOf(planned, [line], signal)) history.addMark(Buffer.from(event.buffer, event.byteOffset, event.byteLength));
  }
}

/** Files that are gone and have ended this collection, or brought documents to it, or not: their ledger lines do not say of which they speak. */
function addUnknownMarks(ns: Namespace, gone: Files, history: History<Files>): void {
  for (const { db, ops, firstAt, lastAt } of gone) {
    const may = ops.rename !== undefined || (ops.dropDatabase !== undefined && db === ns.db);
    if (may && firstAt !== null && lastAt !== null) history.addUnknown(firstAt, lastAt);
  }
}

/** Snapshots that are complete: they have a file that says so, and as many rows as it says, but for those that were erased. */
async function addSnapshots(planned: PlannedFiles, lines: Files, erasures: Files, history: History<Files>, signal: AbortSignal): Promise<void> {
  for (const [folder, files] of Map.groupBy(lines, ({ path }) => folderOf(path))) {
    const erased = erasures.filter(({ path }) => path.startsWith(`${folder}/`)).reduce((sum, line) => sum + (line.erased?.rows ?? 0), 0);
    const end = files.find(({ ops }) => ops.snapshotEnd !== undefined);
    if (end === undefined) continue;
    for await (const event of linesOf(planned, [end], signal)) {
      const line = Buffer.from(event.buffer, event.byteOffset, event.byteLength);
      const parts = files.filter((file) => file !== end);
      const rows = parts.reduce((sum, part) => sum + part.rows, 0);
      if (snapshotOf(line)?.rows === rows + erased) history.addSnapshot(line, parts);
    }
  }
}
