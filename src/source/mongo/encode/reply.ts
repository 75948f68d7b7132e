/**
 * Walks the raw cursor of a reply and encodes its events into one batch, or into several: a reply of 16 MB, encoded in one go, would
 * keep health checks and everybody else waiting.
 *
 * Nothing of the reply is turned into objects: events are found by their lengths. The walk first counts them, so that the
 * batch gets arrays and a line buffer of the right size, then encodes them one after another.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_ORDER, SOURCE_PROTOCOL } from '../../../core/errors.ts';
import type { BufferPool } from '../../../core/buffer-pool.ts';
import { EventBatchBuilder } from '../../../core/event-batch.ts';
import { positionAt, type EventBatch, type ResumePoint } from '../../../core/event.ts';
import { ARRAY, DOCUMENT, INT64, cstringEnd, documentSize, elementsOf } from './bson.ts';
import { META_BYTES_MAX, type LineEncoder } from './line.ts';
import { EXPANSION_MAX, broken } from './tape.ts';
import { resumePointOf } from './token.ts';

export interface EncodedReply {
  readonly events: EventBatch;
  /** `null` also while a split event is not whole: resuming there would lose its first fragments. */
  readonly postBatchResumeToken: Uint8Array | null;
  /** Of the cursor; 0 once it is closed. */
  readonly id: bigint;
  /** Token of the last event in `events`, `null` if there is none. */
  readonly lastToken: Uint8Array | null;
  /** Nothing of the reply follows. */
  readonly isLast: boolean;
}

/** Bytes of line per byte of BSON that the first reply is expected to have. */
const EXPANSION_EXPECTED = 1.6;
const NO_LINES = Buffer.alloc(0);

/**
 * @param cursor raw BSON of a reply's `cursor`: `{ firstBatch|nextBatch: […], postBatchResumeToken, id, ns }`
 * @param pool where the buffer for the lines comes from
 * @throws BSON_BROKEN, SOURCE_PROTOCOL, SOURCE_ORDER: no event of the reply may then be used
 */
export function encodeReply(cursor: Uint8Array, encoder: LineEncoder, pool?: BufferPool): EncodedReply {
  return slicesOfReply(cursor, encoder, Infinity, pool).next().value!;
}

/**
 * As {@link encodeReply}, slice by slice, each encoded when it is asked for.
 * @param sliceBytesMax of BSON; a slice has one event at least
 * @throws as `encodeReply`; the slices before are good
 */
export function* slicesOfReply(
  cursor: Uint8Array,
  encoder: LineEncoder,
  sliceBytesMax: number,
  pool?: BufferPool,
): Generator<EncodedReply, undefined> {
  const input = bufferOf(cursor);
  const view = viewOf(input);
  const { batchFrom, batchEnd, isFirst, token, id } = readCursor(input, view);
  if (isFirst) encoder.reset();
  let p = batchFrom;
  do {
    const { count, bytesMax, end } = measureSlice(view, p, batchEnd, sliceBytesMax);
    const room = Math.ceil((end - p) * EXPANSION_EXPECTED) + bytesMax * EXPANSION_MAX + META_BYTES_MAX;
    const builder = new EventBatchBuilder(count === 0 ? NO_LINES : (pool?.take(room) ?? Buffer.allocUnsafe(room)), count);
    encoder.start(input, builder);
    while (p < end) {
      const at = cstringEnd(view, p + 1, end) + 1;
      const bytes = view.getInt32(at, true);
      encoder.event(at, bytes);
      p = at + bytes;
    }
    const isLast = end >= batchEnd;
    yield {
      events: builder.build(),
      // It lies after all events of the reply.
      postBatchResumeToken: !isLast || encoder.insideSplitEvent ? null : token,
      id,
      lastToken: encoder.finish(),
      isLast,
    };
  } while (p < batchEnd);
}

/**
 * Id of the cursor, without decoding an event: the next `getMore` can be sent before this reply is encoded.
 * @throws BSON_BROKEN, SOURCE_PROTOCOL
 */
export function cursorIdOf(cursor: Uint8Array): bigint {
  const input = bufferOf(cursor);
  return readCursor(input, viewOf(input)).id;
}

/** The documents of a reply: where they stand, how many there are, and how large the largest is; all of them are whole. */
export interface RawBatch {
  readonly input: Buffer;
  readonly view: DataView;
  /** The batch's array, its first element, and its terminator. */
  readonly array: number;
  readonly from: number;
  readonly end: number;
  readonly count: number;
  readonly bytesMax: number;
}

/** @throws BSON_BROKEN, SOURCE_PROTOCOL */
export function batchOf(cursor: Uint8Array): RawBatch {
  const input = bufferOf(cursor);
  const view = viewOf(input);
  const { batchFrom: from, batchEnd: end } = readCursor(input, view);
  return { input, view, array: from - 4, from, ...measureSlice(view, from, end, Infinity) };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface Cursor {
  /** First element of the batch, and the batch's terminator. */
  readonly batchFrom: number;
  readonly batchEnd: number;
  /** The cursor has just been opened. */
  readonly isFirst: boolean;
  readonly token: Uint8Array | null;
  readonly id: bigint;
}

function readCursor(input: Buffer, view: DataView): Cursor {
  if (documentSize(view, 0, input.length) !== input.length) throw broken('the cursor is not all of its buffer', 0);
  let batch: { from: number; end: number; isFirst: boolean } | null = null;
  let token: Uint8Array | null = null;
  let id: bigint | null = null;
  for (const { key, type, from, next } of elementsOf(view, 0, input.length - 1)) {
    if ((key === 'firstBatch' || key === 'nextBatch') && type === ARRAY) batch = { from: from + 4, end: next - 1, isFirst: key === 'firstBatch' };
    else if (key === 'postBatchResumeToken' && type === DOCUMENT) token = Buffer.from(input.subarray(from, next));
    else if (key === 'id' && type === INT64) id = view.getBigInt64(from, true);
  }
  if (batch === null) throw new SluiceError(SOURCE_PROTOCOL, 'a reply without a batch');
  if (id === null) throw new SluiceError(SOURCE_PROTOCOL, 'a reply without a cursor id');
  return { batchFrom: batch.from, batchEnd: batch.end, isFirst: batch.isFirst, token, id };
}

/** Counts the events of a slice and finds the size of the largest; all of them are whole documents then. */
function measureSlice(input: DataView, from: number, batchEnd: number, sliceBytesMax: number): { count: number; bytesMax: number; end: number } {
  let count = 0;
  let bytesMax = 0;
  let p = from;
  while (p < batchEnd) {
    if (input.getUint8(p) !== DOCUMENT) throw new SluiceError(SOURCE_PROTOCOL, 'a batch that holds something else than documents');
    const at = cstringEnd(input, p + 1, batchEnd) + 1;
    const bytes = documentSize(input, at, batchEnd);
    if (count > 0 && at + bytes - from > sliceBytesMax) break;
    if (bytes > bytesMax) bytesMax = bytes;
    count++;
    p = at + bytes;
  }
  return { count, bytesMax, end: p };
}

/** Where a stream goes on after a reply that came at `before`. @param pointOf what is kept of a token */
export function resumeAfter(encoded: EncodedReply, before: ResumePoint, pointOf: (token: Uint8Array) => ResumePoint = resumePointOf): ResumePoint {
  const token = encoded.postBatchResumeToken ?? encoded.lastToken;
  return token === null ? before : pointOf(token);
}

/** Within a reply {@link encodeReply} has looked; here one reply is held against the last. @throws SOURCE_ORDER */
export function assertRising({ events }: EncodedReply, before: ResumePoint): void {
  if (events.count === 0) return;
  const first = positionAt(events.lines, 0);
  if (first <= before.position) throw new SluiceError(SOURCE_ORDER, `${first} after ${before.position}`);
}
