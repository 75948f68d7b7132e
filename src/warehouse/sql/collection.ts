/**
 * The objects of one collection: bronze table, silver table, history view, and the columns that the user named.
 */
import type { Namespace } from '../../core/namespace.ts';
import { formatNamespace } from '../../core/namespace.ts';
import { columnValue, type UserColumn } from './columns.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog, Tables } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';

/** Events that say something of a document; all others make no rows in silver. */
export const DOCUMENT_OPERATIONS = text("('insert', 'update', 'replace', 'delete', 'snapshot')");

/**
 * How many events a group of rows of bronze stands for, and the first of them: a row stands for those of its document as well that retention
 * has removed before it (sql/retention.ts).
 */
export const EVENTS = text('CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT)');
export const FIRST_EVENT = text('min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END)');

/** Brings a table of an older version up. */
export function upgradeBronze(tables: Tables): readonly Statement[] {
  // Version 5.
  return [
    sql`ALTER TABLE ${tables.bronze} ADD COLUMN IF NOT EXISTS removed_before BIGINT`,
    sql`ALTER TABLE ${tables.bronze} ADD COLUMN IF NOT EXISTS removed_since TIMESTAMPTZ`,
  ];
}

/** Makes the tables of a collection, if they are not there. A database's own events have no silver. */
export function createTables(dialect: Dialect, tables: Tables, ns: Namespace): readonly Statement[] {
  const document = text(dialect.documentColumn);
  const bronze = sql`
    CREATE TABLE IF NOT EXISTS ${tables.bronze} (
      file VARCHAR NOT NULL,
      row_number BIGINT NOT NULL,
      position VARCHAR NOT NULL,
      operation VARCHAR NOT NULL,
      "at" TIMESTAMPTZ NOT NULL,
      cluster_time_t BIGINT NOT NULL,
      cluster_time_i BIGINT NOT NULL,
      key VARCHAR,
      doc ${document} NOT NULL,
      year SMALLINT NOT NULL,
      month SMALLINT NOT NULL,
      day SMALLINT NOT NULL,
      hour SMALLINT NOT NULL,
      batch BIGINT NOT NULL,
      removed_before BIGINT,
      removed_since TIMESTAMPTZ
    )`;
  if (ns.coll === null) return [bronze];
  const silver = sql`
    CREATE TABLE IF NOT EXISTS ${tables.silver} (
      key VARCHAR NOT NULL,
      doc ${document},
      doc_position VARCHAR,
      operation VARCHAR NOT NULL,
      position VARCHAR NOT NULL,
      "at" TIMESTAMPTZ NOT NULL,
      version_number BIGINT NOT NULL,
      is_current BOOLEAN NOT NULL,
      deleted_at TIMESTAMPTZ,
      first_seen_at TIMESTAMPTZ NOT NULL,
      loaded_at TIMESTAMPTZ NOT NULL
    )`;
  return [bronze, silver];
}

/**
 * Every version of every document. A version ends with the next one, with a delete, with a drop or rename that took
 * the whole collection, or with a snapshot that has not brought it. What had ended when retention's horizon passed is not told: of that
 * bronze has only some. `doc` is NULL where the server had none left to give (an update that a delete overtook).
 */
export function createHistory(dialect: Dialect, catalog: Catalog, tables: Tables, ns: Namespace): Statement {
  return sql`
    CREATE OR REPLACE VIEW ${tables.history} AS
    WITH ends AS (
      SELECT position, "at" FROM ${catalog.baselines}
      WHERE collection IN (${text(dialect.string(formatNamespace(ns)))}, ${text(dialect.string(ns.db))}) AND cause <> 'snapshot'
    ), snapshots AS (
      SELECT position, "at" FROM ${catalog.baselines}
      WHERE collection = ${text(dialect.string(formatNamespace(ns)))} AND cause = 'snapshot' AND files IS NULL
    ), versions AS (
      SELECT
        r.key, r.doc AS line, r.operation, r.position, r."at", r.removed_before,
        e.position AS end_position, e."at" AS end_at, n."at" AS snapshot_at
      FROM ${tables.bronze} r
        ${text(dialect.nextJoin)} ends e ON e.position > r.position
        ${text(dialect.nextJoin)} snapshots n ON n.position > r.position
      WHERE r.key IS NOT NULL AND r.operation IN ${DOCUMENT_OPERATIONS}${text(dialect.nextOnly('r.file, r.row_number', 'e.position, n.position'))}
    ), followed AS (
      SELECT
        *,
        CAST(sum(1 + coalesce(removed_before, 0)) OVER (PARTITION BY key, end_position ORDER BY position ROWS UNBOUNDED PRECEDING) AS BIGINT) AS version_number,
        coalesce(lead("at") OVER (PARTITION BY key, end_position ORDER BY position), end_at) AS next_at
      FROM versions
    ), numbered AS (
      SELECT *, CASE WHEN next_at IS NULL OR snapshot_at < next_at THEN snapshot_at ELSE next_at END AS valid_to
      FROM followed
    )
    SELECT
      key,
      CASE WHEN ${text(dialect.typeAt('line', '/fullDocument'))} = 'OBJECT' THEN ${documentOf(dialect, catalog, 'line')} END AS doc,
      operation,
      position,
      "at",
      version_number,
      "at" AS valid_from,
      valid_to
    FROM numbered
    WHERE operation <> 'delete'
      AND coalesce(valid_to > (SELECT g.bronze_from FROM ${catalog.registry} g WHERE g.collection = ${text(dialect.string(formatNamespace(ns)))}), TRUE)`;
}

/** The document of a line, digit for digit. */
export function documentOf(dialect: Dialect, catalog: Catalog, line: string): Statement {
  return text(dialect.asDocument(`${catalog.member.text}(CAST(${line} AS VARCHAR), 'fullDocument')`));
}

export function dropColumn(dialect: Dialect, tables: Tables, name: string): Statement {
  return sql`ALTER TABLE ${tables.silver} DROP COLUMN IF EXISTS ${text(dialect.identifier(name))}`;
}

/** Adds columns and fills them from the documents that are there. The comment comes last: it says that the column is filled. */
export function addColumns(dialect: Dialect, catalog: Catalog, tables: Tables, columns: readonly UserColumn[]): readonly Statement[] {
  const name = (column: UserColumn): Statement => text(dialect.identifier(column.name));
  return [
    ...columns.map((column) => sql`ALTER TABLE ${tables.silver} ADD COLUMN ${name(column)} ${text(dialect.columnType(column.type))}`),
    sql`
      UPDATE ${tables.silver} SET
        ${join(
          columns.map((column) => sql`${name(column)} = ${columnValue(dialect, catalog, column, 'doc')}`),
          ',\n',
        )}
      WHERE doc IS NOT NULL`,
    ...columns.map((column) => sql`COMMENT ON COLUMN ${tables.silver}.${name(column)} IS ${text(dialect.string(column.definition))}`),
  ];
}
