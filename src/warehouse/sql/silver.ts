/**
 * Statements that fold bronze into silver: one row per key.
 *
 * Files come in any order, so every field moves by a rule of its own that does not depend on order: the state follows
 * the highest position, the document the highest position that brought one, the count grows by every row, the first
 * sight is the least. A delete that finds no row leaves a tombstone, so that an older insert cannot rise again.
 * A baseline (drop, rename, dropDatabase) takes everything below it, loaded already or loaded later. A complete snapshot takes
 * nothing: what it has not brought ends as deleted. Each batch of bronze is folded once: the mark is moved in the same transaction.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { columnValue, type UserColumn } from './columns.ts';
import type { Dialect } from './dialect.ts';
import { DOCUMENT_OPERATIONS, documentOf, EVENTS, FIRST_EVENT } from './collection.ts';
import type { Catalog, Tables } from './names.ts';
import { join, sql, text, type Statement } from './statement.ts';

/** Batches `after < batch <= upTo` of a collection that stands on `baseline`. */
export interface Range {
  readonly after: number;
  readonly upTo: number;
  /** `''`: none. */
  readonly baseline: string;
  /** Of these documents alone; left out: of all. */
  readonly keys?: readonly string[];
}

/** Rows of bronze that say something of a document which no baseline has taken. */
export function live(range: Range, alias: string): Statement {
  const column = (name: string): Statement => text(`${alias}${name}`);
  return sql`${column('batch')} > ${range.after} AND ${column('batch')} <= ${range.upTo}
  AND ${column('key')} IS NOT NULL AND ${column('operation')} IN ${DOCUMENT_OPERATIONS}
  AND ${column('position')} > ${range.baseline}${ofKeys(column('key'), range.keys)}`;
}

function ofKeys(key: Statement, keys: readonly string[] | undefined): Statement {
  return keys === undefined ? text('') : sql` AND ${key} IN (${keys.map((each) => sql`${each}`)})`;
}

/** What {@link selectRange} says of a range. */
export interface RangeSum {
  /** Of documents, live. */
  readonly rows: number;
  /** Their lowest position; `null`: there are none. */
  readonly lowest: string | null;
  /** Snapshots that are whole with it, and the newest one that is by then, `''` without any. */
  readonly snapshots: number;
  readonly newest: string;
}

export function selectRange(catalog: Catalog, tables: Tables, ns: Namespace, range: Range): Statement {
  return sql`
    SELECT l."rows", l.lowest, e.snapshots, e.newest
    FROM (SELECT count(*) AS "rows", min(position) AS lowest FROM ${tables.bronze} WHERE ${live(range, '')}) l, (
      SELECT count(CASE WHEN n.batch > ${range.after} THEN 1 END) AS snapshots, coalesce(max(n.position), '') AS newest
      FROM (${selectSnapshots(catalog, ns, range.upTo)}) n
    ) e`;
}

/** Snapshots that are whole with what is loaded up to a batch: silver knows them once it holds that batch. */
export function selectSnapshots(catalog: Catalog, ns: Namespace, upTo: number): Statement {
  return sql`
    SELECT position, "at", coalesce(batch, 0) AS batch FROM ${catalog.baselines}
    WHERE collection = ${formatNamespace(ns)} AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ${upTo}`;
}

/**
 * Keys of silver whose newest event lies before a snapshot that has not brought them, with the time of the first such snapshot: by then
 * they were gone, and nobody was told when.
 */
export function selectVanished(catalog: Catalog, tables: Tables, ns: Namespace, upTo: number): Statement {
  return sql`
    SELECT v.key, min(e."at") AS ended
    FROM ${tables.silver} v JOIN (${selectSnapshots(catalog, ns, upTo)}) e ON e.position > v.position
    WHERE v.operation <> 'delete' GROUP BY v.key`;
}

/**
 * Rows that a snapshot has ended are deleted since its time. Their operation stays the newest event that there was: nobody has
 * seen a delete. Said anew of every row that a fold has touched, or of all of them when another snapshot is whole.
 */
export function endVanished(catalog: Catalog, tables: Tables, ns: Namespace, range: Range, of: 'all' | 'range'): Statement {
  const touched = of === 'all' ? text('') : sql`AND key IN (SELECT key FROM ${tables.bronze} WHERE ${live(range, '')})`;
  return sql`
    UPDATE ${tables.silver} SET is_current = FALSE, deleted_at = c.ended
    FROM (
      SELECT key AS vanished, ended FROM (${selectVanished(catalog, tables, ns, range.upTo)}) w
    ) AS c
    WHERE key = c.vanished AND deleted_at IS DISTINCT FROM c.ended ${touched}`;
}

/**
 * One row per key of the range: the newest state, the newest document, how many rows, the first sight. Its columns have
 * the names of silver's, which no column of the user can have.
 */
export function foldRange(dialect: Dialect, catalog: Catalog, tables: Tables, range: Range, columns: readonly UserColumn[]): Statement {
  const hasDocument = text(`${dialect.typeAt('doc', '/fullDocument')} = 'OBJECT'`);
  return sql`
    WITH states AS (
      SELECT
        key,
        max(position) AS position,
        max_by(operation, position) AS operation,
        max_by("at", position) AS "at",
        ${EVENTS} AS version_number,
        ${FIRST_EVENT} AS first_seen_at,
        max(CASE WHEN ${hasDocument} THEN position END) AS doc_position
      FROM ${tables.bronze} WHERE ${live(range, '')}
      GROUP BY key
    ), documents AS (
      SELECT r.key, any_value(${documentOf(dialect, catalog, 'r.doc')}) AS doc
      FROM ${tables.bronze} r JOIN states s ON r.key = s.key AND r.position = s.doc_position
      WHERE ${live(range, 'r.')}
      GROUP BY r.key
    )
    SELECT
      s.*,
      ${join([text('d.doc'), ...columns.map((column) => sql`${columnValue(dialect, catalog, column, 'd.doc')} AS ${text(dialect.identifier(column.name))}`)], ',\n')}
    FROM states s LEFT JOIN documents d ON d.key = s.key`;
}

export function mergeRange(dialect: Dialect, catalog: Catalog, tables: Tables, range: Range, columns: readonly UserColumn[]): Statement {
  const own = columns.map((column) => dialect.identifier(column.name));
  const newer = (column: string): string => `${column} = CASE WHEN b.position > s.position THEN b.${column} ELSE s.${column} END`;
  const newerDocument = (column: string): string =>
    `${column} = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.${column} ELSE s.${column} END`;
  const updates = [
    ...['operation', 'position', '"at"'].map(newer),
    `is_current = CASE WHEN b.position > s.position THEN b.operation <> 'delete' ELSE s.is_current END`,
    `deleted_at = CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END`,
    ...['doc', 'doc_position', ...own].map(newerDocument),
    'version_number = s.version_number + b.version_number',
    'first_seen_at = least(s.first_seen_at, b.first_seen_at)',
    'loaded_at = CURRENT_TIMESTAMP',
  ];
  const inserts: readonly (readonly [column: string, value: string])[] = [
    ...['key', 'doc', 'doc_position', 'operation', 'position', '"at"', 'version_number', 'first_seen_at', ...own].map(
      (column) => [column, `b.${column}`] as const,
    ),
    ['is_current', `b.operation <> 'delete'`],
    ['deleted_at', `CASE WHEN b.operation = 'delete' THEN b."at" END`],
    ['loaded_at', 'CURRENT_TIMESTAMP'],
  ];
  return sql`
    MERGE INTO ${tables.silver} AS s
    USING (
      ${foldRange(dialect, catalog, tables, range, columns)}
    ) AS b ON s.key = b.key
    WHEN MATCHED THEN UPDATE SET
      ${text(updates.join(',\n'))}
    WHEN NOT MATCHED THEN INSERT
      (${text(inserts.map(([column]) => column).join(', '))})
    VALUES
      (${text(inserts.map(([, value]) => value).join(', '))})`;
}

/**
 * A baseline has risen: rows below it go; what survives is counted again from the bronze rows that silver holds, and
 * forgets a document that came from below.
 * @param range what silver holds already, with the new baseline
 */
export function applyBaseline(dialect: Dialect, tables: Tables, range: Range, columns: readonly UserColumn[]): readonly Statement[] {
  const forgotten = ['doc', 'doc_position', ...columns.map((column) => dialect.identifier(column.name))];
  return [
    sql`
      DELETE FROM ${tables.silver}
      WHERE position <= ${range.baseline}`,
    sql`
      UPDATE ${tables.silver} SET version_number = c.versions, first_seen_at = c.first_seen
      FROM (
        SELECT key AS counted, ${EVENTS} AS versions, ${FIRST_EVENT} AS first_seen
        FROM ${tables.bronze} WHERE ${live(range, '')}
        GROUP BY key
      ) AS c
      WHERE key = c.counted`,
    sql`
      UPDATE ${tables.silver} SET ${text(forgotten.map((column) => `${column} = NULL`).join(', '))}
      WHERE doc_position <= ${range.baseline}`,
  ];
}

export function emptySilver(tables: Tables): Statement {
  return sql`DELETE FROM ${tables.silver}`;
}

/** Hard deletes: what is deleted, and older than everything that can still come, goes. */
export function purgeDeleted(tables: Tables, through: string): Statement {
  return sql`DELETE FROM ${tables.silver} WHERE NOT is_current AND deleted_at < CAST(${through} AS TIMESTAMPTZ)`;
}

export function selectCurrent(tables: Tables): Statement {
  return sql`SELECT key, CAST(doc AS VARCHAR) AS doc FROM ${tables.silver} WHERE is_current ORDER BY key`;
}
