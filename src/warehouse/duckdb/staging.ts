/**
 * Puts sealed files where DuckDB may read them: below the one folder that it is confined to, under plain names (a path
 * of the lake may hold `[`, `*` or `?`, which DuckDB would take for a pattern).
 *
 * A file on the same disk costs nothing: it is linked. Sealed files never change, so a link is as good as a copy.
 */
import { createWriteStream } from 'node:fs';
import { constants, copyFile, link, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { WAREHOUSE_FAILED } from '../../core/errors.ts';
import type { SealedFile } from '../../core/warehouse.ts';
import { sql, type Statement } from '../sql/statement.ts';

/** A line of this size is read without growing DuckDB's buffers, which hold two of them per thread. */
const LINE_BYTES_USUAL = 16 * 1024 ** 2;
const LINE_BYTES_GROWTH = 8;
const LINE_BYTES_MAX = 1024 ** 3;

/** The disk that files are staged on is to blame: the next file would fare no better. */
const DISK_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO', 'EMFILE']);

/** This file cannot be loaded; the others can. */
export class FileRejected extends Error {
  override readonly name = 'FileRejected';
  readonly file: SealedFile;

  constructor(file: SealedFile, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.file = file;
  }
}

/** A sealed file that DuckDB can read. */
export interface StagedFile {
  readonly file: SealedFile;
  readonly path: string;
  readonly lineBytesMax: number;
}

export class Staging {
  readonly #folder: string;
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws FileRejected the file is missing, or is not as long as its ledger line says */
  async stage(file: SealedFile, signal: AbortSignal): Promise<StagedFile> {
    this.#count += 1;
    const path = join(this.#folder, `${this.#count}.jsonl`);
    try {
      if (file.localPath === null) await pipeline(Readable.from(file.read(signal)), createWriteStream(path), { signal });
      else await linkOrCopy(file.localPath, path);
      const { size } = await stat(path);
      if (size !== file.line.bytes) throw new Error(`it has ${size} bytes, its ledger line says ${file.line.bytes}`);
    } catch (error) {
      await this.drop(path);
      signal.throwIfAborted();
      // An error with a code speaks of the lake, not of this file: that is for whoever runs the loader.
      if (error instanceof SluiceError && error.kind.retry) throw error;
      if (DISK_CODES.has(systemCode(error) ?? '')) throw new SluiceError(WAREHOUSE_FAILED, reasonOf(error), { cause: error });
      throw new FileRejected(file, reasonOf(error), error);
    }
    return { file, path, lineBytesMax: LINE_BYTES_USUAL };
  }

  async drop(path: string): Promise<void> {
    await rm(path, { force: true });
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  // DuckDB resolves symbolic links before it checks where a file lies: the link must be a hard one, to the file itself.
  const source = await realpath(from);
  try {
    await link(source, to);
  } catch {
    // Another disk, or a file that this user may not link to.
    await copyFile(source, to, constants.COPYFILE_FICLONE);
  }
}

/** The same file with room for longer lines, or `null` when it had all the room that there is. */
export function withLongerLines(staged: StagedFile): StagedFile | null {
  const whole = compressionOf(staged.file) === 'uncompressed' ? staged.file.line.bytes : LINE_BYTES_MAX;
  if (staged.lineBytesMax >= Math.min(whole, LINE_BYTES_MAX)) return null;
  return { ...staged, lineBytesMax: Math.min(staged.lineBytesMax * LINE_BYTES_GROWTH, Math.max(whole, LINE_BYTES_USUAL), LINE_BYTES_MAX) };
}

function compressionOf(file: SealedFile): 'gzip' | 'zstd' | 'uncompressed' {
  if (file.line.path.endsWith('.gz')) return 'gzip';
  return file.line.path.endsWith('.zst') ? 'zstd' : 'uncompressed';
}

/**
 * The lines of a staged file as `number` (from 1), `line` (its text, untouched) and `facts`.
 *
 * One file in one statement: DuckDB has no row number for JSON, but keeps the order of a file (`preserve_insertion_order`).
 * Never `ignore_errors`: a bad line would become a row of NULLs.
 */
export function selectLines(staged: StagedFile): Statement {
  return sql`
    SELECT
      row_number() OVER () AS number,
      json AS line,
      json_extract_string(json, [
        '/_meta/position', '/_meta/operationType', '/_meta/at', '/_meta/clusterTime/$timestamp/t', '/_meta/clusterTime/$timestamp/i'
      ]) AS facts
    FROM read_ndjson_objects(${staged.path}, compression = ${compressionOf(staged.file)}, maximum_object_size = ${staged.lineBytesMax})`;
}
