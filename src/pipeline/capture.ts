/**
 * The main job: a source's changes become sealed files of a lake.
 *
 * The order is always the same: batch → (checkpoint names new parts) → appends, durable → position moves →
 * (checkpoint) → seal. One batch is written while the source fetches the next; nothing else is buffered without a limit.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import {
  GAP_OPEN,
  HISTORY_LOST,
  LAKE_CONFLICT,
  LAKE_DAMAGED,
  LAKE_FOREIGN,
  LAKE_LOST_OWNERSHIP,
  LAKE_OWNED,
  OWNER_UNREACHABLE,
} from '../core/errors.ts';
import type { ResumePoint } from '../core/event.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import { isOtherDeployment, type Source, type StartAt } from '../core/source.ts';
import { compareTimestamps, hourOf, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { PIPELINE_FILE, checkpointPath } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { BatchPull } from './pull.ts';
import { readFile } from './read-file.ts';
import { recover, type Recovered } from './recovery.ts';
import type { WriterLimits } from './writer.ts';

export interface CaptureOptions extends WriterLimits {
  readonly pipeline: string;
  readonly startAt: StartAt;
  /** The globs, for the record of a gap. */
  readonly collections: readonly string[];
  readonly flushBytesMax: number;
  readonly flushAgeMs: number;
  /** Lines that are read while others are written. */
  readonly readAheadBytesMax: number;
  readonly checkpointIntervalMs: number;
  /** Seals everything and ends when nothing has come for this long; `null`: runs until it is stopped. */
  readonly untilIdleMs: number | null;
  /** Stands by while another owner lives; otherwise LAKE_OWNED. */
  readonly wait: boolean;
  readonly takeOver: boolean;
  /** Goes on after a recorded gap at the oldest event that is left. */
  readonly acceptGap: boolean;
}

export interface CaptureParts {
  readonly source: Source;
  readonly lake: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
  /** Called once this process owns the pipeline, before it writes. */
  readonly onOwned?: () => Promise<void>;
  /** Called after parts were sealed and the checkpoint that drops them is durable: time to load. */
  readonly onSealed?: () => void;
}

/** What any pipeline writes there. */
const PIPELINE_CLAIM = /^\{"v":\d+,"pipeline":"[^"]+".*\}$/;
const CHECKPOINT_IDLE_MS = 10_000;
const STANDBY_POLL_MS = 1_000;

export class Capture {
  readonly #options: CaptureOptions;
  readonly #parts: CaptureParts;
  readonly #sealRequests = new Set<PromiseWithResolvers<void>>();
  #batches: BatchPull | null = null;
  #ended: { readonly error: unknown } | null = null;

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

  /** Owns the pipeline and captures until it is idle long enough, or the signal stops it, everything durable. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      const ownership = await this.#own(signal);
      failpoint('owner.after-own');
      try {
        await this.#parts.onOwned?.();
        await this.#runAsOwner(AbortSignal.any([signal, ownership.lost]), ownership);
      } finally {
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
    await using _ownership = await this.#own(signal);
    const committer = await Committer.load(lake, this.#options.pipeline, this.#options.layout, clock, stats, signal);
    const { state } = committer;
    if (state.resume === null) return;
    const recovered = await recover({ lake, committer, writer: { ...this.#options, fingerprint: state.fingerprint }, clock, stats, log }, signal);
    try {
      recovered.writer.rollAll();
      await recovered.sealer.settle(recovered.writer, signal);
      state.cleanStop = true;
      await committer.save('clean-stop');
    } finally {
      await close(recovered);
    }
  }

  async #own(signal: AbortSignal): Promise<Ownership> {
    const { lake, clock, log, stats } = this.#parts;
    const { pipeline, takeOver, wait } = this.#options;
    const path = checkpointPath(pipeline);
    for (let told = false; ; told = true) {
      signal.throwIfAborted();
      const ownership = await lake.own(path, { takeOver }, signal);
      if (ownership !== null) return ownership;
      if (!wait) throw new SluiceError(LAKE_OWNED, `${pipeline} in ${lake.description}`);
      if (!told) {
        stats.state = 'standby';
        log.info({ pipeline }, 'another process owns this pipeline: standing by, ready to take over when it stops');
      }
      await clock.sleep(STANDBY_POLL_MS, signal);
    }
  }

  async #runAsOwner(signal: AbortSignal, ownership: Ownership): Promise<void> {
    const { source, lake, clock, stats, log } = this.#parts;
    const { pipeline, layout } = this.#options;
    stats.state = 'recovering';
    await this.#claimPrefix(signal);
    const committer = await Committer.load(lake, pipeline, layout, clock, stats, signal);
    const identity = await source.open(signal);
    log.info({ source: identity.description, lake: lake.description, pipeline }, 'owner of the pipeline');
    // Once the fence has begun it is carried through: a stop in the middle of it would only have to be recovered again.
    const recovered = await recover(
      { lake, committer, writer: { ...this.#options, fingerprint: identity.fingerprint }, clock, stats, log },
      new AbortController().signal,
    );
    try {
      const start = await this.#start(committer, recovered, identity.fingerprint, signal);
      stats.state = 'running';
      log.info({ position: start.position }, 'reading changes');
      await this.#loop(committer, recovered, start, signal, ownership.lost);
      stats.state = 'stopping';
      committer.state.cleanStop = true;
      await committer.save('clean-stop');
    } catch (error) {
      if (SluiceError.is(error, HISTORY_LOST)) await this.#recordGap(committer, recovered, error);
      // Who has written to a file of ours: a successor, so that we stand down, or a stranger?
      if (SluiceError.is(error, LAKE_CONFLICT)) await committer.assertOwner();
      throw error;
    } finally {
      await this.#letGo(() => close(recovered));
    }
  }

  /** What cannot be given back must not hide why the run has ended: leases end by themselves, handles with the process. */
  async #letGo(giveBack: () => PromiseLike<void>): Promise<void> {
    try {
      await giveBack();
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'something could not be closed at the end');
    }
  }

  /** One lake prefix belongs to one pipeline. */
  async #claimPrefix(signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    const mine = Buffer.from(`${JSON.stringify({ v: 1, pipeline: this.#options.pipeline })}\n`);
    try {
      if ((await lake.stat(PIPELINE_FILE)) === null) {
        failpoint('pipeline.before-claim');
        await lake.put(PIPELINE_FILE, mine, 'absent');
        failpoint('pipeline.after-claim');
      }
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    }
    const there = await readFile(lake, PIPELINE_FILE, signal);
    if (there.equals(mine)) return;
    const text = there.toString('utf8').trim();
    if (!PIPELINE_CLAIM.test(text)) throw new SluiceError(LAKE_DAMAGED, `${PIPELINE_FILE} does not say whose lake it is: ${JSON.stringify(text)}`);
    throw new SluiceError(LAKE_FOREIGN, `${lake.description} holds ${text}`);
  }

  /** The point to read from; durable before the first event is read, else `startAt: now` could begin twice. */
  async #start(committer: Committer, recovered: Recovered, fingerprint: string, signal: AbortSignal): Promise<ResumePoint> {
    const { source, log } = this.#parts;
    const { state } = committer;
    const gap = state.gaps.find((g) => g.to === null);
    const isOther = state.resume !== null && isOtherDeployment(state.fingerprint, fingerprint);
    if (gap !== undefined) {
      if (!this.#options.acceptGap) throw new SluiceError(GAP_OPEN, `nothing is known after ${new Date(gap.from.t * 1000).toISOString()}`);
      const oldest = await source.resolve({ kind: 'oldest' }, signal);
      const isLost = compareTimestamps(oldest.clusterTime, gap.from) > 0;
      if (isLost || isOther) {
        state.resume = isLost ? oldest : await this.#onOther(gap.from, signal);
        gap.to = state.resume.clusterTime;
        state.fingerprint = fingerprint;
        log.warn({ gap }, 'going on after a gap, which stays recorded');
        await committer.save('start');
        return state.resume;
      }
      // Another member has become primary, with a longer oplog: to go back to its beginning would repeat what the lake has.
      log.warn({ gap }, 'the history is there after all: the gap is taken back');
      state.gaps = state.gaps.filter((each) => each !== gap);
    }
    if (isOther) {
      // Its oplog may reach back, but not to what came after the position: that happened elsewhere.
      throw new SluiceError(HISTORY_LOST, 'this is another deployment than the one that was read so far, or was made anew from a backup', {
        next: 'Put the former `source.uri` back, or start a new pipeline. To go on with this deployment all the same, start with `--accept-gap`.',
      });
    }
    if (recovered.replayAt !== null) return source.resolve({ kind: 'time', at: recovered.replayAt }, signal);
    if (state.resume === null) {
      state.resume = await this.#firstPoint(signal);
      state.startedAt = state.resume.clusterTime;
      state.watermark = state.resume.clusterTime;
      state.nextHour = hourOf(state.startedAt.t);
      await committer.save('start');
    }
    return state.resume;
  }

  /**
   * Where to go on with another deployment. Two deployments count within a second each for themselves: only from the next
   * second on is whatever this one writes after all that the lake holds, and read.
   */
  async #onOther(from: Timestamp, signal: AbortSignal): Promise<ResumePoint> {
    const { source, clock } = this.#parts;
    await clock.sleep(1000, signal);
    return await source.resolve({ kind: 'time', at: { t: from.t + 1, i: 0 } }, signal);
  }

  async #firstPoint(signal: AbortSignal): Promise<ResumePoint> {
    try {
      return await this.#parts.source.resolve(this.#options.startAt, signal);
    } catch (cause) {
      if (!SluiceError.is(cause, HISTORY_LOST)) throw cause;
      // Nothing was promised yet, so that there is no gap to record.
      throw new SluiceError(HISTORY_LOST, `source.startAt lies before its beginning (${reasonOf(cause)})`, {
        cause,
        next: 'Set `source.startAt` to a later time or to `now`; `sluice doctor` shows how far the oplog reaches back.',
      });
    }
  }

  async #loop(committer: Committer, recovered: Recovered, start: ResumePoint, signal: AbortSignal, lost: AbortSignal): Promise<void> {
    const { source, clock } = this.#parts;
    const { writer } = recovered;
    const { flushBytesMax, flushAgeMs, untilIdleMs } = this.#options;
    // What was read is written even when a stop comes: a stop must not tear the durability order.
    const always = new AbortController().signal;
    let heardAtMs = clock.now();
    let flushedAtMs = clock.now();
    await using batches = new BatchPull(source, start, signal, { clock, aheadBytesMax: this.#options.readAheadBytesMax });
    this.#batches = batches;
    if (this.#sealRequests.size > 0) batches.wake();
    for (;;) {
      const batch = await batches.next(writer.plannedBytes === 0 ? null : flushAgeMs);
      if (batch === 'end') break;
      if (batch !== 'woken') writer.add(batch);
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
      if (batch !== 'woken' && batch.events.count > 0) heardAtMs = clock.now();
      // A source that cannot be reached says nothing at all: that is not idle, who knows what there is to come.
      if (untilIdleMs !== null && batch !== 'woken' && batch.events.count === 0 && clock.now() - heardAtMs >= untilIdleMs) {
        await this.#commit(committer, recovered, always, { sealAll: true });
        return;
      }
    }
    if (lost.aborted) throw new SluiceError(LAKE_LOST_OWNERSHIP);
    await this.#commit(committer, recovered, always);
  }

  async #commit(committer: Committer, recovered: Recovered, signal: AbortSignal, how: { sealAll: boolean } = { sealAll: false }): Promise<void> {
    const { clock, onSealed } = this.#parts;
    const { writer, sealer } = recovered;
    await writer.flush(signal);
    const requests = [...this.#sealRequests];
    if (how.sealAll || requests.length > 0) writer.rollAll();
    const sealed = await sealer.settle(writer, signal);
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

  async #recordGap(committer: Committer, recovered: Recovered, error: SluiceError): Promise<void> {
    const { clock, log } = this.#parts;
    const { state } = committer;
    if (state.resume === null || state.gaps.some((gap) => gap.to === null)) return;
    // What was read before the history ended is not part of the gap.
    await recovered.writer.flush(new AbortController().signal);
    const from = state.resume.clusterTime;
    state.gaps.push({
      from,
      to: null,
      detectedAt: new Date(clock.now()).toISOString(),
      collections: this.#options.collections,
      cause: reasonOf(error),
    });
    await committer.save('gap');
    log.error({ from }, 'history is lost: the gap is recorded');
  }
}

async function close({ writer, sealer, ledger }: Recovered): Promise<void> {
  await writer.close();
  await sealer.close();
  await ledger.close();
}
