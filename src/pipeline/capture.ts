/**
 * The main job: a source's changes become sealed files of a lake.
 *
 * The order is always the same: batch → (checkpoint names new parts) → appends, durable → position moves →
 * (checkpoint) → seal. One batch is written while the source fetches the next; nothing else is buffered without a limit.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { GAP_OPEN, HISTORY_LOST, LAKE_FOREIGN, LAKE_LOST_OWNERSHIP, LAKE_OWNED, LAKE_CONFLICT } from '../core/errors.ts';
import type { ResumePoint } from '../core/event.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import type { Source, StartAt } from '../core/source.ts';
import { hourOf } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { PIPELINE_FILE, checkpointPath } from './checkpoint.ts';
import { Committer } from './committer.ts';
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

const CHECKPOINT_IDLE_MS = 10_000;
const STANDBY_POLL_MS = 1_000;

export class Capture {
  readonly #options: CaptureOptions;
  readonly #parts: CaptureParts;
  #sealRequests: (() => void)[] = [];

  constructor(options: CaptureOptions, parts: CaptureParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Seals all that is open; resolves when it is in the ledger. Works while `run` does. */
  seal(): Promise<void> {
    return new Promise((resolve) => this.#sealRequests.push(resolve));
  }

  /** Owns the pipeline and captures until it is idle long enough, or the signal stops it, everything durable. */
  async run(signal: AbortSignal): Promise<void> {
    const { stats } = this.#parts;
    try {
      await using ownership = await this.#own(signal);
      const lost = AbortSignal.any([signal, ownership.lost]);
      await this.#parts.onOwned?.();
      await this.#runAsOwner(lost, ownership);
      stats.state = 'stopped';
    } catch (error) {
      if (signal.aborted && error === signal.reason) {
        stats.state = 'stopped';
        return;
      }
      stats.state = 'failed';
      throw error;
    }
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
      await this.#loop(committer, recovered, start, signal, ownership.lost);
      stats.state = 'stopping';
      committer.state.cleanStop = true;
      await committer.save('clean-stop');
    } catch (error) {
      if (SluiceError.is(error, HISTORY_LOST)) await this.#recordGap(committer, error);
      throw error;
    } finally {
      await close(recovered);
    }
  }

  /** One lake prefix belongs to one pipeline. */
  async #claimPrefix(signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    const mine = Buffer.from(`${JSON.stringify({ v: 1, pipeline: this.#options.pipeline })}\n`);
    try {
      if ((await lake.stat(PIPELINE_FILE)) === null) await lake.put(PIPELINE_FILE, mine, 'absent');
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    }
    const there = await readFile(lake, PIPELINE_FILE, signal);
    if (!there.equals(mine)) throw new SluiceError(LAKE_FOREIGN, `${lake.description} holds ${there.toString('utf8').trim()}`);
  }

  /** The point to read from; durable before the first event is read, else `startAt: now` could begin twice. */
  async #start(committer: Committer, recovered: Recovered, fingerprint: string, signal: AbortSignal): Promise<ResumePoint> {
    const { source, log } = this.#parts;
    const { state } = committer;
    const gap = state.gaps.find((g) => g.to === null);
    if (gap !== undefined) {
      if (!this.#options.acceptGap) throw new SluiceError(GAP_OPEN, `nothing is known after ${new Date(gap.from.t * 1000).toISOString()}`);
      state.resume = await source.resolve({ kind: 'oldest' }, signal);
      gap.to = state.resume.clusterTime;
      state.fingerprint = fingerprint;
      log.warn({ gap }, 'going on after a gap, which stays recorded');
      await committer.save('start');
      return state.resume;
    }
    if (recovered.replayAt !== null) return source.resolve({ kind: 'time', at: recovered.replayAt }, signal);
    if (state.resume === null) {
      state.resume = await source.resolve(this.#options.startAt, signal);
      state.startedAt = state.resume.clusterTime;
      state.watermark = state.resume.clusterTime;
      state.nextHour = hourOf(state.startedAt.t);
      await committer.save('start');
    }
    return state.resume;
  }

  async #loop(committer: Committer, recovered: Recovered, start: ResumePoint, signal: AbortSignal, lost: AbortSignal): Promise<void> {
    const { source, clock } = this.#parts;
    const { writer } = recovered;
    const { flushBytesMax, flushAgeMs, untilIdleMs } = this.#options;
    // What was read is written even when a stop comes: a stop must not tear the durability order.
    const always = new AbortController().signal;
    let heardAtMs = clock.now();
    let flushedAtMs = clock.now();
    for await (const batch of source.changes(start, signal)) {
      writer.add(batch);
      if (batch.events.count > 0) heardAtMs = clock.now();
      const waiting = this.#sealRequests.length > 0;
      if (waiting || writer.plannedBytes === 0 || writer.plannedBytes >= flushBytesMax || clock.now() - flushedAtMs >= flushAgeMs) {
        await this.#commit(committer, recovered, always);
        flushedAtMs = clock.now();
      }
      if (untilIdleMs !== null && clock.now() - heardAtMs >= untilIdleMs) {
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
    const requests = this.#sealRequests.splice(0);
    if (how.sealAll || requests.length > 0) writer.rollAll();
    const sealed = await sealer.settle(writer, signal);
    const age = clock.now() - committer.savedAtMs;
    const moved = this.#savedPosition !== committer.state.resume?.position;
    if (sealed > 0 || requests.length > 0 || age >= (moved ? this.#options.checkpointIntervalMs : CHECKPOINT_IDLE_MS)) {
      await committer.save('periodic');
      this.#savedPosition = committer.state.resume?.position;
    }
    if (sealed > 0) onSealed?.();
    for (const resolve of requests) resolve();
  }

  #savedPosition: string | undefined;

  async #recordGap(committer: Committer, error: SluiceError): Promise<void> {
    const { clock, log } = this.#parts;
    const { state } = committer;
    const from = state.resume?.clusterTime ?? state.watermark;
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
