/**
 * What a producer reads whole: straight into the lake, in files and a ledger of its own, beside the changes that it sends over the bus.
 *
 * Nothing of it needs the order of the bus. All rows of a snapshot have the position of the moment at which it is taken, and what has
 * changed since comes over the bus with higher ones. Invariant: what is to be read whole is in the producer's checkpoint before its
 * position is, and no partition has a watermark that the checkpoint does not cover: who sees that a partition has passed a moment finds
 * in the producer's checkpoint all that is still to be read for it.
 */
import type { Clock } from '../core/clock.ts';
import type { EventBatch } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotsAsked, SnapshotSource } from '../core/snapshot.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { Committer } from './committer.ts';
import { Ledger } from './ledger.ts';
import { Snapshots, type SnapshotLimits } from './snapshots.ts';
import type { WholeReading } from './start.ts';

export interface ProducerSnapshotParts {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly committer: Committer;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** What was begun is carried through, also when a stop comes. */
const always = new AbortController().signal;

export class ProducerSnapshots implements AsyncDisposable {
  readonly whole: WholeReading;
  readonly #ledger: Ledger;
  readonly #snapshots: Snapshots;

  private constructor(parts: ProducerSnapshotParts, ledger: Ledger, snapshots: Snapshots) {
    this.whole = { source: parts.source, lake: parts.lake, ledger };
    this.#ledger = ledger;
    this.#snapshots = snapshots;
  }

  /** Fences what a former owner has left and ends what it had begun. @param wake makes the main job call {@link settle} soon */
  static async open(limits: SnapshotLimits, parts: ProducerSnapshotParts, wake: () => void): Promise<ProducerSnapshots> {
    const ledger = new Ledger(parts.lake, parts.committer, parts.clock);
    try {
      await ledger.recover(always);
      const snapshots = new Snapshots(limits, { ...parts, ledger }, wake);
      await snapshots.recover(always);
      return new ProducerSnapshots(parts, ledger, snapshots);
    } catch (error) {
      await ledger.close();
      throw error;
    }
  }

  get isIdle(): boolean {
    return this.#snapshots.isIdle;
  }

  start(): void {
    this.#snapshots.start();
  }

  /** As {@link Snapshots.meet}. */
  async meet(events: EventBatch, isWanted: boolean, now: () => Promise<SnapshotPoint>, signal: AbortSignal): Promise<void> {
    await this.#snapshots.meet(events, isWanted, now, signal);
  }

  /** As {@link Snapshots.request}. */
  async request(choose: (ns: Namespace) => boolean, now: () => Promise<SnapshotPoint>, signal: AbortSignal): Promise<SnapshotsAsked> {
    return await this.#snapshots.request(choose, now, signal);
  }

  /** Called by the main job alone. */
  async settle(): Promise<void> {
    await this.#snapshots.settle(always);
  }

  /** What is being read ends with what was read so far. */
  async stop(): Promise<void> {
    await this.#snapshots.stop(always);
  }

  /** @throws SNAPSHOT_FAILED when a collection could not be read */
  assertRead(): void {
    this.#snapshots.assertRead();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshots[Symbol.asyncDispose]();
    await this.#ledger.close();
  }
}
