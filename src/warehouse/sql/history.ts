/**
 * What bronze says of a collection's history, and its lines in order: for `sluice restore`.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Catalog, Tables } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';

const LINE = text('CAST(b.doc AS VARCHAR) AS line');

/** Events that begin or end a state; those of a database stand in a table of their own. */
export function selectMarks(tables: Tables): Statement {
  return sql`SELECT ${LINE} FROM ${tables.bronze} b WHERE b.operation IN ('create', 'drop', 'rename', 'dropDatabase')`;
}

/** Ends of the snapshots that are wholly loaded. */
export function selectSnapshotEnds(catalog: Catalog, tables: Tables, ns: Namespace): Statement {
  return sql`
    SELECT b.file, ${LINE}
    FROM ${tables.bronze} b JOIN ${catalog.baselines} s ON s.file = b.file AND s.position = b.position
    WHERE b.operation = 'snapshotEnd' AND s.collection = ${formatNamespace(ns)} AND s.cause = 'snapshot' AND s.files IS NULL`;
}

/** Rows of each file of a snapshot. */
export function countSnapshotRows(tables: Tables): Statement {
  return sql`SELECT b.file, count(*) AS "rows" FROM ${tables.bronze} b WHERE b.operation = 'snapshot' GROUP BY b.file`;
}

/** When it was ended by events that are not in these tables: renames of other collections to it, and what retention has taken from bronze. */
export function selectOtherEnds(catalog: Catalog, tables: readonly Tables[], ns: Namespace): Statement {
  const known = tables.map(({ bronze }) => sql`SELECT position FROM ${bronze} WHERE operation IN ('drop', 'rename', 'dropDatabase')`);
  return sql`
    SELECT s."at" FROM ${catalog.baselines} s
    LEFT JOIN (${join(known, ' UNION ')}) b ON b.position = s.position
    WHERE s.collection IN (${formatNamespace(ns)}, ${ns.db}) AND s.cause <> 'snapshot' AND b.position IS NULL`;
}

/** Of every pipeline. */
export function selectAllGaps(catalog: Catalog): Statement {
  return sql`SELECT from_at, to_at FROM ${catalog.gaps}`;
}

/** Up to when each collection is loaded and merged, of those that have rows or should have. */
export function selectComplete(catalog: Catalog): Statement {
  return sql`
    SELECT collection, complete_through, complete_through_i FROM ${catalog.registry}
    WHERE last_batch > 0 OR status IN ('PAUSED', 'ERROR')`;
}

export function countErased(catalog: Catalog, ns: Namespace): Statement {
  return sql`SELECT count(*) AS files FROM ${catalog.ledger} WHERE collection = ${formatNamespace(ns)} AND state = 'ERASED'`;
}

/** @param folder of the snapshot */
export function selectSnapshotLines(tables: Tables, folder: string): Statement {
  return sql`SELECT ${LINE} FROM ${tables.bronze} b WHERE b.operation = 'snapshot' AND position(${`${folder}/`} IN b.file) = 1`;
}

/** @param upTo inclusive */
export function selectEventLines(tables: Tables, after: string, upTo: Timestamp): Statement {
  return sql`
    SELECT ${LINE} FROM ${tables.bronze} b
    WHERE b.operation IN ('insert', 'update', 'replace', 'delete') AND b.position > ${after}
      AND (b.cluster_time_t < ${upTo.t} OR (b.cluster_time_t = ${upTo.t} AND b.cluster_time_i <= ${upTo.i}))
    ORDER BY b.position, b.file, b.row_number`;
}
