/**
 * Statements that bring a sealed file into bronze, with its line of the ledger.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { SealedLine } from '../../core/ledger.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog, Tables } from './names.ts';
import { isoOf } from './registry.ts';
import { sql, text, type Statement } from './statement.ts';

/**
 * The lines of one file, in order. `number` counts from 1, `line` is the text as it came, `facts` are position,
 * operation, time, and cluster time (seconds, ordinal) as texts.
 */
export function insertRows(catalog: Catalog, tables: Tables, path: string, batch: number, lines: Statement): Statement {
  return sql`
    INSERT INTO ${tables.bronze}
      (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
    SELECT
      ${path},
      number,
      facts[1],
      facts[2],
      coalesce(TRY_CAST(facts[3] AS TIMESTAMPTZ), to_timestamp(CAST(facts[4] AS BIGINT))),
      CAST(facts[4] AS BIGINT),
      CAST(facts[5] AS BIGINT),
      ${catalog.documentKey}(CAST(line AS VARCHAR)),
      line,
      EXTRACT(YEAR FROM moment),
      EXTRACT(MONTH FROM moment),
      EXTRACT(DAY FROM moment),
      EXTRACT(HOUR FROM moment),
      ${batch}
    FROM (SELECT *, make_timestamp(CAST(facts[4] AS BIGINT) * 1000000) AS moment FROM (${lines}))`;
}

export function insertLedger(catalog: Catalog, lines: readonly SealedLine[], batch: number, loadMs: number): Statement {
  const rows = lines.map(
    (line) => sql`
    (
      ${line.path}, ${formatNamespace(line)}, 'LOADED', ${line.hour}, ${line.bytes}, ${line.rows}, ${line.first}, ${line.last},
      CAST(${isoOf(line.firstAt)} AS TIMESTAMPTZ), CAST(${isoOf(line.lastAt)} AS TIMESTAMPTZ), ${line.sha256}, ${line.epoch}, ${line.rows > 0 ? batch : null},
      CURRENT_TIMESTAMP, ${loadMs}
    )`,
  );
  return sql`
    INSERT INTO ${catalog.ledger}
      (path, collection, state, hour, bytes, "rows", first_position, last_position, first_at, last_at, sha256, epoch, batch, loaded_at, load_ms)
    VALUES ${rows}`;
}

/** A file that `by` replaces: it is never loaded any more. */
export function insertSuperseded(catalog: Catalog, ns: Namespace, path: string, by: string): Statement {
  return sql`
    INSERT INTO ${catalog.ledger} (path, collection, state, superseded_by)
    VALUES (${path}, ${formatNamespace(ns)}, 'SUPERSEDED', ${by})`;
}

/** A file that replaces others, some of which are loaded: it is never loaded any more. */
export function insertSkipped(catalog: Catalog, line: SealedLine): Statement {
  return sql`
    INSERT INTO ${catalog.ledger} (path, collection, state, hour, bytes, "rows", sha256, epoch)
    VALUES (${line.path}, ${formatNamespace(line)}, 'SKIPPED', ${line.hour}, ${line.bytes}, ${line.rows}, ${line.sha256}, ${line.epoch})`;
}

/**
 * Drops, renames and dropDatabase of a batch become baselines. A rename ends two collections: the one that it took its
 * documents from, and whatever stood under the new name before.
 */
export function insertBaselines(dialect: Dialect, catalog: Catalog, tables: Tables, ns: Namespace, batch: number): Statement {
  const collection = formatNamespace(ns);
  const target = text(`${dialect.textAt('doc', '/to/db')} || '.' || ${dialect.textAt('doc', '/to/coll')}`);
  return sql`
    INSERT INTO ${catalog.baselines} (collection, position, cause, "at", file)
    SELECT ${collection}, position, operation, "at", file
    FROM ${tables.bronze} WHERE batch = ${batch} AND operation IN ('drop', 'rename', 'dropDatabase')
    UNION ALL
    SELECT target, position, operation, "at", file
    FROM (
      SELECT *, ${target} AS target
      FROM ${tables.bronze} WHERE batch = ${batch} AND operation = 'rename'
    )
    WHERE target IS NOT NULL AND target <> ${collection}`;
}

/**
 * Ends of snapshots in a batch are noted beside the baselines, and do not count yet: what lies below one is deleted unless the
 * snapshot has brought it, which nobody knows before all of its files are loaded.
 */
export function insertSnapshots(dialect: Dialect, catalog: Catalog, tables: Tables, ns: Namespace, batch: number): Statement {
  return sql`
    INSERT INTO ${catalog.baselines} (collection, position, cause, "at", file, files, batch)
    SELECT ${formatNamespace(ns)}, position, 'snapshot', "at", file, NULLIF(CAST(${text(dialect.textAt('doc', '/snapshot/files'))} AS BIGINT), 0), ${batch}
    FROM ${tables.bronze} WHERE batch = ${batch} AND operation = 'snapshotEnd'`;
}

/** Those whose files are all loaded, or replaced by other files that are, count from now on: one of the snapshot counts for itself. */
export function completeSnapshots(catalog: Catalog, ns: Namespace, batch: number): Statement {
  const parts = text(`left(b.file, position('/end.jsonl' IN b.file)) || 'part-'`);
  return sql`
    UPDATE ${catalog.baselines} SET files = NULL, batch = c.completed
    FROM (
      SELECT b.file AS whole, CAST(${batch} AS BIGINT) AS completed
      FROM ${catalog.baselines} b JOIN ${catalog.ledger} l ON l.collection = b.collection
      WHERE b.collection = ${formatNamespace(ns)} AND b.files IS NOT NULL AND (l.state = 'LOADED' OR (l.state = 'SUPERSEDED' AND left(l.superseded_by, length(${parts})) <> ${parts}))
        AND left(l.path, length(${parts})) = ${parts}
      GROUP BY b.file, b.files HAVING count(*) >= b.files
    ) AS c
    WHERE file = c.whole`;
}

/** Batches of a collection that come after a mark, oldest first, with what they weigh. */
export function selectBatches(catalog: Catalog, ns: Namespace, after: number): Statement {
  return sql`
    SELECT batch, sum("rows") AS "rows", sum(bytes) AS bytes FROM ${catalog.ledger}
    WHERE collection = ${formatNamespace(ns)} AND batch > ${after} GROUP BY batch ORDER BY batch`;
}
