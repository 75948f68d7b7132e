/**
 * Collections as the warehouse knows them: registered once under a table name that stays, their tables and user columns
 * kept in step with the configuration.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { CollectionRow } from '../../core/warehouse.ts';
import { addColumns, createHistory, createTables, dropColumn } from '../sql/collection.ts';
import type { UserColumn, UserColumns } from '../sql/columns.ts';
import type { Dialect } from '../sql/dialect.ts';
import { selectViews } from '../sql/gold.ts';
import { viewsAnew } from '../sql/learner.ts';
import { tableStem, type Catalog, type Tables } from '../sql/names.ts';
import { insertEntry, selectCollections, selectEntries, selectEntry, selectStems, type Entry } from '../sql/registry.ts';
import type { Session } from './database.ts';

/** What every step of load and merge needs to know. */
export interface Context {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
  readonly columns: UserColumns;
  readonly deletes: 'soft' | 'hard';
  /** What DuckDB may use: pieces of work are made to fit. */
  readonly memoryLimitBytes: number;
}

export function columnsOf(context: Context, ns: Namespace): readonly UserColumn[] {
  return context.columns.get(formatNamespace(ns)) ?? [];
}

export function tablesOf(context: Context, entry: Entry): Tables {
  return context.catalog.tables(entry.table_name);
}

export async function findEntry(session: Session, context: Context, ns: Namespace): Promise<Entry | null> {
  const [entry] = await session.all<Entry>(selectEntry(context.catalog, ns));
  return entry ?? null;
}

export async function allEntries(session: Session, context: Context): Promise<readonly Entry[]> {
  return session.all<Entry>(selectEntries(context.catalog));
}

/** Registers those that are not known. Inside a write: two collections must not be given one name. */
export async function register(session: Session, context: Context, namespaces: readonly Namespace[]): Promise<void> {
  const views = (await session.all<{ name: string }>(selectViews(context.catalog))).map((view) => view.name);
  const stems = new Map<string, string>();
  for (const known of await session.all<Pick<Entry, 'collection' | 'table_name'>>(selectStems(context.catalog)))
    stems.set(known.collection, known.table_name);
  for (const ns of namespaces) {
    const collection = formatNamespace(ns);
    if (stems.has(collection)) continue;
    const stem = tableStem(ns, [...stems.values()], views);
    stems.set(collection, stem);
    await session.run(insertEntry(context.catalog, ns, stem));
  }
}

/** The entry of a collection that is about to get rows: registered, with tables. */
export async function prepareTables(session: Session, context: Context, ns: Namespace): Promise<{ readonly entry: Entry; readonly tables: Tables }> {
  await register(session, context, [ns]);
  const entry = await findEntry(session, context, ns);
  if (entry === null) throw new Error(`${formatNamespace(ns)} was registered and is not there`);
  const tables = tablesOf(context, entry);
  if (entry.last_batch === 0) {
    await session.runAll(createTables(context.dialect, tables, ns));
    if (ns.coll !== null) await session.run(createHistory(context.dialect, context.catalog, tables, ns));
    await refreshColumns(session, context, entry, new Map());
  }
  return { entry, tables };
}

/** Brings all collections up to what this version and configuration say. @param upgrade the views of an older version are made anew */
export async function refreshAll(session: Session, context: Context, upgrade: boolean): Promise<void> {
  const { dialect, catalog } = context;
  const comments = Map.groupBy(
    await session.all<{ table_name: string; name: string; comment: string }>(dialect.columnComments(catalog.schemas.silver, null)),
    (column) => column.table_name,
  );
  for (const entry of await allEntries(session, context)) {
    if (entry.last_batch === 0 || entry.coll === null) continue;
    const present = new Map((comments.get(entry.table_name) ?? []).map((column) => [column.name, column.comment]));
    await refreshColumns(session, context, entry, present);
    if (upgrade) await session.run(createHistory(dialect, catalog, tablesOf(context, entry), entry));
  }
  if (upgrade) await session.runAll(await viewsAnew(session, context));
}

/** @param present the user's columns that the table has, with their definitions */
async function refreshColumns(session: Session, context: Context, entry: Entry, present: ReadonlyMap<string, string>): Promise<void> {
  if (entry.coll === null) return;
  const tables = tablesOf(context, entry);
  const wanted = columnsOf(context, entry);
  const kept = wanted.filter((column) => present.get(column.name) === column.definition);
  // A column whose definition has changed, or that is no longer named, goes: all that it holds is in the document.
  for (const name of present.keys()) {
    if (!kept.some((column) => column.name === name)) await session.run(dropColumn(context.dialect, tables, name));
  }
  const missing = wanted.filter((column) => !kept.includes(column));
  if (missing.length > 0) await session.runAll(addColumns(context.dialect, context.catalog, tables, missing));
}

export async function listCollections(session: Session, context: Context): Promise<readonly CollectionRow[]> {
  const rows = await session.all<Omit<CollectionRow, 'namespace'> & Namespace>(selectCollections(context.catalog));
  return rows.map(({ db, coll, ...facts }) => ({ namespace: { db, coll }, ...facts }));
}
