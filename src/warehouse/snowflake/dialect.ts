/**
 * Snowflake's side of the SQL.
 *
 * Lines and documents are text: functions.ts says why, and has the functions that read them. Names that are plain stay
 * unquoted, which Snowflake turns to upper case, so that `select * from silver.shop__orders` works as it is typed.
 */
import type { Dialect } from '../sql/dialect.ts';
import { sql, text } from '../sql/statement.ts';
import { createFunctions } from './functions.ts';

/** Words that Snowflake does not take as a bare name of a table or column. */
const RESERVED = new Set(
  (
    'account all alter and any as asof between by case cast check column connect connection constraint create cross current current_date current_time ' +
    'current_timestamp current_user database delete distinct drop else exists false following for from full grant group gscluster having ' +
    'ilike in increment inner insert intersect into is issue join lateral left like localtime localtimestamp match_condition minus natural not null of on ' +
    'or order organization qualify regexp revoke right rlike row rows sample schema select set some start table tablesample then to ' +
    'trigger true try_cast union unique update using values view when whenever where with'
  ).split(' '),
);

/** The largest text that Snowflake keeps; unless it is written out, a column takes an eighth of it. */
const DOCUMENT = 'VARCHAR(134217728)';

/** Types that users may name and Snowflake does not have. */
const TYPES: Readonly<Record<string, string>> = {
  HUGEINT: 'NUMBER(38,0)',
  UTINYINT: 'NUMBER(3,0)',
  USMALLINT: 'NUMBER(5,0)',
  UINTEGER: 'NUMBER(10,0)',
  UBIGINT: 'NUMBER(20,0)',
  TINYINT: 'NUMBER(3,0)',
  SMALLINT: 'NUMBER(5,0)',
  INTEGER: 'NUMBER(10,0)',
  INT: 'NUMBER(10,0)',
  BIGINT: 'NUMBER(19,0)',
  REAL: 'FLOAT',
  DOUBLE: 'FLOAT',
  TIMESTAMP: 'TIMESTAMP_NTZ',
  TIMESTAMPTZ: 'TIMESTAMP_TZ',
  UUID: 'VARCHAR(36)',
};

export function isPlain(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_$]*$/.test(name) && !RESERVED.has(name.toLowerCase());
}

/** As Snowflake stores it. */
export function storedName(name: string): string {
  return isPlain(name) ? name.toUpperCase() : name;
}

export const snowflakeDialect: Dialect = {
  identifier: (name) => (isPlain(name) ? name : `"${name.replaceAll('"', '""')}"`),
  string: quote,
  documentColumn: DOCUMENT,
  asDocument: (expression) => expression,
  typeAt: (document, pointer) => `sluice.type_at(${document}, ${quote(pointer)})`,
  textAt: (document, pointer) => `sluice.text_at(${document}, ${quote(pointer)})`,
  valueAt: (document, pointer) => `sluice.value_at(${document}, ${quote(pointer)})`,
  fromSeconds: (seconds) => `DATEADD('second', ${seconds}, CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))`,
  secondsSince: (moment) => `DATEDIFF('second', ${moment}, CURRENT_TIMESTAMP)`,
  // ASOF JOIN of Snowflake compares numbers and times alone, and positions are text.
  nextJoin: 'LEFT JOIN',
  nextOnly: (leftKey, right) => `\nQUALIFY row_number() OVER (PARTITION BY ${leftKey} ORDER BY ${right}) = 1`,
  columnType: typeOf,
  // Through a time, so that the text of a date may have one.
  tryCast: (expression, type) => {
    if (type === 'UUID') return `sluice.uuid(${expression})`;
    return type === 'DATE' ? `CAST(TRY_CAST(${expression} AS TIMESTAMP_NTZ) AS DATE)` : `TRY_CAST(${expression} AS ${typeOf(type)})`;
  },
  // Elements as texts: an ARRAY of their values would not keep them digit for digit.
  elements: (silver, pointer) => sql`
    SELECT s.key, CAST(f.value AS VARCHAR) AS element, f.index AS element_index
    FROM ${silver} s, LATERAL FLATTEN(input => PARSE_JSON(sluice.elements(s.doc, ${text(quote(pointer))}))) f
    WHERE s.is_current`,
  digestText: (expression) => `MD5(${expression})`,
  digestNumbers: (expression) => ({ first: littleEndian(`LEFT(MD5(${expression}), 16)`), last: littleEndian(`RIGHT(MD5(${expression}), 16)`) }),
  columnComments: (schema, table) => sql`
    SELECT table_name, column_name AS name, comment FROM information_schema.columns
    WHERE table_schema = ${storedName(schema)} AND ${table === null ? text('TRUE') : sql`table_name = ${storedName(table)}`} AND comment IS NOT NULL AND comment <> ''`,
  functions: createFunctions,
};

function typeOf(type: string): string {
  return TYPES[type] ?? type;
}

/** In a literal of Snowflake a backslash begins an escape. */
function quote(value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll("'", "''");
  // eslint-disable-next-line no-control-regex -- they are what this replaces
  return `'${escaped.replace(/[\u0000-\u001f\u007f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}'`;
}

/** Eight bytes in hex, the least one first, as a number. */
function littleEndian(hex: string): string {
  const pairs = '(..)'.repeat(8);
  const turned = Array.from({ length: 8 }, (_, i) => `\\\\${8 - i}`).join('');
  return `TO_NUMBER(REGEXP_REPLACE(${hex}, '${pairs}', '${turned}'), '${'X'.repeat(16)}', 20, 0)`;
}

export function textOf(value: string): ReturnType<typeof text> {
  return text(quote(value));
}
