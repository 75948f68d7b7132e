/**
 * Reads a file from an offset to its end as it is now, whatever the connection does meanwhile.
 *
 * Invariant: what comes out is the content of one moment. What is small is taken in one answer and given out when it is whole,
 * so that a file that is replaced is never mixed. What is large is a part: its bytes never change once they are there, so that
 * after a broken connection reading goes on at the next byte, up to the end as the first answer gave it.
 */
import { SluiceError } from '../../core/error.ts';
import { LAKE_DAMAGED } from '../../core/errors.ts';
import type { LakePath } from '../../core/lake.ts';
import type { BlobEndpoint } from './blob-endpoint.ts';
import type { Persistence } from './persistence.ts';
import { isContainerGone, isGone, unexpected } from './reply.ts';

const WHOLE_BYTES_MAX = 8 * 2 ** 20;
const CHUNK_BYTES_MAX = 2 ** 20;
const RANGE_BYTES = 4 * 2 ** 20;

export async function* readFrom(
  endpoint: BlobEndpoint,
  persistence: Persistence,
  path: LakePath,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const first = await range(endpoint, persistence, path, from, WHOLE_BYTES_MAX, signal);
  if (first === null) return;
  yield* inChunks(first.bytes, signal);
  for (let at = from + first.bytes.length; at < first.end;) {
    const next = await range(endpoint, persistence, path, at, Math.min(RANGE_BYTES, first.end - at), signal);
    if (next === null || next.bytes.length === 0) throw new SluiceError(LAKE_DAMAGED, `${path} was shortened while it was read`);
    yield* inChunks(next.bytes, signal);
    at += next.bytes.length;
  }
}

/** `null`: nothing lies at or beyond `from`. */
async function range(
  endpoint: BlobEndpoint,
  persistence: Persistence,
  path: LakePath,
  from: number,
  count: number,
  signal: AbortSignal,
): Promise<{ readonly bytes: Buffer; readonly end: number } | null> {
  const doing = `read ${path}`;
  const reply = await persistence.again((s) => endpoint.get(path, from, count, AbortSignal.any([s, signal])), doing, signal, count);
  if (reply.is === 'ok') return reply.value;
  if (reply.status === 416) return null;
  if (isGone(reply) || isContainerGone(reply)) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`, { cause: reply.error });
  throw unexpected(reply, doing);
}

function* inChunks(bytes: Buffer, signal: AbortSignal): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
    signal.throwIfAborted();
    yield bytes.subarray(at, at + CHUNK_BYTES_MAX);
  }
}
