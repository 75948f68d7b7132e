/**
 * Learns what the documents of a collection look like from bronze, and makes the views that follow from it.
 *
 * Each batch is learnt once: the mark is moved in the same transaction as the counts. It comes after the merge and in a
 * transaction of its own, so that a view that cannot be made never keeps a row from silver.
 */
import { DocumentSchema, type FieldRecord } from '../../core/document-schema.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { SchemaColumn, SchemaVersion } from '../../core/warehouse.ts';
import type { Dialect } from './dialect.ts';
import { createChildView, createView, insertView, selectViews } from './gold.ts';
import { namesOf, type Catalog, type Tables } from './names.ts';
import { selectStems, type Entry } from './registry.ts';
import {
  insertVersion,
  markLearnt,
  selectDecimalWidths,
  selectHistory,
  selectNewestSchema,
  selectPlans,
  selectShapes,
  updateVersion,
  type Batches,
  type HistoryRow,
} from './schema-history.ts';
import type { Statement } from './statement.ts';
import { conflictsOf, distinctName, NO_VIEWS, planViews, type ColumnType, type ViewColumn, type ViewPlan } from './view-plan.ts';

/** A transaction of any warehouse. Views are defined before they are noted: what is left of a transaction that failed is made again. */
export interface SqlSession {
  all<T extends object>(statement: Statement): Promise<readonly T[]>;
  run(statement: Statement): Promise<unknown>;
  define(statement: Statement): Promise<unknown>;
}

export interface LearnContext {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
}

/** Rarer shapes than these say little and may be as many as there are documents. */
const SHAPES_MAX = 10_000;
const DECIMAL_FIELDS_MAX = 100;

/** Inside a write. */
export async function learnBatches(session: SqlSession, context: LearnContext, entry: Entry, batches: Batches): Promise<void> {
  const { dialect, catalog } = context;
  const tables = catalog.tables(entry.table_name);
  const seen = new DocumentSchema();
  const shapes = await session.all<{ shape: string; documents: number }>(selectShapes(dialect, catalog, tables, batches, SHAPES_MAX));
  for (const { shape, documents } of shapes) seen.addShape(JSON.parse(shape), documents);
  await measureDecimals(session, dialect, tables, batches, seen);
  await extendSchema(session, context, entry, seen);
  await session.run(markLearnt(catalog, entry, batches.upTo));
}

async function measureDecimals(session: SqlSession, dialect: Dialect, tables: Tables, batches: Batches, seen: DocumentSchema): Promise<void> {
  const fields = seen.fields.filter(({ path, types }) => types.has('decimal') && !path.includes(null)).slice(0, DECIMAL_FIELDS_MAX);
  if (fields.length === 0) return;
  const statement = selectDecimalWidths(
    dialect,
    tables,
    batches,
    fields.map(({ path }) => path),
  );
  const [widths] = await session.all<Record<string, number | null>>(statement);
  for (const [i, { path }] of fields.entries()) {
    const [integers, scale, wide] = ['i', 's', 'w'].map((name) => widths?.[`${name}${i}`] ?? 0) as [number, number, number];
    seen.widenDecimals(path, wide > 0 ? 'wide' : { integers, scale });
  }
}

/** Adds what was seen to what is known: a new version when paths or types are new, else higher counts. Inside a write. */
export async function extendSchema(session: SqlSession, context: LearnContext, entry: Entry, seen: DocumentSchema): Promise<void> {
  const { catalog } = context;
  const [newest] = await session.all<HistoryRow>(selectNewestSchema(catalog, entry));
  const schema = newest === undefined ? new DocumentSchema() : DocumentSchema.from(newest.documents, recordsOf(newest));
  schema.merge(seen);
  const before = newest === undefined ? NO_VIEWS : planOf(newest);
  const plan = planViews(schema, before);
  const { hash, documents } = schema;
  const row = { hash, documents, fields: JSON.stringify(schema.records()), plan: JSON.stringify(plan) };
  if (newest?.hash === hash) await session.run(updateVersion(catalog, entry, { ...row, version: newest.version }));
  else await session.run(insertVersion(catalog, entry, { ...row, version: (newest?.version ?? 0) + 1 }));
  // A collection that was only looked at has no tables yet.
  if (entry.coll !== null && entry.last_batch > 0) await makeViews(session, context, entry, plan, before);
}

/** @param before what the views were made of, as far as they are there */
async function makeViews(session: SqlSession, context: LearnContext, entry: Entry, plan: ViewPlan, before: ViewPlan): Promise<void> {
  const { dialect, catalog } = context;
  const tables = catalog.tables(entry.table_name);
  const views = await session.all<ViewRow>(selectViews(catalog));
  const own = new Map(views.filter((view) => view.collection === entry.collection).map((view) => [view.field, view.name]));
  const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  if (!own.has(null) || !isSame(plan.columns, before.columns)) await session.define(createView(dialect, catalog, tables, plan));
  if (!own.has(null)) await session.run(insertView(catalog, tables.stem, entry.collection, null));
  if (plan.children.every((child) => own.has(fieldOf(child.path)) && isSame(child, childOf(before, child.path)))) return;
  const taken = new Set(views.map((view) => view.name.toLowerCase()));
  for (const { table_name } of await session.all<{ table_name: string }>(selectStems(catalog)))
    for (const name of namesOf(table_name)) taken.add(name);
  for (const child of plan.children) {
    const field = fieldOf(child.path);
    let name = own.get(field);
    if (name === undefined) {
      name = childName(tables.stem, child.path, (one) => !taken.has(one.toLowerCase()));
      taken.add(name.toLowerCase());
      await session.run(insertView(catalog, name, entry.collection, field));
    } else if (isSame(child, childOf(before, child.path))) continue;
    await session.define(createChildView(dialect, catalog, tables, catalog.view(name), child));
  }
}

interface ViewRow {
  readonly name: string;
  readonly collection: string;
  /** `null`: the collection's own view; else the path of an array as JSON. */
  readonly field: string | null;
}

function childName(stem: string, path: readonly string[], isFree: (name: string) => boolean): string {
  // eslint-disable-next-line no-control-regex -- a line break inside a name would make the SQL unreadable
  const plain = path.join('_').replace(/[\u0000-\u001f\u007f]/g, '_');
  return distinctName(`${stem}__${plain}`, JSON.stringify([stem, path]), isFree);
}

function fieldOf(path: readonly string[]): string {
  return JSON.stringify(path);
}

function childOf(plan: ViewPlan, path: readonly string[]): ViewPlan['children'][number] | undefined {
  return plan.children.find((child) => fieldOf(child.path) === fieldOf(path));
}

function recordsOf(row: HistoryRow): readonly FieldRecord[] {
  return JSON.parse(row.fields) as FieldRecord[];
}

export function planOf(row: Pick<HistoryRow, 'plan'>): ViewPlan {
  return JSON.parse(row.plan) as ViewPlan;
}

/** Statements that make all views anew, as they are planned: after an upgrade. */
export async function viewsAnew(session: Pick<SqlSession, 'all'>, { dialect, catalog }: LearnContext): Promise<Statement[]> {
  const names = Map.groupBy(await session.all<ViewRow>(selectViews(catalog)), (view) => view.collection);
  const plans = await session.all<{ collection: string; plan: string }>(selectPlans(catalog));
  const stems = new Map(
    (await session.all<{ collection: string; table_name: string }>(selectStems(catalog))).map((row) => [row.collection, row.table_name]),
  );
  return plans.flatMap(({ collection, ...row }) => {
    const [stem, own] = [stems.get(collection), names.get(collection)];
    if (stem === undefined || own === undefined) return [];
    const tables = catalog.tables(stem);
    const plan = planOf(row);
    return own.flatMap(({ name, field }) => {
      if (field === null) return [createView(dialect, catalog, tables, plan)];
      const child = plan.children.find(({ path }) => fieldOf(path) === field);
      return child === undefined ? [] : [createChildView(dialect, catalog, tables, catalog.view(name), child)];
    });
  });
}

/** Every version of a collection's schema, oldest first. */
export async function readSchema(session: Pick<SqlSession, 'all'>, { catalog }: LearnContext, ns: Namespace): Promise<readonly SchemaVersion[]> {
  const views = await session.all<ViewRow>(selectViews(catalog));
  const names = new Map(views.filter((view) => view.collection === formatNamespace(ns)).map((view) => [view.field, view.name]));
  const rows = await session.all<HistoryRow>(selectHistory(catalog, ns));
  return rows.map((row) => {
    const { version, hash, documents } = row;
    const fields = recordsOf(row);
    const schema = DocumentSchema.from(documents, fields);
    const plan = planOf(row);
    const columns = [
      ...plan.columns.map((column) => describeColumn(schema, names.get(null) ?? null, [], column)),
      ...plan.children.flatMap(({ path, columns: own }) =>
        own.map((column) => describeColumn(schema, names.get(fieldOf(path)) ?? null, [...path, null], column)),
      ),
    ];
    return { version, hash, documents, fields, columns, validFrom: row.valid_from, updatedAt: row.updated_at };
  });
}

function describeColumn(schema: DocumentSchema, view: string | null, root: readonly (string | null)[], column: ViewColumn): SchemaColumn {
  const path = [...root, ...column.path];
  const field = schema.field(path);
  return { view, name: column.name, path, type: shownType(column.type), conflicts: field === null ? 0 : conflictsOf(field, column.type) };
}

function shownType(type: ColumnType): string {
  return type === 'HEX' ? 'VARCHAR' : type;
}
