/**
 * The objects of sluice itself: what is loaded, which collections there are, what their baselines are, how they fare.
 *
 * `control` has one row. Every transaction that writes begins by updating it: two writers then cannot both win, and
 * numbers of batches rise in the order of commits, which is what the marks of the merge stand on.
 */
import type { Dialect } from './dialect.ts';
import type { Catalog } from './names.ts';
import { sql, text, type Statement } from './statement.ts';

/**
 * Rises when a table changes its shape, or a function or a view in a way that matters to who reads: `migrate` brings older ones up, and
 * who only looks takes what is there.
 */
export const SCHEMA_VERSION = 5;

/** A collection counts as stale when this much of its newest past is not loaded: an hour to be sealed, an hour to spare. */
export const STALE_AFTER_SECONDS = 2 * 3600;

/** Makes what is missing; views and functions are always made anew. {@link raiseVersion} comes after it. */
export function createSchema(dialect: Dialect, catalog: Catalog): readonly Statement[] {
  const { schemas } = catalog;
  return [
    ...[schemas.sluice, schemas.bronze, schemas.silver, schemas.gold].map(
      (schema) => sql`CREATE SCHEMA IF NOT EXISTS ${text(dialect.identifier(schema))}`,
    ),
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.control} (
        schema_version INTEGER NOT NULL,
        last_batch BIGINT NOT NULL
      )`,
    sql`INSERT INTO ${catalog.control} SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM ${catalog.control})`,
    ...createLedger(catalog),
    ...createRegistry(catalog),
    ...createSchemaHistory(catalog),
    ...dialect.functions(schemas.sluice),
    createHealthView(dialect, catalog),
  ];
}

/** The last of all that brings the tables up: who sees the version sees them whole, also where each statement commits by itself. */
export function raiseVersion(catalog: Catalog): Statement {
  return sql`UPDATE ${catalog.control} SET schema_version = ${text(String(SCHEMA_VERSION))} WHERE schema_version < ${text(String(SCHEMA_VERSION))}`;
}

function createLedger(catalog: Catalog): Statement[] {
  return [
    // LOADED: its rows are in bronze. SUPERSEDED: a file that replaces it was loaded in its place. SKIPPED: it replaces
    // files of which some were loaded, so that the others are loaded and it never is.
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.ledger} (
        path VARCHAR PRIMARY KEY,
        collection VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        hour VARCHAR,
        bytes BIGINT,
        "rows" BIGINT,
        first_position VARCHAR,
        last_position VARCHAR,
        first_at TIMESTAMPTZ,
        last_at TIMESTAMPTZ,
        sha256 VARCHAR,
        epoch BIGINT,
        batch BIGINT,
        loaded_at TIMESTAMPTZ,
        load_ms BIGINT,
        superseded_by VARCHAR
      )`,
    // Version 5. Of a file of which retention has removed rows: how many are left and their sum, and the sum of all that it had.
    sql`ALTER TABLE ${catalog.ledger} ADD COLUMN IF NOT EXISTS left_rows BIGINT`,
    sql`ALTER TABLE ${catalog.ledger} ADD COLUMN IF NOT EXISTS left_lines VARCHAR`,
    sql`ALTER TABLE ${catalog.ledger} ADD COLUMN IF NOT EXISTS whole_lines VARCHAR`,
    // And how many an erasure has taken of it, which the lake may not hold any more.
    sql`ALTER TABLE ${catalog.ledger} ADD COLUMN IF NOT EXISTS erased_rows BIGINT`,
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.errors} (
        path VARCHAR PRIMARY KEY,
        collection VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        failed_at TIMESTAMPTZ NOT NULL
      )`,
  ];
}

function createRegistry(catalog: Catalog): Statement[] {
  return [
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.registry} (
        collection VARCHAR PRIMARY KEY,
        db VARCHAR NOT NULL,
        coll VARCHAR,
        table_name VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        reason VARCHAR,
        first_seen_at TIMESTAMPTZ NOT NULL,
        last_event_at TIMESTAMPTZ,
        last_load_at TIMESTAMPTZ,
        "rows" BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        source_count BIGINT,
        source_counted_at TIMESTAMPTZ,
        complete_through TIMESTAMPTZ,
        complete_through_i BIGINT,
        last_batch BIGINT NOT NULL,
        merged_batch BIGINT NOT NULL,
        learnt_batch BIGINT,
        baseline_applied VARCHAR NOT NULL
      )`,
    // Version 2.
    sql`ALTER TABLE ${catalog.registry} ADD COLUMN IF NOT EXISTS source_counted_at TIMESTAMPTZ`,
    sql`ALTER TABLE ${catalog.registry} ADD COLUMN IF NOT EXISTS learnt_batch BIGINT`,
    // Version 5. What retention has removed of bronze: up to which hour, how many rows, and when it last did.
    sql`ALTER TABLE ${catalog.registry} ADD COLUMN IF NOT EXISTS bronze_from TIMESTAMPTZ`,
    sql`ALTER TABLE ${catalog.registry} ADD COLUMN IF NOT EXISTS bronze_removed BIGINT`,
    sql`ALTER TABLE ${catalog.registry} ADD COLUMN IF NOT EXISTS bronze_removed_at TIMESTAMPTZ`,
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.superseded} (
        file VARCHAR NOT NULL,
        row_number BIGINT NOT NULL,
        key VARCHAR NOT NULL,
        counted_by VARCHAR,
        events BIGINT NOT NULL,
        first_at TIMESTAMPTZ NOT NULL
      )`,
    // A baseline of a whole database (dropDatabase) has the database's name as its collection.
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.baselines} (
        collection VARCHAR NOT NULL,
        position VARCHAR NOT NULL,
        cause VARCHAR NOT NULL,
        "at" TIMESTAMPTZ NOT NULL,
        file VARCHAR NOT NULL
      )`,
    // Of a snapshot that is not wholly loaded: how many files it has. It ends nothing before.
    sql`ALTER TABLE ${catalog.baselines} ADD COLUMN IF NOT EXISTS files BIGINT`,
    // Version 4. Of a snapshot: the batch with which it was whole.
    sql`ALTER TABLE ${catalog.baselines} ADD COLUMN IF NOT EXISTS batch BIGINT`,
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.gaps} (
        from_at TIMESTAMPTZ,
        to_at TIMESTAMPTZ,
        collections VARCHAR,
        cause VARCHAR NOT NULL,
        repaired_by VARCHAR
      )`,
    // Version 3.
    sql`ALTER TABLE ${catalog.gaps} ADD COLUMN IF NOT EXISTS pipeline VARCHAR`,
    sql`ALTER TABLE ${catalog.gaps} ADD COLUMN IF NOT EXISTS detected_at TIMESTAMPTZ`,
  ];
}

/** Version 2. `fields` and `plan` are JSON texts: core/document-schema.ts and view-plan.ts say of what. */
function createSchemaHistory(catalog: Catalog): Statement[] {
  return [
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.schemaHistory} (
        collection VARCHAR NOT NULL,
        version BIGINT NOT NULL,
        hash VARCHAR NOT NULL,
        documents BIGINT NOT NULL,
        fields VARCHAR NOT NULL,
        plan VARCHAR NOT NULL,
        valid_from TIMESTAMPTZ NOT NULL,
        updated_at TIMESTAMPTZ NOT NULL
      )`,
    sql`
      CREATE TABLE IF NOT EXISTS ${catalog.views} (
        name VARCHAR PRIMARY KEY,
        collection VARCHAR NOT NULL,
        field VARCHAR
      )`,
  ];
}

function createHealthView(dialect: Dialect, catalog: Catalog): Statement {
  const { ledger, registry, errors, health } = catalog;
  return sql`
    CREATE OR REPLACE VIEW ${health} AS
    WITH loads AS (
      SELECT collection, count(*) AS files, avg(load_ms) AS mean_load_ms
      FROM ${ledger} WHERE state = 'LOADED' GROUP BY collection
    ), failures AS (
      SELECT collection, count(*) AS files_rejected, max_by(reason, failed_at) AS reason
      FROM ${errors} GROUP BY collection
    ), lags AS (
      SELECT *, ${text(dialect.secondsSince('coalesce(complete_through, first_seen_at)'))} AS lag_seconds
      FROM ${registry}
    )
    SELECT
      r.collection,
      CASE
        WHEN r.status IN ('ERROR', 'PAUSED') THEN r.status
        WHEN r.lag_seconds > ${text(String(STALE_AFTER_SECONDS))} THEN 'STALE'
        ELSE 'HEALTHY'
      END AS health,
      r.lag_seconds,
      r."rows",
      r.bytes,
      coalesce(l.files, 0) AS files,
      coalesce(f.files_rejected, 0) AS files_rejected,
      r.last_batch > r.merged_batch AS merge_pending,
      l.mean_load_ms,
      r.last_event_at,
      r.last_load_at,
      r.complete_through,
      coalesce(f.reason, r.reason) AS last_error
    FROM lags r
    LEFT JOIN loads l ON l.collection = r.collection
    LEFT JOIN failures f ON f.collection = r.collection`;
}

/** First statement of a transaction: whoever else writes now has to wait. Gives the number for a batch. */
export function takeBatch(catalog: Catalog): Statement {
  return sql`UPDATE ${catalog.control} SET last_batch = last_batch + 1 RETURNING last_batch AS batch`;
}

export function selectSchemaVersion(catalog: Catalog): Statement {
  return sql`SELECT max(schema_version) AS version FROM ${catalog.control}`;
}

/** Whether `migrate` has ever run here. */
export function selectSchemaExists(catalog: Catalog): Statement {
  return sql`SELECT count(*) AS tables FROM information_schema.tables WHERE lower(table_schema) = lower(${catalog.schemas.sluice}) AND lower(table_name) = 'control'`;
}
