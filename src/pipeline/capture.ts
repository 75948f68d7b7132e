/**
 * The main job: a source's changes become sealed files of a lake.
 *
 * The order is always the same: batch → (checkpoint names new parts) → appends, durable → position moves →
 * (checkpoint) → seal. One batch is written while the source fetches the next; nothing else is buffered without a limit.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import {
  BUS_OFFSET_GONE,
  HISTORY_LOST,
  LAKE_CONFLICT,
  LAKE_LOST_OWNERSHIP,
  LAKE_OWNED,
  OWNER_UNREACHABLE,
  SNAPSHOT_REFUSED,
} from '../core/errors.ts';
import type { ChangeBatch, ResumePoint } from '../core/event.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import type { Namespace } from '../core/namespace.ts';
import type { SnapshotsAsked, SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { partitionScope, type Scope } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { Idle } from './idle.ts';
import { claimPrefix, own, type OwnOptions } from './owner.ts';
import type { PartitionOf } from './partition-hours.ts';
import { doneBeforeStop } from './patience.ts';
import { patientSources } from './patient-sources.ts';
import { BatchPull } from './pull.ts';
import { recover, type Recovered } from './recovery.ts';
import { Snapshots } from './snapshots.ts';
import { recordGap, startPoint, type StartOptions } from './start.ts';
import type { WriterLimits } from './writer.ts';

export interface CaptureOptions extends WriterLimits, OwnOptions, StartOptions {
  /** Of a bus; absent: the source is the pipeline's only one. */
  readonly partition?: PartitionOf;
  readonly flushBytesMax: number;
  readonly flushAgeMs: number;
  /** Lines that are read while others are written. */
  readonly readAheadBytesMax: number;
  readonly checkpointIntervalMs: number;
  /** Seals everything and ends when nothing has come for this long; `null`: runs until it is stopped. */
  readonly untilIdleMs: number | null;
  /** As long as it is false nothing is idle. */
  readonly mayEnd?: (() => boolean) | undefined;
  /** Ranges of collections that are read whole at one time. */
  readonly rangesAtOnce: number;
  /** After this long without an answer of the source it is said aloud. */
  readonly unavailableAfterMs: number;
}

export interface CaptureParts {
  readonly source: Source;
  /** Absent: of a bus, which cannot be read whole. */
  readonly snapshots?: SnapshotSource;
  readonly lake: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** Called once this process owns the pipeline, before it writes. */
  readonly onOwned?: () => Promise<void>;
  /** Called at the end of a run that was idle for long enough, while the pipeline is still owned: who comes next finds all done. */
  readonly onIdle?: (signal: AbortSignal) => Promise<void>;
  /** Called before the pipeline is given up, however the run has ended: whoever comes next has not begun. */
  readonly onLeaving?: () => Promise<void>;
  /** Called after parts were sealed and the checkpoint that drops them is durable: time to load. */
  readonly onSealed?: () => void;
}

const CHECKPOINT_IDLE_MS = 10_000;

export class Capture {
  readonly #options: CaptureOptions;
  readonly #parts: CaptureParts;
  readonly #sealRequests = new Set<PromiseWithResolvers<void>>();
  #batches: BatchPull | null = null;
  #snapshots: Snapshots | null = null;
  #ended: { readonly error: unknown } | null = null;
  /** Of the checkpoint that was ours when a conflict was met. */
  #epoch: number | null = null;

  constructor(options: CaptureOptions, parts: CaptureParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /**
   * Seals all that is open; resolves when it is in the ledger. Works while `run` does, also while the source is silent.
   * @throws OWNER_UNREACHABLE when the run ends before, or what it failed with
   */
  seal(signal: AbortSignal): Promise<void> {
    const request = Promise.withResolvers<void>();
    if (this.#ended !== null) request.reject(this.#ended.error);
    else this.#sealRequests.add(request);
    // Who has gone is not told; what was asked for is done all the same.
    const onAbort = (): void => request.reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    this.#batches?.wake();
    return request.promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /**
   * Reads collections whole beside the stream; resolves once that is under way.
   * @throws SNAPSHOT_REFUSED, and LAKE_OWNED while this process stands by or begins
   */
  async snapshot(choose: (ns: Namespace) => boolean, signal: AbortSignal): Promise<SnapshotsAsked> {
    const { source } = this.#parts;
    if (this.#snapshots === null || this.#batches === null) throw new SluiceError(LAKE_OWNED, 'this process does not read changes now');
    return await this.#snapshots.request(choose, () => source.resolve({ kind: 'now' }, signal), signal);
  }

  /** Owns the pipeline and captures until it is idle long enough, or the signal stops it, everything durable. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      const ownership = await own({ ...this.#options, scope: scopeOf(this.#options) }, this.#parts, signal);
      failpoint('owner.after-own');
      try {
        await this.#parts.onOwned?.();
        const ends = AbortSignal.any([signal, ownership.lost]);
        await this.#runAsOwner(ends, ownership);
        if (!ends.aborted) await this.#parts.onIdle?.(ends);
      } finally {
        await this.#letGo(async () => await this.#parts.onLeaving?.());
        await this.#letGo(() => ownership[Symbol.asyncDispose]());
      }
      this.#end('stopped', new SluiceError(OWNER_UNREACHABLE, 'it has stopped'));
    } catch (error) {
      if (signal.aborted && error === signal.reason) return this.#end('stopped', new SluiceError(OWNER_UNREACHABLE, 'it has stopped'));
      this.#end('failed', error);
      throw error;
    }
  }

  #end(state: 'stopped' | 'failed', error: unknown): void {
    this.#parts.stats.state = state;
    this.#ended = { error };
    for (const request of this.#sealRequests) request.reject(error);
    this.#sealRequests.clear();
  }

  /** Seals all that a stopped pipeline has open, without reading the source. @throws LAKE_OWNED while somebody runs it */
  async sealStopped(signal: AbortSignal): Promise<void> {
    const { lake, clock, stats, log } = this.#parts;
    await using _ownership = await own({ ...this.#options, scope: scopeOf(this.#options) }, this.#parts, signal);
    const committer = await Committer.load(lake, this.#options.pipeline, this.#options.layout, clock, stats, signal, scopeOf(this.#options));
    const { state } = committer;
    if (state.resume === null) return;
    const { partition = null } = this.#options;
    const recovered = await recover(
      { lake, committer, writer: { ...this.#options, fingerprint: state.fingerprint }, partition, clock, stats, log },
      signal,
    );
    try {
      recovered.writer.rollAll();
      await recovered.sealer.settle(recovered.writer, signal);
      state.cleanStop = true;
      await committer.save('clean-stop');
    } finally {
      await close(recovered);
    }
  }

  /** Reads collections of a stopped pipeline whole, without reading changes. @throws LAKE_OWNED while somebody runs it, SNAPSHOT_REFUSED */
  async snapshotStopped(choose: (ns: Namespace) => boolean, signal: AbortSignal): Promise<SnapshotsAsked> {
    const { source, snapshots: from, lake, clock, stats, log } = this.#parts;
    const { pipeline, layout } = this.#options;
    await using _ownership = await own({ ...this.#options, scope: scopeOf(this.#options) }, this.#parts, signal);
    const committer = await Committer.load(lake, pipeline, layout, clock, stats, signal);
    const { state } = committer;
    if (state.resume === null || from === undefined) {
      const next = 'Start it with `sluice run`; with `source.startAt: snapshot` it begins with what there is.';
      throw new SluiceError(SNAPSHOT_REFUSED, 'this pipeline has not begun yet', { next });
    }
    await source.open(signal);
    const recovered = await recover(
      { lake, committer, writer: { ...this.#options, fingerprint: state.fingerprint }, partition: null, clock, stats, log },
      new AbortController().signal,
    );
    try {
      const parts = { ...this.#parts, source: from, committer, ledger: recovered.ledger };
      const asked = await Snapshots.alone(this.#options, parts, { choose, now: () => source.resolve({ kind: 'now' }, signal) }, signal);
      state.cleanStop = true;
      await committer.save('clean-stop');
      return asked;
    } finally {
      await close(recovered);
    }
  }

  /**
   * A file of ours was written to or fenced by somebody else, and the pipeline is ours still: a former owner that woke, was refused
   * and stood down, as a rule. Once, that is recovered from as from a crash; more often it is somebody who does not stop.
   */
  async #runAsOwner(signal: AbortSignal, ownership: Ownership): Promise<void> {
    try {
      await this.#runOnce(signal, ownership, null);
    } catch (error) {
      if (signal.aborted || this.#epoch === null) throw error;
      if (SluiceError.is(error, HISTORY_LOST)) {
        this.#parts.log.error({ err: error }, 'history is lost: going on after the gap, and reading whole what it may have left out');
        return await this.#runOnce(signal, ownership, this.#epoch);
      }
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
      this.#parts.log.warn({ err: error }, 'somebody else has written to a file of this pipeline, which is ours still: recovering once');
      await this.#runOnce(signal, ownership, this.#epoch);
    }
  }

  /** @param ours the epoch that the checkpoint must have; `null`: any. @throws LAKE_CONFLICT while the pipeline is ours */
  async #runOnce(signal: AbortSignal, ownership: Ownership, ours: number | null): Promise<void> {
    const { lake, clock, stats, log } = this.#parts;
    const { pipeline, layout, partition = null } = this.#options;
    // A first start says at once that the source is not there; a run that goes on waits for it, as its stream does.
    const { source, snapshots: reading } = ours === null ? this.#parts : patientSources(this.#parts, { ...this.#parts, ...this.#options });
    stats.state = 'recovering';
    await claimPrefix(lake, pipeline, signal);
    const committer = await Committer.load(lake, pipeline, layout, clock, stats, signal, scopeOf(this.#options));
    if (ours !== null && committer.state.epoch !== ours) {
      throw new SluiceError(LAKE_LOST_OWNERSHIP, `this was owner ${ours}, the checkpoint says ${committer.state.epoch}`);
    }
    const identity = await source.open(signal);
    log.info({ source: identity.description, lake: lake.description }, 'owner of the pipeline');
    // Once the fence has begun it is carried through: a stop in the middle of it would only have to be recovered again.
    const recovered = await recover(
      { lake, committer, writer: { ...this.#options, fingerprint: identity.fingerprint }, partition, clock, stats, log },
      new AbortController().signal,
    ).catch((error: unknown) => this.#orLost(error, committer));
    const snapshots = this.#parts.snapshots ?? null;
    try {
      if (snapshots !== null) this.#snapshots = this.#openSnapshots(snapshots, committer, recovered, () => this.#batches?.wake());
      await this.#snapshots?.recover(new AbortController().signal);
      const whole = reading === undefined ? null : { source: reading, lake, ledger: recovered.ledger };
      const context = { ...this.#parts, ...this.#options, source, whole, committer };
      const start = await startPoint(context, { ...identity, replayAt: recovered.replayAt }, signal);
      stats.state = 'running';
      log.info({ position: start.position }, 'reading changes');
      await this.#loop(committer, recovered, start, signal, ownership.lost);
      stats.state = 'stopping';
      committer.state.cleanStop = true;
      await committer.save('clean-stop');
      log.info({ position: committer.state.resume?.position, parts: committer.state.parts.length }, 'stopped in good order');
    } catch (error) {
      if (SluiceError.is(error, HISTORY_LOST, BUS_OFFSET_GONE)) {
        // What was read before the history ended is not part of the gap.
        await recovered.writer.flush(new AbortController().signal);
        await recordGap({ ...this.#parts, ...this.#options, committer }, error);
        // Lost again before it was mended: that needs a longer oplog, not another try.
        const isMending = committer.state.gaps.some(({ repairAt, repaired }) => repairAt !== undefined && repaired === undefined);
        if (snapshots !== null && this.#options.onHistoryLost === 'repair' && !isMending) this.#epoch = committer.state.epoch;
      }
      return await this.#orLost(error, committer);
    } finally {
      await this.#letGo(async () => {
        await this.#snapshots?.[Symbol.asyncDispose]();
        this.#snapshots = null;
        await close(recovered);
      });
    }
  }

  #openSnapshots(source: SnapshotSource, committer: Committer, { ledger }: Recovered, wake: () => void): Snapshots {
    return new Snapshots(this.#options, { ...this.#parts, source, committer, ledger }, wake);
  }

  /** Who has written to a file of ours: a successor, so that we stand down, or a stranger? @throws always */
  async #orLost(error: unknown, committer: Committer): Promise<never> {
    if (SluiceError.is(error, LAKE_CONFLICT)) {
      await committer.assertOwner();
      this.#epoch = committer.state.epoch;
    }
    throw error;
  }

  /** What cannot be given back must not hide why the run has ended: leases end by themselves, handles with the process. */
  async #letGo(giveBack: () => PromiseLike<void>): Promise<void> {
    try {
      await giveBack();
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'something could not be closed at the end');
    }
  }

  async #loop(committer: Committer, recovered: Recovered, start: ResumePoint, signal: AbortSignal, lost: AbortSignal): Promise<void> {
    const { source, clock } = this.#parts;
    const { writer } = recovered;
    const { flushBytesMax, flushAgeMs } = this.#options;
    // What was read is written even when a stop comes: a stop must not tear the durability order.
    const always = new AbortController().signal;
    const idle = new Idle(this.#options.untilIdleMs, { ...this.#parts, mayEnd: this.#options.mayEnd });
    const isWanted = this.#options.startAt.kind === 'snapshot';
    const now = (): Promise<ResumePoint> => source.resolve({ kind: 'now' }, signal);
    const meet = async ({ events }: ChangeBatch): Promise<void> => await this.#snapshots?.meet(events, isWanted, now, signal);
    // While the source does not say what was renamed, what was read before it is written and sealed.
    const patience = { ...this.#parts, ...this.#options, meanwhile: () => this.#commit(committer, recovered, always) };
    let flushedAtMs = clock.now();
    await using batches = new BatchPull(source, start, signal, { clock, aheadBytesMax: this.#options.readAheadBytesMax });
    this.#batches = batches;
    if (this.#sealRequests.size > 0) batches.wake();
    this.#snapshots?.start();
    for (;;) {
      const batch = await batches.next(writer.plannedBytes === 0 ? null : flushAgeMs);
      if (batch === 'end') break;
      if (batch !== 'woken') {
        // A stop came first: the batch is not written, and is read again.
        if (!(await doneBeforeStop(patience, 'taking up what was renamed', () => meet(batch), signal))) break;
        writer.add(batch);
      }
      const asked = this.#sealRequests.size > 0;
      if (
        asked ||
        batch === 'woken' ||
        writer.plannedBytes === 0 ||
        writer.plannedBytes >= flushBytesMax ||
        (!batches.isReady && hasPassed(flushAgeMs, flushedAtMs, clock.now()))
      ) {
        await this.#commit(committer, recovered, always);
        flushedAtMs = clock.now();
      }
      // Only now: the time that it took to write a batch is not time in which nothing came.
      if (batch !== 'woken' && batch.events.count > 0) idle.heard();
      const isQuiet = batch !== 'woken' && batch.events.count === 0 && this.#snapshots?.isIdle !== false;
      if (isQuiet && (await idle.isLongEnough(batch, signal))) {
        await this.#snapshots?.stop(always);
        await this.#commit(committer, recovered, always, { sealAll: true });
        this.#snapshots?.assertRead();
        return;
      }
    }
    if (lost.aborted) throw new SluiceError(LAKE_LOST_OWNERSHIP);
    await this.#snapshots?.stop(always);
    await this.#commit(committer, recovered, always);
  }

  async #commit(committer: Committer, recovered: Recovered, signal: AbortSignal, how: { sealAll: boolean } = { sealAll: false }): Promise<void> {
    const { clock, onSealed } = this.#parts;
    const { writer, sealer } = recovered;
    await writer.flush(signal);
    const requests = [...this.#sealRequests];
    if (how.sealAll || requests.length > 0) writer.rollAll();
    const sealed = (await sealer.settle(writer, signal)) + ((await this.#snapshots?.settle(signal)) ?? 0);
    const moved = this.#savedPosition !== committer.state.resume?.position;
    const due = hasPassed(moved ? this.#options.checkpointIntervalMs : CHECKPOINT_IDLE_MS, committer.savedAtMs, clock.now());
    if (sealed > 0 || requests.length > 0 || due) {
      await committer.save('periodic');
      this.#savedPosition = committer.state.resume?.position;
    }
    if (sealed > 0) onSealed?.();
    for (const request of requests) {
      request.resolve();
      this.#sealRequests.delete(request);
    }
  }

  #savedPosition: string | undefined;
}

function scopeOf({ partition }: CaptureOptions): Scope {
  return partition === undefined ? null : partitionScope(partition.index);
}

async function close({ writer, sealer, ledger }: Recovered): Promise<void> {
  await writer.close();
  await sealer.close();
  await ledger.close();
}
