/**
 * Lines of sealed files that a compaction has replaced and taken away: they are in the Parquet file that stands for them, in
 * the order in which it names what it has replaced.
 *
 * Who loads or proves file by file goes on as if nothing had happened: a warehouse that has loaded some of an hour's files takes the
 * others from here, and one that has loaded all of them is held against them here.
 */
import type { Lake, LakePath } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import type { LoadResult, SealedFile } from '../core/warehouse.ts';
import { sealedEvents } from './event-files.ts';
import { readSealed } from './ledger.ts';

/** Files that an erasure has replaced, and those that they had replaced: nobody may read them, or load them, any more. */
export function erasedPaths(lines: Iterable<SealedLine>): Set<LakePath> {
  const paths = new Set<LakePath>();
  for (const { erased, supersedes = [] } of lines) if (erased !== undefined) for (const path of supersedes) paths.add(path);
  return paths;
}

/**
 * Which of the files that a warehouse did not take have gone since the ledger was read, because a compaction or an erasure has put
 * others in their place. One that is just missing has not.
 */
export async function goneOf(
  files: readonly SealedFile[],
  rejected: LoadResult['rejected'],
  lake: Lake,
  pipeline: string,
  signal: AbortSignal,
): Promise<ReadonlySet<LakePath>> {
  const asked = new Set(rejected.map(({ path }) => path));
  const missing: LakePath[] = [];
  // Of one whose lines were read out of another file already there is nothing else to try.
  for (const { line, plainBytes } of files)
    if (asked.has(line.path) && plainBytes === undefined && (await lake.stat(line.path)) === null) missing.push(line.path);
  if (missing.length === 0) return new Set();
  const { lines: ledger } = await readSealed(lake, pipeline, () => true, signal);
  const [replaced, erased] = [Replaced.of(lake, ledger), erasedPaths(ledger)];
  return new Set(missing.filter((path) => erased.has(path) || replaced.has(path)));
}

/** Rows of a Parquet file that are those of another file. */
interface Slice {
  readonly of: SealedLine;
  readonly from: number;
}

export class Replaced {
  readonly #lake: Lake;
  readonly #by: ReadonlyMap<LakePath, SealedLine>;
  readonly #rows: ReadonlyMap<LakePath, number>;

  private constructor(lake: Lake, by: ReadonlyMap<LakePath, SealedLine>, rows: ReadonlyMap<LakePath, number>) {
    this.#lake = lake;
    this.#by = by;
    this.#rows = rows;
  }

  static of(lake: Lake, lines: Iterable<SealedLine>): Replaced {
    const by = new Map<LakePath, SealedLine>();
    const rows = new Map<LakePath, number>();
    for (const line of lines) {
      rows.set(line.path, line.rows);
      // A file of other lines (an erasure) does not stand for what it has replaced.
      if (line.lines !== undefined && line.erased === undefined) for (const path of line.supersedes ?? []) by.set(path, line);
    }
    return new Replaced(lake, by, rows);
  }

  static async read(lake: Lake, pipeline: string, signal: AbortSignal): Promise<Replaced> {
    const { lines } = await readSealed(lake, pipeline, () => true, signal);
    return Replaced.of(lake, lines);
  }

  has(path: LakePath): boolean {
    return this.#by.has(path);
  }

  /** Where the lines of a file are by now; itself, if nothing stands for it. */
  fileOf(path: LakePath): LakePath {
    return this.has(path) ? this.#sliceOf(path).of.path : path;
  }

  /** Lines of a file that {@link has}, each with its newline. The buffer is valid until the next step. */
  async *lines({ path, rows }: Pick<SealedLine, 'path' | 'rows'>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { of, from } = this.#sliceOf(path);
    let row = 0;
    if (rows === 0) return;
    for await (const line of sealedEvents(this.#lake, of, signal)) {
      if (row >= from) yield line;
      row += 1;
      if (row === from + rows) return;
    }
  }

  /** In the last file that stands for it: one that replaced it may be replaced itself. */
  #sliceOf(path: LakePath): Slice {
    let from = 0;
    let at = path;
    for (let by = this.#by.get(at); ; by = this.#by.get(at)) {
      if (by === undefined) throw new Error(`${path} was not replaced`);
      for (const before of by.supersedes ?? []) {
        if (before === at) break;
        from += this.#rows.get(before) ?? 0;
      }
      at = by.path;
      if (!this.#by.has(at)) return { of: by, from };
    }
  }
}
