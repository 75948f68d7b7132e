/** How DuckDB reads the lines of a staged file. */
import { sql, text, type Statement } from '../sql/statement.ts';
import { storedAs, type StagedFile } from '../steps/staging.ts';

/** Longer lines are read with larger buffers; DuckDB has room for two of this size per thread. */
const LINE_BYTES_USUAL = 16 * 1024 ** 2;
const LINE_SHARE_OF_MEMORY = 1 / 32;
const LINE_BYTES_GROWTH = 8;
const LINE_BYTES_MAX = 1024 ** 3;

/** A staged file with the length of line that buffers are made for. */
export interface ReadableFile extends StagedFile {
  readonly lineBytesMax: number;
}

/** A line of this size is read without growing the buffers. */
export function usualLineBytes(memoryLimitBytes: number): number {
  return Math.min(LINE_BYTES_USUAL, Math.floor(memoryLimitBytes * LINE_SHARE_OF_MEMORY));
}

/** The same file with room for longer lines, or `null` when it had all the room that there is. */
export function withLongerLines(staged: ReadableFile): ReadableFile | null {
  const whole = storedAs(staged.file) === 'uncompressed' ? (staged.file.plainBytes ?? staged.file.line.bytes) : LINE_BYTES_MAX;
  if (staged.lineBytesMax >= Math.min(whole, LINE_BYTES_MAX)) return null;
  return { ...staged, lineBytesMax: Math.min(staged.lineBytesMax * LINE_BYTES_GROWTH, Math.max(whole, LINE_BYTES_USUAL), LINE_BYTES_MAX) };
}

const FACTS = text(`json_extract_string(line, [
    '/_meta/position', '/_meta/operationType', '/_meta/at', '/_meta/clusterTime/$timestamp/t', '/_meta/clusterTime/$timestamp/i'
  ])`);

/**
 * The lines of a staged file as `number` (from 1), `line` (its text, untouched) and `facts`.
 *
 * One file in one statement: DuckDB has no row number for JSON, but keeps the order of a file (`preserve_insertion_order`).
 * Never `ignore_errors`: a bad line would become a row of NULLs.
 */
export function selectLines(staged: ReadableFile): Statement {
  const as = storedAs(staged.file);
  if (as === 'parquet') {
    return sql`
      SELECT file_row_number + 1 AS number, CAST(line AS JSON) AS line, ${FACTS} AS facts
      FROM read_parquet(${staged.path}, file_row_number = true)`;
  }
  return sql`
    SELECT number, line, ${FACTS} AS facts
    FROM (
      SELECT row_number() OVER () AS number, json AS line
      FROM read_ndjson_objects(${staged.path}, compression = ${as}, maximum_object_size = ${staged.lineBytesMax})
    )`;
}
