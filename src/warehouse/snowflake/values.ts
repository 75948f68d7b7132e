/**
 * Snowflake's values as JSON values, by the type of their column. A number that a double cannot hold exactly is given as
 * text: digits are never lost.
 */
import type { Column } from 'snowflake-sdk';

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [name: string]: Plain };

/** Decimal digits that every double keeps. */
const DOUBLE_DIGITS = 15;

/** Names that are upper case because nobody quoted them come as they are typed. */
export function columnNames(columns: readonly Column[]): readonly string[] {
  return columns.map((column) => (/^[A-Z_][A-Z0-9_$]*$/.test(column.getName()) ? column.getName().toLowerCase() : column.getName()));
}

export function rowsOf(columns: readonly Column[], rows: readonly unknown[]): readonly (readonly Plain[])[] {
  const types = columns.map((column) => column.getType().toLowerCase());
  return rows.map((row) => (row as readonly unknown[]).map((value, i) => plain(value, types[i] ?? '')));
}

function plain(value: unknown, type: string): Plain {
  // A number fetched as text is `NULL` when there is none.
  if (value === null || value === undefined || (value === 'NULL' && (type === 'fixed' || type === 'real'))) return null;
  if (typeof value === 'boolean') return value;
  if (type === 'fixed') return fixed(asText(value));
  if (type === 'real') return real(asText(value));
  if (type === 'date') return value instanceof Date ? value.toISOString().slice(0, 10) : asText(value).slice(0, 10);
  if (type.startsWith('timestamp')) return moment(value);
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? value : (JSON.parse(JSON.stringify(value)) as Plain);
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function fixed(digits: string): Plain {
  const significant = digits.replace(/^[-+]?0*\.?0*/, '').replace('.', '');
  if (/^[-+]?\d+$/.test(digits)) return Number.isSafeInteger(Number(digits)) ? Number(digits) : digits;
  return significant.length <= DOUBLE_DIGITS ? Number(digits) : digits;
}

function real(written: string): Plain {
  const named = { inf: 'Infinity', '-inf': '-Infinity', nan: 'NaN' }[written.toLowerCase()];
  if (named !== undefined) return named;
  const number = Number(written);
  return Number.isFinite(number) ? number : written;
}

/** ISO 8601, UTC; microseconds only when there are any. The driver's dates know their nanoseconds. */
function moment(value: unknown): Plain {
  if (!(value instanceof Date)) return String(value);
  if (Number.isNaN(value.getTime())) return String(value);
  const iso = new Date(value.getTime()).toISOString();
  const nanos = 'getNanoSeconds' in value ? Number((value as { getNanoSeconds(): number | string }).getNanoSeconds()) : 0;
  const micros = Math.floor(nanos / 1000) % 1000;
  return micros === 0 ? iso : iso.replace('Z', `${String(micros).padStart(3, '0')}Z`);
}
