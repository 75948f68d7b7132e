/**
 * Parquet files with the columns of Event Hubs Capture: one row group after another.
 */
import { zstdDecompressSync } from 'node:zlib';
import type { AsyncBuffer } from 'hyparquet';
import type { CaptureRecord } from './avro.ts';

const COLUMNS = ['SequenceNumber', 'EnqueuedTimeUtc', 'Properties', 'Body'];

/** @throws Error when it is no such file */
export async function* readCaptureParquet(file: AsyncBuffer): AsyncGenerator<readonly CaptureRecord[]> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const metadata = await parquetMetadataAsync(file);
  const missing = COLUMNS.filter((name) => !metadata.schema.some((element) => element.name === name));
  if (missing.length > 0) throw new Error(`it has no column ${missing.join(', ')}`);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await parquetReadObjects({
      file,
      metadata,
      columns: COLUMNS,
      rowStart,
      rowEnd,
      utf8: false,
      compressors: { ZSTD: (bytes) => zstdDecompressSync(bytes) },
    });
    yield rows.map((row) => ({
      sequence: BigInt(row['SequenceNumber'] as bigint | number),
      enqueued: enqueuedOf(row['EnqueuedTimeUtc']),
      body: bodyOf(row['Body']),
      properties: propertiesOf(row['Properties']),
    }));
    rowStart = rowEnd;
  }
}

/** A text, or a moment. */
function enqueuedOf(value: unknown): Buffer {
  return Buffer.from(value instanceof Date ? value.toISOString() : (textOf(value) ?? ''));
}

function bodyOf(value: unknown): Buffer | null {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return typeof value === 'string' ? Buffer.from(value) : null;
}

/** A map, or an object as JSON. */
function propertiesOf(value: unknown): ReadonlyMap<string, string> {
  if (value === null || value === undefined) return new Map();
  const given: unknown =
    typeof value === 'string' ? JSON.parse(value) : value instanceof Uint8Array ? JSON.parse(Buffer.from(value).toString('utf8')) : value;
  const entries = Array.isArray(given)
    ? (given as { key: unknown; value: unknown }[]).map(({ key, value: each }) => [textOf(key), textOf(each)] as const)
    : Object.entries(given as object).map(([key, each]) => [key, textOf(each)] as const);
  return new Map(entries.flatMap(([key, each]) => (key === null || each === null ? [] : [[key, each]])));
}

function textOf(value: unknown): string | null {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' ? value.toString() : null;
}
