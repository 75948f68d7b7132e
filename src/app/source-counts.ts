/**
 * How many documents MongoDB has, noted in the registry beside what is loaded: asked now and then while the loader works, so that nobody
 * has to run `sluice discover` for it.
 *
 * Asked of MongoDB's own books, which costs next to nothing, and with a limit of time. It is no part of any promise: what goes
 * wrong is logged, and neither capture nor loading waits for it.
 */
import type { MongoClient } from 'mongodb';
import { hasPassed, type Clock } from '../core/clock.ts';
import { reasonOf } from '../core/error.ts';
import type { Namespace } from '../core/namespace.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import { inParallel } from '../pipeline/parallel.ts';

/** Questions to the server at one time. */
const COUNTS_AT_ONCE = 4;
/** New collections are counted soon, but not with every file that comes. */
const NEW_MS_MIN = 60_000;
const REFRESH_MS_MAX = 60_000;
const CONNECT_MS_MAX = 5_000;

export interface SourceCountsOptions {
  readonly uri: string;
  /** A collection is counted again after this time. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class SourceCounts {
  readonly #warehouse: Warehouse;
  readonly #options: SourceCountsOptions;
  readonly #everyMs: number;
  #triedAtMs = -Infinity;
  #underWay: Promise<void> | null = null;

  constructor(warehouse: Warehouse, options: SourceCountsOptions) {
    this.#warehouse = warehouse;
    this.#options = options;
    // One that costs money while it is awake is left asleep.
    this.#everyMs = Math.max(options.everyMs, warehouse.idleMarkMs);
  }

  /** The loader has had a round. Returns at once. @param loaded it brought something, so the warehouse is awake */
  onRound(loaded: boolean, signal: AbortSignal): void {
    const { clock } = this.#options;
    const dueMs = loaded ? Math.min(NEW_MS_MIN, this.#everyMs) : this.#everyMs;
    if (this.#underWay !== null || signal.aborted || !hasPassed(dueMs, this.#triedAtMs, clock.now())) return;
    this.#triedAtMs = clock.now();
    this.#underWay = this.#refresh(signal).finally(() => {
      this.#underWay = null;
    });
  }

  /** Resolves when nothing is being counted. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { uri, clock, log } = this.#options;
    try {
      const rows = await this.#warehouse.collections();
      const isDue = (countedAt: string | null): boolean => countedAt === null || hasPassed(this.#everyMs, Date.parse(countedAt), clock.now());
      const due = rows.filter((row) => row.namespace.coll !== null && isDue(row.sourceCountedAt)).map((row) => row.namespace);
      if (due.length === 0) return;
      const { withClient } = await import('../source/mongo/inspect.ts');
      const within = AbortSignal.any([signal, AbortSignal.timeout(REFRESH_MS_MAX)]);
      const options = { serverSelectionTimeoutMS: CONNECT_MS_MAX, connectTimeoutMS: CONNECT_MS_MAX };
      const counts = await withClient(uri, within, (client) => countAll(client, due, within), options);
      if (counts.length > 0 && !signal.aborted) await this.#warehouse.noteSourceCounts(counts);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ reason: reasonOf(error) }, 'the documents at the source could not be counted: `sluice collections` shows older numbers');
    }
  }
}

/** Those that could be counted. */
export async function countAll(
  client: MongoClient,
  namespaces: readonly Namespace[],
  signal: AbortSignal,
): Promise<{ readonly namespace: Namespace; readonly count: number }[]> {
  const { countDocuments } = await import('../source/mongo/sample.ts');
  const counts: { namespace: Namespace; count: number }[] = [];
  await inParallel(namespaces, COUNTS_AT_ONCE, async (namespace) => {
    signal.throwIfAborted();
    const count = await countDocuments(client, namespace);
    if (count !== null) counts.push({ namespace, count });
  });
  return counts;
}
