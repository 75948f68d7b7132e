/**
 * Lines that were too large for the bus, kept as long as the topic keeps the messages that name them.
 *
 * A message that is still in its partition is no older than the oldest that is there: what lies before the oldest message of
 * all partitions is named by nobody any more. A day more is kept, because a producer that crashed repeats a little.
 */
import type { Bus } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_MESSAGE, BUS_OFFSET_GONE, BUS_UNAVAILABLE } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { dayName } from '../core/time.ts';
import { receive } from './bus-message.ts';
import { claimsFolder } from './checkpoint.ts';

const DAY_MS = 86_400_000;

/** Does nothing where that cannot be told: an empty topic, a message of somebody else, a broker that is away. @returns how many */
export async function removeOldClaims(lake: Lake, bus: Bus, pipeline: string, signal: AbortSignal): Promise<number> {
  const claims: { readonly path: LakePath; readonly day: string }[] = [];
  for await (const { path } of lake.list(`${claimsFolder(pipeline)}/`, signal)) {
    const day = /\/claims\/(\d{8})\//.exec(path)?.[1];
    if (day !== undefined) claims.push({ path, day });
  }
  const oldestMs = claims.length === 0 ? null : await oldestMessage(bus, signal);
  if (oldestMs === null) return 0;
  const before = dayName(new Date(oldestMs - DAY_MS));
  const old = claims.filter(({ day }) => day < before);
  for (const { path } of old) await lake.remove(path);
  return old.length;
}

/** Cluster time of the oldest event that any partition may still have, ms. */
async function oldestMessage(bus: Bus, signal: AbortSignal): Promise<number | null> {
  let oldestMs: number | null = null;
  try {
    for (const [partition, { first, next }] of (await bus.ranges(signal)).entries()) {
      if (first === next) continue;
      await using reader = bus.reader(partition);
      const [record] = (await reader.read(first, signal)).records;
      if (record === undefined) return null;
      const { at } = receive(record, `${bus.description}, partition ${partition}`);
      oldestMs = Math.min(oldestMs ?? Infinity, at.t * 1000);
    }
    return oldestMs;
  } catch (error) {
    if (SluiceError.is(error, BUS_MESSAGE, BUS_OFFSET_GONE, BUS_UNAVAILABLE)) return null;
    throw error;
  }
}
