/**
 * The ledger: one JSON line per sealed file. It alone says which files exist for readers; docs/specs/lake.md.
 */
import type { Operation, Position } from './event.ts';
import type { LakePath } from './lake.ts';
import { parseHourName, type Timestamp } from './time.ts';

export interface SealedLine {
  readonly path: LakePath;
  readonly db: string;
  /** `null`: events of the database itself. */
  readonly coll: string | null;
  /** `YYYYMMDD-HH`, UTC, by cluster time. */
  readonly hour: string;
  /** Size of the file as stored. */
  readonly bytes: number;
  readonly rows: number;
  /** Of the bytes as stored, hex. */
  readonly sha256: string;
  /** Of the first and last line; `null` when the file has no rows. */
  readonly first: Position | null;
  readonly last: Position | null;
  readonly firstAt: Timestamp | null;
  readonly lastAt: Timestamp | null;
  /** Rows per operation; operations without rows are left out. */
  readonly ops: Readonly<Partial<Record<Operation, number>>>;
  /** The owner that sealed it. */
  readonly epoch: number;
  /** With `per-event`: the file is an index, and this is the size of the event files that it names. */
  readonly eventBytes?: number;
  /**
   * Of a Parquet file: its lines, newlines included, as if they were one file. So they can be compared with those of the
   * files that it replaces.
   */
  readonly lines?: { readonly bytes: number; readonly sha256: string };
  /**
   * Of a file that an erasure has written: so many lines of the file before it, the first of `supersedes`, are not in it, and whose
   * record says why. The others of `supersedes` are those that that one had replaced itself.
   */
  readonly erased?: { readonly rows: number; readonly by: string };
  /** Paths that this file replaces (compaction, erasure), in the order of their lines. */
  readonly supersedes?: readonly LakePath[];
}

/** First line of each owner in a ledger file: no path. */
export interface EpochLine {
  readonly epoch: number;
  /** ISO 8601. */
  readonly at: string;
}

export type LedgerLine = SealedLine | EpochLine;

export function isSealedLine(line: LedgerLine): line is SealedLine {
  return 'path' in line;
}

/** Size of the data that a line stands for. */
export function dataBytes(line: SealedLine): number {
  return line.eventBytes ?? line.bytes;
}

/** `null` when the text is no line of a ledger: damage is told, never guessed at. */
export function readLedgerLine(text: string): LedgerLine | null {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null) return null;
  const line = raw as Record<string, unknown>;
  if (!Number.isSafeInteger(line['epoch'])) return null;
  if (!('path' in line)) return line as unknown as LedgerLine;
  const isNumber = (name: string): boolean => Number.isSafeInteger(line[name]);
  const isText = (name: string): boolean => typeof line[name] === 'string';
  const isTextOrNull = (name: string): boolean => line[name] === null || isText(name);
  const fine =
    isText('path') &&
    isInside(line['path'] as string) &&
    ['db', 'sha256'].every(isText) &&
    ['coll', 'first', 'last'].every(isTextOrNull) &&
    ['bytes', 'rows'].every(isNumber) &&
    isText('hour') &&
    parseHourName(line['hour'] as string) !== null &&
    typeof line['ops'] === 'object' &&
    line['ops'] !== null &&
    ['firstAt', 'lastAt'].every((name) => typeof line[name] === 'object') &&
    (line['eventBytes'] === undefined || isNumber('eventBytes')) &&
    (line['erased'] === undefined || isErasure(line['erased'])) &&
    (line['lines'] === undefined || isSumOfLines(line['lines'])) &&
    (line['supersedes'] === undefined || Array.isArray(line['supersedes']));
  return fine ? (line as unknown as LedgerLine) : null;
}

function isErasure(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { rows, by } = value as Record<string, unknown>;
  return Number.isSafeInteger(rows) && typeof by === 'string';
}

function isSumOfLines(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { bytes, sha256 } = value as Record<string, unknown>;
  return Number.isSafeInteger(bytes) && typeof sha256 === 'string';
}

/** A lake refuses other paths with an error that is not a finding. */
function isInside(path: string): boolean {
  return !path.includes('\0') && !path.startsWith('_sluice/') && path.split('/').every((name) => name !== '' && name !== '.' && name !== '..');
}
