/**
 * The views for people: one column per field, typed; one view more per array, with a row per element.
 *
 * They only read silver, so that nothing is kept twice and a better plan is a new view. A cast that fails gives NULL; the
 * value stays in silver.
 */
import type { Dialect } from './dialect.ts';
import { pointerOf } from './columns.ts';
import type { Catalog, Tables } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';
import type { ChildPlan, ViewColumn, ViewPlan } from './view-plan.ts';

/** The current documents of a collection. */
export function createView(dialect: Dialect, catalog: Catalog, tables: Tables, plan: ViewPlan): Statement {
  const fields = plan.columns.map((column) => sql`${viewValue(dialect, catalog, column, 'doc')} AS ${text(dialect.identifier(column.name))}`);
  return sql`
    CREATE OR REPLACE VIEW ${tables.gold} AS
    SELECT
      ${join([text('key AS _key'), text('"at" AS _at'), text('version_number AS _version'), ...fields], ',\n')}
    FROM ${tables.silver} WHERE is_current`;
}

/** The elements of an array in the current documents. */
export function createChildView(dialect: Dialect, catalog: Catalog, tables: Tables, view: Statement, child: ChildPlan): Statement {
  const fields = child.columns.map((column) => sql`${viewValue(dialect, catalog, column, 'element')} AS ${text(dialect.identifier(column.name))}`);
  return sql`
    CREATE OR REPLACE VIEW ${view} AS
    SELECT
      ${join([text('key AS _key'), text('element_index AS _index'), ...fields], ',\n')}
    FROM (
      ${dialect.elements(tables.silver, pointerOf(child.path))}
    )`;
}

/** The column's value out of `document`, an expression that holds a document's JSON. */
export function viewValue(dialect: Dialect, catalog: Catalog, column: ViewColumn, document: string): Statement {
  const pointer = pointerOf(column.path);
  const value = column.path.length === 0 ? document : dialect.valueAt(document, pointer);
  if (column.type === 'JSON') return text(value);
  if (column.type === 'HEX') return text(`${catalog.uuidText.text}(${value})`);
  const cast = dialect.tryCast(`${catalog.scalar.text}(${value})`, column.type);
  return text(column.guarded ? `CASE WHEN ${dialect.typeAt(document, pointer)} <> 'VARCHAR' THEN ${cast} END` : cast);
}

/** One row with a number per column: current documents that have a value there which the view shows as NULL. */
export function countFailedCasts(dialect: Dialect, catalog: Catalog, tables: Tables, columns: readonly ViewColumn[]): Statement {
  const counts = columns.map((column, i) => {
    const there = text(`coalesce(${dialect.typeAt('doc', pointerOf(column.path))}, 'NULL') <> 'NULL'`);
    return sql`count(CASE WHEN ${there} AND ${viewValue(dialect, catalog, column, 'doc')} IS NULL THEN 1 END) AS ${text(`c${i}`)}`;
  });
  return sql`
    SELECT
      ${join(counts, ',\n')}
    FROM ${tables.silver} WHERE is_current`;
}

/** Names of views that hang on collections; a collection's own one has no field. */
export function selectViews(catalog: Catalog): Statement {
  return sql`SELECT name, collection, field FROM ${catalog.views}`;
}

export function insertView(catalog: Catalog, name: string, collection: string, field: string | null): Statement {
  return sql`INSERT INTO ${catalog.views} (name, collection, field) VALUES (${name}, ${collection}, ${field})`;
}
