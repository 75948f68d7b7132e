/**
 * Where a run begins to read: at the saved position, after a gap that somebody has accepted, or for the very first time.
 *
 * Lost history is loud: it is recorded before the run ends, and whoever comes next may not go on by itself.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { GAP_OPEN, HISTORY_LOST } from '../core/errors.ts';
import type { ResumePoint } from '../core/event.ts';
import { isOtherDeployment, type Source, type StartAt } from '../core/source.ts';
import { compareTimestamps, hourOf, type Timestamp } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import type { Committer } from './committer.ts';

export interface StartOptions {
  readonly startAt: StartAt;
  /** The globs, for the record of a gap. */
  readonly collections: readonly string[];
  /** Goes on after a recorded gap at the oldest event that is left. */
  readonly acceptGap: boolean;
}

interface StartContext extends StartOptions {
  readonly source: Source;
  readonly clock: Clock;
  readonly log: Logger;
  readonly committer: Committer;
}

interface StartedWith {
  /** Of the stream that is read. */
  readonly fingerprint: string;
  /** The source must start again here, inclusively, because positions no longer compare. */
  readonly replayAt: Timestamp | null;
}

/** The point to read from; durable before the first event is read, else `startAt: now` could begin twice. */
export async function startPoint(context: StartContext, { fingerprint, replayAt }: StartedWith, signal: AbortSignal): Promise<ResumePoint> {
  const { source, log, committer, acceptGap } = context;
  const { state } = committer;
  const gap = state.gaps.find((g) => g.to === null);
  const isOther = state.resume !== null && isOtherDeployment(state.fingerprint, fingerprint);
  if (gap !== undefined) {
    if (!acceptGap) throw new SluiceError(GAP_OPEN, `nothing is known after ${new Date(gap.from.t * 1000).toISOString()}`);
    const oldest = await source.resolve({ kind: 'oldest' }, signal);
    const isLost = compareTimestamps(oldest.clusterTime, gap.from) > 0;
    if (isLost || isOther) {
      state.resume = isLost ? oldest : await onOther(context, gap.from, signal);
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
  if (replayAt !== null) return source.resolve({ kind: 'time', at: replayAt }, signal);
  if (state.resume === null) {
    state.resume = await firstPoint(context, signal);
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
async function onOther({ source, clock }: StartContext, from: Timestamp, signal: AbortSignal): Promise<ResumePoint> {
  await clock.sleep(1000, signal);
  return await source.resolve({ kind: 'time', at: { t: from.t + 1, i: 0 } }, signal);
}

async function firstPoint({ source, startAt }: StartContext, signal: AbortSignal): Promise<ResumePoint> {
  try {
    return await source.resolve(startAt, signal);
  } catch (cause) {
    if (!SluiceError.is(cause, HISTORY_LOST)) throw cause;
    // Nothing was promised yet, so that there is no gap to record.
    throw new SluiceError(HISTORY_LOST, `source.startAt lies before its beginning (${reasonOf(cause)})`, {
      cause,
      next: 'Set `source.startAt` to a later time or to `now`; `sluice doctor` shows how far the oplog reaches back.',
    });
  }
}

/** Called once all that was read is durable. */
export async function recordGap({ committer, clock, log, collections }: Omit<StartContext, 'source'>, error: SluiceError): Promise<void> {
  const { state } = committer;
  if (state.resume === null || state.gaps.some((gap) => gap.to === null)) return;
  const from = state.resume.clusterTime;
  state.gaps.push({ from, to: null, detectedAt: new Date(clock.now()).toISOString(), collections, cause: reasonOf(error) });
  await committer.save('gap');
  log.error({ from }, 'history is lost: the gap is recorded');
}
