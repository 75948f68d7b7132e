/**
 * What an erasure leaves of a sealed file: the lines of everybody else, byte for byte and in their order.
 *
 * The file is held against its ledger line while it is read, and only read when it holds a line of the subject. What is made of it is
 * held in memory once, as it is stored.
 */
import { createHash } from 'node:crypto';
import { appendFile, readFile as readLocal, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import { OPERATIONS, type Operation, type Position } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isCompressed } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { parseLine } from '../core/line.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import type { Timestamp } from '../core/time.ts';
import { compressionOf, storedForm } from './compression.ts';
import { eventFileOf } from './event-files.ts';
import { rowsPerGroup } from './parquet-file.ts';
import { isParquet } from './parquet-lines.ts';
import { linesOf, readDecoded } from './read-lines.ts';
import type { NewFile } from './swap.ts';
import { RunningSum } from './verify-compacted.ts';

const PIECE_BYTES = 4 * 1024 ** 2;

/** Is it a line of the subject? */
export type IsErased = (line: Buffer) => boolean;

export interface EraseInto {
  readonly path: LakePath;
  readonly epoch: number;
  /** Of the record. */
  readonly by: string;
  readonly supersedes: readonly LakePath[];
  /** For Parquet files, with a folder for what does not fit into memory. */
  readonly parquet: () => Promise<{ readonly writer: ParquetWriter; readonly folder: string }>;
}

/** Lines of the subject in a file. @throws LAKE_DAMAGED it is not what the ledger says */
export async function countErased(lake: Lake, file: SealedLine, isErased: IsErased, signal: AbortSignal): Promise<number> {
  if (file.rows === 0) return 0;
  const sum = new RunningSum();
  let [rows, erased] = [0, 0];
  for await (const line of linesOf(readDecoded(lake, file.path, 0, signal))) {
    sum.add(line);
    rows += 1;
    if (isErased(line)) erased += 1;
  }
  if (erased === 0) return 0;
  if (rows !== file.rows) throw new SluiceError(LAKE_DAMAGED, `${file.path} has ${rows} rows, the ledger says ${file.rows}`);
  // Of a compressed file the ledger knows the compressed bytes.
  const fault = isCompressed(file.path) ? null : sum.against(file.lines ?? file);
  if (fault !== null) throw new SluiceError(LAKE_DAMAGED, `${file.path}: ${fault}`);
  return erased;
}

/** @param erased as {@link countErased} has counted them; at least one */
export async function makeErased(
  lake: Lake,
  file: SealedLine,
  erased: number,
  isErased: IsErased,
  into: EraseInto,
  signal: AbortSignal,
): Promise<NewFile> {
  const facts = new Facts();
  const sum = new RunningSum();
  const pieces = async function* (): AsyncGenerator<Buffer> {
    let piece: Buffer[] = [];
    let bytes = 0;
    for await (const line of linesOf(readDecoded(lake, file.path, 0, signal))) {
      if (isErased(line)) continue;
      facts.add(line, file.eventBytes !== undefined);
      sum.add(line);
      // The buffer is good for one step alone.
      piece.push(Buffer.from(line));
      bytes += line.length;
      if (bytes < PIECE_BYTES) continue;
      yield Buffer.concat(piece);
      [piece, bytes] = [[], 0];
    }
    if (bytes > 0) yield Buffer.concat(piece);
  };
  const isEmpty = erased === file.rows;
  // Without a line there is nothing to put into columns.
  const path = isEmpty ? into.path.replace(/\.parquet$/, '.jsonl') : into.path;
  const bytes = isParquet(path) ? await asParquet(pieces(), file, into, signal) : await asStored(pieces(), path);
  if (facts.rows !== file.rows - erased) throw new SluiceError(LAKE_DAMAGED, `${file.path} has changed while it was read`);
  const { db, coll, hour } = file;
  const { rows, first, firstAt, last, lastAt, ops, eventBytes } = facts;
  const line: SealedLine = {
    path,
    db,
    coll,
    hour,
    bytes: bytes.length,
    rows,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    first,
    last,
    firstAt,
    lastAt,
    ops,
    epoch: into.epoch,
    ...(file.eventBytes !== undefined && { eventBytes }),
    ...(isParquet(path) && { lines: sum.sum() }),
    erased: { rows: erased, by: into.by },
    supersedes: into.supersedes,
  };
  return { bytes, line };
}

class Facts {
  rows = 0;
  first: Position | null = null;
  firstAt: Timestamp | null = null;
  last: Position | null = null;
  lastAt: Timestamp | null = null;
  readonly ops: Partial<Record<Operation, number>> = {};
  /** Of an index: of the files that it names. */
  eventBytes = 0;

  add(line: Buffer, isIndex: boolean): void {
    const { position, at, op } = parseLine(line);
    this.rows += 1;
    this.first ??= position;
    this.firstAt ??= at;
    [this.last, this.lastAt] = [position, at];
    const name = OPERATIONS[op]!;
    this.ops[name] = (this.ops[name] ?? 0) + 1;
    if (isIndex) this.eventBytes += eventFileOf(line)?.bytes ?? 0;
  }
}

async function asStored(pieces: AsyncIterable<Buffer>, path: LakePath): Promise<Buffer> {
  const compression = compressionOf(path);
  const stored: Uint8Array[] = [];
  for await (const piece of pieces) stored.push(...(await storedForm([piece], compression)));
  if (stored.length === 0) stored.push(...(await storedForm([], compression)));
  return Buffer.concat(stored);
}

async function asParquet(pieces: AsyncIterable<Buffer>, file: SealedLine, { parquet }: EraseInto, signal: AbortSignal): Promise<Buffer> {
  const { writer, folder } = await parquet();
  const [plain, made] = [join(folder, 'left.jsonl'), join(folder, 'left.parquet')];
  try {
    for await (const piece of pieces) await appendFile(plain, piece);
    await writer.write(plain, made, rowsPerGroup(file.rows, file.lines?.bytes ?? 0), signal);
    return await readLocal(made);
  } finally {
    await rm(plain, { force: true });
    await rm(made, { force: true });
  }
}

/** With one file per event: files of what the index names no longer. Before the old index goes, which alone knows of them. */
export async function removeErasedEvents(lake: Lake, old: LakePath, by: SealedLine, signal: AbortSignal): Promise<void> {
  if (by.eventBytes === undefined || (await lake.stat(old)) === null) return;
  const kept = new Set<LakePath>();
  for await (const line of linesOf(readDecoded(lake, by.path, 0, signal))) kept.add(eventFileOf(line)?.path ?? '');
  for await (const line of linesOf(readDecoded(lake, old, 0, signal))) {
    const file = eventFileOf(line);
    if (file !== null && !kept.has(file.path)) await lake.remove(file.path);
  }
}
