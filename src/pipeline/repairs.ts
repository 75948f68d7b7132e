/**
 * What a gap has left out is read whole, and then the gap is mended.
 *
 * Everything may have changed in it, so that everything is read: also what is not there any more, of which an empty snapshot is what ends
 * its documents in silver. On the direct way the lake holds by then all that was read before the gap. Over a bus the topic may hold
 * events that no partition has written yet, of collections that the lake does not know: so a gap is mended there only once every
 * partition is past the moment of the snapshots and the lake was looked at again. A gap of a partition, whose messages the broker
 * has forgotten, is in that partition's checkpoint together with the offset at which it goes on: whatever was forgotten was sent before,
 * and so a snapshot that begins after the gap was seen there has it.
 */
import type { Clock } from '../core/clock.ts';
import { compareTimestamps, laterTimestamp, type Timestamp } from '../core/time.ts';
import type { Lake } from '../core/lake.ts';
import { isSealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotSource, SnapshotTarget } from '../core/snapshot.ts';
import type { Logger } from '../ops/log.ts';
import { readAgain } from './arrivals.ts';
import { partitionScope, type Checkpoint, type GapRecord, type MendRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { readLedger, type Ledger } from './ledger.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { newSnapshot } from './snapshot-record.ts';

type Repair = GapRecord | MendRecord;

const NONE: Timestamp = { t: 0, i: 0 };

/** Is it this gap that the record is about? */
export function isOfGap(mend: MendRecord, partition: number, { from, detectedAt }: GapRecord): boolean {
  return mend.partition === partition && mend.detectedAt === detectedAt && compareTimestamps(mend.from, from) === 0;
}

/** Something is still to be read for a gap. */
export function isRepairing({ snapshots }: Checkpoint): boolean {
  return snapshots.some(({ cause, again }) => cause === 'repair' || again?.cause === 'repair');
}

function openRepairs({ gaps, mends = [] }: Checkpoint): readonly Repair[] {
  return [...gaps, ...mends].filter(({ repairAt, repaired }) => repairAt !== undefined && repaired === undefined);
}

/** All that was to be read for gaps is read. */
export function endRepairs(state: Checkpoint, nowMs: number, log: Logger): void {
  for (const repair of openRepairs(state)) {
    repair.repaired = new Date(nowMs).toISOString();
    log.warn({ gap: repair }, 'what a gap has left out is mended');
  }
}

/** What the source has, and what is in the lake and gone from the source, as if it were there and empty. */
export async function targetsOfRepair(
  { source, lake }: { readonly source: SnapshotSource; readonly lake: Lake },
  there: readonly SnapshotTarget[],
  checkpoints: readonly Checkpoint[],
  signal: AbortSignal,
): Promise<readonly SnapshotTarget[]> {
  const known = new Set(there.map(({ namespace }) => formatNamespace(namespace)));
  const inLake = await collectionsInLake(lake, checkpoints, signal);
  const gone = [...inLake.values()].filter(({ namespace }) => !known.has(formatNamespace(namespace)) && source.covers(namespace));
  return [...there, ...gone.map(({ namespace }) => emptyTarget(namespace))];
}

function emptyTarget(namespace: Namespace): SnapshotTarget {
  return { namespace, documents: 0, bytes: 0, refused: null, caveat: null };
}

interface InLake {
  readonly namespace: Namespace;
  first: Timestamp;
  /** Of the newest snapshot that is whole. */
  wholeAt: Timestamp;
}

/** By the ledger, and by the parts that are not in it yet. */
async function collectionsInLake(lake: Lake, checkpoints: readonly Checkpoint[], signal: AbortSignal): Promise<ReadonlyMap<string, InLake>> {
  const found = new Map<string, InLake>();
  const note = (namespace: Namespace, first: Timestamp | null, wholeAt: Timestamp): void => {
    if (first === null || namespace.coll === null) return;
    const name = formatNamespace(namespace);
    const known = found.get(name);
    if (known === undefined) found.set(name, { namespace, first, wholeAt });
    else {
      known.wholeAt = laterTimestamp(known.wholeAt, wholeAt);
      if (compareTimestamps(first, known.first) < 0) known.first = first;
    }
  };
  for (const { parts } of checkpoints) for (const { ns, firstAt } of parts) note(ns, firstAt, NONE);
  const pipeline = checkpoints[0]?.pipeline;
  if (pipeline === undefined) return found;
  for await (const line of readLedger(lake, pipeline, '', signal)) {
    if (!isSealedLine(line)) continue;
    const isEnd = line.ops.snapshotEnd !== undefined;
    note({ db: line.db, coll: line.coll }, line.firstAt, isEnd ? line.firstAt! : NONE);
  }
  return found;
}

export interface RepairParts {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly committer: Committer;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  /** The present moment of the stream. */
  readonly now: (signal: AbortSignal) => Promise<SnapshotPoint>;
  /** Gaps of partitions are mended; else only what was begun is ended. */
  readonly isWanted: boolean;
}

/** What the main job is to write down. */
interface Found {
  readonly at: SnapshotPoint;
  readonly targets: readonly SnapshotTarget[];
  readonly mends: readonly MendRecord[];
}

/** Of a producer: looks at the gaps of partitions, and at what is left to be done for those that are being mended. */
export class Repairs {
  readonly #parts: RepairParts;
  #found: Found | 'all read' | null = null;

  constructor(parts: RepairParts) {
    this.#parts = parts;
  }

  /** The main job has something to write down. */
  get isDue(): boolean {
    return this.#found !== null;
  }

  /** Beside the main job: changes nothing. */
  async look(signal: AbortSignal): Promise<void> {
    const { committer, isWanted } = this.#parts;
    const { state } = committer;
    const open = openRepairs(state);
    if (this.#found !== null || (!isWanted && open.length === 0)) return;
    const partitions = await this.#partitions(signal);
    const gaps = partitions.flatMap((checkpoint, partition) => (checkpoint?.gaps ?? []).map((gap) => ({ partition, gap })));
    const asked = gaps.filter(({ partition, gap }) => isAsked(gap) && !(state.mends ?? []).some((mend) => isOfGap(mend, partition, gap)));
    const begun = partitions.filter((each) => each !== null);
    if (isWanted && asked.length > 0) {
      // Only now: whatever the broker has forgotten was sent before the gap was seen.
      const at = await this.#parts.now(signal);
      const targets = await targetsOfRepair(this.#parts, await this.#parts.source.targets(signal), [state, ...begun], signal);
      const mends = asked.map(({ partition, gap: { from, detectedAt } }) => ({ partition, from, detectedAt, repairAt: at.clusterTime }));
      this.#found = { at, targets, mends };
      return;
    }
    if (open.length === 0 || isRepairing(state)) return;
    const last = open.map(({ repairAt }) => repairAt!).reduce(laterTimestamp);
    if (begun.length < partitions.length || begun.some(({ watermark }) => compareTimestamps(watermark, last) <= 0)) return;
    const targets = await this.#unread(last, [state, ...begun], signal);
    this.#found = targets.length === 0 ? 'all read' : { at: await this.#parts.now(signal), targets, mends: [] };
  }

  /** Called by the main job alone. */
  async settle(): Promise<void> {
    const { committer, clock, ledger, log } = this.#parts;
    const found = this.#found;
    if (found === null) return;
    const { state } = committer;
    if (found === 'all read') endRepairs(state, clock.now(), log);
    else {
      state.mends = [...(state.mends ?? []), ...found.mends];
      const start = { cause: 'repair', at: found.at, begunAt: new Date(clock.now()).toISOString(), since: ledger.day } as const;
      for (const target of found.targets.filter(({ refused }) => refused === null)) {
        const name = formatNamespace(target.namespace);
        const under = state.snapshots.find(({ ns }) => formatNamespace(ns) === name);
        if (under === undefined) state.snapshots.push(newSnapshot(target, start));
        else readAgain(under, start);
      }
      log.warn({ gaps: found.mends, collections: found.targets.length }, 'reading whole what a gap of the topic may have left out');
    }
    await committer.save('snapshot');
    this.#found = null;
  }

  async #partitions(signal: AbortSignal): Promise<(Checkpoint | null)[]> {
    const { lake, committer } = this.#parts;
    const { pipeline, bus } = committer.state;
    const read = async (_: unknown, index: number): Promise<Checkpoint | null> => await readCheckpoint(lake, pipeline, partitionScope(index), signal);
    return await Promise.all(Array.from({ length: bus?.partitions ?? 0 }, read));
  }

  /** What the lake has from before a moment and nobody has read whole since: it came out of the topic after the others were taken up. */
  async #unread(at: Timestamp, checkpoints: readonly Checkpoint[], signal: AbortSignal): Promise<readonly SnapshotTarget[]> {
    const { source, lake } = this.#parts;
    const there = new Map((await source.targets(signal)).map((target) => [formatNamespace(target.namespace), target]));
    const unread: SnapshotTarget[] = [];
    for (const [name, { namespace, first, wholeAt }] of await collectionsInLake(lake, checkpoints, signal)) {
      if (compareTimestamps(first, at) > 0 || compareTimestamps(wholeAt, at) >= 0 || !source.covers(namespace)) continue;
      const target = there.get(name) ?? emptyTarget(namespace);
      if (target.refused === null) unread.push(target);
    }
    return unread;
  }
}

/** A partition has gone on after it, and leaves the rest to the producer. */
function isAsked({ to, repair }: GapRecord): boolean {
  return to !== null && repair === 'asked';
}
