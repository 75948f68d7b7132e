/**
 * A source's changes become messages of a bus.
 *
 * Invariants: within a partition messages go out in order, one request in flight, settled before the next is sent or else
 * sent again (lanes.ts); the checkpoint never passes the lowest position that all partitions have acknowledged; a watermark
 * goes out only after the checkpoint that covers it is durable, so that no successor reads from before it.
 *
 * A crash repeats what the checkpoint had not covered; a producer that was cut off may still be heard. Both only repeat, and
 * consumers tell repetitions by their position.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import type { Bus } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_PARTITIONS, HISTORY_LOST, LAKE_CONFLICT, LAKE_LOST_OWNERSHIP, WRITE_ORDER } from '../core/errors.ts';
import { positionAt, type ChangeBatch, type Position, type ResumePoint } from '../core/event.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import type { MessageBatch } from '../core/message-batch.ts';
import type { SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps, hourOf, laterTimestamp, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { MessageEncoder, type PartitionBy } from './bus-message.ts';
import { PRODUCER } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { Idle } from './idle.ts';
import { Lanes, type Group } from './lanes.ts';
import { Late } from './late.ts';
import { claimPrefix, own, type OwnOptions } from './owner.ts';
import { removeOldClaims } from './claims.ts';
import { doneBeforeStop, patiently } from './patience.ts';
import { patientSources } from './patient-sources.ts';
import { ProducerSnapshots } from './producer-snapshots.ts';
import { BatchPull } from './pull.ts';
import { isRepairing } from './repairs.ts';
import type { SnapshotLimits } from './snapshots.ts';
import { recordGap, startPoint, type StartOptions } from './start.ts';

export interface ProduceOptions extends OwnOptions, StartOptions, SnapshotLimits {
  readonly layout: string;
  readonly partitionBy: PartitionBy;
  readonly messageBytesMax: number;
  readonly readAheadBytesMax: number;
  readonly checkpointIntervalMs: number;
  readonly untilIdleMs: number | null;
  readonly mayEnd?: (() => boolean) | undefined;
}

export interface ProduceParts {
  readonly source: Source;
  /** Absent: the source cannot be read whole. */
  readonly snapshots?: SnapshotSource;
  readonly bus: Bus;
  readonly lake: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  /** What snapshots are counted in; absent: `stats`. */
  readonly snapshotStats?: PipelineStats;
  readonly log: Logger;
}

/** Event Hubs closes the connection on a request of 1,046,528 bytes. */
const REQUEST_BYTES_MAX = 900_000;
const REQUEST_MESSAGES_MAX = 5_000;
/** Messages that are not acknowledged yet, in all partitions together. */
const UNSETTLED_BYTES_MAX = 8 * 1024 * 1024;
/** Every partition hears of the time this often while it moves; at least every ten seconds is promised. */
const WATERMARK_MS = 1_000;
const CHECKPOINT_IDLE_MS = 10_000;
/** Lines that no message names any more are looked for this often. */
const CLAIMS_MS = 3_600_000;
/** What a stop leaves to requests that are under way: given up, they would come twice. */
const STOP_MS = 5_000;

/** What a run goes on with. */
interface Begun {
  readonly start: ResumePoint;
  readonly fingerprint: string;
  readonly partitions: number;
  readonly snapshots: ProducerSnapshots | null;
}

/** A batch of the source on its way. */
interface Sent {
  readonly resume: ResumePoint;
  readonly watermark: Timestamp;
  readonly events: number;
  readonly bytes: number;
  /** Of its events; `null` without any. */
  readonly positions: { readonly first: Position; readonly last: Position } | null;
  readonly group: Group;
}

export class Produce {
  readonly #options: ProduceOptions;
  readonly #parts: ProduceParts;
  /** Of the last event that is on its way, or was. */
  #last: Pick<ResumePoint, 'position' | 'clusterTime'> | null = null;
  /** In the order in which they were read. */
  readonly #sent: Sent[] = [];
  /** Of the last event that the position has passed. */
  #passed: Position | null = null;
  #toldAtMs = 0;
  #told: Timestamp = { t: 0, i: 0 };
  #telling: Group = { pending: 0 };
  #claimsAtMs = 0;
  #tidying: Promise<void> = Promise.resolve();
  #savedPosition: Position | undefined;
  #batches: BatchPull | null = null;
  /** With this epoch the run goes on after what has ended it. */
  #goesOnAs: number | null = null;

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

  /** Goes on by itself once: after a gap that is to be mended, or when somebody has written to a file of ours, which is ours still. */
  async #runAsOwner(signal: AbortSignal, ownership: Ownership): Promise<void> {
    try {
      await this.#runOnce(signal, ownership, null);
    } catch (error) {
      if (signal.aborted || this.#goesOnAs === null) throw error;
      const isGap = SluiceError.is(error, HISTORY_LOST);
      if (isGap) this.#parts.log.error({ err: error }, 'history is lost: going on after the gap, and reading whole what it may have left out');
      else this.#parts.log.warn({ err: error }, 'somebody else has written to a file of this pipeline, which is ours still: recovering once');
      this.#sent.length = 0;
      [this.#last, this.#passed, this.#telling] = [null, null, { pending: 0 }];
      await this.#runOnce(signal, ownership, this.#goesOnAs);
    }
  }

  /** @param ours the epoch that the checkpoint must have; `null`: any */
  async #runOnce(signal: AbortSignal, ownership: Ownership, ours: number | null): Promise<void> {
    const { bus, lake, clock, stats, log } = this.#parts;
    const { pipeline, layout } = this.#options;
    const { source, snapshots: reading } = ours === null ? this.#parts : patientSources(this.#parts, { ...this.#parts, ...this.#options });
    stats.state = 'recovering';
    await claimPrefix(lake, pipeline, signal);
    const committer = await Committer.load(lake, pipeline, layout, clock, stats, signal, PRODUCER);
    if (ours !== null && committer.state.epoch !== ours)
      throw new SluiceError(LAKE_LOST_OWNERSHIP, `this was owner ${ours}, the checkpoint says ${committer.state.epoch}`);
    const partitions = await this.#topic(committer, signal);
    const identity = await source.open(signal);
    const fingerprint = `${identity.fingerprint} ${this.#options.partitionBy}/${partitions}`;
    log.info({ source: identity.description, bus: bus.description, partitions }, 'owner of the pipeline');
    const { state } = committer;
    state.epoch += 1;
    state.cleanStop = false;
    stats.epoch = state.epoch;
    await committer.save('epoch');
    const replayAt = state.resume !== null && state.fingerprint !== fingerprint ? state.resume.clusterTime : null;
    let snapshots: ProducerSnapshots | null = null;
    try {
      snapshots = await this.#openSnapshots(committer);
      const whole = snapshots === null || reading === undefined ? null : { ...snapshots.whole, source: reading };
      const start = await startPoint({ ...this.#parts, ...this.#options, source, committer, whole }, { fingerprint, replayAt }, signal);
      stats.state = 'running';
      log.info({ position: start.position }, 'reading changes');
      const encoder = this.#encoder(fingerprint, partitions);
      await this.#loop(committer, encoder, { start, fingerprint, partitions, snapshots }, signal);
      if (ownership.lost.aborted) throw new SluiceError(LAKE_LOST_OWNERSHIP);
      await snapshots?.stop();
      state.cleanStop = true;
      await committer.save('clean-stop');
    } catch (error) {
      if (SluiceError.is(error, LAKE_CONFLICT)) {
        await committer.assertOwner();
        this.#goesOnAs = state.epoch;
      } else if (SluiceError.is(error, HISTORY_LOST)) {
        await recordGap({ ...this.#parts, ...this.#options, committer }, error);
        // Lost again before it was mended: that needs a longer oplog, not another try.
        if (snapshots !== null && this.#options.onHistoryLost === 'repair' && !isRepairing(state)) this.#goesOnAs = state.epoch;
      }
      throw error;
    } finally {
      await snapshots?.[Symbol.asyncDispose]();
    }
  }

  async #openSnapshots(committer: Committer): Promise<ProducerSnapshots | null> {
    const { snapshots: source, stats, snapshotStats = stats } = this.#parts;
    if (source === undefined) return null;
    const { onHistoryLost } = this.#options;
    const now = (signal: AbortSignal): Promise<ResumePoint> => this.#parts.source.resolve({ kind: 'now' }, signal);
    const parts = { ...this.#parts, source, committer, stats: snapshotStats, now, onHistoryLost };
    return await ProducerSnapshots.open(this.#options, parts, () => this.#batches?.wake());
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
    { start, fingerprint, partitions, snapshots }: Begun,
    signal: AbortSignal,
  ): Promise<void> {
    const { source, clock } = this.#parts;
    const { readAheadBytesMax, startAt } = this.#options;
    const idle = new Idle(this.#options.untilIdleMs, { ...this.#parts, mayEnd: this.#options.mayEnd });
    const meet = async ({ events }: ChangeBatch): Promise<void> => await snapshots?.meet(events, startAt.kind === 'snapshot', signal);
    const meanwhile = async (): Promise<void> => {
      this.#advance(committer, fingerprint);
      await this.#save(committer, encoder, lanes);
      await snapshots?.settle();
    };
    const asking = { ...this.#parts, ...this.#options, meanwhile };
    using patience = new Late(signal, STOP_MS, clock);
    const lanes = new Lanes({
      partitions,
      requestBytesMax: REQUEST_BYTES_MAX,
      requestMessagesMax: REQUEST_MESSAGES_MAX,
      bytesMax: UNSETTLED_BYTES_MAX,
      send: (partition, messages) => this.#send(partition, messages, patience.signal),
    });
    try {
      await using batches = new BatchPull(source, start, signal, { clock, aheadBytesMax: readAheadBytesMax });
      this.#batches = batches;
      snapshots?.start();
      for (;;) {
        const batch = await batches.next(WATERMARK_MS);
        if (batch === 'end') break;
        if (batch !== 'woken') {
          await lanes.room();
          // A stop came first: the batch is not sent, and is read again.
          if (!(await doneBeforeStop(asking, 'taking up what was renamed', () => meet(batch), signal))) break;
          await this.#publish(encoder, batch, lanes);
          if (batch.events.count > 0) idle.heard();
        }
        await meanwhile();
        this.#tidy(signal);
        const isQuiet = batch !== 'woken' && batch.events.count === 0 && snapshots?.isIdle !== false;
        if (!isQuiet || !(await idle.isLongEnough(batch, signal))) continue;
        await snapshots?.stop();
        for (const { group } of this.#sent) await lanes.done(group);
        this.#advance(committer, fingerprint);
        await this.#tell(committer, encoder, lanes);
        await lanes.done(this.#telling);
        snapshots?.assertRead();
        return;
      }
    } catch (error) {
      if (SluiceError.is(error, HISTORY_LOST)) {
        // What was read before the history ended is not part of the gap.
        for (const { group } of this.#sent) await lanes.done(group);
        this.#advance(committer, fingerprint);
      }
      patience.end(error);
      throw error;
    } finally {
      // Nothing of ours may be heard after the next owner has begun, as far as that is in our hands.
      await lanes.settled();
      await this.#tidying;
    }
    this.#advance(committer, fingerprint);
  }

  /** Beside the work; what fails is tried again in an hour. */
  #tidy(signal: AbortSignal): void {
    const { lake, bus, clock, log } = this.#parts;
    if (!hasPassed(CLAIMS_MS, this.#claimsAtMs, clock.now())) return;
    this.#claimsAtMs = clock.now();
    this.#tidying = removeOldClaims(lake, bus, this.#options.pipeline, signal)
      .then(
        (removed) => removed > 0 && log.info({ removed }, 'removed claims whose messages the topic has forgotten'),
        (error: unknown) => !signal.aborted && log.warn({ err: error }, 'old claims could not be removed'),
      )
      .then(() => undefined);
  }

  async #publish(encoder: MessageEncoder, batch: ChangeBatch, lanes: Lanes): Promise<void> {
    const { events } = batch;
    const group: Group = { pending: 0 };
    const positions = events.count === 0 ? null : this.#assertRises(batch);
    await encoder.encode(events, (partition, bytes) => lanes.add(partition, bytes, group));
    const bytes = events.count === 0 ? 0 : events.ends[events.count - 1]!;
    batch.release?.();
    this.#sent.push({ resume: batch.resume, watermark: batch.watermark, events: events.count, bytes, positions, group });
    lanes.start();
  }

  /** The position moves over what all partitions have acknowledged. */
  #advance({ state }: Committer, fingerprint: string): void {
    const { stats, clock } = this.#parts;
    while (this.#sent[0]?.group.pending === 0) {
      const { resume, watermark, events, bytes, positions } = this.#sent.shift()!;
      this.#passed = positions?.last ?? this.#passed;
      state.resume = resume;
      state.fingerprint = fingerprint;
      state.watermark = laterTimestamp(state.watermark, watermark);
      stats.watermark = state.watermark;
      stats.batches += 1;
      if (events === 0) continue;
      stats.events += events;
      stats.eventBytes += bytes;
      stats.lastEventAtMs = clock.now();
    }
  }

  async #send(partition: number, messages: MessageBatch, signal: AbortSignal): Promise<void> {
    failpoint('produce.before-send');
    await this.#patiently('sending', async () => await this.#parts.bus.send(partition, messages, signal), signal);
    failpoint('produce.after-send');
    this.#parts.stats.appends += 1;
  }

  /** What was sent may be there already, and is told by its position. */
  async #patiently<T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await patiently({ ...this.#parts, ...this.#options }, what, work, signal);
  }

  async #save(committer: Committer, encoder: MessageEncoder, lanes: Lanes): Promise<void> {
    const { clock } = this.#parts;
    const { state } = committer;
    // Of another stream that has not moved yet: what there is to say was said by who read it, and its positions are others.
    if (state.fingerprint !== encoder.fingerprint) return;
    const isHourOver = hourOf(state.watermark.t) > hourOf(this.#told.t);
    const isDue = isHourOver || hasPassed(WATERMARK_MS, this.#toldAtMs, clock.now());
    // One at a time: a partition that takes nothing gets no heap of them.
    if (isDue && this.#telling.pending === 0 && compareTimestamps(state.watermark, this.#told) > 0)
      return await this.#tell(committer, encoder, lanes);
    const moved = this.#savedPosition !== state.resume?.position;
    if (hasPassed(moved ? this.#options.checkpointIntervalMs : CHECKPOINT_IDLE_MS, committer.savedAtMs, clock.now())) await this.#saveNow(committer);
  }

  async #saveNow(committer: Committer): Promise<void> {
    this.#assertSettled();
    await committer.save('periodic');
    this.#savedPosition = committer.state.resume?.position;
  }

  /** The watermark, to every partition. Durable first: a successor that read from before it would contradict it. */
  async #tell(committer: Committer, encoder: MessageEncoder, lanes: Lanes): Promise<void> {
    const { state } = committer;
    if (state.resume === null) return;
    await this.#saveNow(committer);
    // Nothing that went out before has a higher position: who finds this message first where others are gone must know.
    const message = encoder.watermark(state.watermark, this.#last ?? state.resume);
    failpoint('produce.before-watermark');
    this.#telling = { pending: 0 };
    for (let partition = 0; partition < state.bus!.partitions; partition += 1) message.addTo(lanes.add(partition, message.bytes, this.#telling));
    lanes.start();
    failpoint('produce.after-watermark');
    this.#told = state.watermark;
    this.#toldAtMs = this.#parts.clock.now();
  }

  /** By their positions, so that a mistake in counting acknowledgements shows. */
  #assertSettled(): void {
    const { positions, group } = this.#sent.find(({ group, positions }) => group.pending > 0 && positions !== null) ?? {};
    if (positions === undefined || positions === null || this.#passed === null || positions.first > this.#passed) return;
    throw new SluiceError(WRITE_ORDER, `the position would pass ${group!.pending} messages that are not acknowledged`);
  }

  #assertRises({ events }: ChangeBatch): { first: Position; last: Position } {
    const first = positionAt(events.lines, 0);
    if (this.#last !== null && first <= this.#last.position) throw new SluiceError(WRITE_ORDER, `${first} after ${this.#last.position}`);
    const last = events.count - 1;
    const clusterTime = { t: events.seconds[last]!, i: events.ordinals[last]! };
    this.#last = { position: positionAt(events.lines, last === 0 ? 0 : events.ends[last - 1]!), clusterTime };
    return { first, last: this.#last.position };
  }
}
