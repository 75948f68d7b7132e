/**
 * A piece of a file, for formats that are read from their end (Parquet).
 */
import type { Lake, LakePath } from './lake.ts';

/** Bytes `from` to `to`, exclusive. @throws Error when the file ends before that */
export async function readRange(lake: Lake, path: LakePath, from: number, to: number, signal: AbortSignal): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(0, to - from));
  let length = 0;
  for await (const chunk of lake.read(path, from, signal)) {
    const part = chunk.subarray(0, bytes.length - length);
    bytes.set(part, length);
    length += part.length;
    if (length === bytes.length) break;
  }
  if (length < bytes.length) throw new Error(`it ends at byte ${from + length}`);
  return bytes.buffer;
}
