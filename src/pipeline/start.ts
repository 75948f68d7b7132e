/**
 * Where a run begins to read: at the saved position, after a gap that somebody has accepted, or for the very first time.
 *
 * Lost history is loud: it is recorded before the run ends, and whoever comes next may not go on by itself.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { GAP_OPEN, HISTORY_LOST, SNAPSHOT_REFUSED } from '../core/errors.ts';
import type { ResumePoint } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotSource, SnapshotTarget } from '../core/snapshot.ts';
import { isOtherDeployment, type Source, type StartAt } from '../core/source.ts';
import { compareTimestamps, hourOf, type Timestamp } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { isOfPartition, type GapRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import type { Ledger } from './ledger.ts';
import { includedSince, isSameFilter, takeUp, tellMissing } from './arrivals.ts';
import { endRepairs, isRepairing, targetsOfRepair } from './repairs.ts';
import { newSnapshot, type SnapshotCause } from './snapshot-record.ts';

export interface StartOptions {
  /** `snapshot`: now, with all that there is. */
  readonly startAt: StartAt | { readonly kind: 'snapshot' };
  /** The globs, for the record of a gap. */
  readonly collections: readonly string[];
  readonly excluded: readonly string[];
  /** Goes on after a recorded gap at the oldest event that is left. */
  readonly acceptGap: boolean;
  /** Does so by itself, and reads whole what the gap may have left out. */
  readonly onHistoryLost: 'fail' | 'repair';
}

/** What it takes to read collections whole. */
export interface WholeReading {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly ledger: Ledger;
}

interface StartContext extends StartOptions {
  readonly source: Source;
  /** `null`: of a partition of a bus, which cannot be read whole. */
  readonly whole: WholeReading | null;
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
export async function startPoint(context: StartContext, started: StartedWith, signal: AbortSignal): Promise<ResumePoint> {
  const { state } = context.committer;
  const filter = { include: context.collections, exclude: context.excluded };
  if (state.resume === null) state.filter = filter;
  const point = await pointOf(context, started, signal);
  if (!isSameFilter(state.filter, filter)) {
    await takeUpIncluded(context, signal);
    state.filter = filter;
    await context.committer.save('start');
  }
  return point;
}

/** The filter is another one than before: what it covers only now has had no history so far. */
async function takeUpIncluded({ source, startAt, whole, committer, clock, log }: StartContext, signal: AbortSignal): Promise<void> {
  const { state } = committer;
  if (whole === null || state.filter === undefined) return;
  const targets = includedSince(state.filter, await whole.source.targets(signal));
  if (targets.length === 0) return;
  if (startAt.kind !== 'snapshot')
    return tellMissing(
      targets.map(({ namespace }) => namespace),
      'included',
      log,
    );
  const at = await source.resolve({ kind: 'now' }, signal);
  takeUp(state, targets, { cause: 'included', at, begunAt: new Date(clock.now()).toISOString(), since: whole.ledger.day }, log);
}

async function pointOf(context: StartContext, { fingerprint, replayAt }: StartedWith, signal: AbortSignal): Promise<ResumePoint> {
  const { source, log, committer, acceptGap, whole } = context;
  const isRepaired = context.onHistoryLost === 'repair' && (whole !== null || isOfPartition(committer.scope));
  const { state } = committer;
  const gap = state.gaps.find((g) => g.to === null);
  const isOther = state.resume !== null && isOtherDeployment(state.fingerprint, fingerprint);
  if (gap !== undefined) {
    if (!acceptGap && !isRepaired) throw new SluiceError(GAP_OPEN, `nothing is known after ${new Date(gap.from.t * 1000).toISOString()}`);
    const oldest = await source.resolve({ kind: 'oldest' }, signal);
    // Of a partition it is the offset that is gone, whatever the time of the oldest message says.
    const isLost = isOfPartition(committer.scope) || compareTimestamps(oldest.clusterTime, gap.from) > 0;
    if (isLost || isOther) {
      state.resume = isLost ? oldest : await onOther(context, gap.from, signal);
      gap.to = state.resume.clusterTime;
      state.fingerprint = fingerprint;
      log.warn({ gap }, 'going on after a gap, which stays recorded');
      if (isRepaired && whole !== null) await planRepair(context, whole, gap, signal);
      // It reads a bus, and the producer reads the source.
      else if (isRepaired) gap.repair = 'asked';
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
    // Listed only now: what is made meanwhile comes in the stream, or is listed, or both.
    if (context.startAt.kind === 'snapshot') plan(context, await targetsOf(context, signal), 'start', state.resume);
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
    return await source.resolve(startAt.kind === 'snapshot' ? { kind: 'now' } : startAt, signal);
  } catch (cause) {
    if (!SluiceError.is(cause, HISTORY_LOST)) throw cause;
    // Nothing was promised yet, so that there is no gap to record.
    throw new SluiceError(HISTORY_LOST, `source.startAt lies before its beginning (${reasonOf(cause)})`, {
      cause,
      next: 'Set `source.startAt` to a later time or to `now`; `sluice doctor` shows how far the oplog reaches back.',
    });
  }
}

/** What can be read; the rest is named. @throws SNAPSHOT_REFUSED without anything to read from */
async function targetsOf({ whole, log }: StartContext, signal: AbortSignal): Promise<readonly SnapshotTarget[]> {
  if (whole === null) throw new SluiceError(SNAPSHOT_REFUSED, 'this source cannot be read whole', { next: 'Set `source.startAt: now`.' });
  const all = await whole.source.targets(signal);
  for (const { namespace, refused, caveat } of all) {
    const collection = formatNamespace(namespace);
    if (refused !== null) log.warn({ collection, reason: refused }, 'there is no snapshot of this one');
    else if (caveat !== null) log.warn({ collection, caveat }, 'the snapshot of this one does not promise everything');
  }
  return all;
}

function plan({ committer, clock, whole }: StartContext, targets: readonly SnapshotTarget[], cause: SnapshotCause, at: SnapshotPoint): void {
  const begunAt = new Date(clock.now()).toISOString();
  const readable = targets.filter(({ refused }) => refused === null);
  committer.state.snapshots.push(...readable.map((target) => newSnapshot(target, { cause, at, begunAt, since: whole!.ledger.day })));
}

/** What may have changed in the gap is read whole. */
async function planRepair(context: StartContext, whole: WholeReading, gap: GapRecord, signal: AbortSignal): Promise<void> {
  const { source, committer, clock, log } = context;
  const { state } = committer;
  const at = await source.resolve({ kind: 'now' }, signal);
  const targets = await targetsOfRepair(whole, await targetsOf(context, signal), [state], signal);
  const names = new Set(targets.map(({ namespace }) => formatNamespace(namespace)));
  // What was being read when the history was lost began before the gap.
  state.snapshots = state.snapshots.filter(({ ns }) => !names.has(formatNamespace(ns)));
  plan(context, targets, 'repair', at);
  gap.repairAt = at.clusterTime;
  if (committer.scope === null && !isRepairing(state)) endRepairs(state, clock.now(), log);
}

/** Called once all that was read is durable. */
export async function recordGap(
  { committer, clock, log, collections }: Pick<StartContext, 'committer' | 'clock' | 'log' | 'collections'>,
  error: SluiceError,
): Promise<void> {
  const { state } = committer;
  if (state.resume === null || state.gaps.some((gap) => gap.to === null)) return;
  const from = state.resume.clusterTime;
  state.gaps.push({ from, to: null, detectedAt: new Date(clock.now()).toISOString(), collections, cause: reasonOf(error) });
  await committer.save('gap');
  log.error({ from }, 'history is lost: the gap is recorded');
}
