/**
 * The changes of an hour as a file: from the sealed files of the lake, so that a dump asks nothing of the source.
 *
 * An hour that is over is closed by a file without a number. What is dumped before that are parts; each change is in
 * exactly one of them, because each goes on after the position at which the one before has ended.
 */
import type { Lake } from '../core/lake.ts';
import { positionAt } from '../core/event.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { hourOf, parseHourName } from '../core/time.ts';
import { hourFilePath, hourKey } from './checkpoint.ts';
import { asElements } from './dump-file.ts';
import type { DumpAsked } from './dump-record.ts';
import { isGone, readHorizon } from './horizon.ts';
import { readLedger } from './ledger.ts';
import type { OpenDump } from './open-dump.ts';
import { PlannedFiles, TakenAway } from './planned.ts';

/** Hours that are over and were never dumped are made up for, this far back. */
const CATCH_UP_HOURS = 24;

export interface HourOfChanges {
  readonly ns: Namespace;
  readonly hour: string;
  /** No further change of this hour can come. */
  readonly isOver: boolean;
  /** In force, in order. */
  readonly lines: readonly SealedLine[];
}

export class ChangesOfHours {
  readonly #lake: Lake;
  readonly #pipeline: string;
  /** Compactions, erasures and retention go on while what was found is read. */
  readonly planned: PlannedFiles;

  constructor(lake: Lake, pipeline: string) {
    this.#lake = lake;
    this.#pipeline = pipeline;
    this.planned = new PlannedFiles(lake, pipeline);
  }

  /** As it is by now; `null`: retention has taken it. */
  async again({ ns, hour }: HourOfChanges, signal: AbortSignal): Promise<HourOfChanges | null> {
    const found = await this.find({ collections: [], hour: parseHourName(hour), interim: true }, 0, signal);
    return found.find((each) => hourKey(each.ns, each.hour) === hourKey(ns, hour)) ?? null;
  }

  /** Hours of collections, in order. */
  async find({ hour, interim }: DumpAsked, nowMs: number, signal: AbortSignal): Promise<HourOfChanges[]> {
    const horizon = await readHorizon(this.#lake, this.#pipeline, signal);
    const since = hour ?? hourOf(nowMs / 1000) - CATCH_UP_HOURS;
    const lines = new Map<string, SealedLine[]>();
    const superseded = new Set<string>();
    for await (const line of readLedger(this.#lake, this.#pipeline, '', signal)) {
      if (!isSealedLine(line) || isSnapshotPath(line.path)) continue;
      for (const path of line.supersedes ?? []) superseded.add(path);
      const of = parseHourName(line.hour) ?? 0;
      if (isGone(line, horizon) || line.coll === null || of < since || (hour !== null && of !== hour)) continue;
      const key = hourKey(line, line.hour);
      lines.set(key, [...(lines.get(key) ?? []), line]);
    }
    const over = new Map<string, boolean>();
    const found: HourOfChanges[] = [];
    for (const all of lines.values()) {
      const [{ db, coll, hour: name }] = all as [SealedLine];
      if (!over.has(name)) over.set(name, (await this.#lake.stat(hourFilePath(this.#pipeline, name))) !== null);
      const isOver = over.get(name)!;
      if (!isOver && !interim) continue;
      const inForce = all.filter(({ path, rows }) => rows > 0 && !superseded.has(path));
      found.push({ ns: { db, coll }, hour: name, isOver, lines: inForce.toSorted((a, b) => (a.first! < b.first! ? -1 : 1)) });
    }
    return found.toSorted((a, b) => (a.hour < b.hour ? -1 : a.hour > b.hour ? 1 : formatNamespace(a.ns) < formatNamespace(b.ns) ? -1 : 1));
  }
}

/** A file to be: so many changes. */
interface Piece {
  rows: number;
  first: string | null;
  last: string | null;
}

export interface ChangesLimits {
  readonly changesMax: number;
  readonly now: number;
}

/**
 * An erasure in between is no fault: what is not in a whole file yet is begun again, with the lines that are left.
 * @returns what there is to know of it
 */
export async function dumpChanges(
  hours: ChangesOfHours,
  dump: OpenDump,
  found: HourOfChanges,
  limits: ChangesLimits,
  signal: AbortSignal,
): Promise<string | null> {
  for (let of: HourOfChanges | null = found; of !== null; of = await hours.again(of, signal)) {
    try {
      await writeChanges(hours.planned, dump, of, limits, signal);
      return null;
    } catch (error) {
      if (!(error instanceof TakenAway)) throw error;
      await dump.abandon();
    }
  }
  return 'retention has removed this hour since the dump began: what is missing of it is not dumped any more';
}

async function writeChanges(
  planned: PlannedFiles,
  dump: OpenDump,
  of: HourOfChanges,
  { changesMax, now }: ChangesLimits,
  signal: AbortSignal,
): Promise<void> {
  const endedAt = new Date(now).toISOString();
  // Read twice: a file says at its beginning what is in it.
  const pieces: Piece[] = [];
  for await (const line of changesAfter(planned, of, dump.record.through, signal)) {
    const position = positionAt(line, 0);
    if (pieces.length === 0 || pieces.at(-1)!.rows === changesMax) pieces.push({ rows: 0, first: position, last: position });
    const piece = pieces.at(-1)!;
    piece.rows += 1;
    piece.last = position;
  }
  // An hour that is over is closed, if need be with nothing more.
  if (of.isOver && pieces.length === 0) pieces.push({ rows: 0, first: null, last: null });
  if (pieces.length === 0) return;
  const changes = changesAfter(planned, of, dump.record.through, signal);
  for (const [index, piece] of pieces.entries()) {
    const closes = of.isOver && index === pieces.length - 1;
    await using writer = await dump.begin(closes ? 0 : dump.record.files.length + 1, signal);
    const isDocument = dump.layout === 'document';
    if (isDocument) await writer.write(headOf(dump, piece, closes, endedAt), 0);
    for (let n = 0; n < piece.rows; n += 1) {
      const { value } = (await changes.next()) as { value: Buffer };
      await writer.write(isDocument ? asElements(value, n === 0) : Buffer.from(value), 1);
    }
    if (isDocument) await writer.write(Buffer.from(piece.rows === 0 ? '[]}\n' : '\n]}\n'), 0);
    await dump.end(writer, { done: closes, ...(piece.last === null ? {} : { through: piece.last }) }, endedAt);
  }
}

async function* changesAfter(
  planned: PlannedFiles,
  { lines }: HourOfChanges,
  through: string | null,
  signal: AbortSignal,
): AsyncGenerator<Buffer, undefined> {
  for (const line of lines) {
    if (through !== null && line.last! <= through) continue;
    for await (const event of planned.events(line, signal)) {
      const bytes = Buffer.from(event.buffer, event.byteOffset, event.byteLength);
      if (through === null || positionAt(bytes, 0) > through) yield bytes;
    }
  }
  return undefined;
}

function headOf({ record }: OpenDump, { rows, first, last }: Piece, closes: boolean, dumpedAt: string): Buffer {
  const { db, coll } = record.ns;
  const metadata = {
    v: 1,
    collection: `${db}.${coll}`,
    hour: record.hour,
    from: new Date(parseHourName(record.hour)! * 3_600_000).toISOString(),
    dumpedAt,
    complete: closes,
    changes: rows,
    first,
    last,
    parts: record.files.map(({ path, rows: count }) => ({ path, changes: count })),
  };
  return Buffer.from(`{"metadata":${JSON.stringify(metadata)},"changes":`);
}
