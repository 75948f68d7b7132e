/**
 * What a producer reads whole: straight into the lake, in files and a ledger of its own, beside the changes that it sends over the bus.
 *
 * Nothing of it needs the order of the bus. All rows of a snapshot have the position of the moment at which it is taken, and what has
 * changed since comes over the bus with higher ones. Invariant: what is to be read whole is in the producer's checkpoint before its
 * position is, and no partition has a watermark that the checkpoint does not cover: who sees that a partition has passed a moment finds
 * in the producer's checkpoint all that is still to be read for it.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { SNAPSHOT_REFUSED } from '../core/errors.ts';
import type { EventBatch } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotsAsked, SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { PRODUCER } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { Ledger } from './ledger.ts';
import { own, type OwnOptions, type OwnParts } from './owner.ts';
import { Repairs } from './repairs.ts';
import { chosenBy, SnapshotAnswers } from './snapshot-question.ts';
import { Snapshots, type SnapshotLimits } from './snapshots.ts';
import type { WholeReading } from './start.ts';

/** What was begun is carried through, also when a stop comes. */
const always = new AbortController().signal;

export interface StoppedParts extends OwnParts {
  readonly source: Source;
  readonly snapshots: SnapshotSource;
}

/** Reads collections whole for a producer that does not run. @throws LAKE_OWNED while one does, SNAPSHOT_REFUSED */
export async function snapshotStopped(
  options: OwnOptions & SnapshotLimits & { readonly layout: string },
  parts: StoppedParts,
  choose: (ns: Namespace) => boolean,
  signal: AbortSignal,
): Promise<SnapshotsAsked> {
  const { source, snapshots, lake, clock, stats } = parts;
  await using _ownership = await own({ ...options, scope: PRODUCER }, parts, signal);
  const committer = await Committer.load(lake, options.pipeline, options.layout, clock, stats, signal, PRODUCER);
  const { state } = committer;
  if (state.resume === null) {
    const next = 'Start `sluice run --role produce`; with `source.startAt: snapshot` it begins with what there is.';
    throw new SluiceError(SNAPSHOT_REFUSED, 'this pipeline has not begun yet', { next });
  }
  await source.open(signal);
  state.epoch += 1;
  state.cleanStop = false;
  await committer.save('epoch');
  const ledger = new Ledger(lake, committer, clock);
  try {
    await ledger.recover(always);
    const asking = { choose, now: () => source.resolve({ kind: 'now' }, signal) };
    const asked = await Snapshots.alone(options, { ...parts, source: snapshots, committer, ledger }, asking, signal);
    state.cleanStop = true;
    await committer.save('clean-stop');
    return asked;
  } finally {
    await ledger.close();
  }
}

export interface ProducerSnapshotParts {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly committer: Committer;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** The present moment of the stream. */
  readonly now: (signal: AbortSignal) => Promise<SnapshotPoint>;
  readonly onHistoryLost: 'fail' | 'repair';
}

/** Questions, and gaps of partitions, are looked for this often. */
const LOOK_MS = 2_000;

export class ProducerSnapshots implements AsyncDisposable {
  readonly whole: WholeReading;
  readonly #parts: ProducerSnapshotParts;
  readonly #ledger: Ledger;
  readonly #snapshots: Snapshots;
  readonly #repairs: Repairs;
  readonly #wake: () => void;
  readonly #ending = new AbortController();
  #attending: Promise<void> = Promise.resolve();
  #hasLooked = false;

  private constructor(parts: ProducerSnapshotParts, ledger: Ledger, snapshots: Snapshots, wake: () => void) {
    this.whole = { source: parts.source, lake: parts.lake, ledger };
    this.#parts = parts;
    this.#ledger = ledger;
    this.#snapshots = snapshots;
    this.#repairs = new Repairs({ ...parts, ledger, isWanted: parts.onHistoryLost === 'repair' });
    this.#wake = wake;
  }

  /** Fences what a former owner has left and ends what it had begun. @param wake makes the main job call {@link settle} soon */
  static async open(limits: SnapshotLimits, parts: ProducerSnapshotParts, wake: () => void): Promise<ProducerSnapshots> {
    const ledger = new Ledger(parts.lake, parts.committer, parts.clock);
    try {
      await ledger.recover(always);
      const snapshots = new Snapshots(limits, { ...parts, ledger }, wake);
      await snapshots.recover(always);
      return new ProducerSnapshots(parts, ledger, snapshots, wake);
    } catch (error) {
      await ledger.close();
      throw error;
    }
  }

  /** Nothing is left to be read, and nobody had asked for more when it was looked last. */
  get isIdle(): boolean {
    return this.#hasLooked && !this.#repairs.isDue && this.#snapshots.isIdle;
  }

  start(): void {
    this.#snapshots.start();
    this.#attending = this.#attend(this.#ending.signal);
  }

  /** As {@link Snapshots.meet}. */
  async meet(events: EventBatch, isWanted: boolean, signal: AbortSignal): Promise<void> {
    await this.#snapshots.meet(events, isWanted, () => this.#parts.now(signal), signal);
  }

  /** Called by the main job alone. */
  async settle(): Promise<void> {
    if (this.#repairs.isDue) {
      await this.#repairs.settle();
      this.#snapshots.takenUp();
    }
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
    this.#ending.abort();
    // Who waits for an answer of it is told.
    await this.#snapshots[Symbol.asyncDispose]();
    await this.#attending;
    await this.#ledger.close();
  }

  /** What others want is on the lake: questions, and the checkpoints of partitions. */
  async #attend(signal: AbortSignal): Promise<void> {
    const { lake, committer, clock, log, now } = this.#parts;
    const answers = new SnapshotAnswers(lake, committer.state.pipeline);
    const request = (collections: readonly string[]): Promise<SnapshotsAsked> =>
      this.#snapshots.request(chosenBy(collections), () => now(signal), signal);
    while (!signal.aborted) {
      try {
        await answers.look(request, signal);
        await this.#repairs.look(signal);
        this.#hasLooked = true;
        if (this.#repairs.isDue) this.#wake();
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error }, 'whether others want something read whole could not be looked up: trying again');
      }
      await clock.sleep(LOOK_MS, signal).catch(() => {});
    }
  }
}
