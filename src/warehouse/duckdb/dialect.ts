/**
 * DuckDB's side of the SQL.
 *
 * `json_extract` of DuckDB 1.5 does not keep a text: `1e+300` becomes `1e300`, `1.10` becomes `1.1`, `\u00e9` becomes `é`,
 * digits beyond a double are lost (seen; duplicate keys and int64 survive). What is stored must be what MongoDB sent, so
 * `member` cuts the text out instead. `,"name":` cannot stand inside a JSON string (its quotes would be escaped), so it
 * is always a key; if it occurs once, it is the top-level one. If it occurs more often (a field of a document is called
 * like that too), the right place is the one before which the text, closed with `}`, is whole JSON; in the same way the
 * end is the first place that makes the value whole. A line with other white space than sluice writes falls back
 * to `json_extract`.
 */
import type { Dialect } from '../sql/dialect.ts';
import { sql, text, type Statement } from '../sql/statement.ts';

/** Words that DuckDB does not take as a bare column name (`duckdb_keywords()`: reserved and type_function). */
const RESERVED = new Set(
  (
    'all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check collate ' +
    'collation column concurrently constraint create cross default deferrable desc describe distinct do else end except false ' +
    'fetch for foreign freeze from full generated glob group having ilike in initially inner intersect into is isnull join lambda ' +
    'lateral leading left like limit map natural not notnull null offset on only or order outer overlaps pivot pivot_longer ' +
    'pivot_wider placing positional primary qualify references returning right select semi show similar some struct summarize ' +
    'symmetric table tablesample then to trailing true try_cast union unique unpack unpivot using variadic verbose when where ' +
    'window with position values row exists interval'
  ).split(' '),
);

export const duckDbDialect: Dialect = {
  identifier: (name) => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.has(name.toLowerCase()) ? name : `"${name.replaceAll('"', '""')}"`),
  string: quote,
  documentColumn: 'JSON USING COMPRESSION zstd',
  asDocument: (expression) => `CAST(${expression} AS JSON)`,
  typeAt: (document, pointer) => `json_type(${document}, ${quote(pointer)})`,
  textAt: (document, pointer) => `json_extract_string(${document}, ${quote(pointer)})`,
  valueAt: (document, pointer) => `json_extract(${document}, ${quote(pointer)})`,
  fromSeconds: (seconds) => `to_timestamp(${seconds})`,
  secondsSince: (moment) => `CAST(EXTRACT(EPOCH FROM now()) - EXTRACT(EPOCH FROM ${moment}) AS BIGINT)`,
  nextJoin: 'ASOF LEFT JOIN',
  nextOnly: () => '',
  columnType: (type) => type,
  tryCast: (expression, type) => `TRY_CAST(${expression} AS ${type})`,
  elements: (silver, pointer) => sql`
    SELECT key, unnest(elements) AS element, generate_subscripts(elements, 1) - 1 AS element_index
    FROM (
      SELECT key, CASE WHEN ${text(duckDbDialect.typeAt('doc', pointer))} = 'ARRAY' THEN CAST(${text(duckDbDialect.valueAt('doc', pointer))} AS JSON[]) END AS elements
      FROM ${silver} WHERE is_current
    )`,
  digestText: (expression) => `md5(${expression})`,
  // What DuckDB calls upper is what comes first in the bytes.
  digestNumbers: (expression) => ({ first: `md5_number_upper(${expression})`, last: `md5_number_lower(${expression})` }),
  columnComments: (schema, table) => sql`
    SELECT table_name, column_name AS name, comment FROM duckdb_columns()
    WHERE database_name = current_database() AND schema_name = ${schema} AND comment IS NOT NULL AND ${table === null ? text('TRUE') : sql`table_name = ${table}`}`,
  functions,
};

/** Control characters are written as code points: a line break inside a literal would make the statement unreadable. */
function quote(value: string): string {
  // eslint-disable-next-line no-control-regex -- they are what this replaces
  const parts = value.split(/([\u0000-\u001f\u007f])/);
  const pieces = parts.map((part, i) => (i % 2 === 1 ? `chr(${part.charCodeAt(0)})` : `'${part.replaceAll("'", "''")}'`));
  return pieces.length === 1 ? (pieces[0] ?? "''") : `(${pieces.join(' || ')})`;
}

/**
 * `list_transform([x], lambda y: …)[1]` names a value inside an expression, so that it is computed once: a macro is put
 * in place of its call, arguments and all, and inside CASE DuckDB computes an expression each time it is written.
 */
function functions(sluice: string): readonly Statement[] {
  const own = (name: string): Statement => text(`${duckDbDialect.identifier(sluice)}.${name}`);
  return [
    sql`
      CREATE OR REPLACE MACRO ${own('member_searched')}(line, name, following) AS (
        list_transform([struct_pack(opening := ',"' || name || '":', closing := ',' || CAST(to_json(following) AS VARCHAR) || ':')], lambda mark:
          list_transform([string_split(line, mark.opening)], lambda parts:
            list_transform([list_filter(
              list_transform(range(1, len(parts)), lambda i: CAST(list_sum(list_transform(parts[1:i], lambda part: length(part))) AS BIGINT) + (i - 1) * length(mark.opening)),
              lambda size: json_valid(left(line, size) || '}'))[1]], lambda start:
              list_transform([substr(line, start + length(mark.opening) + 1)], lambda rest:
                CASE WHEN following IS NULL THEN left(rest, -1) ELSE
                  list_transform([string_split(rest, mark.closing)], lambda ends:
                    list_filter(
                      list_transform(range(1, len(ends)), lambda j: left(rest, CAST(list_sum(list_transform(ends[1:j], lambda part: length(part))) AS BIGINT) + (j - 1) * length(mark.closing))),
                      lambda value: json_valid(value))[1])[1]
                END)[1])[1])[1])[1])`,
    sql`
      CREATE OR REPLACE MACRO ${own('member')}(line, name) AS (
        list_transform([json_keys(line)], lambda names:
          list_transform([struct_pack(
            parts := string_split(line, ',"' || name || '":'),
            following := list_extract(names, list_position(names, name) + 1))], lambda found:
            CASE
              WHEN NOT list_contains(names, name) THEN NULL
              WHEN len(found.parts) = 2 AND found.following IS NULL THEN left(found.parts[2], -1)
              WHEN len(found.parts) = 2 AND len(string_split(found.parts[2], ',' || CAST(to_json(found.following) AS VARCHAR) || ':')) = 2
                THEN split_part(found.parts[2], ',' || CAST(to_json(found.following) AS VARCHAR) || ':', 1)
              ELSE coalesce(${own('member_searched')}(line, name, found.following), CAST(json_extract(line, '/' || name) AS VARCHAR))
            END)[1])[1])`,
    // `_id` may be the first member; `member` looks for one that follows another.
    sql`
      CREATE OR REPLACE MACRO ${own('document_key')}(line) AS (
        list_transform(['{"":0,' || nullif(substr(${own('member')}(line, 'documentKey'), 2), '}')], lambda members: ${own('member')}(members, '_id'))[1])`,
    sql`
      CREATE OR REPLACE MACRO ${own('date_text')}(value) AS (
        CASE WHEN json_type(value, '/$date') = 'OBJECT'
          THEN strftime(TRY(epoch_ms(TRY_CAST(json_extract_string(value, '/$date/$numberLong') AS BIGINT))), '%Y-%m-%dT%H:%M:%S.%gZ')
          ELSE json_extract_string(value, '/$date') END)`,
    sql`
      CREATE OR REPLACE MACRO ${own('scalar')}(value) AS (
        CASE WHEN json_type(value) = 'OBJECT' THEN coalesce(
          json_extract_string(value, '/$numberDecimal'), json_extract_string(value, '/$numberLong'),
          json_extract_string(value, '/$numberInt'), json_extract_string(value, '/$numberDouble'),
          json_extract_string(value, '/$oid'), json_extract_string(value, '/$symbol'), ${own('date_text')}(value), CAST(value AS VARCHAR))
        ELSE json_extract_string(value, '$') END)`,
    // Names that occur twice, and all else that it does not take, must not spoil the statement.
    sql`CREATE OR REPLACE MACRO ${own('structure')}(value) AS (TRY(CAST(json_structure(value) AS VARCHAR)))`,
    sql`
      CREATE OR REPLACE MACRO ${own('uuid_text')}(value) AS (
        coalesce(
          json_extract_string(value, '/$uuid'),
          hex(TRY(from_base64(json_extract_string(value, '/$binary/base64')))),
          json_extract_string(value, '$')))`,
  ];
}
