/**
 * Which columns the views of a collection have, decided from what its documents look like.
 *
 * Queries rely on the columns, so a plan only grows: a column keeps its name and its place, new ones come behind it, its type
 * only widens. A field whose values do not agree gets the type of nearly all of them; the few others are NULL in the view,
 * counted as conflicts, and whole in silver. Where they are not few, the column is text.
 *
 * Names are compared without case, and two fields that would share one (`a.b` and `a_b`, `Total` and `total`) are told apart by
 * a hash of the path. Limits on depth and width keep a view readable; what is deeper stays JSON in its parent's column.
 */
import { createHash } from 'node:crypto';
import type { BsonType, DecimalWidth, DocumentSchema, Field, FieldPath } from '../../core/document-schema.ts';

/** `HEX` is text: binary values as hexadecimal digits. */
export type ColumnType = 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'TIMESTAMPTZ' | 'VARCHAR' | 'HEX' | 'JSON' | `DECIMAL(38,${number})`;

export interface ViewColumn {
  readonly name: string;
  /** From the document, or from the element, downwards; empty: the element itself. */
  readonly path: readonly string[];
  readonly type: ColumnType;
  /** Strings occur and are not to be cast: `'1.5'` would become 2. */
  readonly guarded: boolean;
}

/** Elements of an array, one row each. */
export interface ChildPlan {
  readonly path: readonly string[];
  readonly columns: readonly ViewColumn[];
}

export interface ViewPlan {
  readonly columns: readonly ViewColumn[];
  readonly children: readonly ChildPlan[];
}

export const NO_VIEWS: ViewPlan = { columns: [], children: [] };

/** Columns that every view has beside the fields. */
export const VIEW_COLUMNS = ['_key', '_at', '_version'] as const;
export const CHILD_COLUMNS = ['_key', '_index'] as const;

const DEPTH_MAX = 6;
const COLUMNS_MAX = 500;
const CHILDREN_MAX = 50;
/** An object with more names than this uses them as data: it stays one JSON column. */
const NAMES_MAX = 100;
/** One in so many values may be of another type before the column becomes text. */
const STRAY_SHARE_MAX = 0.01;
const NAME_CHARS_MAX = 150;
const HASH_CHARS = 8;

const NOTHING: ReadonlySet<BsonType> = new Set(['null', 'undefined']);

export function planViews(schema: DocumentSchema, previous: ViewPlan): ViewPlan {
  const arrays = schema.fields.filter(
    ({ path, types }) => types.has('array') && !path.includes(null) && path.length <= DEPTH_MAX && schema.field([...path, null]) !== null,
  );
  const known = new Map(previous.children.map((child) => [JSON.stringify(child.path), child]));
  for (const { path } of arrays) {
    const key = JSON.stringify(path);
    if (!known.has(key) && known.size < CHILDREN_MAX) known.set(key, { path: path as readonly string[], columns: [] });
  }
  const outline: Outline = { fields: schema.fields, names: namesPerObject(schema) };
  return {
    columns: planColumns(outline, [], VIEW_COLUMNS, previous.columns),
    children: [...known.values()].map(({ path, columns }) => ({ path, columns: planColumns(outline, [...path, null], CHILD_COLUMNS, columns) })),
  };
}

interface Outline {
  readonly fields: readonly Field[];
  /** How many names each object has, by its path. */
  readonly names: ReadonlyMap<string, number>;
}

function namesPerObject(schema: DocumentSchema): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { path } of schema.fields) {
    if (path.at(-1) === null) continue;
    const parent = JSON.stringify(path.slice(0, -1));
    counts.set(parent, (counts.get(parent) ?? 0) + 1);
  }
  return counts;
}

function planColumns(outline: Outline, root: FieldPath, reserved: readonly string[], previous: readonly ViewColumn[]): readonly ViewColumn[] {
  const columns = new Map(previous.map((column) => [JSON.stringify(column.path), column]));
  const taken = new Set([...reserved, ...previous.map((column) => column.name)].map((name) => name.toLowerCase()));
  for (const field of candidates(outline, root)) {
    const path = field.path.slice(root.length) as readonly string[];
    const key = JSON.stringify(path);
    const before = columns.get(key);
    const type = columnType(field, before?.type ?? null, hasColumnsBelow(outline, field, root.length));
    if (type === null || (before === undefined && columns.size >= COLUMNS_MAX)) continue;
    const guarded = isNumber(type) && (field.types.get('string') ?? 0) > 0;
    const name = before?.name ?? freeName(path, taken);
    taken.add(name.toLowerCase());
    columns.set(key, { name, path, type, guarded });
  }
  return [...columns.values()];
}

/** Fields below `root` that may have a column: not inside a further array, not too deep, not below names that are data. */
function candidates({ fields, names }: Outline, root: FieldPath): readonly Field[] {
  const isBelow = ({ path }: Field): boolean => path.length >= root.length && root.every((name, i) => path[i] === name);
  return fields.filter((field) => {
    const own = field.path.slice(root.length);
    if (!isBelow(field) || (own.length === 0 && root.length === 0) || own.includes(null) || own.length > DEPTH_MAX) return false;
    return own.every((_, i) => i === 0 || (names.get(JSON.stringify(field.path.slice(0, root.length + i))) ?? 0) <= NAMES_MAX);
  });
}

/** An object whose fields have columns of their own needs none. */
function hasColumnsBelow({ names }: Outline, field: Field, rootLength: number): boolean {
  if (field.path.length - rootLength >= DEPTH_MAX) return false;
  const below = names.get(JSON.stringify(field.path)) ?? 0;
  return below > 0 && below <= NAMES_MAX;
}

/** `null`: nothing but null or members has been seen, so no type is known. */
function columnType(field: Field, before: ColumnType | null, flattened: boolean): ColumnType | null {
  const seen = [...field.types].filter(([type]) => !NOTHING.has(type) && !(type === 'object' && flattened));
  const total = seen.reduce((sum, [, count]) => sum + count, 0);
  const most = Math.max(...seen.map(([, count]) => count));
  const kept = seen.filter(([type, count]) => count === most || count > total * STRAY_SHARE_MAX || isNumeric(type));
  // Numbers among mostly other values are strays like any other.
  const numbers = kept.filter(([type]) => isNumeric(type)).reduce((sum, [, count]) => sum + count, 0);
  const counted = kept.filter(([type]) => !isNumeric(type) || numbers > total * STRAY_SHARE_MAX);
  const types = counted.map(([type]) => typeOf(type, field.decimals));
  return [...(before === null ? [] : [before]), ...types].reduce<ColumnType | null>((a, b) => (a === null ? b : join(a, b)), null);
}

function isNumeric(type: BsonType): boolean {
  return type === 'int' || type === 'long' || type === 'double' || type === 'decimal';
}

function isNumber(type: ColumnType): boolean {
  return type === 'BIGINT' || type === 'DOUBLE' || type.startsWith('DECIMAL');
}

function typeOf(type: BsonType, decimals: DecimalWidth | null): ColumnType {
  switch (type) {
    case 'int':
    case 'long':
      return 'BIGINT';
    case 'double':
      return 'DOUBLE';
    case 'decimal':
      return decimals === null || decimals === 'wide' ? 'VARCHAR' : `DECIMAL(38,${decimals.scale})`;
    case 'bool':
      return 'BOOLEAN';
    case 'date':
      return 'TIMESTAMPTZ';
    case 'string':
    case 'symbol':
    case 'objectId':
      return 'VARCHAR';
    case 'binData':
      return 'HEX';
    default:
      return 'JSON';
  }
}

/** Digits of a 64-bit integer. */
const LONG_DIGITS = 19;
const DIGITS_MAX = 38;

/** The narrowest type that holds both; text holds everything. */
function join(a: ColumnType, b: ColumnType): ColumnType {
  if (a === b) return a;
  const [x, y] = [scaleOf(a), scaleOf(b)];
  if (x !== null && y !== null) return `DECIMAL(38,${Math.max(x, y)})`;
  const pair = new Set([a, b]);
  if (pair.has('BIGINT')) {
    if (pair.has('DOUBLE')) return 'DOUBLE';
    const scale = x ?? y;
    if (scale !== null && scale + LONG_DIGITS <= DIGITS_MAX) return `DECIMAL(38,${scale})`;
  }
  return 'VARCHAR';
}

function scaleOf(type: ColumnType): number | null {
  const match = /^DECIMAL\(38,(\d+)\)$/.exec(type);
  return match === null ? null : Number(match[1]);
}

/** Documents whose value of this field is NULL in the view, though it is there. */
export function conflictsOf(field: Field, type: ColumnType): number {
  let count = 0;
  for (const [bson, documents] of field.types) if (!NOTHING.has(bson) && !fits(bson, type, field.decimals)) count += documents;
  return count;
}

function fits(bson: BsonType, type: ColumnType, decimals: DecimalWidth | null): boolean {
  if (type === 'VARCHAR' || type === 'JSON' || bson === 'object') return true;
  const own = typeOf(bson, decimals);
  return own === type || join(own, type) === type;
}

function freeName(path: readonly string[], taken: ReadonlySet<string>): string {
  // eslint-disable-next-line no-control-regex -- a line break inside a name would make the SQL unreadable
  const plain = path.length === 0 ? 'value' : path.join('_').replace(/[\u0000-\u001f\u007f]/g, '_');
  return distinctName(plain === '' ? '_' : plain, JSON.stringify(path), (name) => !taken.has(name.toLowerCase()));
}

/** `plain`, or with a hash of `identity` behind it when it is too long or not free. */
export function distinctName(plain: string, identity: string, isFree: (name: string) => boolean): string {
  const digest = createHash('sha256').update(identity).digest('hex');
  // Never in the middle of a character.
  const stem = Array.from(plain).slice(0, NAME_CHARS_MAX).join('');
  let name = stem === plain ? plain : `${stem}_${digest.slice(0, HASH_CHARS)}`;
  for (let chars = HASH_CHARS; !isFree(name); chars += 1) name = `${stem}_${digest.slice(0, chars)}`;
  return name;
}
