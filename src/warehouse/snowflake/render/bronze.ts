/** Stage, file format and what brings lines into bronze, for each mode. */
import { formatNamespace } from '../../../core/namespace.ts';
import { insertBaselines } from '../../sql/bronze.ts';
import { createHistory, createTables, upgradeBronze } from '../../sql/collection.ts';
import { createSchema, raiseVersion } from '../../sql/schema.ts';
import { createIncoming, createStage } from '../bronze.ts';
import { isClustered, locationOf } from './account.ts';
import { catalog, dialect, id, inline, minuteOf, objectOf, text, type Plan, type PlannedCollection } from './plan.ts';

const FILES_MAX = 1000;
const RECENT_HOURS = 48;

export function schemas(plan: Plan): string[] {
  return [...asLoader(plan), ...[...createSchema(dialect, catalog), raiseVersion(catalog)].map(inline)];
}

export function asLoader(plan: Plan): string[] {
  return [`USE ROLE ${id(plan.loader)}`, `USE WAREHOUSE ${id(plan.warehouse)}`, `USE DATABASE ${id(plan.database)}`];
}

export function stage(plan: Plan): string[] {
  const compression = { none: 'NONE', gzip: 'GZIP', zstd: 'ZSTD' }[plan.compression];
  const lines = (kind: string): string =>
    `TYPE = CSV COMPRESSION = ${kind} RECORD_DELIMITER = '\\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
  FIELD_OPTIONALLY_ENCLOSED_BY = NONE TRIM_SPACE = FALSE EMPTY_FIELD_AS_NULL = FALSE NULL_IF = () SKIP_BLANK_LINES = FALSE ENCODING = 'UTF8'`;
  return [
    ...asLoader(plan),
    `CREATE FILE FORMAT IF NOT EXISTS sluice.lines ${lines(compression)}`,
    `CREATE FILE FORMAT IF NOT EXISTS sluice.manifests ${lines('NONE')}`,
    plan.lake === null
      ? inline(createStage('sluice'))
      : `CREATE STAGE IF NOT EXISTS sluice.lake URL = ${text(locationOf(plan.lake))} STORAGE_INTEGRATION = SLUICE_LAKE FILE_FORMAT = (FORMAT_NAME = 'sluice.lines')`,
  ];
}

export function tables(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection) => {
      const { ns } = collection;
      const made = createTables(dialect, collection.tables, ns).map(inline);
      // There silver is a dynamic table of the same name.
      const wanted = plan.mode === 'dynamic' || plan.mode === 'external' ? made.slice(0, 1) : made;
      return [
        `MERGE INTO sluice.collection_registry AS r USING (SELECT ${text(formatNamespace(ns))} AS collection) AS n ON r.collection = n.collection
WHEN NOT MATCHED THEN INSERT (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
VALUES (n.collection, ${text(ns.db)}, ${text(ns.coll)}, ${text(collection.tables.stem)}, 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '')`,
        ...wanted,
        ...upgradeBronze(collection.tables).map(inline),
        inline(createHistory(dialect, catalog, collection.tables, ns)),
        ...(isClustered(plan) ? [`ALTER TABLE ${collection.tables.bronze.text} CLUSTER BY (year, month, day, hour)`] : []),
      ];
    }),
  ];
}

/** COPY task: a procedure per collection that loads what the manifests of sealed hours name and the ledger does not, and its task. */
export function copyTasks(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection, index) => [
      loadRecent(collection, prefixOf(plan)),
      `CREATE TASK IF NOT EXISTS ${objectOf(collection, 'load')}
  WAREHOUSE = ${id(plan.warehouse)}
  SCHEDULE = 'USING CRON ${minuteOf(index)} * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
  SUSPEND_TASK_AFTER_NUM_FAILURES = 10
  COMMENT = 'sluice: sealed files of ${formatNamespace(collection.ns).replaceAll("'", "''").replaceAll('\\', '\\\\')} into bronze'
AS
  CALL ${objectOf(collection, 'load_recent')}(${RECENT_HOURS})`,
    ]),
  ];
}

function loadRecent(collection: PlannedCollection, prefix: string): string {
  const name = text(formatNamespace(collection.ns));
  const from = stagePath(collection);
  return `CREATE OR REPLACE PROCEDURE ${objectOf(collection, 'load_recent')}(recent_hours NUMBER)
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  files VARCHAR;
  batch NUMBER;
  wrong NUMBER;
  taken NUMBER;
  oldest VARCHAR DEFAULT TO_CHAR(DATEADD('hour', -recent_hours, CURRENT_TIMESTAMP), 'YYYYMMDD-HH24');
BEGIN
  ${indent(inline(createIncoming('sluice')))};
  CREATE OR REPLACE TEMPORARY TABLE sluice.sealed AS
    SELECT
      f.value:path::VARCHAR AS path, f.value:hour::VARCHAR AS hour, f.value:bytes::NUMBER AS bytes, f.value:rows::NUMBER AS "rows",
      f.value:first::VARCHAR AS first_position, f.value:last::VARCHAR AS last_position,
      TO_TIMESTAMP_TZ(f.value:firstAt.t::NUMBER) AS first_at, TO_TIMESTAMP_TZ(f.value:lastAt.t::NUMBER) AS last_at,
      f.value:sha256::VARCHAR AS sha256, f.value:epoch::NUMBER AS epoch
    FROM (
      SELECT PARSE_JSON($1) AS manifest FROM ${from} (FILE_FORMAT => 'sluice.manifests', PATTERN => '.*/_manifest[.]json')
    ) m, LATERAL FLATTEN(input => m.manifest:files) f
    WHERE m.manifest:hour::VARCHAR >= :oldest AND f.value:supersedes IS NULL;
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT max(last_batch) INTO :batch FROM sluice.control;
  DELETE FROM sluice.sealed WHERE path IN (SELECT path FROM sluice.load_ledger);
  DELETE FROM sluice.sealed WHERE path NOT IN (SELECT path FROM sluice.sealed ORDER BY path LIMIT ${FILES_MAX});
  SELECT count(*), LISTAGG('''' || REPLACE(path, '''', '''''') || '''', ', ') INTO :taken, :files FROM sluice.sealed WHERE "rows" > 0;
  IF (taken > 0) THEN
    EXECUTE IMMEDIATE 'COPY INTO sluice.incoming (file, number, line) FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, $1 FROM @sluice.lake) FILES = (' || files || ') FILE_FORMAT = (FORMAT_NAME = ''sluice.lines'') ON_ERROR = ABORT_STATEMENT FORCE = TRUE';
    SELECT count(*) INTO :wrong FROM sluice.sealed s
      LEFT JOIN (SELECT file, count(*) AS lines, max(sluice.problem(line)) AS problem FROM sluice.incoming GROUP BY file) i ON i.file = ${text(prefix)} || s.path
      WHERE s."rows" > 0 AND (coalesce(i.lines, 0) <> s."rows" OR i.problem IS NOT NULL);
    IF (wrong > 0) THEN
      ROLLBACK;
      UPDATE sluice.collection_registry SET status = 'ERROR', reason = 'files are not what their manifest says' WHERE collection = ${name} AND status <> 'PAUSED';
      RETURN 'files are not what their manifest says: ' || wrong;
    END IF;
    ${indent(insertFromIncoming(collection, 'sluice.incoming', 'sluice.sealed', prefix), 4)};
    ${indent(baselinesOf(collection), 4)};
  END IF;
  INSERT INTO sluice.load_ledger (path, collection, state, hour, bytes, "rows", first_position, last_position, first_at, last_at, sha256, epoch, batch, loaded_at)
    SELECT path, ${name}, 'LOADED', hour, bytes, "rows", first_position, last_position, first_at, last_at, sha256, epoch, IFF("rows" > 0, :batch, NULL), CURRENT_TIMESTAMP
    FROM sluice.sealed;
  UPDATE sluice.collection_registry SET
    status = IFF(status = 'DISCOVERED', 'ACTIVE', status), "rows" = "rows" + s."rows", bytes = bytes + s.bytes,
    last_event_at = GREATEST_IGNORE_NULLS(last_event_at, s.last_at), last_load_at = CURRENT_TIMESTAMP, last_batch = :batch
    FROM (SELECT count(*) AS files, sum("rows") AS "rows", sum(bytes) AS bytes, max(last_at) AS last_at FROM sluice.sealed) s
    WHERE collection = ${name} AND s.files > 0;
  DELETE FROM sluice.incoming;
  COMMIT;
  RETURN taken || ' files loaded';
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$`;
}

/** Lines that were copied, as rows of bronze. */
/** @param prefix of the stage, with which every name that COPY gives begins */
export function insertFromIncoming(collection: PlannedCollection, incoming: string, sealed: string, prefix: string): string {
  const at = (pointer: string): string => dialect.textAt('i.line', pointer);
  const moment = dialect.fromSeconds('CAST(l.seconds AS BIGINT)');
  const part = (name: string): string => `EXTRACT(${name} FROM ${moment})`;
  return `INSERT INTO ${collection.tables.bronze.text}
  (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
SELECT
  l.path, l.number, l.position, l.operation, coalesce(TRY_CAST(l.written AS TIMESTAMP_TZ), ${moment}),
  CAST(l.seconds AS BIGINT), CAST(l.ordinal AS BIGINT), l.key, l.line,
  ${part('YEAR')}, ${part('MONTH')}, ${part('DAY')}, ${part('HOUR')}, :batch
FROM (
  SELECT
    s.path, i.number, i.line, ${at('/_meta/position')} AS position, ${at('/_meta/operationType')} AS operation, ${at('/_meta/at')} AS written,
    ${at('/_meta/clusterTime/$timestamp/t')} AS seconds, ${at('/_meta/clusterTime/$timestamp/i')} AS ordinal, sluice.document_key(i.line) AS key
  FROM ${incoming} i JOIN ${sealed} s ON i.file = ${text(prefix)} || s.path
) l`;
}

export function baselinesOf(collection: PlannedCollection): string {
  const batch = 424_242;
  return inline(insertBaselines(dialect, catalog, collection.tables, collection.ns, batch)).replaceAll(String(batch), ':batch');
}

function prefixOf(plan: Plan): string {
  return plan.lake?.prefix ?? '';
}

/** `@sluice.lake/shop/orders/`, quoted when it must be. */
export function stagePath(collection: PlannedCollection): string {
  const path = `@sluice.lake/${collection.folder}`;
  return /^[@\w./=-]+$/.test(path) ? path : text(path);
}

export function indent(statement: string, spaces = 2): string {
  return statement.replaceAll('\n', `\n${' '.repeat(spaces)}`);
}

/** Snowpipe: lines land in a table of their own, by events of the container (as parts close) and by a REFRESH of sealed hours. */
export function pipes(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection, index) => {
      const [pipe, lines] = [objectOf(collection, 'pipe'), objectOf(collection, 'lines')];
      return [
        `CREATE TABLE IF NOT EXISTS ${lines} (
  file VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  line VARCHAR(134217728) NOT NULL,
  arrived_at TIMESTAMP_TZ
)`,
        `CREATE STREAM IF NOT EXISTS ${objectOf(collection, 'arrivals')} ON TABLE ${lines} APPEND_ONLY = TRUE`,
        `CREATE PIPE IF NOT EXISTS ${pipe} AUTO_INGEST = TRUE INTEGRATION = 'SLUICE_EVENTS'
AS
  COPY INTO ${lines} (file, number, line, arrived_at)
  FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, $1, METADATA$START_SCAN_TIME FROM ${stagePath(collection)})
  PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
  FILE_FORMAT = (FORMAT_NAME = 'sluice.lines')`,
        `CREATE TASK IF NOT EXISTS ${objectOf(collection, 'refresh')}
  WAREHOUSE = ${id(plan.warehouse)}
  SCHEDULE = 'USING CRON ${minuteOf(index)} * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  COMMENT = 'sluice: files whose event was lost; Snowpipe knows those that it has'
AS
  ALTER PIPE ${pipe} REFRESH`,
        fromLines(collection, prefixOf(plan)),
        `CREATE TASK IF NOT EXISTS ${objectOf(collection, 'load')}
  WAREHOUSE = ${id(plan.warehouse)}
  SCHEDULE = '5 MINUTE'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
WHEN
  SYSTEM$STREAM_HAS_DATA(${text(objectOf(collection, 'arrivals'))})
AS
  CALL ${objectOf(collection, 'load_arrivals')}()`,
      ];
    }),
  ];
}

function fromLines(collection: PlannedCollection, prefix: string): string {
  const name = text(formatNamespace(collection.ns));
  return `CREATE OR REPLACE PROCEDURE ${objectOf(collection, 'load_arrivals')}()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
BEGIN
  CREATE TEMPORARY TABLE IF NOT EXISTS sluice.arrived (path VARCHAR);
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT max(last_batch) INTO :batch FROM sluice.control;
  DELETE FROM sluice.arrived;
  INSERT INTO sluice.arrived SELECT DISTINCT SUBSTR(file, ${prefix.length + 1}) FROM ${objectOf(collection, 'arrivals')};
  ${indent(insertFromIncoming(collection, objectOf(collection, 'arrivals'), 'sluice.arrived', prefix))};
  ${indent(baselinesOf(collection))};
  UPDATE sluice.collection_registry SET
    status = IFF(status = 'DISCOVERED', 'ACTIVE', status), last_load_at = CURRENT_TIMESTAMP, last_batch = :batch,
    "rows" = (SELECT count(*) FROM ${collection.tables.bronze.text})
    WHERE collection = ${name};
  COMMIT;
  RETURN 'batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$`;
}

/** Bronze that stays in the lake: partitions come from the path, and are refreshed for what is new. */
export function externalTables(plan: Plan): string[] {
  const partition = (name: string): string => `  ${name} NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, '${name}=([0-9]+)', 1, 1, 'e')))`;
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection, index) => {
      const table = `bronze.${id(`${collection.tables.stem}_files`)}`;
      return [
        `CREATE EXTERNAL TABLE IF NOT EXISTS ${table} (
  file VARCHAR AS (METADATA$FILENAME),
  row_number NUMBER AS (METADATA$FILE_ROW_NUMBER),
  line VARCHAR AS (value:c1::VARCHAR),
${['year', 'month', 'day', 'hour'].map(partition).join(',\n')}
)
PARTITION BY (year, month, day, hour)
LOCATION = ${stagePath(collection)}
AUTO_REFRESH = FALSE
REFRESH_ON_CREATE = FALSE
PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
FILE_FORMAT = (FORMAT_NAME = 'sluice.lines')`,
        `CREATE TASK IF NOT EXISTS ${objectOf(collection, 'refresh')}
  WAREHOUSE = ${id(plan.warehouse)}
  SCHEDULE = 'USING CRON ${minuteOf(index)} * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
AS
  ALTER EXTERNAL TABLE ${table} REFRESH`,
      ];
    }),
  ];
}
