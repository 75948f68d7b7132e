/**
 * Statements that take documents out of bronze and silver, and let the file that an erasure has written stand for the one that it
 * has replaced.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Catalog, Tables } from './names.ts';
import { sql, text, type Statement } from './statement.ts';

function among(values: readonly string[]): Statement {
  return sql`(${values.map((value) => sql`${value}`)})`;
}

/** Keys of documents that bronze speaks of before a moment. */
export function selectKeys(tables: Tables, before: Timestamp): Statement {
  return sql`SELECT DISTINCT key FROM ${tables.bronze} WHERE key IS NOT NULL AND cluster_time_t < ${before.t}`;
}

export function countRowsOf(tables: Tables, keys: readonly string[], before: Timestamp): Statement {
  return sql`SELECT count(*) AS "rows" FROM ${tables.bronze} WHERE key IN ${among(keys)} AND cluster_time_t < ${before.t}`;
}

export function deleteRowsOf(tables: Tables, keys: readonly string[], before: Timestamp): Statement {
  return sql`DELETE FROM ${tables.bronze} WHERE key IN ${among(keys)} AND cluster_time_t < ${before.t}`;
}

/** How many rows of each file go with {@link deleteRowsOf}, before they do. */
export function noteErased(catalog: Catalog, tables: Tables, keys: readonly string[], before: Timestamp): Statement {
  return sql`
    UPDATE ${catalog.ledger} SET erased_rows = coalesce(erased_rows, 0) + c.erasing
    FROM (
      SELECT file AS of_file, count(*) AS erasing FROM ${tables.bronze}
      WHERE key IN ${among(keys)} AND cluster_time_t < ${before.t} GROUP BY file
    ) AS c
    WHERE path = c.of_file`;
}

/** Files with such rows of which retention has left only some. */
export function selectLeftFiles(catalog: Catalog, tables: Tables, keys: readonly string[], before: Timestamp): Statement {
  return sql`
    SELECT path FROM ${catalog.ledger} WHERE left_rows IS NOT NULL AND path IN (
      SELECT file FROM ${tables.bronze} WHERE key IN ${among(keys)} AND cluster_time_t < ${before.t}
    )`;
}

export function deleteDocuments(tables: Tables, keys: readonly string[]): Statement {
  return sql`DELETE FROM ${tables.silver} WHERE key IN ${among(keys)}`;
}

/** What the registry counts. */
export function addToRegistry(catalog: Catalog, ns: Namespace, rows: number, bytes: number): Statement {
  return sql`UPDATE ${catalog.registry} SET "rows" = "rows" + ${rows}, bytes = bytes + ${bytes} WHERE collection = ${formatNamespace(ns)}`;
}

export function selectLedger(catalog: Catalog, paths: readonly string[]): Statement {
  return sql`SELECT path, state, bytes, batch, left_rows FROM ${catalog.ledger} WHERE path IN ${among(paths)}`;
}

export function deleteLedger(catalog: Catalog, paths: readonly string[]): Statement {
  return sql`DELETE FROM ${catalog.ledger} WHERE path IN ${among(paths)}`;
}

/** Files of which nothing may be loaded any more: `by` holds what is left of them. */
export function insertErased(catalog: Catalog, ns: Namespace, paths: readonly string[], by: string): Statement {
  const rows = paths.map((path) => sql`(${path}, ${formatNamespace(ns)}, 'ERASED', ${by})`);
  return sql`INSERT INTO ${catalog.ledger} (path, collection, state, superseded_by) VALUES ${rows}`;
}

/** The rows of some files, one after the other, become those of `to`, as if they had been loaded in one batch. */
export function moveRows(tables: Tables, from: readonly string[], to: string, batch: number): Statement {
  const order = from.map((path, at) => sql`WHEN ${path} THEN ${text(String(at))}`);
  const whens = sql`${order.reduce((all, one) => sql`${all} ${one}`, text(''))}`;
  // DuckDB counts the binds of FROM before those of SET: all of them are in the one place.
  return sql`
    UPDATE ${tables.bronze} SET file = n.new_file, row_number = n.number, batch = n.new_batch
    FROM (
      SELECT CAST(${to} AS VARCHAR) AS new_file, CAST(${batch} AS BIGINT) AS new_batch, file AS old_file, row_number AS old_number, row_number() OVER (ORDER BY CASE file${whens} END, row_number) AS number
      FROM ${tables.bronze} WHERE file IN ${among(from)}
    ) AS n
    WHERE file = n.old_file AND row_number = n.old_number`;
}

export function moveBaselines(catalog: Catalog, from: readonly string[], to: string): Statement {
  return sql`UPDATE ${catalog.baselines} SET file = ${to} WHERE file IN ${among(from)}`;
}

export function countRowsIn(tables: Tables, path: string): Statement {
  return sql`SELECT count(*) AS "rows" FROM ${tables.bronze} WHERE file = ${path}`;
}
