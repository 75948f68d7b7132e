/**
 * Statements that take superseded rows out of bronze, up to an hour.
 *
 * What the state at that hour stands on stays: of each document the newest row before it, and the newest that brought a document. So silver can
 * be folded anew, and every moment from that hour on be asked for (docs/adr/0023-retention-of-bronze.md). A row that goes is counted by the next
 * one of its document that stays; what a baseline of before the hour has ended is counted nowhere, as no fold counts it.
 *
 * Invariant: which rows go is said once, in a table that is empty between transactions, and every other statement goes by it.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { DOCUMENT_OPERATIONS } from './collection.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog, Tables } from './names.ts';
import { sumOfLines } from './proof.ts';
import { sql, text, type Statement } from './statement.ts';

/** Seconds of cluster time. Below `from` nothing is superseded any more. */
export interface Span {
  readonly from: number;
  readonly before: number;
}

export interface RetentionOf {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
  readonly tables: Tables;
  readonly deletes: 'soft' | 'hard';
}

/** Hours with rows, oldest first. */
export function selectHours(tables: Tables, { from, before }: Span): Statement {
  return sql`
    SELECT CAST(floor(cluster_time_t / 3600) AS BIGINT) AS hour, count(*) AS "rows"
    FROM ${tables.bronze} WHERE cluster_time_t >= ${from} AND cluster_time_t < ${before}
    GROUP BY 1 ORDER BY 1`;
}

/** Position of the last drop, rename or dropDatabase before that time; `''`: there was none. */
export function selectEnded(catalog: Catalog, ns: Namespace, before: string): Statement {
  return sql`
    SELECT coalesce(max(position), '') AS position FROM ${catalog.baselines}
    WHERE collection IN (${formatNamespace(ns)}, ${ns.db}) AND cause <> 'snapshot' AND "at" < CAST(${before} AS TIMESTAMPTZ)`;
}

/**
 * Rows that may go: those of documents that have changed in the span, and all that has ended. With hard deletes, documents whose last event before
 * it is a delete, and that silver has purged, go whole.
 * @param ended what {@link selectEnded} gives
 */
export function selectSuperseded({ dialect, tables, deletes }: RetentionOf, { from, before }: Span, ended: string): Statement {
  const purged =
    deletes === 'hard' ? sql`OR (r.newest_operation = 'delete' AND NOT EXISTS (SELECT 1 FROM ${tables.silver} s WHERE s.key = r.key))` : text('');
  return sql`
    SELECT
      r.file, r.row_number, r.key,
      CASE WHEN r.position <= ${ended} THEN NULL WHEN r.position < r.newest_document THEN r.newest_document ELSE r.newest END AS counted_by,
      1 + coalesce(r.removed_before, 0) AS events,
      CASE WHEN r.removed_since < r."at" THEN r.removed_since ELSE r."at" END AS first_at
    FROM (
      SELECT
        o.*,
        max(o.position) OVER (PARTITION BY o.key) AS newest,
        max(o.document_position) OVER (PARTITION BY o.key) AS newest_document,
        first_value(o.operation) OVER (PARTITION BY o.key ORDER BY o.position DESC) AS newest_operation
      FROM (
        SELECT
          b.file, b.row_number, b.key, b.position, b.operation, b."at", b.removed_before, b.removed_since,
          CASE WHEN b.position > ${ended} AND ${text(dialect.typeAt('b.doc', '/fullDocument'))} = 'OBJECT' THEN b.position END AS document_position
        FROM ${tables.bronze} b
        WHERE b.cluster_time_t < ${before} AND b.key IS NOT NULL AND b.operation IN ${DOCUMENT_OPERATIONS} AND (
          b.position <= ${ended} OR b.key IN (
            SELECT t.key FROM ${tables.bronze} t WHERE t.cluster_time_t >= ${from} AND t.cluster_time_t < ${before}
          )
        )
      ) o
    ) r
    WHERE r.position <= ${ended} OR (r.position <> r.newest AND r.position <> coalesce(r.newest_document, '')) ${purged}`;
}

export function countSuperseded(of: RetentionOf, span: Span, ended: string): Statement {
  return sql`
    SELECT count(*) AS "rows" FROM (
      ${selectSuperseded(of, span, ended)}
    ) g`;
}

export function clearSuperseded(catalog: Catalog): Statement {
  return sql`DELETE FROM ${catalog.superseded}`;
}

export function insertSuperseded(of: RetentionOf, span: Span, ended: string): Statement {
  return sql`
    INSERT INTO ${of.catalog.superseded} (file, row_number, key, counted_by, events, first_at)
    ${selectSuperseded(of, span, ended)}`;
}

/** A file of which bronze has not what it should have: what is left of it must not be taken for right. */
export function selectNotWhole(catalog: Catalog, tables: Tables): Statement {
  return sql`
    SELECT c.file AS path, c."rows" AS found, coalesce(l.left_rows, l."rows" - coalesce(l.erased_rows, 0)) AS expected
    FROM (
      SELECT b.file, count(*) AS "rows" FROM ${tables.bronze} b
      WHERE b.file IN (SELECT file FROM ${catalog.superseded}) GROUP BY b.file
    ) c LEFT JOIN ${catalog.ledger} l ON l.path = c.file
    WHERE c."rows" IS DISTINCT FROM coalesce(l.left_rows, l."rows" - coalesce(l.erased_rows, 0))
    ORDER BY 1 LIMIT 1`;
}

/** What is left of each file, and what it was. */
export function updateFiles({ dialect, catalog, tables }: RetentionOf): Statement {
  return sql`
    UPDATE ${catalog.ledger} SET
      left_rows = c.staying, left_lines = c.lines_left, whole_lines = CASE WHEN left_rows IS NULL THEN c.lines_whole ELSE whole_lines END
    FROM (
      SELECT
        b.file AS of_file,
        count(CASE WHEN s.file IS NULL THEN 1 END) AS staying,
        ${sumOfLines(dialect, 's.file IS NULL')} AS lines_left,
        ${sumOfLines(dialect)} AS lines_whole
      FROM ${tables.bronze} b LEFT JOIN ${catalog.superseded} s ON s.file = b.file AND s.row_number = b.row_number
      WHERE b.file IN (SELECT file FROM ${catalog.superseded})
      GROUP BY b.file
    ) AS c
    WHERE path = c.of_file`;
}

/** Says anew what is left of files, after an erasure. */
export function updateLeft({ dialect, catalog, tables }: Pick<RetentionOf, 'dialect' | 'catalog' | 'tables'>, paths: readonly string[]): Statement {
  return sql`
    UPDATE ${catalog.ledger} SET left_rows = c.staying, left_lines = c.lines_left
    FROM (
      SELECT p.path AS of_file, count(b.file) AS staying, ${sumOfLines(dialect, 'b.file IS NOT NULL')} AS lines_left
      FROM ${catalog.ledger} p LEFT JOIN ${tables.bronze} b ON b.file = p.path
      WHERE p.path IN (${paths.map((path) => sql`${path}`)}) GROUP BY p.path
    ) AS c
    WHERE path = c.of_file`;
}

/** The rows that stay count those that go. */
export function countRemoved(catalog: Catalog, tables: Tables, { before }: Span): Statement {
  return sql`
    UPDATE ${tables.bronze} SET
      removed_before = coalesce(removed_before, 0) + c.removed,
      removed_since = CASE WHEN removed_since < c.since THEN removed_since ELSE c.since END
    FROM (
      SELECT key AS of_key, counted_by, sum(events) AS removed, min(first_at) AS since, CAST(${before} AS BIGINT) AS ends
      FROM ${catalog.superseded} WHERE counted_by IS NOT NULL GROUP BY key, counted_by
    ) AS c
    WHERE key = c.of_key AND position = c.counted_by AND cluster_time_t < c.ends`;
}

export function deleteSuperseded(catalog: Catalog, tables: Tables): Statement {
  return sql`
    DELETE FROM ${tables.bronze}
    WHERE (file, row_number) IN (SELECT file, row_number FROM ${catalog.superseded})`;
}

export function recordRetention(catalog: Catalog, ns: Namespace, before: string, rows: number): Statement {
  return sql`
    UPDATE ${catalog.registry} SET
      bronze_from = CAST(${before} AS TIMESTAMPTZ), bronze_removed = coalesce(bronze_removed, 0) + ${rows}, bronze_removed_at = CURRENT_TIMESTAMP,
      "rows" = "rows" - ${rows}
    WHERE collection = ${formatNamespace(ns)}`;
}
