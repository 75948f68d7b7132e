/**
 * Retention of bronze: rows that nothing stands on any more (docs/adr/0023-retention-of-bronze.md) are removed, collection by collection.
 *
 * The warehouse knows what it has loaded and merged. What it cannot know is said here: how far the lake is over, which files it has not seen
 * yet, and which of these may end a collection that they do not belong to: a rename its target, a dropDatabase all of the database.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { WAREHOUSE_FAILED } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import { hourName, SECONDS_PER_HOUR, type Hour } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import { holdsBefore, limitOf, type Holds } from './holds.ts';
import { isGone, readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import type { WholePipeline } from './whole.ts';

export interface BronzeSummary {
  readonly rows: number;
  /** Those that have lost rows, and the hour (`YYYYMMDD-HH`) from which on they have every event. */
  readonly collections: readonly { readonly collection: string; readonly from: string; readonly rows: number }[];
  /** What keeps older hours of all collections, or `null`. */
  readonly heldBy: string | null;
  /** Those that keep more than the others, and why. */
  readonly held: readonly { readonly collection: string; readonly reason: string }[];
}

export interface RetainBronzeParts {
  readonly lake: Lake;
  readonly warehouse: Pick<Warehouse, 'loaded' | 'collections' | 'retainBronze'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** @param how.keepMs rows of hours that are older are superseded by what came after them */
export async function retainBronze(
  about: WholePipeline,
  { pipeline, keepMs, dryRun }: { readonly pipeline: string; readonly keepMs: number; readonly dryRun: boolean },
  { lake, warehouse, clock, log }: RetainBronzeParts,
  signal: AbortSignal,
): Promise<BronzeSummary> {
  const { hour, heldBy } = limitOf(about, Math.floor((clock.now() - keepMs) / (SECONDS_PER_HOUR * 1000)));
  const horizon = await readHorizon(lake, pipeline, signal);
  const { lines, superseded } = await readSealed(lake, pipeline, () => true, signal);
  const inForce = lines.filter((line) => !superseded.has(line.path) && !isGone(line, horizon));
  const held = await holdsBefore(hour, about, inForce, warehouse, signal);
  const collections: { collection: string; from: string; rows: number }[] = [];
  const reasons: { collection: string; reason: string }[] = [];
  // A warehouse may have collections of others, too.
  const names = [...new Set(lines.filter(({ coll }) => coll !== null).map(formatNamespace))].toSorted();
  for (const collection of names) {
    signal.throwIfAborted();
    const ns = parseNamespace(collection);
    const limit = limitFor(ns, hour, held);
    try {
      const done = await warehouse.retainBronze(ns, { before: limit.hour, dryRun }, signal);
      const { from, rows } = done;
      if (rows > 0 && from !== null) collections.push({ collection, from: hourName(from), rows });
      const reason = done.heldBy ?? limit.reason;
      if (reason !== null) reasons.push({ collection, reason });
    } catch (error) {
      if (signal.aborted || !SluiceError.is(error, WAREHOUSE_FAILED)) throw error;
      log.error({ err: error, collection }, 'bronze of this collection stays as it is');
      reasons.push({ collection, reason: reasonOf(error) });
    }
  }
  const rows = collections.reduce((sum, each) => sum + each.rows, 0);
  if (rows > 0 && !dryRun) log.info({ rows, collections: collections.length, before: hourName(hour) }, 'what was superseded is removed from bronze');
  return { rows, collections, heldBy, held: reasons };
}

function limitFor(ns: Namespace, hour: Hour, { holds, ends }: Holds): { readonly hour: Hour; readonly reason: string | null } {
  let limit: { readonly hour: Hour; readonly reason: string | null } = { hour, reason: null };
  const own = holds.get(formatNamespace(ns));
  if (own !== undefined && own.hour < limit.hour) limit = own;
  for (const end of ends) if ((end.db === null || end.db === ns.db) && end.hour < limit.hour) limit = end;
  return limit;
}
