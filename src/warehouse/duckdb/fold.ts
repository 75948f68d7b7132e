/**
 * Bronze into silver in DuckDB: what `mergeRange` says in one MERGE, in steps that need little memory.
 *
 * DuckDB keeps the texts that an UPDATE writes in memory until the next checkpoint, beyond all that can be moved to disk, and
 * a checkpoint then writes the whole document column of every block of rows that has one of them. Deleted and inserted rows cost
 * neither. So a row whose document changes is put in the place of the former one; where only the state changes (a delete), its narrow
 * columns are updated and the document stays where it is. In between stands a temporary table without documents: they
 * go from bronze to silver directly.
 *
 * The keys of a range can be divided into parts, one after the other in one transaction: each needs so much less.
 */
import { columnValue, type UserColumn } from '../sql/columns.ts';
import { documentOf, EVENTS, FIRST_EVENT } from '../sql/collection.ts';
import type { Catalog, Tables } from '../sql/names.ts';
import { live, type Range } from '../sql/silver.ts';
import { join, sql, text, type Statement } from '../sql/statement.ts';
import { duckDbDialect as dialect } from './dialect.ts';

/** Of the connection, and gone with it. */
const MERGING = text('temp.sluice_merging');

export function foldInParts(catalog: Catalog, tables: Tables, range: Range, columns: readonly UserColumn[], parts: number): readonly Statement[] {
  return Array.from({ length: parts }, (_, part) => foldPart(catalog, tables, range, columns, { part, parts })).flat();
}

function foldPart(
  catalog: Catalog,
  tables: Tables,
  range: Range,
  columns: readonly UserColumn[],
  of: { readonly part: number; readonly parts: number },
): readonly Statement[] {
  // Silver is empty before the first batch. A start has this to do for each of a thousand collections.
  const former = range.after === 0 ? [] : [updateStates(tables), deleteReplaced(tables)];
  return [createStates(tables, range, of), ...former, insertReplaced(catalog, tables, range, columns), dropStates()];
}

function createStates(tables: Tables, range: Range, { part, parts }: { readonly part: number; readonly parts: number }): Statement {
  const hasDocument = text(`${dialect.typeAt('doc', '/fullDocument')} = 'OBJECT'`);
  const whose = parts === 1 ? text('') : sql` AND hash(key) % ${text(String(parts))} = ${text(String(part))}`;
  // Without a former row all of these are the new one's: a comparison with NULL is not true.
  const newer = (column: string): string => `CASE WHEN b.position <= s.position THEN s.${column} ELSE b.${column} END AS ${column}`;
  return sql`
    CREATE TEMPORARY TABLE ${MERGING} AS
    WITH states AS (
      SELECT
        key,
        max(position) AS position,
        max_by(operation, position) AS operation,
        max_by("at", position) AS "at",
        ${EVENTS} AS version_number,
        ${FIRST_EVENT} AS first_seen_at,
        max(CASE WHEN ${hasDocument} THEN position END) AS doc_position,
        max_by(rowid, CASE WHEN ${hasDocument} THEN position END) AS bronze_row
      FROM ${tables.bronze} WHERE ${live(range, '')}${whose}
      GROUP BY key
    )
    SELECT
      b.key,
      b.bronze_row,
      b.doc_position,
      s.rowid AS silver_row,
      s.rowid IS NULL OR coalesce(b.doc_position > coalesce(s.doc_position, ''), FALSE) AS is_replaced,
      ${text(['operation', 'position', '"at"'].map(newer).join(',\n'))},
      CASE WHEN b.position <= s.position THEN s.is_current ELSE b.operation <> 'delete' END AS is_current,
      CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END AS deleted_at,
      coalesce(s.version_number, 0) + b.version_number AS version_number,
      least(s.first_seen_at, b.first_seen_at) AS first_seen_at
    FROM states b LEFT JOIN ${tables.silver} s ON s.key = b.key`;
}

const STATE = ['operation', 'position', '"at"', 'is_current', 'deleted_at', 'version_number', 'first_seen_at'];

function updateStates(tables: Tables): Statement {
  return sql`
    UPDATE ${tables.silver} AS s SET
      ${text([...STATE.map((column) => `${column} = m.${column}`), 'loaded_at = CURRENT_TIMESTAMP'].join(',\n'))}
    FROM ${MERGING} AS m
    WHERE s.rowid = m.silver_row AND NOT m.is_replaced`;
}

function deleteReplaced(tables: Tables): Statement {
  return sql`
    DELETE FROM ${tables.silver}
    WHERE rowid IN (SELECT silver_row FROM ${MERGING} WHERE is_replaced AND silver_row IS NOT NULL)`;
}

function insertReplaced(catalog: Catalog, tables: Tables, range: Range, columns: readonly UserColumn[]): Statement {
  const own = columns.map((column) => text(dialect.identifier(column.name)));
  return sql`
    INSERT INTO ${tables.silver} (${[text('key, doc, doc_position'), text(STATE.join(', ')), text('loaded_at'), ...own]})
    SELECT
      key, doc, doc_position, ${text(STATE.join(', '))}, CURRENT_TIMESTAMP
      ${join(
        columns.map((column) => sql`, ${columnValue(dialect, catalog, column, 'doc')}`),
        '\n',
      )}
    FROM (
      SELECT m.*, ${documentOf(dialect, catalog, 'r.doc')} AS doc
      FROM ${MERGING} m LEFT JOIN (
        SELECT rowid AS bronze_row, doc FROM ${tables.bronze} WHERE batch > ${range.after} AND batch <= ${range.upTo}
      ) r ON r.bronze_row = m.bronze_row
      WHERE m.is_replaced
    )`;
}

function dropStates(): Statement {
  return sql`DROP TABLE ${MERGING}`;
}
