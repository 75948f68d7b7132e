/**
 * Columns that the user names: `{ total: "fullDocument.total DECIMAL(18,2)" }`.
 *
 * A cast that fails gives NULL, the document keeps the value: a type change in MongoDB never loses a row. The
 * definition stands in the column's comment, which is how a later start knows whether the column must be filled anew.
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_COLUMNS } from '../../core/errors.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog } from './names.ts';
import { text, type Statement } from './statement.ts';

export interface UserColumn {
  readonly name: string;
  /** Field names from the document downwards; a number means an array's element (or a field of that name). */
  readonly path: readonly string[];
  /** Normalised: upper case, no superfluous space. */
  readonly type: string;
  /** `fullDocument.path.to.field TYPE`: what the column's comment says. */
  readonly definition: string;
}

export type UserColumns = ReadonlyMap<string, readonly UserColumn[]>;

/** Columns that every silver table has. */
export const SILVER_COLUMNS = [
  'key',
  'doc',
  'doc_position',
  'operation',
  'position',
  'at',
  'version_number',
  'is_current',
  'deleted_at',
  'first_seen_at',
  'loaded_at',
] as const;

/** What a document's value can be cast to with nothing lost in between: scalars alone. */
const TYPES = new Set(
  (
    'BOOLEAN TINYINT SMALLINT INTEGER INT BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT FLOAT REAL DOUBLE DECIMAL NUMERIC ' +
    'VARCHAR TEXT STRING DATE TIME TIMESTAMP TIMESTAMPTZ UUID'
  ).split(' '),
);
const DIGITS_MAX = 38;
// eslint-disable-next-line no-control-regex -- control characters are what this finds
const CONTROL = /[\u0000-\u001f\u007f]/;
const PREFIX = 'fullDocument.';

/**
 * @param config `db.coll` → column name → `fullDocument.path.to.field TYPE`
 * @throws WAREHOUSE_COLUMNS naming the column and what is wrong with it
 */
export function parseColumns(config: Readonly<Record<string, Readonly<Record<string, string>>>>): UserColumns {
  const columns = new Map<string, readonly UserColumn[]>();
  for (const [collection, named] of Object.entries(config)) {
    if (!/^[^.]+\../.test(collection)) throw bad(collection, 'is not the name of a collection; write it as `database.collection`');
    const taken = new Set<string>(SILVER_COLUMNS);
    const list = Object.entries(named).map(([name, definition]) => {
      const where = `${collection}, column ${JSON.stringify(name)}`;
      if (name === '' || CONTROL.test(name)) throw bad(where, 'the name is empty or holds a control character');
      if (taken.has(name.toLowerCase())) throw bad(where, 'silver already has a column of that name (names differ by more than case)');
      taken.add(name.toLowerCase());
      return parseColumn(where, name, definition);
    });
    columns.set(collection, list);
  }
  return columns;
}

/** A column out of its comment, which is its {@link UserColumn.definition}; `null`: it is none of those that the user has named. */
export function columnOf(name: string, definition: string): UserColumn | null {
  if (SILVER_COLUMNS.some((column) => column === name.toLowerCase())) return null;
  try {
    const column = parseColumn(name, name, definition);
    return column.definition === definition ? column : null;
  } catch {
    return null;
  }
}

function parseColumn(where: string, name: string, definition: string): UserColumn {
  const space = /\s+(?=[A-Za-z]+\s*(?:\(.*\))?$)/.exec(definition.trim());
  if (space === null) throw bad(where, `${JSON.stringify(definition)} has no type`);
  const path = definition.trim().slice(0, space.index);
  const type = parseType(where, definition.trim().slice(space.index).trim());
  if (!path.startsWith(PREFIX)) throw bad(where, `the path ${JSON.stringify(path)} does not begin with ${PREFIX}`);
  const segments = path.slice(PREFIX.length).split('.');
  if (segments.includes('')) throw bad(where, `the path ${JSON.stringify(path)} has an empty part`);
  if (CONTROL.test(path)) throw bad(where, `the path ${JSON.stringify(path)} holds a control character`);
  return { name, path: segments, type, definition: `${path} ${type}` };
}

function parseType(where: string, written: string): string {
  const match = /^([A-Za-z]+)\s*(?:\(\s*(\d{1,2})\s*(?:,\s*(\d{1,2})\s*)?\))?$/.exec(written);
  const base = match?.[1]?.toUpperCase() ?? '';
  if (!TYPES.has(base)) throw bad(where, `${JSON.stringify(written)} is none of the types ${[...TYPES].join(', ')}`);
  const [width, scale] = [match?.[2], match?.[3]];
  if (width === undefined) return base;
  if (base !== 'DECIMAL' && base !== 'NUMERIC') throw bad(where, `${base} takes no width`);
  const [digits, places] = [Number(width), Number(scale ?? 0)];
  if (digits < 1 || digits > DIGITS_MAX || places > digits) throw bad(where, `${written} is out of range: 1 to ${DIGITS_MAX} digits`);
  return `${base}(${digits},${places})`;
}

function bad(where: string, what: string): SluiceError {
  return new SluiceError(WAREHOUSE_COLUMNS, `${where}: ${what}`);
}

/** A JSON pointer. */
export function pointerOf(path: readonly string[]): string {
  return path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The column's value out of `document`, an expression that holds the document's JSON. */
export function columnValue(dialect: Dialect, catalog: Catalog, column: UserColumn, document: string): Statement {
  const read = column.type === 'UUID' ? catalog.uuidText : catalog.scalar;
  return text(dialect.tryCast(`${read.text}(${dialect.valueAt(document, pointerOf(column.path))})`, column.type));
}
