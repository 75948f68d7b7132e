/**
 * What travels from a source to a lake: encoded lines and, beside them, the few facts that decide where a line goes.
 *
 * Columnar, because at 90,000 events a second an object per event costs more than the encoding of its line
 * (docs/adr/0002-columnar-batches.md). A line is encoded once, newline included, and never parsed again on the way.
 */
import type { Namespace } from './namespace.ts';
import type { Timestamp } from './time.ts';

/** Sorts as the events do: plain string comparison. Opaque outside source/ and bus/. Letters, digits and `-_:.` only. */
export type Position = string & { readonly __brand: 'Position' };

export function asPosition(text: string): Position {
  return text as Position;
}

/** Position plus the whole resume token: `_data` alone does not always resume (`_typeBits`). */
export interface ResumePoint {
  readonly position: Position;
  /** Cluster time inside the position: what is left to resume by when positions no longer compare. */
  readonly clusterTime: Timestamp;
  /** The token document, BSON. */
  readonly token: Uint8Array;
}

/** The operations that a line can carry; a batch stores the index. Names are MongoDB's, plus `snapshot` and `snapshotEnd`. */
export const OPERATIONS = [
  'insert',
  'update',
  'replace',
  'delete',
  'drop',
  'rename',
  'dropDatabase',
  'invalidate',
  'create',
  'createIndexes',
  'dropIndexes',
  'modify',
  'shardCollection',
  'reshardCollection',
  'refineCollectionShardKey',
  'snapshot',
  'other',
  'snapshotEnd',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export const OPERATION_INDEX: ReadonlyMap<string, number> = new Map(OPERATIONS.map((op, index) => [op, index]));
/** For an operation type that this version does not know: its own name stays in the line. */
export const OPERATION_OTHER = OPERATIONS.indexOf('other');

/** How every line begins; the position follows, then `"`. Fixed, so that a reader finds the position without parsing. */
export const LINE_PREFIX = '{"_meta":{"position":"';
const PREFIX_BYTES = LINE_PREFIX.length;
const QUOTE = 0x22;

/** Position of the line that starts at `start` of `bytes`. */
export function positionAt(bytes: Buffer, start: number): Position {
  const from = start + PREFIX_BYTES;
  return bytes.toString('latin1', from, bytes.indexOf(QUOTE, from)) as Position;
}

/**
 * Compares the positions of two lines without making strings: negative, zero or positive. The quote that ends a
 * position sorts before every character of one, so a position that is a prefix of another comes first, as with strings.
 */
export function comparePositions(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): number {
  let i = aStart + PREFIX_BYTES;
  let j = bStart + PREFIX_BYTES;
  for (;;) {
    const x = a[i]!;
    const difference = x - b[j]!;
    if (difference !== 0) return difference;
    if (x === QUOTE) return 0;
    i += 1;
    j += 1;
  }
}

/** Lines in order, with a column for each fact that the writer needs. Arrays are valid up to `count`. */
export interface EventBatch {
  readonly count: number;
  /** All lines back to back, each ending in `\n`; valid up to `ends[count - 1]`. */
  readonly lines: Buffer;
  /** Offset in `lines` just after line i. */
  readonly ends: Uint32Array;
  /** Distinct namespaces of the batch. */
  readonly namespaces: readonly Namespace[];
  /** Index into `namespaces`, per line. */
  readonly ns: Uint32Array;
  /** Index into {@link OPERATIONS}, per line. */
  readonly ops: Uint8Array;
  /** Cluster time, per line: seconds and ordinal. */
  readonly seconds: Uint32Array;
  readonly ordinals: Uint32Array;
}

/** What one read of a source gives. `events.count` may be 0: `resume` and `watermark` then still move on. */
export interface ChangeBatch {
  readonly events: EventBatch;
  /** Where to go on once all of `events` is durable. Never inside a split event. */
  readonly resume: ResumePoint;
  /** Everything before this (exclusive) has been read, this batch included. */
  readonly watermark: Timestamp;
  /** To be called once nobody reads `events.lines` any more; their memory is used again. */
  readonly release?: () => void;
}
