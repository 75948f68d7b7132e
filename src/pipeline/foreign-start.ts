/**
 * The beginning of a pipeline whose topic others write to: what its producer would have put on the lake.
 *
 * It begins at the oldest message that is there, or at the end of the topic with `startAt: now`; its first hour is that of the
 * first event, so it begins once there is one. Whoever puts the record first decides; the others read it.
 */
import type { Bus, BusRecord, ReadForeign } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT } from '../core/errors.ts';
import { asPosition } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { StartAt } from '../core/source.ts';
import { compareTimestamps, hourOf, type Timestamp } from '../core/time.ts';
import { PRODUCER, checkpointPath, encodeCheckpoint, newCheckpoint } from './checkpoint.ts';

/** Until messages say which it is. */
const FINGERPRINT = 'foreign';

export interface ForeignStart {
  readonly pipeline: string;
  readonly layout: string;
  readonly partitionBy: string;
  readonly read: ReadForeign;
  readonly startAt: StartAt;
  readonly nowMs: number;
}

/** Does nothing as long as there is no message. */
export async function beginForeign(
  lake: Lake,
  bus: Bus,
  { pipeline, layout, partitionBy, read, startAt, nowMs }: ForeignStart,
  signal: AbortSignal,
): Promise<void> {
  const ranges = await bus.ranges(signal);
  const isNow = startAt.kind === 'now';
  const startedAt = startAt.kind === 'time' ? startAt.at : isNow ? { t: Math.floor(nowMs / 1000), i: 0 } : await firstTime(bus, ranges, read, signal);
  if (startedAt === null) return;
  const state = {
    ...newCheckpoint(pipeline, layout),
    fingerprint: FINGERPRINT,
    resume: { position: asPosition(''), clusterTime: startedAt, token: Buffer.alloc(0) },
    startedAt,
    nextHour: hourOf(startedAt.t),
    bus: { partitions: ranges.length, partitionBy, from: ranges.map(({ first, next }) => (isNow ? next : first).toString()) },
  };
  try {
    await lake.put(checkpointPath(pipeline, PRODUCER), encodeCheckpoint(state), 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
  }
}

/** The least of the first events of all partitions; `null`: there is none yet. */
async function firstTime(
  bus: Bus,
  ranges: readonly { readonly first: bigint; readonly next: bigint }[],
  read: ReadForeign,
  signal: AbortSignal,
): Promise<Timestamp | null> {
  let least: Timestamp | null = null;
  for (const [partition, { first, next }] of ranges.entries()) {
    if (first === next) continue;
    await using reader = bus.reader(partition);
    const { records } = await reader.read(first, signal);
    const at = records.map((record) => timeOf(read, record)).find((time) => time !== null) ?? null;
    if (at !== null && (least === null || compareTimestamps(at, least) < 0)) least = at;
  }
  return least;
}

/** What cannot be read is dealt with when it is its turn. */
function timeOf(read: ReadForeign, record: BusRecord): Timestamp | null {
  try {
    return read(record)?.at ?? null;
  } catch {
    return null;
  }
}
