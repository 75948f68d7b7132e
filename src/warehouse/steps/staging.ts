/**
 * Puts sealed files where a warehouse may read them: in one folder, under plain names (a path
 * of the lake may hold `[`, `*` or `?`, which would be taken for a pattern).
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

/** A sealed file under a plain name in a folder of ours. */
export interface StagedFile {
  readonly file: SealedFile;
  readonly path: string;
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
      const expected = file.plainBytes ?? file.line.bytes;
      if (size !== expected) throw new Error(`it has ${size} bytes, its ledger line says ${expected}`);
    } catch (error) {
      await this.drop(path);
      signal.throwIfAborted();
      // An error with a code speaks of the lake, not of this file: that is for whoever runs the loader.
      if (error instanceof SluiceError && error.kind.retry) throw error;
      if (DISK_CODES.has(systemCode(error) ?? '')) throw new SluiceError(WAREHOUSE_FAILED, reasonOf(error), { cause: error });
      throw new FileRejected(file, reasonOf(error), error);
    }
    return { file, path };
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

/** How the lines lie in a file. */
export type StoredAs = 'gzip' | 'zstd' | 'uncompressed' | 'parquet';

export function storedAs({ line, plainBytes }: SealedFile): StoredAs {
  if (plainBytes !== undefined) return 'uncompressed';
  if (line.path.endsWith('.parquet')) return 'parquet';
  if (line.path.endsWith('.gz')) return 'gzip';
  return line.path.endsWith('.zst') ? 'zstd' : 'uncompressed';
}
