/**
 * Statements on the registry of collections and on the list of files that could not be loaded.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { CollectionStatus } from '../../core/warehouse.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Catalog } from './names.ts';
import { sql, text, type Statement } from './statement.ts';

/** A row of {@link selectEntry}: what load and merge must know of a collection. */
export interface Entry {
  readonly collection: string;
  readonly db: string;
  readonly coll: string | null;
  readonly table_name: string;
  /** Newest batch with rows of it; 0: there are no tables yet. */
  readonly last_batch: number;
  /** Newest batch that silver holds. */
  readonly merged_batch: number;
  /** Newest batch whose documents the schema knows. */
  readonly learnt_batch: number;
  /** Baseline that silver stands on; `''`: none. */
  readonly baseline_applied: string;
  /** Highest baseline that is known; `''`: none. Snapshots take nothing, and are none here. */
  readonly baseline: string;
  /** ISO 8601 or `null`. */
  readonly complete_through: string | null;
  /** Retention has removed what was superseded before that hour; ISO 8601, `null`: nothing yet. */
  readonly bronze_from: string | null;
}

function entries(catalog: Catalog, baseline: Statement): Statement {
  return sql`
    SELECT
      r.collection, r.db, r.coll, r.table_name, r.last_batch, r.merged_batch, coalesce(r.learnt_batch, 0) AS learnt_batch, r.baseline_applied, r.complete_through, r.bronze_from,
      ${baseline} AS baseline
    FROM ${catalog.registry} r`;
}

/** Asked for in every transaction: nothing in it depends on the row, which would be planned as a join. */
export function selectEntry(catalog: Catalog, ns: Namespace): Statement {
  const baseline = sql`SELECT max(b.position) FROM ${catalog.baselines} b WHERE b.collection IN (${formatNamespace(ns)}, ${ns.db}) AND b.cause <> 'snapshot'`;
  return sql`${entries(catalog, sql`coalesce((${baseline}), '')`)} WHERE r.collection = ${formatNamespace(ns)}`;
}

export function selectEntries(catalog: Catalog): Statement {
  // Two subqueries, each with one equation: Snowflake cannot take one with OR apart.
  const highest = (owner: string): Statement =>
    sql`coalesce((SELECT max(b.position) FROM ${catalog.baselines} b WHERE b.collection = r.${text(owner)} AND b.cause <> 'snapshot'), '')`;
  return sql`${entries(catalog, sql`greatest(${highest('collection')}, ${highest('db')})`)} ORDER BY r.collection`;
}

/** Something of it waits for the merge: rows, or a baseline (a dropDatabase comes without rows of its own). */
export function isUnmerged(entry: Entry): boolean {
  return (
    entry.coll !== null &&
    entry.last_batch > 0 &&
    (entry.last_batch > entry.merged_batch || entry.baseline > entry.baseline_applied || mustRebuild(entry))
  );
}

/** Stands where a baseline was applied, and above all of them: silver was folded by other rules. */
const TO_REBUILD = 'rebuild';

export function mustRebuild(entry: Entry): boolean {
  return entry.baseline_applied === TO_REBUILD;
}

/** Before version 4 a snapshot took from silver what it had not brought. */
export function rebuildOlder(catalog: Catalog): Statement {
  return sql`
    UPDATE ${catalog.registry} SET baseline_applied = ${TO_REBUILD}
    WHERE baseline_applied IN (SELECT position FROM ${catalog.baselines} WHERE cause = 'snapshot')`;
}

export function insertEntry(catalog: Catalog, ns: Namespace, stem: string): Statement {
  return sql`
    INSERT INTO ${catalog.registry}
      (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
    VALUES (${formatNamespace(ns)}, ${ns.db}, ${ns.coll}, ${stem}, 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '')`;
}

/** What a transaction of the loader adds to a collection. */
export interface LoadedSum {
  readonly rows: number;
  readonly bytes: number;
  readonly lastAt: Timestamp | null;
}

/** @param batch `null` when no rows came */
export function addLoaded(catalog: Catalog, ns: Namespace, sum: LoadedSum, batch: number | null): Statement {
  const last = sql`CAST(${isoOf(sum.lastAt)} AS TIMESTAMPTZ)`;
  return sql`
    UPDATE ${catalog.registry} SET
      status = CASE WHEN status = 'DISCOVERED' THEN 'ACTIVE' ELSE status END,
      "rows" = "rows" + ${sum.rows},
      bytes = bytes + ${sum.bytes},
      last_event_at = CASE WHEN last_event_at > ${last} THEN last_event_at ELSE coalesce(${last}, last_event_at) END,
      last_load_at = CURRENT_TIMESTAMP,
      last_batch = coalesce(${batch}, last_batch)
    WHERE collection = ${formatNamespace(ns)}`;
}

/** Cluster time as ISO 8601; its ordinal is left out. */
export function isoOf(at: Timestamp | null): string | null {
  return at === null ? null : new Date(at.t * 1000).toISOString();
}

export function markMerged(catalog: Catalog, ns: Namespace, batch: number, baseline: string): Statement {
  return sql`
    UPDATE ${catalog.registry} SET merged_batch = ${batch}, baseline_applied = ${baseline}
    WHERE collection = ${formatNamespace(ns)}`;
}

/** Marks that one statement moves. */
export const MARKS_MAX = 500;

/** Moves forward only; at least one, and at most {@link MARKS_MAX}. */
export function markCompleteThrough(catalog: Catalog, marks: readonly { readonly namespace: Namespace; readonly through: Timestamp }[]): Statement {
  const rows = marks.map(({ namespace, through }) => sql`(${formatNamespace(namespace)}, ${isoOf(through)}, ${through.i})`);
  return sql`
    UPDATE ${catalog.registry} SET complete_through = m.through, complete_through_i = m.ordinal
    FROM (
      SELECT CAST(name AS VARCHAR) AS name, CAST(through AS TIMESTAMPTZ) AS through, CAST(ordinal AS BIGINT) AS ordinal
      FROM (VALUES ${rows}) AS given (name, through, ordinal)
    ) AS m
    WHERE collection = m.name AND (
      complete_through IS NULL OR complete_through < m.through OR (complete_through = m.through AND complete_through_i < m.ordinal)
    )`;
}

/** @param from only when it is in one of these */
export function updateStatus(
  catalog: Catalog,
  ns: Namespace,
  status: CollectionStatus,
  reason: string | null,
  from: readonly CollectionStatus[] = ['DISCOVERED', 'ACTIVE', 'PAUSED', 'ERROR'],
): Statement {
  return sql`
    UPDATE ${catalog.registry} SET status = ${status}, reason = ${reason}
    WHERE collection = ${formatNamespace(ns)} AND status IN (${from.map((one) => sql`${one}`)})`;
}

/** A file was refused: the collection is in ERROR, unless somebody has paused it. */
export function recordFailure(catalog: Catalog, ns: Namespace, path: string, reason: string): readonly Statement[] {
  const collection = formatNamespace(ns);
  return [
    sql`DELETE FROM ${catalog.errors} WHERE path = ${path}`,
    sql`INSERT INTO ${catalog.errors} (path, collection, reason, failed_at) VALUES (${path}, ${collection}, ${reason}, CURRENT_TIMESTAMP)`,
    sql`UPDATE ${catalog.registry} SET status = 'ERROR', reason = ${reason} WHERE collection = ${collection} AND status <> 'PAUSED'`,
  ];
}

/** Files that were refused before and are settled now: the collection leaves ERROR with the last of them. */
export function clearFailures(
  catalog: Catalog,
  ns: Namespace,
  paths: readonly string[],
): { readonly cleared: Statement; readonly recover: Statement } {
  const collection = formatNamespace(ns);
  return {
    cleared: sql`DELETE FROM ${catalog.errors} WHERE path IN (${paths.map((path) => sql`${path}`)})`,
    recover: sql`
      UPDATE ${catalog.registry} SET status = 'ACTIVE', reason = NULL
      WHERE collection = ${collection} AND status = 'ERROR' AND NOT EXISTS (SELECT 1 FROM ${catalog.errors} WHERE collection = ${collection})`,
  };
}

/** Under the names that `CollectionRow` has. */
export function selectCollections(catalog: Catalog): Statement {
  return sql`
    SELECT
      db, coll, status, reason, "rows", bytes, source_count AS "sourceCount", source_counted_at AS "sourceCountedAt", first_seen_at AS "firstSeenAt",
      last_event_at AS "lastEventAt", last_load_at AS "lastLoadAt", complete_through AS "completeThrough"
    FROM ${catalog.registry} ORDER BY collection`;
}

export function updateSourceCount(catalog: Catalog, ns: Namespace, count: number): Statement {
  return sql`UPDATE ${catalog.registry} SET source_count = ${count}, source_counted_at = CURRENT_TIMESTAMP WHERE collection = ${formatNamespace(ns)}`;
}

export function selectStems(catalog: Catalog): Statement {
  return sql`SELECT collection, table_name FROM ${catalog.registry}`;
}

/** Which of some paths the ledger knows, in whatever state. */
export function selectKnown(catalog: Catalog, paths: readonly string[]): Statement {
  return sql`SELECT path, state FROM ${catalog.ledger} WHERE path IN (${paths.length === 0 ? text('NULL') : paths.map((path) => sql`${path}`)})`;
}
