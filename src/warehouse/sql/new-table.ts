/**
 * Statements that make a table of documents as they were, for `sluice restore`: the key, the document, and the columns that the collection
 * has in silver (the user's own) and in gold (learnt), stored.
 *
 * The names are those of gold, `_key` and `_doc`: a field may well be called `key`.
 */
import { documentOf } from './collection.ts';
import { columnValue, type UserColumn } from './columns.ts';
import type { Dialect } from './dialect.ts';
import { viewValue } from './gold.ts';
import type { Catalog } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';
import { VIEW_COLUMNS, type ViewColumn } from './view-plan.ts';

/** A column beside key and document: its type as it is declared, and its value out of `doc`. */
export interface TypedColumn {
  readonly name: string;
  readonly type: string;
  readonly value: Statement;
}

const KEY = '_key';
const DOCUMENT = '_doc';

/** The user's own, then those of gold; of two that have one name the first stays, and the document holds both. */
export function typedColumns(dialect: Dialect, catalog: Catalog, own: readonly UserColumn[], learnt: readonly ViewColumn[]): readonly TypedColumn[] {
  const all: readonly TypedColumn[] = [
    ...own.map((column) => ({
      name: column.name,
      type: dialect.columnType(column.type),
      value: columnValue(dialect, catalog, column, 'doc'),
    })),
    ...learnt.map((column) => ({ name: column.name, type: typeOf(dialect, column), value: viewValue(dialect, catalog, column, 'doc') })),
  ];
  const taken = new Set([...VIEW_COLUMNS, DOCUMENT].map((name) => name.toLowerCase()));
  return all.filter(({ name }) => {
    const isFree = !taken.has(name.toLowerCase());
    taken.add(name.toLowerCase());
    return isFree;
  });
}

function typeOf(dialect: Dialect, { type }: ViewColumn): string {
  if (type === 'JSON') return dialect.documentColumn;
  return dialect.columnType(type === 'HEX' ? 'VARCHAR' : type);
}

/** Tables and views of that name, whatever their case. */
export function countTables(schema: string, name: string): Statement {
  const among = (kind: string): Statement =>
    sql`SELECT 1 AS one FROM information_schema.${text(kind)} WHERE lower(table_schema) = lower(${schema}) AND lower(table_name) = lower(${name})`;
  return sql`SELECT count(*) AS tables FROM (${among('tables')} UNION ALL ${among('views')})`;
}

export function countSchemas(schema: string): Statement {
  return sql`SELECT count(*) AS schemas FROM information_schema.schemata WHERE lower(schema_name) = lower(${schema})`;
}

export function createSchemaOf(dialect: Dialect, schema: string): Statement {
  return sql`CREATE SCHEMA IF NOT EXISTS ${text(dialect.identifier(schema))}`;
}

export function dropTable(table: Statement): Statement {
  return sql`DROP TABLE IF EXISTS ${table}`;
}

export function createTable(dialect: Dialect, table: Statement, columns: readonly TypedColumn[]): Statement {
  const declared = [
    text(`${KEY} VARCHAR NOT NULL`),
    text(`${DOCUMENT} ${dialect.documentColumn} NOT NULL`),
    ...columns.map(({ name, type }) => text(`${dialect.identifier(name)} ${type}`)),
  ];
  return sql`
    CREATE TABLE ${table} (
      ${join(declared, ',\n')}
    )`;
}

/** @param lines rows with a `line` each: `documentKey` and `fullDocument`, behind another member */
export function insertDocuments(dialect: Dialect, catalog: Catalog, table: Statement, columns: readonly TypedColumn[], lines: Statement): Statement {
  const names = [KEY, DOCUMENT, ...columns.map(({ name }) => dialect.identifier(name))];
  return sql`
    INSERT INTO ${table} (${text(names.join(', '))})
    SELECT
      ${join([text('key'), text('doc'), ...columns.map(({ value }) => value)], ',\n')}
    FROM (
      SELECT ${catalog.documentKey}(CAST(line AS VARCHAR)) AS key, ${documentOf(dialect, catalog, 'line')} AS doc
      FROM (
        ${lines}
      )
    )`;
}

export function countRows(table: Statement): Statement {
  return sql`SELECT count(*) AS "rows" FROM ${table}`;
}

export function commentOn(dialect: Dialect, table: Statement, comment: string): Statement {
  return sql`COMMENT ON TABLE ${table} IS ${text(dialect.string(comment))}`;
}

export function renameTable(table: Statement, to: Statement): Statement {
  return sql`ALTER TABLE ${table} RENAME TO ${to}`;
}
