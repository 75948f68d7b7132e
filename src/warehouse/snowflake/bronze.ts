/**
 * Statements that bring sealed files into bronze.
 *
 * COPY takes the lines of files, as they are, into a temporary table of the session; from there they go on by an INSERT,
 * because COPY knows no function that cuts a value out of a text. A COPY into a table that nobody else has leaves no load
 * history behind that could say a file was loaded when its transaction was not.
 */
import type { Dialect } from '../sql/dialect.ts';
import type { Catalog, Tables } from '../sql/names.ts';
import { join, sql, text, type Statement } from '../sql/statement.ts';
import type { StoredAs } from '../steps/staging.ts';
import { textOf } from './dialect.ts';

/** The stage of a local lake: files are put there, copied, and removed. */
export function createStage(schema: string): Statement {
  return sql`CREATE STAGE IF NOT EXISTS ${text(schema)}.incoming COMMENT = 'sluice: files on their way from a local lake'`;
}

export function createIncoming(schema: string): Statement {
  return sql`
    CREATE TEMPORARY TABLE IF NOT EXISTS ${text(schema)}.incoming (
      file VARCHAR NOT NULL,
      number BIGINT NOT NULL,
      line VARCHAR(134217728) NOT NULL
    )`;
}

/** @param path an absolute path without a quote or a backslash: files are staged under plain names */
export function putFiles(path: string, stage: string): Statement {
  return sql`PUT ${textOf(`file://${path}`)} ${textOf(stage)} AUTO_COMPRESS = FALSE OVERWRITE = TRUE PARALLEL = 4`;
}

export function removeFiles(stage: string): Statement {
  return sql`REMOVE ${textOf(stage)}`;
}

/** Lines of at most 1,000 files that are stored alike, exactly as they are: no escape, no quote, no delimiter within a line. */
export function copyLines(schema: string, stage: string, names: readonly string[], stored: StoredAs): Statement {
  const line = stored === 'parquet' ? text('$1:line::VARCHAR') : text('$1');
  return sql`
    COPY INTO ${text(schema)}.incoming (file, number, line)
    FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, ${line} FROM ${textOf(stage)})
    FILES = (${names.map(textOf)})
    FILE_FORMAT = (
      ${stored === 'parquet' ? PARQUET_FORMAT : linesFormat(stored)}
    )
    ON_ERROR = ABORT_STATEMENT FORCE = TRUE`;
}

const PARQUET_FORMAT = text('TYPE = PARQUET COMPRESSION = AUTO BINARY_AS_TEXT = FALSE TRIM_SPACE = FALSE NULL_IF = ()');

function linesFormat(stored: Exclude<StoredAs, 'parquet'>): Statement {
  const kind = { uncompressed: 'NONE', gzip: 'GZIP', zstd: 'ZSTD' }[stored];
  return sql`
    TYPE = CSV COMPRESSION = ${text(kind)} RECORD_DELIMITER = '\\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
    FIELD_OPTIONALLY_ENCLOSED_BY = NONE TRIM_SPACE = FALSE EMPTY_FIELD_AS_NULL = FALSE NULL_IF = () SKIP_BLANK_LINES = FALSE
    REPLACE_INVALID_CHARACTERS = FALSE SKIP_BYTE_ORDER_MARK = FALSE ENCODING = 'UTF8' MULTI_LINE = FALSE`;
}

/** What came of each file: how many lines, and the first that cannot be taken. */
export function checkLines(schema: string): Statement {
  return sql`
    SELECT file, count(*) AS "rows", min_by(bad, CASE WHEN bad IS NOT NULL THEN number END) AS bad
    FROM (
      SELECT file, number, 'line ' || CAST(number AS VARCHAR) || ' ' || ${text(schema)}.problem(line) AS bad FROM ${text(schema)}.incoming
    )
    GROUP BY file`;
}

/** @param paths name of a file as COPY gave it, and the file's path in the ledger */
export function insertLines(
  dialect: Dialect,
  catalog: Catalog,
  tables: Tables,
  batch: number,
  paths: readonly (readonly [file: string, path: string])[],
): Statement {
  const at = (pointer: string): Statement => text(dialect.textAt('i.line', pointer));
  const seconds = text('CAST(l.seconds AS BIGINT)');
  const moment = text(dialect.fromSeconds(seconds.text));
  const named = paths.map(([file, path]) => sql`SELECT ${file} AS file, ${path} AS path`);
  return sql`
    INSERT INTO ${tables.bronze}
      (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
    SELECT
      l.path, l.number, l.position, l.operation, coalesce(TRY_CAST(l.written AS TIMESTAMP_TZ), ${moment}), ${seconds}, CAST(l.ordinal AS BIGINT), l.key, l.line,
      EXTRACT(YEAR FROM ${moment}), EXTRACT(MONTH FROM ${moment}), EXTRACT(DAY FROM ${moment}), EXTRACT(HOUR FROM ${moment}), ${batch}
    FROM (
      SELECT
        p.path,
        i.number,
        i.line,
        ${at('/_meta/position')} AS position,
        ${at('/_meta/operationType')} AS operation,
        ${at('/_meta/at')} AS written,
        ${at('/_meta/clusterTime/$timestamp/t')} AS seconds,
        ${at('/_meta/clusterTime/$timestamp/i')} AS ordinal,
        ${catalog.documentKey}(i.line) AS key
      FROM ${text(catalog.schemas.sluice)}.incoming i JOIN (
        ${join(named, '\nUNION ALL ')}
      ) p ON p.file = i.file
    ) l`;
}

/** Inside the transaction: DDL would end it. */
export function emptyIncoming(schema: string): Statement {
  return sql`DELETE FROM ${text(schema)}.incoming`;
}
