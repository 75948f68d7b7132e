/**
 * Lines as Parquet, compressed with zstd, written by a DuckDB of its own in memory.
 *
 * The columns beside the line are what bronze makes of it (sql/bronze.ts), by the same functions, so that a file of the lake
 * and a row of the warehouse say the same.
 */
import { DuckDBInstance } from '@duckdb/node-api';
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_FAILED } from '../../core/errors.ts';
import type { ParquetWriter } from '../../core/parquet.ts';
import { duckDbDialect } from './dialect.ts';
import { failure, headline, isInterrupt, isLineTooLong } from './errors.ts';

const SCHEMA = 'sluice';
const MEMORY_LIMIT = '1GiB';
const THREADS = '2';
const LEVEL = 3;
/** Longest line that buffers are made for, step by step: DuckDB holds two of them per thread. */
const LINE_BYTES_MAX = [16 * 1024 ** 2, 128 * 1024 ** 2, 1024 ** 3] as const;

/** @param folder where DuckDB may put what does not fit into its memory */
export async function openParquetWriter(folder: string): Promise<ParquetWriter> {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: THREADS,
    memory_limit: MEMORY_LIMIT,
    temp_directory: folder,
    autoinstall_known_extensions: 'false',
  });
  const setup = await instance.connect();
  try {
    await setup.run("SET GLOBAL TimeZone = 'UTC'");
    await setup.run(`CREATE SCHEMA ${SCHEMA}`);
    for (const { text } of duckDbDialect.functions(SCHEMA)) await setup.run(text);
  } finally {
    setup.closeSync();
  }
  return {
    write: (from, to, rowsPerGroup, signal) => write(instance, from, to, rowsPerGroup, signal),
    [Symbol.asyncDispose]: async () => instance.closeSync(),
  };
}

async function write(instance: DuckDBInstance, from: string, to: string, rowsPerGroup: number, signal: AbortSignal): Promise<void> {
  for (const lineBytesMax of LINE_BYTES_MAX) {
    signal.throwIfAborted();
    const connection = await instance.connect();
    const interrupt = (): void => connection.interrupt();
    signal.addEventListener('abort', interrupt, { once: true });
    try {
      await connection.run(copyText(from, to, rowsPerGroup, lineBytesMax));
      return;
    } catch (error) {
      if (isInterrupt(error)) signal.throwIfAborted();
      if (!isLineTooLong(error)) throw failure(error);
      if (lineBytesMax === LINE_BYTES_MAX.at(-1)) throw new SluiceError(WAREHOUSE_FAILED, headline(error), { cause: error });
    } finally {
      signal.removeEventListener('abort', interrupt);
      connection.closeSync();
    }
  }
}

/** COPY takes no binds for its file names. */
function copyText(from: string, to: string, rowsPerGroup: number, lineBytesMax: number): string {
  const quoted = (value: string): string => duckDbDialect.string(value);
  return `
    COPY (
      SELECT
        facts[1] AS position,
        facts[2] AS operation,
        coalesce(TRY_CAST(facts[3] AS TIMESTAMPTZ), to_timestamp(CAST(facts[4] AS BIGINT))) AS "at",
        CAST(facts[4] AS BIGINT) AS cluster_time_t,
        CAST(facts[5] AS BIGINT) AS cluster_time_i,
        facts[6] AS db,
        facts[7] AS coll,
        ${SCHEMA}.document_key(line) AS key,
        line
      FROM (
        SELECT
          CAST(json AS VARCHAR) AS line,
          json_extract_string(json, [
            '/_meta/position', '/_meta/operationType', '/_meta/at', '/_meta/clusterTime/$timestamp/t', '/_meta/clusterTime/$timestamp/i',
            '/_meta/ns/db', '/_meta/ns/coll'
          ]) AS facts
        FROM read_ndjson_objects(${quoted(from)}, compression = 'uncompressed', maximum_object_size = ${lineBytesMax})
      )
    ) TO ${quoted(to)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${LEVEL}, ROW_GROUP_SIZE ${rowsPerGroup})`;
}
