/**
 * The contract of a source whose collections can be read whole, beside its changes.
 *
 * A snapshot is taken at a point of the stream: nothing older than it is read, so that whatever changes while the
 * collections are read comes in the stream after that point, and wins by its position. Each row carries that one position.
 */
import type { ResumePoint } from './event.ts';
import type { Namespace } from './namespace.ts';
import type { Timestamp } from './time.ts';

/** What a source says of a collection that a snapshot could be asked of. */
export interface SnapshotTarget {
  readonly namespace: Namespace;
  /** By the source's own books, without a scan; `null` when they may not be seen. */
  readonly documents: number | null;
  readonly bytes: number | null;
  /** Why it cannot be read as a snapshot, for people; `null`: it can. */
  readonly refused: string | null;
  /** What a snapshot of it does not promise, for people; `null`: nothing is missing. */
  readonly caveat: string | null;
}

/** The point of the stream at which a snapshot is taken. */
export type SnapshotPoint = Pick<ResumePoint, 'position' | 'clusterTime'>;

/** What came of asking for snapshots. */
export interface SnapshotsAsked {
  readonly begun: readonly SnapshotTarget[];
  /** They are being read already. */
  readonly underWay: readonly SnapshotTarget[];
  readonly refused: readonly SnapshotTarget[];
}

/** Keys as the source wrote them, opaque to everybody else. `from` inclusive, `to` exclusive; `null`: no bound. */
export interface KeyRange {
  readonly from: Uint8Array | null;
  readonly to: Uint8Array | null;
}

/** Where a reading of a range goes on: strictly after the key `after`. */
export interface RangeReading extends KeyRange {
  readonly after: Uint8Array | null;
}

export interface DocumentBatch {
  readonly count: number;
  /** Whole lines, back to back; valid until `release`. */
  readonly lines: Uint8Array;
  /** Key of the last line, its own copy. */
  readonly lastKey: Uint8Array;
  readonly release: () => void;
}

export interface SnapshotSource extends AsyncDisposable {
  /** Would it be among the targets, if it were there? */
  covers(ns: Namespace): boolean;
  /** What there is, views and other things that cannot be read included. */
  targets(signal: AbortSignal): Promise<readonly SnapshotTarget[]>;
  /** Cuts a collection into at most `parts` ranges that follow each other, cover all keys of every type, and are about equal. */
  cut(ns: Namespace, parts: number, signal: AbortSignal): Promise<readonly KeyRange[]>;
  /**
   * All documents of a range in the order of their keys, none older than `at`, as lines with the position of `at`. Comes back by
   * itself after a fail-over. Ends when the range does; throws when the signal aborts.
   */
  documents(ns: Namespace, range: RangeReading, at: SnapshotPoint, signal: AbortSignal): AsyncIterable<DocumentBatch>;
  /** The source's time: nothing that was read before is newer. */
  clusterTime(signal: AbortSignal): Promise<Timestamp>;
  /** Lets the stream pass the present at once, where it may; where it may not, that takes a source on which nothing happens some seconds. */
  hurry(signal: AbortSignal): Promise<void>;
}
