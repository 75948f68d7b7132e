/**
 * A pipeline as a whole, for those who only read: status, loader, proof. Without a bus that is its checkpoint; with one it is
 * those of the producer and of every partition together.
 *
 * What it says is the least that all say: a partition that has not begun holds back the watermark of all. Each checkpoint is
 * read by itself, so what one names may be older than what the next one does; what is true of each is true of them all.
 */
import type { Lake, LakePath } from '../core/lake.ts';
import { compareTimestamps, hourOf } from '../core/time.ts';
import { PRODUCER, partitionScope, type Checkpoint, type GapRecord, type HourRecord, type Scope, hourKey } from './checkpoint.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { isOfGap } from './repairs.ts';

export interface WholePipeline extends Checkpoint {
  /** Ledger files that are written to, and how much of them is durable. */
  readonly ledgers: readonly { readonly path: LakePath; readonly length: number }[];
  /** Whoever has owned a part of it has stopped in good order, a producer without a ledger included. */
  readonly isStopped: boolean;
}

/** `null` when it has none. @throws CHECKPOINT_BAD, CHECKPOINT_NEWER */
export async function readWhole(lake: Lake, pipeline: string, signal: AbortSignal): Promise<WholePipeline | null> {
  const read = async (scope: Scope): Promise<Checkpoint | null> => await readCheckpoint(lake, pipeline, scope, signal);
  const only = await read(null);
  if (only !== null) return { ...only, ledgers: only.ledger === null ? [] : [only.ledger], isStopped: only.cleanStop };
  const begun = await read(PRODUCER);
  if (begun === null) return null;
  const partitions = new Map<number, Checkpoint>();
  for (let index = 0; index < (begun.bus?.partitions ?? 0); index += 1) {
    const each = await read(partitionScope(index));
    if (each !== null) partitions.set(index, each);
  }
  // Once more, after them: a watermark that one of them has was told after the producer had saved what it must read whole and what it
  // has lost up to there.
  return together((await read(PRODUCER)) ?? begun, partitions);
}

function together(producer: Checkpoint, begun: ReadonlyMap<number, Checkpoint>): WholePipeline {
  const partitions = [...begun.values()];
  const hasAll = partitions.length === producer.bus?.partitions && partitions.every(({ resume }) => resume !== null);
  const lowest = partitions.toSorted((a, b) => compareTimestamps(a.watermark, b.watermark))[0];
  return {
    ...producer,
    epoch: Math.max(producer.ledger === null ? 0 : producer.epoch, ...partitions.map(({ epoch }) => epoch)),
    resume: lowest?.resume ?? null,
    watermark: hasAll ? lowest!.watermark : { t: 0, i: 0 },
    parts: partitions.flatMap(({ parts }) => parts),
    hours: hoursOf(partitions),
    // The first partition publishes for all.
    nextHour: begun.get(0)?.nextHour ?? hourOf(producer.startedAt.t),
    ledger: null,
    // The producer's is that of the snapshots.
    ledgers: [producer, ...partitions].flatMap(({ ledger }) => (ledger === null ? [] : [ledger])),
    gaps: [...producer.gaps, ...[...begun].flatMap(([index, { gaps }]) => gaps.map((gap) => mended(gap, index, producer)))],
    cleanStop: partitions.every(({ cleanStop }) => cleanStop) && (producer.ledger === null || producer.cleanStop),
    isStopped: [producer, ...partitions].every(({ cleanStop }) => cleanStop),
    savedAt: [producer, ...partitions].map(({ savedAt }) => savedAt).toSorted().at(-1)!, // prettier-ignore
  };
}

/** A partition's gap, with what the producer says of it. */
function mended(gap: GapRecord, partition: number, { mends = [] }: Checkpoint): GapRecord {
  const mend = mends.find((each) => isOfGap(each, partition, gap));
  if (mend === undefined) return gap;
  return { ...gap, repairAt: mend.repairAt, ...(mend.repaired !== undefined && { repaired: mend.repaired }) };
}

function hoursOf(partitions: readonly Checkpoint[]): HourRecord[] {
  const hours = new Map<string, HourRecord>();
  for (const record of partitions.flatMap((each) => each.hours)) {
    const key = hourKey(record.ns, record.hour);
    const other = hours.get(key);
    const since = other === undefined || record.since < other.since ? record.since : other.since;
    hours.set(key, { ...record, since, next: record.next + (other?.next ?? 0) });
  }
  return [...hours.values()];
}
