/**
 * Messages of a bus become sealed files of a lake: for each partition that is ours a capture of its own, with its own
 * checkpoint, epoch, parts and ledger.
 *
 * The group says who should read which partition, and may say so to two processes at once; the lock or lease on the
 * partition's checkpoint decides. So a partition that moves is waited for, then taken over through its checkpoint, and a
 * former owner that is slow to learn can do no harm.
 */
import type { Bus, BusMembership, OffsetRange, ReadForeign } from '../core/bus.ts';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_OFFSET_GONE, BUS_PARTITIONS, LAKE_LOST_OWNERSHIP } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { StartAt } from '../core/source.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { newStats, type PipelineState, type PipelineStats } from '../ops/stats.ts';
import { Capture, type CaptureOptions } from './capture.ts';
import { PRODUCER, partitionScope, type Checkpoint, type GapRecord, type Scope } from './checkpoint.ts';
import { beginForeign } from './foreign-start.ts';
import { claimPrefix } from './owner.ts';
import { PartitionSource } from './partition-source.ts';
import { patiently } from './patience.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { isOfGap } from './repairs.ts';

export interface ConsumeOptions extends Omit<CaptureOptions, 'partition' | 'startAt'> {
  readonly group: string;
  readonly partitionBy: 'collection' | 'document';
  readonly onBadMessage: 'deadLetter' | 'stop';
  /** Of a topic that others write to: there is no producer of ours, and the first consumer begins the pipeline. */
  readonly foreign: { readonly read: ReadForeign; readonly startAt: StartAt } | null;
}

export interface ConsumeParts {
  readonly bus: Bus;
  readonly lake: Lake;
  readonly clock: Clock;
  /** Sums over the partitions. */
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** Of a producer in this process: gaps are counted together. */
  readonly producerStats?: PipelineStats;
  /** Called once the first partition is owned. */
  readonly onOwned?: () => Promise<void>;
  /** Called before the partitions are given up and the group is left, so that nobody has followed yet. */
  readonly onLeaving?: () => Promise<void>;
  readonly onSealed?: () => void;
}

const POLL_MS = 500;
const TALLY_MS = 200;

interface Working {
  readonly stop: AbortController;
  readonly done: Promise<void>;
  capture: Capture | null;
}

export class Consume {
  readonly #options: ConsumeOptions;
  readonly #parts: ConsumeParts;
  readonly #working = new Map<number, Working>();
  readonly #stats = new Map<number, PipelineStats>();
  /** Ends the run: with the error of a partition, or without one when all have been idle for long enough. */
  readonly #ended = Promise.withResolvers<void>();
  readonly #gone = newStats();
  #commit: (partition: number, next: bigint) => void = () => {};
  #owned: Promise<void> | null = null;
  #hasLeft = false;

  constructor(options: ConsumeOptions, parts: ConsumeParts) {
    this.#options = options;
    this.#parts = parts;
    this.#ended.promise.catch(() => {});
  }

  /** Reads the partitions that are ours until they are idle long enough, or the signal stops it, everything durable. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, stats } = this.#parts;
    const tallying = new AbortController();
    const tally = this.#tallyEvery(tallying.signal);
    try {
      const producer = await this.#producer(signal);
      const count = await this.#count(producer, signal);
      {
        const join = async (): Promise<BusMembership> =>
          await bus.join(this.#options.group, (partitions) => this.#assign(partitions, producer, count), signal);
        await using membership = await this.#patiently('joining the group', join, signal);
        this.#commit = (partition, next) => membership.commit(partition, next);
        try {
          await this.#untilEnd(signal);
        } finally {
          await this.#leave();
        }
        await this.#stopAll();
      }
      if (!signal.aborted) await this.#publishLast(producer, count, signal);
      stats.state = 'stopped';
    } catch (error) {
      await this.#stopAll();
      const isStop = signal.aborted && error === signal.reason;
      stats.state = isStop ? 'stopped' : 'failed';
      if (!isStop) throw error;
    } finally {
      tallying.abort();
      await tally;
    }
  }

  /** Seals all that is open in the partitions that are ours. */
  async seal(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#working.values()].map(async ({ capture }) => await capture?.seal(signal)));
  }

  /**
   * Seals all that consumers which have stopped have left open; the first partition last, because it publishes for all. Does
   * not ask the broker. @throws LAKE_OWNED while one of them runs
   */
  async sealStopped(signal: AbortSignal): Promise<void> {
    const producer = await this.#checkpoint(PRODUCER, signal);
    if (producer?.bus === undefined) return;
    const { partitions } = producer.bus;
    for (let index = partitions - 1; index >= 0; index -= 1) {
      const stats = newStats();
      await using source = this.#source(index, producer, stats);
      await this.#capture(index, partitions, source, stats, { wait: false }).sealStopped(signal);
    }
  }

  /** Where the topic begins for this pipeline is known once its producer has begun. */
  async #producer(signal: AbortSignal): Promise<Checkpoint> {
    const { clock, log, stats } = this.#parts;
    for (let told = false; ; told = true) {
      if (this.#options.foreign !== null) await this.#begin(this.#options.foreign, signal);
      const checkpoint = await this.#checkpoint(PRODUCER, signal);
      if (checkpoint?.resume !== undefined && checkpoint.resume !== null && checkpoint.bus !== undefined) return checkpoint;
      stats.state = 'standby';
      if (!told) log.info(this.#options.foreign === null ? 'waiting for `sluice run --role produce` to begin' : 'waiting for the first message');
      await clock.sleep(POLL_MS, signal);
    }
  }

  async #begin(foreign: NonNullable<ConsumeOptions['foreign']>, signal: AbortSignal): Promise<void> {
    const { lake, bus, clock } = this.#parts;
    if ((await this.#checkpoint(PRODUCER, signal)) !== null) return;
    await claimPrefix(lake, this.#options.pipeline, signal);
    await this.#patiently(
      'looking for the first message',
      async () => await beginForeign(lake, bus, { ...this.#options, ...foreign, nowMs: clock.now() }, signal),
      signal,
    );
  }

  async #count(producer: Checkpoint, signal: AbortSignal): Promise<number> {
    const { bus } = this.#parts;
    const { partitions, partitionBy } = producer.bus!;
    const count = await this.#patiently('asking for the topic', async () => await bus.partitions(signal), signal);
    if (count === partitions && partitionBy === this.#options.partitionBy) return count;
    const was = `${partitions} by ${partitionBy}`;
    throw new SluiceError(BUS_PARTITIONS, `${bus.description} has ${count} by ${this.#options.partitionBy}, and was begun with ${was}`);
  }

  async #patiently<T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await patiently({ ...this.#parts, ...this.#options }, what, work, signal);
  }

  #assign(partitions: readonly number[], producer: Checkpoint, count: number): void {
    this.#parts.log.info({ partitions }, 'these partitions are ours');
    for (const [index, { stop }] of this.#working) if (!partitions.includes(index)) stop.abort(new Error('the partition has moved'));
    for (const index of partitions) {
      const before = this.#working.get(index);
      if (before !== undefined && !before.stop.signal.aborted) continue;
      const stop = new AbortController();
      const working: Working = { stop, capture: null, done: (before?.done ?? Promise.resolve()).then(() => this.#work(index, producer, count)) };
      this.#working.set(index, working);
      working.done.then(
        () => this.#onDone(index, working),
        (error: unknown) => this.#ended.reject(error),
      );
    }
  }

  #onDone(index: number, working: Working): void {
    // A partition that has moved is forgotten; one that was idle for long enough stays, done.
    if (working.stop.signal.aborted && this.#working.get(index) === working) {
      this.#working.delete(index);
      this.#retire(index);
    }
    if (this.#options.untilIdleMs !== null) void this.#endWhenDone();
  }

  async #endWhenDone(): Promise<void> {
    const all = [...this.#working.values()];
    await Promise.all(all.map(({ done }) => done)).catch(() => {});
    if (all.length === this.#working.size && all.length > 0) this.#ended.resolve();
  }

  async #work(index: number, begun: Checkpoint, count: number): Promise<void> {
    const { log, clock } = this.#parts;
    let producer = begun;
    const working = this.#working.get(index)!;
    const { signal } = working.stop;
    while (!signal.aborted) {
      const stats = newStats();
      this.#retire(index);
      this.#stats.set(index, stats);
      await using source = this.#source(index, producer, stats);
      working.capture = this.#capture(index, count, source, stats);
      try {
        await working.capture.run(signal);
        if (!source.hasChanged) return;
        log.warn({ partition: index }, 'another stream begins in the partition: going on by cluster time');
      } catch (error) {
        if (SluiceError.is(error, BUS_OFFSET_GONE) && (await this.#mayGoOn(index, signal))) {
          log.error({ err: error, partition: index }, 'messages are gone: going on after the gap, which the producer mends');
          // Where nothing is left in the partition it tells how far the time has come.
          producer = await this.#producer(signal);
          continue;
        }
        if (!SluiceError.is(error, LAKE_LOST_OWNERSHIP)) throw error;
        log.warn({ partition: index }, 'another process has taken the partition over');
        await clock.sleep(POLL_MS, signal).catch(() => {});
      }
    }
  }

  /** The producer mends the gap, and has mended those before it: lost again before that needs a longer retention, not another try. */
  async #mayGoOn(index: number, signal: AbortSignal): Promise<boolean> {
    if (this.#options.onHistoryLost !== 'repair') return false;
    const gaps = (await this.#checkpoint(partitionScope(index), signal))?.gaps ?? [];
    const { mends = [] } = (await this.#checkpoint(PRODUCER, signal)) ?? {};
    const isMended = (gap: GapRecord): boolean => mends.some((mend) => isOfGap(mend, index, gap) && mend.repaired !== undefined);
    return gaps.every((gap) => gap.to === null || gap.repair === undefined || isMended(gap));
  }

  #source(index: number, producer: Checkpoint, stats: PipelineStats): PartitionSource {
    const { bus, lake } = this.#parts;
    const checkpoint = async (): Promise<Checkpoint | null> => await this.#checkpoint(partitionScope(index), new AbortController().signal);
    const ranges = async (signal: AbortSignal): Promise<readonly OffsetRange[]> =>
      await this.#patiently('asking for the offsets', async () => await bus.ranges(signal), signal);
    const { foreign, onBadMessage } = this.#options;
    const onRead = (next: bigint): void => this.#commit(index, next);
    return new PartitionSource({ bus, lake, index, producer, checkpoint, ranges, foreign: foreign?.read ?? null, onBadMessage, onRead, stats });
  }

  #capture(index: number, count: number, source: PartitionSource, stats: PipelineStats, how: Partial<CaptureOptions> = {}): Capture {
    const { layout, partitionBy } = this.#options;
    // One collection in several partitions: each has files of its own.
    const own = partitionBy === 'document' ? layout.replace('{part}', `.${partitionScope(index)}{part}`) : layout;
    const options: CaptureOptions = { ...this.#options, ...how, layout: own, partition: { index, count }, startAt: { kind: 'now' } };
    // One partition that goes is not the end.
    const { onLeaving: _, ...parts } = this.#parts;
    return new Capture(options, { ...parts, source, stats, onOwned: () => this.#onOwned() });
  }

  async #leave(): Promise<void> {
    const { onLeaving, log } = this.#parts;
    this.#hasLeft = true;
    // What it does comes before what is done at the end.
    await this.#owned?.catch(() => {});
    await onLeaving?.().catch((error: unknown) => log.warn({ err: error }, 'something could not be closed at the end'));
  }

  async #onOwned(): Promise<void> {
    if (this.#hasLeft) return;
    this.#owned ??= this.#parts.onOwned?.() ?? Promise.resolve();
    await this.#owned;
  }

  async #checkpoint(scope: Scope, signal: AbortSignal): Promise<Checkpoint | null> {
    return await readCheckpoint(this.#parts.lake, this.#options.pipeline, scope, signal);
  }

  async #untilEnd(signal: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<void>();
    const onAbort = (): void => stopped.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await Promise.race([this.#ended.promise, stopped.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #stopAll(): Promise<void> {
    const all = [...this.#working.values()];
    for (const { stop } of all) stop.abort(new Error('stopped'));
    await Promise.allSettled(all.map(({ done }) => done));
  }

  /** The first partition may have ended before the others had sealed what was left of an hour. */
  async #publishLast(producer: Checkpoint, count: number, signal: AbortSignal): Promise<void> {
    const stats = this.#stats.get(0);
    if (stats === undefined) return;
    await using source = this.#source(0, producer, stats);
    await this.#capture(0, count, source, stats).sealStopped(signal);
  }

  async #tallyEvery(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#tally();
      await this.#parts.clock.sleep(TALLY_MS, signal).catch(() => {});
    }
    this.#tally();
  }

  /** What was counted by work that has ended stays counted. */
  #retire(index: number): void {
    const stats = this.#stats.get(index);
    if (stats === undefined) return;
    for (const name of SUMS) this.#gone[name] += stats[name];
    this.#stats.delete(index);
  }

  #tally(): void {
    const all = [...this.#stats.values()];
    const { stats, producerStats } = this.#parts;
    for (const name of NOW) stats[name] = all.reduce((sum, each) => sum + each[name], producerStats?.[name] ?? 0);
    for (const name of SUMS) stats[name] = this.#gone[name] + all.reduce((sum, each) => sum + each[name], 0);
    // After a stop no partition is ours; what was done stays counted.
    if (all.length === 0) return;
    stats.epoch = Math.max(...all.map(({ epoch }) => epoch));
    stats.watermark = lowest(all.map(({ watermark }) => watermark));
    stats.lastEventAtMs = Math.max(0, ...all.map(({ lastEventAtMs }) => lastEventAtMs ?? 0)) || null;
    stats.state = STATES.find((state) => all.some((each) => each.state === state)) ?? 'running';
  }
}

const SUMS = [
  'events',
  'eventBytes',
  'eventsReplayed',
  'deadLetters',
  'batches',
  'appends',
  'checkpointSaves',
  'partsSealed',
  'hoursComplete',
] as const;
/** Of those that work now. */
const NOW = ['partsOpen', 'gaps', 'gapsOpen', 'gapsMended'] as const;
/** What is told of several: the first that one of them is in. */
const STATES: readonly PipelineState[] = ['failed', 'recovering', 'standby', 'starting', 'running', 'stopping', 'stopped'];

/** `null` when one has none yet. */
function lowest(watermarks: readonly (Timestamp | null)[]): Timestamp | null {
  let low: Timestamp | null = watermarks[0] ?? null;
  for (const each of watermarks) {
    if (each === null) return null;
    if (low === null || compareTimestamps(each, low) < 0) low = each;
  }
  return low;
}
