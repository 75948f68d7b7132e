/**
 * One Parquet file out of sealed files, on this machine's disk, before anybody else sees it.
 *
 * Invariant: what is handed on holds the lines of the originals, byte for byte, in their order. The originals are held against their
 * ledger lines while they are read, and the Parquet file is read back, by another program than wrote it, before they may go.
 */
import { createHash } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../core/error.ts';
import { COMPACT_DIFFERS, LAKE_DAMAGED } from '../core/errors.ts';
import type { Operation } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isCompressed } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import type { Merge } from './compaction-plan.ts';
import { linesOfParquet } from './parquet-lines.ts';
import { readDecoded } from './read-lines.ts';
import { RunningSum, type Sum } from './verify-compacted.ts';

/** How much of the lines, not compressed, is held in memory together when the file is read. */
const GROUP_BYTES = 16 * 1024 ** 2;
/** DuckDB writes in steps of 2,048 rows. */
const GROUP_ROWS_MIN = 2_048;
const GROUP_ROWS_MAX = 122_880;
const NEWLINE = 0x0a;

export interface Compacted {
  readonly bytes: Buffer;
  readonly line: SealedLine;
}

/** @throws LAKE_DAMAGED an original is not what the ledger says; COMPACT_DIFFERS; WAREHOUSE_FAILED a line cannot be taken */
export async function makeParquet(
  lake: Lake,
  { path, originals }: Merge,
  epoch: number,
  { writer, folder }: { readonly writer: ParquetWriter; readonly folder: string },
  signal: AbortSignal,
): Promise<Compacted> {
  const plain = join(folder, 'lines.jsonl');
  const made = join(folder, 'lines.parquet');
  try {
    const sum = await writeLines(lake, originals, plain, signal);
    const rows = originals.reduce((all, original) => all + original.rows, 0);
    await writer.write(plain, made, rowsPerGroup(rows, sum.bytes), signal);
    const back = await sumOfParquet(made, signal);
    if (back.bytes !== sum.bytes || back.sha256 !== sum.sha256) {
      throw new SluiceError(COMPACT_DIFFERS, `${path} would hold ${back.bytes} bytes of lines, its originals hold ${sum.bytes}`);
    }
    const bytes = await readFile(made);
    return { bytes, line: sealedLine(path, originals, epoch, bytes, sum) };
  } finally {
    await rm(plain, { force: true });
    await rm(made, { force: true });
  }
}

/** How many rows are held in memory together. @param bytes of all lines, not compressed */
export function rowsPerGroup(rows: number, bytes: number): number {
  const fitting = Math.floor((GROUP_BYTES * rows) / Math.max(1, bytes));
  return Math.min(GROUP_ROWS_MAX, Math.max(GROUP_ROWS_MIN, fitting));
}

async function writeLines(lake: Lake, originals: readonly SealedLine[], to: string, signal: AbortSignal): Promise<Sum> {
  const all = new RunningSum();
  const handle = await open(to, 'w');
  try {
    for (const original of originals) {
      if (original.rows === 0) continue;
      const one = new RunningSum();
      let rows = 0;
      for await (const chunk of readDecoded(lake, original.path, 0, signal)) {
        all.add(chunk);
        one.add(chunk);
        rows += newlinesIn(chunk);
        await handle.writeFile(chunk);
      }
      if (rows !== original.rows) throw new SluiceError(LAKE_DAMAGED, `${original.path} has ${rows} rows, the ledger says ${original.rows}`);
      const fault = isCompressed(original.path) ? await storedFault(lake, original, signal) : one.against(original.lines ?? original);
      if (fault !== null) throw new SluiceError(LAKE_DAMAGED, `${original.path}: ${fault}`);
    }
  } finally {
    await handle.close();
  }
  return all.sum();
}

/** Of a compressed file the ledger knows the compressed bytes: they are read by themselves. */
async function storedFault(lake: Lake, original: SealedLine, signal: AbortSignal): Promise<string | null> {
  const sum = new RunningSum();
  for await (const chunk of lake.read(original.path, 0, signal)) sum.add(chunk);
  return sum.against(original);
}

function newlinesIn(chunk: Uint8Array): number {
  let count = 0;
  for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

async function sumOfParquet(path: string, signal: AbortSignal): Promise<Sum> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const slice = async (from: number, to = size): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(to - from);
      await handle.read(bytes, 0, bytes.length, from);
      return bytes.buffer;
    };
    const sum = new RunningSum();
    for await (const chunk of linesOfParquet({ byteLength: size, slice }, signal)) sum.add(chunk);
    return sum.sum();
  } finally {
    await handle.close();
  }
}

function sealedLine(path: LakePath, originals: readonly SealedLine[], epoch: number, bytes: Buffer, lines: Sum): SealedLine {
  const [{ db, coll, hour }] = originals as [SealedLine];
  const full = originals.filter(({ rows }) => rows > 0);
  const ops: Partial<Record<Operation, number>> = {};
  for (const original of full) for (const [op, count] of Object.entries(original.ops)) ops[op as Operation] = (ops[op as Operation] ?? 0) + count;
  return {
    path,
    db,
    coll,
    hour,
    bytes: bytes.length,
    rows: full.reduce((sum, { rows }) => sum + rows, 0),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    first: full[0]?.first ?? null,
    last: full.at(-1)?.last ?? null,
    firstAt: full[0]?.firstAt ?? null,
    lastAt: full.at(-1)?.lastAt ?? null,
    ops,
    epoch,
    lines,
    supersedes: originals.map((original) => original.path),
  };
}
