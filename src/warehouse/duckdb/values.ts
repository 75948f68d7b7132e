/**
 * DuckDB's values as JSON values. A number that a double cannot hold exactly is given as text: digits are never lost.
 */
import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBArrayValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBUnionValue,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [name: string]: Plain };

/** Decimal digits that every double keeps. */
const DOUBLE_DIGITS = 15;
const ISO_MICROS_MAX = 8_640_000_000_000_000_000n;

/** A converter for `convertRows`. */
export function plainValue(value: DuckDBValue, _type?: DuckDBType): Plain {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return fromInteger(value);
  if (value instanceof DuckDBDecimalValue) return fromDecimal(value);
  if (value instanceof DuckDBTimestampTZValue || value instanceof DuckDBTimestampValue) return fromMicros(value);
  if (value instanceof DuckDBDateValue) return value.toString();
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map((item) => plainValue(item));
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(Object.entries(value.entries).map(([name, item]) => [name, plainValue(item)]));
  }
  if (value instanceof DuckDBMapValue) return value.entries.map((entry) => ({ key: plainValue(entry.key), value: plainValue(entry.value) }));
  if (value instanceof DuckDBUnionValue) return plainValue(value.value);
  return String(value);
}

function fromInteger(value: bigint): Plain {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

function fromDecimal(value: DuckDBDecimalValue): Plain {
  const digits = (value.value < 0n ? -value.value : value.value).toString().length;
  return digits <= DOUBLE_DIGITS ? Number(value.toString()) : value.toString();
}

/** ISO 8601, UTC; microseconds only when there are any. */
function fromMicros(value: DuckDBTimestampTZValue | DuckDBTimestampValue): Plain {
  const { micros } = value;
  if (micros > ISO_MICROS_MAX || micros < -ISO_MICROS_MAX) return value.toString();
  const fraction = ((micros % 1000n) + 1000n) % 1000n;
  const iso = new Date(Number((micros - fraction) / 1000n)).toISOString();
  return fraction === 0n ? iso : iso.replace('Z', `${fraction.toString().padStart(3, '0')}Z`);
}
