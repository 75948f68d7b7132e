/**
 * A schema as a table, as JSON schema, and as DDL.
 */
import { formatPath, type BsonType, type FieldPath, type FieldRecord } from '../core/document-schema.ts';
import type { SchemaVersion } from '../core/warehouse.ts';

type FailedCasts = readonly { readonly column: string; readonly documents: number }[] | null;

/** A row per field: path, types, documents that have it, and the column that shows it. */
export function fieldRows(version: SchemaVersion, failedCasts: FailedCasts): readonly (readonly unknown[])[] {
  const columns = new Map(version.columns.map((column) => [JSON.stringify(column.path), column]));
  const [main] = version.columns;
  return version.fields.map((field) => {
    const column = columns.get(JSON.stringify(field.path));
    const failed = column === undefined || column.view !== main?.view ? null : failedCasts?.find((one) => one.column === column.name)?.documents;
    return [
      formatPath(field.path),
      Object.entries(field.types)
        .map(([type, count]) => `${type} ${count}`)
        .join(', '),
      shareOf(field, version),
      column?.view ?? null,
      column?.name ?? null,
      column?.type ?? null,
      column?.conflicts ?? null,
      ...(failedCasts === null ? [] : [failed ?? null]),
    ];
  });
}

function countOf(field: FieldRecord): number {
  return Object.values(field.types).reduce((sum, count) => sum + count, 0);
}

function shareOf(field: FieldRecord, version: SchemaVersion): string {
  return version.documents === 0 ? '' : `${Math.round((countOf(field) / version.documents) * 1000) / 10} %`;
}

/** What `$jsonSchema` of MongoDB takes; other tools see the outline without the types. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly bsonType?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
}

export function jsonSchemaOf(collection: string, version: SchemaVersion): JsonSchema {
  const children = Map.groupBy(version.fields, (field) => JSON.stringify(field.path.slice(0, -1)));
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `${collection}, version ${version.version}`,
    bsonType: 'object',
    ...membersOf([], version.documents, children),
  };
}

type Children = ReadonlyMap<string, readonly FieldRecord[]>;

/** @param documents that have the object whose members these are */
function membersOf(path: FieldPath, documents: number, children: Children): JsonSchema {
  const fields = (children.get(JSON.stringify(path)) ?? []).filter((field) => field.path.at(-1) !== null);
  if (fields.length === 0) return {};
  const nameOf = (field: FieldRecord): string => field.path.at(-1) ?? '';
  const required = fields.filter((field) => countOf(field) >= documents && documents > 0).map(nameOf);
  // Elements of arrays were not counted one by one: nothing can be said of what each of them has.
  const certain = path.includes(null) ? [] : required;
  return {
    properties: Object.fromEntries(fields.map((field) => [nameOf(field), nodeOf(field, children)])),
    ...(certain.length === 0 ? {} : { required: certain }),
  };
}

function nodeOf(field: FieldRecord, children: Children): JsonSchema {
  const types = Object.keys(field.types) as BsonType[];
  const element = (children.get(JSON.stringify(field.path)) ?? []).find((child) => child.path.at(-1) === null);
  // Elements that differ are said nothing of.
  const bsonType = types.includes('mixed') ? {} : { bsonType: types.length === 1 ? (types[0] ?? '') : types };
  return {
    ...bsonType,
    ...membersOf(field.path, field.types.object ?? 0, children),
    ...(element === undefined ? {} : { items: nodeOf(element, children) }),
  };
}

/** Tables that could hold what the views show. */
export function ddlOf(version: SchemaVersion): string {
  const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
  const views = Map.groupBy(version.columns, (column) => column.view ?? 'documents');
  return [...views]
    .map(([view, columns]) => `CREATE TABLE ${quote(view)} (\n${columns.map(({ name, type }) => `  ${quote(name)} ${type}`).join(',\n')}\n);\n`)
    .join('\n');
}
