/**
 * Where the SQL of the warehouses differs. Everything else in this folder is the same text for each of them.
 *
 * Five functions in the `sluice` schema belong to a dialect, because no two databases read JSON alike:
 * - `member(line, name)`: the text of a top-level member of a line, digit for digit; NULL when there is none;
 * - `document_key(line)`: the text of `documentKey._id`, digit for digit; NULL when the event has no document;
 * - `scalar(value)`: an Extended JSON value as text that can be cast, without its wrapper; NULL for null;
 * - `uuid_text(value)`: a UUID, from its binary as well; of any other binary its hexadecimal digits;
 * - `structure(value)`: the shape of a JSON value as core/document-schema.ts reads it; NULL where that cannot be told.
 */
import type { Statement } from './statement.ts';

export interface Schemas {
  readonly sluice: string;
  readonly bronze: string;
  readonly silver: string;
  readonly gold: string;
}

export const SCHEMAS: Schemas = { sluice: 'sluice', bronze: 'bronze', silver: 'silver', gold: 'gold' };

export interface Dialect {
  /** Plain names stay plain, all others are quoted. */
  identifier(name: string): string;
  /** A text literal, for where a bind cannot stand (views, comments). */
  string(value: string): string;
  /** Declaration of a column that keeps a JSON text as it came. */
  readonly documentColumn: string;
  /** Converts a text into what `documentColumn` holds, without touching it. */
  asDocument(expression: string): string;
  /** Type of the value at `pointer` (JSON pointer) of a document, upper case; NULL when there is none. */
  typeAt(document: string, pointer: string): string;
  /** The value at `pointer` as text. */
  textAt(document: string, pointer: string): string;
  /** The value at `pointer` as JSON. */
  valueAt(document: string, pointer: string): string;
  /** A moment from whole seconds since 1970. */
  fromSeconds(seconds: string): string;
  /** Whole seconds that have gone by since a moment. */
  secondsSince(moment: string): string;
  /** `a <nextJoin> b ON b.x > a.x <nextOnly(key of a, b.x)>`: each row of a, with the first row of b after it if there is one. */
  readonly nextJoin: string;
  nextOnly(leftKey: string, right: string): string;
  /** A type that a user has named for a column, as this warehouse calls it. */
  columnType(type: string): string;
  /** A text as that type; NULL when it does not fit. */
  tryCast(expression: string, type: string): string;
  /** Rows `key`, `element_index` (from 0) and `element` (JSON) of the array at `pointer` in the current documents of a silver table. */
  elements(silver: Statement, pointer: string): Statement;
  /** MD5 of a text, hex. */
  digestText(expression: string): string;
  /** The first and the last 8 bytes of the MD5 of a text, each as a little-endian number whose sum cannot overflow. */
  digestNumbers(expression: string): { readonly first: string; readonly last: string };
  /** Commented columns of a table, or of all tables of a schema, as `table_name`, `name` and `comment`. */
  columnComments(schema: string, table: string | null): Statement;
  /** Statements that make the five functions. */
  functions(sluice: string): readonly Statement[];
}
