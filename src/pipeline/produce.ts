/**
 * A source's changes become messages of a bus.
 *
 * Invariants: within a partition messages go out in order, one request in flight, settled before the next is sent or else
 * sent again; the checkpoint never passes the lowest position that all partitions have acknowledged; a watermark goes out
 * only after the checkpoint that covers it is durable, so that no successor reads from before it.
 *
 * A crash repeats what the checkpoint had not covered; a producer that was cut off may still be heard. Both only repeat, and
 * consumers tell repetitions by their position.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { bytesOnBus, type Bus, type BusMessage } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_PARTITIONS, HISTORY_LOST, LAKE_LOST_OWNERSHIP, WRITE_ORDER } from '../core/errors.ts';
import { positionAt, type ChangeBatch, type Position, type ResumePoint } from '../core/event.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps, hourOf, laterTimestamp, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { MessageEncoder, type PartitionBy, type ToPartition } from './bus-message.ts';
import { PRODUCER } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { claimPrefix, own, type OwnOptions } from './owner.ts';
import { patiently } from './patience.ts';
import { BatchPull } from './pull.ts';
import { recordGap, startPoint, type StartOptions } from './start.ts';

export interface ProduceOptions extends OwnOptions, StartOptions {
  readonly layout: string;
  readonly partitionBy: PartitionBy;
  readonly messageBytesMax: number;
  readonly readAheadBytesMax: number;
  readonly checkpointIntervalMs: number;
  readonly untilIdleMs: number | null;
  readonly unavailableAfterMs: number;
}

export interface ProduceParts {
  readonly source: Source;
  readonly bus: Bus;
  readonly lake: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** Event Hubs closes the connection on a request of 1,046,528 bytes. */
const REQUEST_BYTES_MAX = 900_000;
const REQUEST_MESSAGES_MAX = 5_000;
/** Every partition hears of the time this often while it moves; at least every ten seconds is promised. */
const WATERMARK_MS = 2_000;
const CHECKPOINT_IDLE_MS = 10_000;

export class Produce {
  readonly #options: ProduceOptions;
  readonly #parts: ProduceParts;
  #last: Position | null = null;
  /** Requests that are not acknowledged yet. */
  #inFlight = 0;
  #toldAtMs = 0;
  #told: Timestamp = { t: 0, i: 0 };
  #savedPosition: Position | undefined;

  constructor(options: ProduceOptions, parts: ProduceParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Owns the producing side and publishes until it is idle long enough, or the signal stops it. */
  async run(signal: AbortSignal): Promise<void> {
    const { stats } = this.#parts;
    try {
      await using ownership = await own({ ...this.#options, scope: PRODUCER }, this.#parts, signal);
      await this.#runAsOwner(AbortSignal.any([signal, ownership.lost]), ownership);
      stats.state = 'stopped';
    } catch (error) {
      const isStop = signal.aborted && error === signal.reason;
      stats.state = isStop ? 'stopped' : 'failed';
      if (!isStop) throw error;
    }
  }

  async #runAsOwner(signal: AbortSignal, ownership: Ownership): Promise<void> {
    const { source, bus, lake, clock, stats, log } = this.#parts;
    const { pipeline, layout } = this.#options;
    stats.state = 'recovering';
    await claimPrefix(lake, pipeline, signal);
    const committer = await Committer.load(lake, pipeline, layout, clock, stats, signal, PRODUCER);
    const partitions = await this.#topic(committer, signal);
    const identity = await source.open(signal);
    const fingerprint = `${identity.fingerprint} ${this.#options.partitionBy}/${partitions}`;
    log.info({ source: identity.description, bus: bus.description, partitions, pipeline }, 'owner of the pipeline');
    const { state } = committer;
    state.epoch += 1;
    state.cleanStop = false;
    stats.epoch = state.epoch;
    await committer.save('epoch');
    const replayAt = state.resume !== null && state.fingerprint !== fingerprint ? state.resume.clusterTime : null;
    try {
      const start = await startPoint({ ...this.#parts, ...this.#options, committer }, { fingerprint, replayAt }, signal);
      stats.state = 'running';
      log.info({ position: start.position }, 'reading changes');
      const encoder = this.#encoder(fingerprint, partitions);
      await this.#loop(committer, encoder, { start, fingerprint, partitions }, signal);
      if (ownership.lost.aborted) throw new SluiceError(LAKE_LOST_OWNERSHIP);
      state.cleanStop = true;
      await committer.save('clean-stop');
    } catch (error) {
      if (SluiceError.is(error, HISTORY_LOST)) await recordGap({ ...this.#parts, ...this.#options, committer }, error);
      throw error;
    }
  }

  /** @returns how many partitions the topic has. @throws BUS_PARTITIONS when that has changed */
  async #topic(committer: Committer, signal: AbortSignal): Promise<number> {
    const { bus } = this.#parts;
    const { partitionBy } = this.#options;
    const { state } = committer;
    const partitions = await this.#patiently('asking for the topic', async () => await bus.partitions(signal), signal);
    if (state.bus === undefined) {
      const ranges = await this.#patiently('asking for the topic', async () => await bus.ranges(signal), signal);
      state.bus = { partitions, partitionBy, from: ranges.map(({ next }) => next.toString()) };
    }
    if (state.bus.partitions !== partitions || state.bus.partitionBy !== partitionBy) {
      const was = `${state.bus.partitions} by ${state.bus.partitionBy}`;
      throw new SluiceError(BUS_PARTITIONS, `${bus.description} has ${partitions} by ${partitionBy}, and was begun with ${was}`);
    }
    return partitions;
  }

  #encoder(fingerprint: string, partitions: number): MessageEncoder {
    const { bus, lake } = this.#parts;
    const { pipeline, partitionBy, messageBytesMax } = this.#options;
    const partitionOf = (key: string): number => bus.partitionOf(key, partitions);
    return new MessageEncoder({ pipeline, fingerprint, partitionBy, messageBytesMax, partitionOf, lake });
  }

  async #loop(
    committer: Committer,
    encoder: MessageEncoder,
    { start, fingerprint, partitions }: { readonly start: ResumePoint; readonly fingerprint: string; readonly partitions: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { source, clock, stats } = this.#parts;
    const { state } = committer;
    const { untilIdleMs, readAheadBytesMax } = this.#options;
    let heardAtMs = clock.now();
    await using batches = new BatchPull(source, start, signal, { clock, aheadBytesMax: readAheadBytesMax });
    for (;;) {
      const batch = await batches.next(WATERMARK_MS);
      if (batch === 'end') return;
      if (batch !== 'woken') {
        await this.#publish(encoder, batch, signal);
        this.#assertSettled();
        state.resume = batch.resume;
        state.fingerprint = fingerprint;
        state.watermark = laterTimestamp(state.watermark, batch.watermark);
        stats.watermark = state.watermark;
        stats.batches += 1;
        if (batch.events.count > 0) heardAtMs = clock.now();
      }
      await this.#save(committer, encoder, partitions, signal);
      const isIdle = untilIdleMs !== null && batch !== 'woken' && batch.events.count === 0 && clock.now() - heardAtMs >= untilIdleMs;
      if (!isIdle) continue;
      await this.#tell(committer, encoder, partitions, signal);
      return;
    }
  }

  /** All of the batch is acknowledged when it resolves. */
  async #publish(encoder: MessageEncoder, batch: ChangeBatch, signal: AbortSignal): Promise<void> {
    const { stats, clock } = this.#parts;
    const { events } = batch;
    if (events.count > 0) {
      this.#assertRises(batch);
      const messages = await encoder.encode(events);
      const byPartition = Map.groupBy(messages, ({ partition }) => partition);
      await Promise.all([...byPartition].map(async ([partition, of]) => await this.#sendInOrder(partition, of, signal)));
      stats.events += events.count;
      stats.eventBytes += events.ends[events.count - 1]!;
      stats.lastEventAtMs = clock.now();
    }
    batch.release?.();
  }

  async #sendInOrder(partition: number, messages: readonly ToPartition[], signal: AbortSignal): Promise<void> {
    for (const request of requestsOf(messages)) await this.#send(partition, request, signal);
  }

  async #send(partition: number, messages: readonly BusMessage[], signal: AbortSignal): Promise<void> {
    this.#inFlight += 1;
    failpoint('produce.before-send');
    await this.#patiently('sending', async () => await this.#parts.bus.send(partition, messages, signal), signal);
    failpoint('produce.after-send');
    this.#inFlight -= 1;
    this.#parts.stats.appends += 1;
  }

  /** What was sent may be there already, and is told by its position. */
  async #patiently<T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await patiently({ ...this.#parts, ...this.#options }, what, work, signal);
  }

  async #save(committer: Committer, encoder: MessageEncoder, partitions: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const { state } = committer;
    const isHourOver = hourOf(state.watermark.t) > hourOf(this.#told.t);
    if (compareTimestamps(state.watermark, this.#told) > 0 && (isHourOver || hasPassed(WATERMARK_MS, this.#toldAtMs, clock.now()))) {
      return await this.#tell(committer, encoder, partitions, signal);
    }
    const moved = this.#savedPosition !== state.resume?.position;
    if (hasPassed(moved ? this.#options.checkpointIntervalMs : CHECKPOINT_IDLE_MS, committer.savedAtMs, clock.now())) await this.#saveNow(committer);
  }

  async #saveNow(committer: Committer): Promise<void> {
    this.#assertSettled();
    await committer.save('periodic');
    this.#savedPosition = committer.state.resume?.position;
  }

  /** The watermark, to every partition. Durable first: a successor that read from before it would contradict it. */
  async #tell(committer: Committer, encoder: MessageEncoder, partitions: number, signal: AbortSignal): Promise<void> {
    const { state } = committer;
    if (state.resume === null) return;
    await this.#saveNow(committer);
    const message = encoder.watermark(state.watermark, state.resume);
    failpoint('produce.before-watermark');
    await Promise.all(Array.from({ length: partitions }, async (_, partition) => await this.#send(partition, [message], signal)));
    failpoint('produce.after-watermark');
    this.#told = state.watermark;
    this.#toldAtMs = this.#parts.clock.now();
  }

  #assertSettled(): void {
    if (this.#inFlight > 0) throw new SluiceError(WRITE_ORDER, `the position would pass ${this.#inFlight} requests that are not acknowledged`);
  }

  #assertRises({ events }: ChangeBatch): void {
    const first = positionAt(events.lines, 0);
    if (this.#last !== null && first <= this.#last) throw new SluiceError(WRITE_ORDER, `${first} after ${this.#last}`);
    this.#last = positionAt(events.lines, events.count === 1 ? 0 : events.ends[events.count - 2]!);
  }
}

/** Nothing splits a request on its way: each is kept below what a broker takes. */
function* requestsOf(messages: readonly ToPartition[]): Generator<readonly BusMessage[]> {
  let request: BusMessage[] = [];
  let bytes = 0;
  for (const { message } of messages) {
    const more = bytesOnBus(message);
    if (request.length > 0 && (bytes + more > REQUEST_BYTES_MAX || request.length >= REQUEST_MESSAGES_MAX)) {
      yield request;
      [request, bytes] = [[], 0];
    }
    request.push(message);
    bytes += more;
  }
  if (request.length > 0) yield request;
}
