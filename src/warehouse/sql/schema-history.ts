/**
 * What is learnt of the documents of a collection: their shapes, read from bronze once per batch, and the versions that come of it.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { FieldPath } from '../../core/document-schema.ts';
import { pointerOf } from './columns.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog, Tables } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';

/** Batches `after < batch <= upTo`. */
export interface Batches {
  readonly after: number;
  readonly upTo: number;
}

/** The commonest shapes of the documents of some batches, with how many documents have each. */
export function selectShapes(dialect: Dialect, catalog: Catalog, tables: Tables, { after, upTo }: Batches, limit: number): Statement {
  return sql`
    SELECT shape, count(*) AS documents
    FROM (
      SELECT ${catalog.structure}(${text(dialect.valueAt('doc', '/fullDocument'))}) AS shape
      FROM ${tables.bronze} WHERE batch > ${after} AND batch <= ${upTo} AND key IS NOT NULL
    ) WHERE shape IS NOT NULL
    GROUP BY shape ORDER BY documents DESC LIMIT ${limit}`;
}

/** One row: for each field the digits before (`i0`, …) and after the point (`s0`, …), and 1 where a text has an exponent (`w0`, …). */
export function selectDecimalWidths(dialect: Dialect, tables: Tables, { after, upTo }: Batches, fields: readonly FieldPath[]): Statement {
  const widths = fields.map((path, i) => {
    const value = text(dialect.textAt('doc', pointerOf(['fullDocument', ...(path as readonly string[]), '$numberDecimal'])));
    const point = sql`POSITION('.' IN ${value})`;
    return sql`
      max(CASE WHEN ${point} > 0 THEN ${point} - 1 ELSE length(${value}) END) AS ${text(`i${i}`)},
      max(CASE WHEN ${point} > 0 THEN length(${value}) - ${point} ELSE 0 END) AS ${text(`s${i}`)},
      max(CASE WHEN ${value} LIKE '%E%' THEN 1 ELSE 0 END) AS ${text(`w${i}`)}`;
  });
  return sql`
    SELECT
      ${join(widths, ',\n')}
    FROM ${tables.bronze} WHERE batch > ${after} AND batch <= ${upTo}`;
}

/** A row of the history, as it is kept. */
export interface HistoryRow {
  readonly version: number;
  readonly hash: string;
  readonly documents: number;
  /** JSON: a list of `FieldRecord`. */
  readonly fields: string;
  /** JSON: a `ViewPlan`. */
  readonly plan: string;
  /** ISO 8601. */
  readonly valid_from: string;
  readonly updated_at: string;
}

export function selectHistory(catalog: Catalog, ns: Namespace): Statement {
  return sql`
    SELECT version, hash, documents, fields, plan, valid_from, updated_at
    FROM ${catalog.schemaHistory} WHERE collection = ${formatNamespace(ns)} ORDER BY version`;
}

export function selectNewestSchema(catalog: Catalog, ns: Namespace): Statement {
  return sql`
    SELECT version, hash, documents, fields, plan, valid_from, updated_at
    FROM ${catalog.schemaHistory} WHERE collection = ${formatNamespace(ns)} ORDER BY version DESC LIMIT 1`;
}

/** Only what of each collection's newest version its views need. */
export function selectPlans(catalog: Catalog): Statement {
  return sql`
    SELECT h.collection, h.plan FROM ${catalog.schemaHistory} h
    JOIN (SELECT collection, max(version) AS version FROM ${catalog.schemaHistory} GROUP BY collection) n
      ON n.collection = h.collection AND n.version = h.version`;
}

type Version = Pick<HistoryRow, 'version' | 'hash' | 'documents' | 'fields' | 'plan'>;

export function insertVersion(catalog: Catalog, ns: Namespace, row: Version): Statement {
  return sql`
    INSERT INTO ${catalog.schemaHistory} (collection, version, hash, documents, fields, plan, valid_from, updated_at)
    VALUES (${formatNamespace(ns)}, ${row.version}, ${row.hash}, ${row.documents}, ${row.fields}, ${row.plan}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)`;
}

/** More of the same: counts, and what the views make of them. */
export function updateVersion(catalog: Catalog, ns: Namespace, row: Version): Statement {
  return sql`
    UPDATE ${catalog.schemaHistory} SET documents = ${row.documents}, fields = ${row.fields}, plan = ${row.plan}, updated_at = CURRENT_TIMESTAMP
    WHERE collection = ${formatNamespace(ns)} AND version = ${row.version}`;
}

export function markLearnt(catalog: Catalog, ns: Namespace, batch: number): Statement {
  return sql`UPDATE ${catalog.registry} SET learnt_batch = ${batch} WHERE collection = ${formatNamespace(ns)}`;
}
