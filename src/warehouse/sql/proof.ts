/**
 * Statements that prove bronze and silver. Each gives what is off as `place` and `detail`; nothing off is no row.
 *
 * Silver is not folded again: that would repeat the merge's mistakes, and hold the newest event of every key in memory.
 * Instead each rule is turned around, into "is there a row of bronze that contradicts this row of silver?". That is a join
 * on the key with silver's narrow columns, which a database can do within a limit of memory, and gives faults alone.
 */
import type { Namespace } from '../../core/namespace.ts';
import { formatNamespace } from '../../core/namespace.ts';
import type { WarehouseCheck } from '../../core/warehouse-proof.ts';
import { documentOf, EVENTS, FIRST_EVENT } from './collection.ts';
import { columnValue, type UserColumn } from './columns.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog, Tables } from './names.ts';
import type { Entry } from './registry.ts';
import { selectSnapshots, selectVanished } from './silver.ts';
import { join, sql, text, type Statement } from './statement.ts';

export interface ProofStatement {
  readonly check: WarehouseCheck;
  readonly faults: Statement;
}

/** What the proof of a collection rests on. */
export interface ProofOf {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
  readonly tables: Tables;
  readonly entry: Entry;
  readonly columns: readonly UserColumn[];
  readonly deletes: 'soft' | 'hard';
}

/** Of rows of bronze, called `b`: a sum of their lines that is the same in whatever order. @param which a condition; all of them unless said */
export function sumOfLines(dialect: Dialect, which?: string): Statement {
  const { first, last } = dialect.digestNumbers(numberedLine('b'));
  const sum = (number: string): string =>
    `CAST(coalesce(sum(${which === undefined ? number : `CASE WHEN ${which} THEN ${number} END`}), 0) AS VARCHAR)`;
  return text(`${sum(first)} || ':' || ${sum(last)}`);
}

/** Files of a collection: what the load ledger says, and the sum of the rows in bronze. */
export function selectLoadedFiles(dialect: Dialect, catalog: Catalog, tables: Tables | null, ns: Namespace): Statement {
  const rows =
    tables === null
      ? sql`SELECT CAST(NULL AS VARCHAR) AS file, 0 AS "rows", '0:0' AS lines WHERE 1 = 0`
      : sql`
    SELECT b.file, count(*) AS "rows", ${sumOfLines(dialect)} AS lines
    FROM ${tables.bronze} b GROUP BY b.file`;
  return sql`
    SELECT
      coalesce(l.path, f.file) AS path, l.state, l.hour, l.bytes, l."rows" AS ledger_rows, l.sha256, l.first_position, l.last_position,
      l.left_rows, l.left_lines, l.whole_lines,
      coalesce(f."rows", 0) AS "rows", coalesce(f.lines, '0:0') AS lines
    FROM (SELECT * FROM ${catalog.ledger} WHERE collection = ${formatNamespace(ns)}) l
    FULL OUTER JOIN (
      ${rows}
    ) f ON f.file = l.path`;
}

/** Rows of one file by number, with their digests. */
export function selectLoadedLines(dialect: Dialect, tables: Tables, path: string): Statement {
  return sql`
    SELECT b.row_number AS number, ${text(dialect.digestText(numberedLine('b')))} AS digest
    FROM ${tables.bronze} b WHERE b.file = ${path} ORDER BY b.row_number`;
}

export function numberedLine(alias: string): string {
  return `CAST(${alias}.row_number AS VARCHAR) || ':' || CAST(${alias}.doc AS VARCHAR)`;
}

/** All checks of a collection, those of silver against what it says it holds: batches up to its mark, on its baseline. */
export function proofStatements(of: ProofOf): readonly ProofStatement[] {
  const bronze: ProofStatement[] = [
    { check: 'bronze-columns', faults: wrongColumns(of) },
    { check: 'bronze-columns', faults: wrongBatch(of) },
    { check: 'baseline', faults: wrongBaselines(of) },
    { check: 'registry', faults: wrongCount(of) },
  ];
  if (of.entry.coll === null) return bronze;
  return [
    ...bronze,
    { check: 'silver-missing', faults: missingKeys(of) },
    { check: 'silver-extra', faults: extraKeys(of) },
    { check: 'silver-duplicate', faults: doubleKeys(of) },
    { check: 'silver-stale', faults: staleRows(of) },
    { check: 'silver-state', faults: groundlessRows(of) },
    { check: 'silver-current', faults: wrongCurrent(of) },
    { check: 'silver-document', faults: staleDocuments(of) },
    { check: 'silver-document', faults: groundlessDocuments(of) },
    { check: 'silver-version', faults: wrongVersions(of) },
    ...of.columns.map((column): ProofStatement => ({ check: 'silver-column', faults: wrongColumn(of, column) })),
  ];
}

/** Some faults of a check, in order. */
export function firstFaults(faults: Statement, limit: number): Statement {
  return sql`
    SELECT place, detail FROM (
      ${faults}
    ) ORDER BY place, detail LIMIT ${limit}`;
}

export function countFaults(faults: Statement): Statement {
  return sql`
    SELECT count(*) AS total FROM (
      ${faults}
    )`;
}

function wrongColumns({ dialect, catalog, tables }: ProofOf): Statement {
  const at = (pointer: string): Statement => text(dialect.textAt('doc', pointer));
  const whole = (pointer: string): Statement => sql`CAST(${at(pointer)} AS BIGINT)`;
  const seconds = whole('/_meta/clusterTime/$timestamp/t');
  const expected: readonly (readonly [column: string, value: Statement])[] = [
    ['position', at('/_meta/position')],
    ['operation', at('/_meta/operationType')],
    ['"at"', sql`coalesce(TRY_CAST(${at('/_meta/at')} AS TIMESTAMPTZ), ${text(dialect.fromSeconds(seconds.text))})`],
    ['cluster_time_t', seconds],
    ['cluster_time_i', whole('/_meta/clusterTime/$timestamp/i')],
    ['key', sql`${catalog.documentKey}(CAST(doc AS VARCHAR))`],
    ...['year', 'month', 'day', 'hour'].map(
      (part) => [part, sql`EXTRACT(${text(part.toUpperCase())} FROM ${text(dialect.fromSeconds(seconds.text))})`] as const,
    ),
  ];
  const wrong = expected.map(
    ([column, value]) =>
      sql`CASE WHEN ${text(column)} IS DISTINCT FROM ${value} THEN ${text(dialect.string(` ${column.replaceAll('"', '')}`))} ELSE '' END`,
  );
  return sql`
    SELECT file || ', row ' || CAST(row_number AS VARCHAR) AS place, 'the line says something else:' || names AS detail
    FROM (
      SELECT
        file, row_number,
        ${join(wrong, ' ||\n')} AS names
      FROM ${tables.bronze}
    ) WHERE names <> ''`;
}

/** The number that a merge goes by: a row with another one would be folded twice, or never. */
function wrongBatch({ catalog, tables }: ProofOf): Statement {
  return sql`
    SELECT DISTINCT b.file AS place, 'rows of batch ' || CAST(b.batch AS VARCHAR) || ', it was loaded in ' || CAST(l.batch AS VARCHAR) AS detail
    FROM ${tables.bronze} b JOIN ${catalog.ledger} l ON l.path = b.file
    WHERE b.batch <> l.batch`;
}

/** Ends that the bronze of this collection speaks of, against those that were noted from its files. */
function wrongBaselines({ dialect, catalog, tables, entry }: ProofOf): Statement {
  const { collection } = entry;
  const target = text(`${dialect.textAt('doc', '/to/db')} || '.' || ${dialect.textAt('doc', '/to/coll')}`);
  const said = sql`
    SELECT ${collection} AS collection, position, file FROM ${tables.bronze} WHERE operation IN ('drop', 'rename', 'dropDatabase', 'snapshotEnd')
    UNION
    SELECT target, position, file FROM (SELECT ${target} AS target, position, file FROM ${tables.bronze} WHERE operation = 'rename')
    WHERE target IS NOT NULL`;
  const noted = sql`
    SELECT n.collection, n.position, n.file FROM ${catalog.baselines} n
    WHERE n.file IN (SELECT path FROM ${catalog.ledger} WHERE collection = ${collection}) OR n.file IN (SELECT file FROM ${tables.bronze})
      OR (n.collection = ${collection} AND NOT EXISTS (SELECT 1 FROM ${catalog.ledger} l WHERE l.path = n.file))`;
  return sql`
    WITH said AS (
      ${said}
    ), noted AS (
      ${noted}
    )
    SELECT collection AS place, 'bronze ends it at ' || position || ' (' || file || '), which is no baseline' AS detail
    FROM (SELECT * FROM said EXCEPT SELECT * FROM noted)
    UNION ALL
    SELECT collection, 'has a baseline at ' || position || ' (' || file || '), of which bronze knows nothing'
    FROM (SELECT * FROM noted EXCEPT SELECT * FROM said)`;
}

function wrongCount({ catalog, tables, entry }: ProofOf): Statement {
  return sql`
    SELECT r.collection AS place, 'the registry says ' || CAST(r."rows" AS VARCHAR) || ' rows, bronze has ' || CAST(b."rows" AS VARCHAR) AS detail
    FROM ${catalog.registry} r, (SELECT count(*) AS "rows" FROM ${tables.bronze}) b
    WHERE r.collection = ${entry.collection} AND r."rows" <> b."rows"`;
}

/** Rows of bronze that silver must speak of: merged, of a document, and not taken by a baseline. */
function live({ tables, entry }: ProofOf): Statement {
  const { merged_batch: merged, baseline_applied: baseline } = entry;
  return sql`
    (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM ${tables.bronze}
      WHERE batch <= ${merged} AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ${baseline}
    )`;
}

/** With hard deletes, keys whose last word is a delete, or a snapshot that has not brought them, may have been purged. */
function missingKeys(of: ProofOf): Statement {
  const { tables, entry, deletes } = of;
  const through = deletes === 'hard' && entry.complete_through !== null ? entry.complete_through : null;
  const purged = sql`max_by(b.operation, b.position) = 'delete' AND max_by(b."at", b.position) < CAST(${through} AS TIMESTAMPTZ)`;
  const vanished = sql`max(b.position) < coalesce(max(e.position), '')`;
  return sql`
    SELECT b.key AS place, 'bronze has ' || CAST(count(*) AS VARCHAR) || ' events of it, the last at ' || max(b.position) AS detail
    FROM ${live(of)} b CROSS JOIN (
      SELECT max(n.position) AS position FROM (${snapshots(of)}) n WHERE n."at" < CAST(${through} AS TIMESTAMPTZ)
    ) e
    WHERE NOT EXISTS (SELECT 1 FROM ${tables.silver} s WHERE s.key = b.key)
    GROUP BY b.key HAVING NOT coalesce(${purged}, FALSE) AND NOT ${vanished}`;
}

/** Those that silver knows. */
function snapshots({ catalog, entry }: ProofOf): Statement {
  return selectSnapshots(catalog, entry, entry.merged_batch);
}

function extraKeys(of: ProofOf): Statement {
  return sql`
    SELECT s.key AS place, 'stands at ' || s.position || ', bronze says nothing of it' AS detail
    FROM ${of.tables.silver} s
    WHERE NOT EXISTS (SELECT 1 FROM ${live(of)} b WHERE b.key = s.key)`;
}

function doubleKeys({ tables }: ProofOf): Statement {
  return sql`
    SELECT key AS place, CAST(count(*) AS VARCHAR) || ' rows' AS detail
    FROM ${tables.silver} GROUP BY key HAVING count(*) > 1`;
}

function staleRows(of: ProofOf): Statement {
  return sql`
    SELECT s.key AS place, 'stands at ' || min(s.position) || ', bronze has ' || max(b.position) AS detail
    FROM ${live(of)} b JOIN ${of.tables.silver} s ON s.key = b.key
    WHERE b.position > s.position
    GROUP BY s.key`;
}

function groundlessRows(of: ProofOf): Statement {
  return sql`
    SELECT s.key AS place, s.operation || ' at ' || s.position || ' is no event of it in bronze' AS detail
    FROM ${of.tables.silver} s
    WHERE EXISTS (SELECT 1 FROM ${live(of)} b WHERE b.key = s.key)
      AND NOT EXISTS (
        SELECT 1 FROM ${live(of)} b
        WHERE b.key = s.key AND b.position = s.position AND b.operation = s.operation AND b."at" = s."at"
      )`;
}

function wrongCurrent({ catalog, tables, entry }: ProofOf): Statement {
  return sql`
    SELECT
      s.key AS place,
      'is_current is ' || CAST(s.is_current AS VARCHAR) || ' after ' || s.operation
        || CASE WHEN v.key IS NULL THEN '' ELSE ' and a snapshot that has not brought it' END AS detail
    FROM ${tables.silver} s LEFT JOIN (
      ${selectVanished(catalog, tables, entry, entry.merged_batch)}
    ) v ON v.key = s.key
    WHERE s.is_current <> (s.operation <> 'delete' AND v.key IS NULL)
      OR s.deleted_at IS DISTINCT FROM CASE WHEN s.operation = 'delete' THEN s."at" ELSE v.ended END`;
}

/** After a purge the documents of before count for nothing any more: nobody may tell a row that has none from one that lost it. */
function staleDocuments(of: ProofOf): Statement {
  const { dialect, tables, deletes } = of;
  const mayBeForgotten = deletes === 'hard' ? text('AND s.doc_position IS NOT NULL') : text('');
  return sql`
    SELECT s.key AS place, 'its document is of ' || coalesce(min(s.doc_position), 'nothing') || ', bronze has one of ' || max(b.position) AS detail
    FROM ${live(of)} b JOIN ${tables.silver} s ON s.key = b.key
    WHERE b.position > coalesce(s.doc_position, '') AND ${text(dialect.typeAt('b.doc', '/fullDocument'))} = 'OBJECT' ${mayBeForgotten}
    GROUP BY s.key`;
}

/** Digests are joined and not documents, which would have to be held. */
function groundlessDocuments(of: ProofOf): Statement {
  const { dialect, catalog, tables } = of;
  const digest = (document: string): Statement => text(dialect.digestText(`CAST(${document} AS VARCHAR)`));
  return sql`
    WITH named AS (
      SELECT b.key, b.position, b.doc FROM ${live(of)} b
      WHERE EXISTS (SELECT 1 FROM ${tables.silver} s WHERE s.key = b.key AND s.doc_position = b.position)
        AND ${text(dialect.typeAt('b.doc', '/fullDocument'))} = 'OBJECT'
    ), there AS (
      SELECT key, position, ${digest(documentOf(dialect, catalog, 'doc').text)} AS digest FROM named
    ), held AS (
      SELECT key, doc_position, ${digest('doc')} AS digest FROM ${tables.silver} s
      WHERE (doc IS NOT NULL OR doc_position IS NOT NULL) AND EXISTS (SELECT 1 FROM ${live(of)} b WHERE b.key = s.key)
    )
    SELECT h.key AS place, 'its document is not that of ' || coalesce(h.doc_position, 'any event') AS detail
    FROM held h LEFT JOIN there t ON t.key = h.key AND t.position = h.doc_position AND t.digest = h.digest
    WHERE t.key IS NULL`;
}

/**
 * Hard deletes forget what was before the last purge: then it is not known how many versions there should be. A delete or a snapshot may
 * have been followed by one, and may be among what retention has removed.
 */
function wrongVersions(of: ProofOf): Statement {
  const newest = sql`coalesce((SELECT max(n.position) FROM (${snapshots(of)}) n), '')`;
  const certain =
    of.deletes === 'hard'
      ? sql`HAVING max(CASE WHEN operation = 'delete' THEN 1 ELSE 0 END) = 0 AND min(position) >= ${newest} AND sum(coalesce(removed_before, 0)) = 0`
      : text('');
  return sql`
    SELECT
      s.key AS place,
      'version ' || CAST(s.version_number AS VARCHAR) || ' since ' || CAST(s.first_seen_at AS VARCHAR)
        || ', bronze has ' || CAST(c.versions AS VARCHAR) || ' since ' || CAST(c.first_seen_at AS VARCHAR) AS detail
    FROM (
      SELECT key, ${EVENTS} AS versions, ${FIRST_EVENT} AS first_seen_at FROM ${live(of)} b
      GROUP BY key ${certain}
    ) c JOIN ${of.tables.silver} s ON s.key = c.key
    WHERE s.version_number <> c.versions OR s.first_seen_at <> c.first_seen_at`;
}

function wrongColumn({ dialect, catalog, tables }: ProofOf, column: UserColumn): Statement {
  const name = text(dialect.identifier(column.name));
  return sql`
    SELECT key AS place, ${text(dialect.string(column.name))} || ' is not what the document says' AS detail
    FROM ${tables.silver}
    WHERE ${name} IS DISTINCT FROM ${columnValue(dialect, catalog, column, 'doc')}`;
}
