/**
 * The contract of a bus: a topic of partitions, each a log that only grows at its end (Apache Kafka, Azure Event Hubs).
 *
 * What makes exactly-once of it is in pipeline/: a bus may repeat what it was sent, and forgets after a while.
 */

import type { Position } from './event.ts';
import type { MessageBatch } from './message-batch.ts';
import type { Namespace } from './namespace.ts';
import type { Timestamp } from './time.ts';

/** As it is sent. Header values are text. */
export interface BusMessage {
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** As it is read. */
export interface BusRecord {
  readonly offset: bigint;
  /** When it was sent, as its sender or the broker says; ms. */
  readonly timeMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  header(name: string): string | null;
  headers(): readonly (readonly [name: string, value: Buffer | null])[];
}

/** A message of another producer, as an event. */
export interface ForeignEvent {
  /** Rises within a partition, so that repetitions are told by it; `null`: the message has none. */
  readonly token: Position | null;
  readonly at: Timestamp;
  readonly op: number;
  readonly ns: Namespace;
  /** With its newline. */
  line(position: Position): Buffer;
}

/** `null`: nothing has happened. @throws Error when it cannot be read */
export type ReadForeign = (record: BusRecord) => ForeignEvent | null;

export interface BusRead {
  /** In order, each at or after the offset that was asked for. */
  readonly records: readonly BusRecord[];
  /** Where to go on. */
  readonly next: bigint;
  /** About what their values take, if the bus says so. */
  readonly bytes?: number;
  /** To be called once nobody reads the records any more; their memory is used again. */
  readonly release?: () => void;
}

export interface BusReader extends AsyncDisposable {
  /**
   * What there is from `offset` on, some of it; nothing when nothing comes within a second. Tries again by itself while
   * the broker is away, for as long as that lasts: nothing is not the same as nothing heard.
   * @throws BUS_OFFSET_GONE the partition does not have that offset: it forgot it, or was made anew
   */
  read(offset: bigint, signal: AbortSignal): Promise<BusRead>;
}

export interface BusMembership extends AsyncDisposable {
  /** For the tools of the broker alone: nobody reads it back. Never throws. */
  commit(partition: number, next: bigint): void;
}

export interface OffsetRange {
  /** The oldest message that is left, or `next`. */
  readonly first: bigint;
  /** Of the message that is sent next. */
  readonly next: bigint;
}

export interface Bus extends AsyncDisposable {
  /** Where it is, for messages. Never a secret. */
  readonly description: string;
  /** Connects and logs in. @throws BUS_UNAVAILABLE, BUS_DENIED, BUS_TOPIC */
  partitions(signal: AbortSignal): Promise<number>;
  /** By partition. */
  ranges(signal: AbortSignal): Promise<readonly OffsetRange[]>;
  /** The same for all time, as long as the number of partitions stays. */
  partitionOf(key: string, partitions: number): number;
  /**
   * One request: when it resolves, all replicas have the messages, in order. When it rejects, some, all or none of them may
   * be there, or come later. One call at a time per partition. The messages belong to the bus until it resolves, and if it
   * rejects for good.
   * @throws BUS_UNAVAILABLE (send it again), BUS_TOO_LARGE, BUS_DENIED, BUS_TOPIC
   */
  send(partition: number, messages: MessageBatch, signal: AbortSignal): Promise<void>;
  reader(partition: number): BusReader;
  /**
   * Shares the partitions with the other members of the group.
   * @param onAssigned called with all that are ours, now and whenever that changes
   */
  join(group: string, onAssigned: (partitions: readonly number[]) => void, signal: AbortSignal): Promise<BusMembership>;
}
