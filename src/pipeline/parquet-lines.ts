/**
 * The lines of a Parquet file of the lake: what `sluice compact` makes of sealed parts.
 *
 * Column `line` holds each line as it was, without its newline, in order; the other columns are there for programs that
 * read the file by themselves. Only that column is fetched, one row group after another, so memory is bounded by a row group.
 * The decoder is loaded when the first such file is met: a lake without one never pays for it.
 */
import { zstdDecompressSync } from 'node:zlib';
import type { AsyncBuffer, FileMetaData } from 'hyparquet';
import { SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { readRange } from '../core/read-range.ts';

export const PARQUET = '.parquet';
const LINE_COLUMN = 'line';
const NEWLINE = Buffer.from('\n');

export function isParquet(path: LakePath): boolean {
  return path.endsWith(PARQUET);
}

/**
 * Whole lines, newline included, in chunks of a row group.
 * @throws LAKE_DAMAGED when the file is missing; any other Error when it is not such a file
 */
export async function* parquetLines(lake: Lake, path: LakePath, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const found = await lake.stat(path);
  if (found === null) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
  yield* linesOfParquet({ byteLength: found.size, slice: async (from, to) => await readRange(lake, path, from, to ?? found.size, signal) }, signal);
}

/** As {@link parquetLines}, of a file that lies anywhere. */
export async function* linesOfParquet(file: AsyncBuffer, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { parquetMetadataAsync, parquetRead } = await import('hyparquet');
  const metadata = await parquetMetadataAsync(file);
  assertHasLines(metadata);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    signal.throwIfAborted();
    const rowEnd = rowStart + Number(group.num_rows);
    const chunks: Uint8Array[] = [];
    await parquetRead({
      file,
      metadata,
      columns: [LINE_COLUMN],
      rowStart,
      rowEnd,
      compressors: { ZSTD: (bytes) => zstdDecompressSync(bytes) },
      // As bytes: to a text and back would be two copies more.
      parsers: { stringFromBytes: (bytes) => bytes },
      onComplete: (rows) => {
        for (const [line] of rows as unknown[][]) {
          if (!(line instanceof Uint8Array)) throw new Error('a row has no line');
          chunks.push(line, NEWLINE);
        }
      },
    });
    yield Buffer.concat(chunks);
    rowStart = rowEnd;
  }
}

function assertHasLines({ schema }: FileMetaData): void {
  const column = schema.find(({ name }) => name === LINE_COLUMN);
  if (column?.type !== 'BYTE_ARRAY') throw new Error(`it has no column \`${LINE_COLUMN}\` of texts`);
}
