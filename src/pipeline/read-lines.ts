/**
 * The lines of a lake file, one at a time, decompressed by suffix. Memory is bounded by the longest line.
 */
import { pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { Lake, LakePath } from '../core/lake.ts';
import { isParquet, parquetLines } from './parquet-lines.ts';

const NEWLINE = 0x0a;

/**
 * The bytes of a file as they were before compression. A file without bytes has no lines, compressed or not.
 * @param from 0 of a Parquet file: it is sealed, and no beginning of it stands for itself
 */
export async function* readDecoded(lake: Lake, path: LakePath, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (isParquet(path)) return yield* parquetLines(lake, path, signal);
  const decoder = path.endsWith('.gz') ? createGunzip() : path.endsWith('.zst') ? createZstdDecompress() : null;
  const stored = lake.read(path, from, signal)[Symbol.asyncIterator]();
  const first = await stored.next();
  if (first.done === true) return;
  const bytes = prepend(first.value, stored);
  if (decoder === null) return yield* bytes;
  // Not a stream's `iterator()` or `compose()`: what they leave to a pipeline does not end. Errors of either side come out
  // of the decoder, which is read below; the callback only keeps them from being thrown.
  pipeline(bytes, decoder, () => {});
  yield* decoder as AsyncIterable<Uint8Array>;
}

async function* prepend(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Whole lines of a chunk, newline included, without a copy. */
export function* linesIn(chunk: Uint8Array): Generator<Buffer> {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    yield bytes.subarray(start, end + 1);
    start = end + 1;
  }
}

/** As `linesOf`, of a file that nobody writes any more. @throws Error when it ends in the middle of a line */
export async function* wholeLinesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      rest += chunk.byteLength;
      yield chunk;
    }
  };
  for await (const line of linesOf(counted())) {
    rest -= line.length;
    yield line;
  }
  if (rest > 0) throw new Error(`it ends in the middle of a line, ${rest} bytes long`);
}

/** Whole lines, newline included; a last line without one is not a line. The buffer is valid until the next step. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE, start); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield bytes.subarray(start, end + 1);
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
}
