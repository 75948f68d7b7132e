/**
 * What the documents of a collection look like: field paths, the BSON types that each has had, how often.
 *
 * MongoDB asks for no schema, so this is learnt from what arrives, and only ever grows: a field that is gone today was there
 * yesterday, and the rows of then are still read. Counts are of documents: an array counts once, whatever it holds.
 *
 * A *shape* is the outline of one document as DuckDB's `json_structure` writes it (names with `VARCHAR`, `BIGINT`, … in
 * place of values). Thousands of documents share one shape, so that each is taken apart once. Its types are those of JSON;
 * the wrappers of Extended JSON make BSON of them. A relaxed line has int32 and int64 alike: both are `long` here.
 *
 * Documents that use field names as data (`{ "2026-11-21": 5 }`) would grow without end: an object has a limit on the names that are
 * learnt, and so has the whole; what is beyond is counted as left out.
 */
import { createHash } from 'node:crypto';

export const BSON_TYPES = [
  'double',
  'string',
  'object',
  'array',
  'binData',
  'undefined',
  'objectId',
  'bool',
  'date',
  'null',
  'regex',
  'dbPointer',
  'javascript',
  'symbol',
  'int',
  'timestamp',
  'long',
  'decimal',
  'minKey',
  'maxKey',
  // Elements of an array that differ from each other.
  'mixed',
] as const;
export type BsonType = (typeof BSON_TYPES)[number];

/** Names from the document downwards; `null` stands for the elements of an array. */
export type FieldPath = readonly (string | null)[];

/** How wide the decimals of a field are; `wide`: an exponent, or more digits than a column has. */
export type DecimalWidth = { readonly integers: number; readonly scale: number } | 'wide';

export interface Field {
  readonly path: FieldPath;
  readonly types: Map<BsonType, number>;
  decimals: DecimalWidth | null;
}

/** As it is kept: plain JSON. */
export interface FieldRecord {
  readonly path: FieldPath;
  readonly types: Readonly<Partial<Record<BsonType, number>>>;
  readonly decimals?: DecimalWidth;
}

const FIELDS_MAX = 4_000;
const NAMES_PER_OBJECT_MAX = 500;
const DEPTH_MAX = 20;

export class DocumentSchema {
  /** Documents that it was learnt from. */
  documents = 0;
  readonly #fields = new Map<string, Field>();
  readonly #names = new Map<string, number>();

  static from(documents: number, records: readonly FieldRecord[]): DocumentSchema {
    const schema = new DocumentSchema();
    schema.documents = documents;
    for (const { path, types, decimals } of records) {
      for (const [type, count] of Object.entries(types)) schema.add(path, type as BsonType, count);
      if (decimals !== undefined) schema.widenDecimals(path, decimals);
    }
    return schema;
  }

  /** In the order in which they were first seen. */
  get fields(): readonly Field[] {
    return [...this.#fields.values()];
  }

  field(path: FieldPath): Field | null {
    return this.#fields.get(JSON.stringify(path)) ?? null;
  }

  /** @returns false when a limit keeps the field out */
  add(path: FieldPath, type: BsonType, documents: number): boolean {
    const key = JSON.stringify(path);
    let field = this.#fields.get(key);
    if (field === undefined) {
      const parent = JSON.stringify(path.slice(0, -1));
      const names = (this.#names.get(parent) ?? 0) + 1;
      if (this.#fields.size >= FIELDS_MAX || names > NAMES_PER_OBJECT_MAX || path.length > DEPTH_MAX) return false;
      this.#names.set(parent, names);
      field = { path, types: new Map(), decimals: null };
      this.#fields.set(key, field);
    }
    field.types.set(type, (field.types.get(type) ?? 0) + documents);
    return true;
  }

  /** @param shape of so many documents, as parsed JSON */
  addShape(shape: unknown, documents: number): void {
    if (!isObject(shape)) return;
    this.documents += documents;
    this.#addMembers([], shape, documents);
  }

  widenDecimals(path: FieldPath, width: DecimalWidth): void {
    const field = this.field(path);
    if (field !== null) field.decimals = widest(field.decimals, width);
  }

  merge(other: DocumentSchema): void {
    this.documents += other.documents;
    for (const { path, types, decimals } of other.fields) {
      for (const [type, count] of types) this.add(path, type, count);
      if (decimals !== null) this.widenDecimals(path, decimals);
    }
  }

  /** Of the paths and their types: counts do not make another schema. */
  get hash(): string {
    const outline = this.fields.map(({ path, types }) => JSON.stringify([path, [...types.keys()].toSorted()])).toSorted();
    return createHash('sha256').update(outline.join('\n')).digest('hex').slice(0, 32);
  }

  records(): readonly FieldRecord[] {
    return this.fields.map(({ path, types, decimals }) => ({ path, types: Object.fromEntries(types), ...(decimals === null ? {} : { decimals }) }));
  }

  #addMembers(path: FieldPath, members: Readonly<Record<string, unknown>>, documents: number): void {
    for (const [name, value] of Object.entries(members)) this.#addValue([...path, name], value, documents);
  }

  #addValue(path: FieldPath, shape: unknown, documents: number): void {
    const type = typeOfShape(shape, path.includes(null));
    if (!this.add(path, type, documents)) return;
    if (type === 'object' && isObject(shape)) this.#addMembers(path, shape, documents);
    // Of an array without elements nothing is known.
    if (type === 'array' && Array.isArray(shape) && shape.length > 0 && shape[0] !== 'NULL') this.#addValue([...path, null], shape[0], documents);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const WRAPPERS: ReadonlyMap<string, BsonType> = new Map([
  ['$oid', 'objectId'],
  ['$date', 'date'],
  ['$numberInt', 'int'],
  ['$numberLong', 'long'],
  ['$numberDouble', 'double'],
  ['$numberDecimal', 'decimal'],
  ['$binary', 'binData'],
  ['$regularExpression', 'regex'],
  ['$timestamp', 'timestamp'],
  ['$symbol', 'symbol'],
  ['$code', 'javascript'],
  ['$minKey', 'minKey'],
  ['$maxKey', 'maxKey'],
  ['$dbPointer', 'dbPointer'],
  ['$undefined', 'undefined'],
]);

const SCALARS: ReadonlyMap<unknown, BsonType> = new Map([
  ['NULL', 'null'],
  ['BOOLEAN', 'bool'],
  ['BIGINT', 'long'],
  ['UBIGINT', 'long'],
  // Positive and negative ones in an array: MongoDB has none that need it.
  ['HUGEINT', 'long'],
  ['DOUBLE', 'double'],
  ['VARCHAR', 'string'],
]);

/** `JSON` in a shape is an object without members, or, among the elements of an array, values that differ. */
function typeOfShape(shape: unknown, amongElements: boolean): BsonType {
  if (Array.isArray(shape)) return 'array';
  if (!isObject(shape)) return SCALARS.get(shape) ?? (amongElements ? 'mixed' : 'object');
  const names = Object.keys(shape);
  const [first = ''] = names;
  const wrapped = WRAPPERS.get(first);
  if (wrapped !== undefined && (names.length === 1 || (first === '$code' && names.length === 2 && names[1] === '$scope'))) return wrapped;
  return names.some((name) => WRAPPERS.has(name)) && amongElements ? 'mixed' : 'object';
}

/** Digits that a column can have. */
const DECIMAL_DIGITS_MAX = 38;

function widest(a: DecimalWidth | null, b: DecimalWidth): DecimalWidth {
  if (a === 'wide' || b === 'wide') return 'wide';
  const [integers, scale] = [Math.max(a?.integers ?? 0, b.integers), Math.max(a?.scale ?? 0, b.scale)];
  return integers + scale > DECIMAL_DIGITS_MAX ? 'wide' : { integers, scale };
}

/** `address.city`, `items[].sku`. */
export function formatPath(path: FieldPath): string {
  return path.map((name, i) => (name === null ? '[]' : `${i === 0 ? '' : '.'}${name}`)).join('');
}

export interface FieldChange {
  readonly path: FieldPath;
  /** Types that only the older, or only the newer has. */
  readonly gone: readonly BsonType[];
  readonly added: readonly BsonType[];
}

/** What is different between two versions, by path and type. */
export function compareSchemas(older: readonly FieldRecord[], newer: readonly FieldRecord[]): readonly FieldChange[] {
  const before = new Map(older.map((field) => [JSON.stringify(field.path), field]));
  const after = new Map(newer.map((field) => [JSON.stringify(field.path), field]));
  const typesOf = (field: FieldRecord | undefined): BsonType[] => (field === undefined ? [] : (Object.keys(field.types) as BsonType[]));
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
    const [a, b] = [typesOf(before.get(key)), typesOf(after.get(key))];
    const change = { path: JSON.parse(key) as FieldPath, gone: a.filter((type) => !b.includes(type)), added: b.filter((type) => !a.includes(type)) };
    return change.gone.length + change.added.length === 0 ? [] : [change];
  });
}
