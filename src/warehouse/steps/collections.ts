/**
 * Collections as the warehouse knows them: registered once under a table name that stays, their tables and user columns
 * kept in step with the configuration.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { CollectionRow } from '../../core/warehouse.ts';
import { addColumns, createHistory, createTables, dropColumn } from '../sql/collection.ts';
import type { UserColumn, UserColumns } from '../sql/columns.ts';
import type { Dialect } from '../sql/dialect.ts';
import { tableStem, type Catalog, type Tables } from '../sql/names.ts';
import { insertEntry, selectCollections, selectEntries, selectEntry, selectStems, type Entry } from '../sql/registry.ts';
import type { Session } from './session.ts';

/** What every step of load and merge needs to know. */
export interface Context {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
  readonly columns: UserColumns;
  readonly deletes: 'soft' | 'hard';
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
  const stems = new Map<string, string>();
  for (const known of await session.all<Pick<Entry, 'collection' | 'table_name'>>(selectStems(context.catalog)))
    stems.set(known.collection, known.table_name);
  for (const ns of namespaces) {
    const collection = formatNamespace(ns);
    if (stems.has(collection)) continue;
    const stem = tableStem(ns, [...stems.values()]);
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
    await refreshTables(session, context, entry);
  }
  return { entry, tables };
}

/** Brings the history view and the user's columns of existing tables up to what this version and configuration say. */
export async function refreshTables(session: Session, context: Context, entry: Entry): Promise<void> {
  if (entry.coll === null) return;
  const tables = tablesOf(context, entry);
  await session.run(createHistory(context.dialect, context.catalog, tables, entry));
  const wanted = columnsOf(context, entry);
  const commented = context.dialect.columnComments(context.catalog.schemas.silver, tables.stem);
  const present = new Map((await session.all<{ name: string; comment: string }>(commented)).map((column) => [column.name.toLowerCase(), column]));
  const kept = wanted.filter((column) => present.get(column.name.toLowerCase())?.comment === column.definition);
  // A column whose definition has changed, or that is no longer named, goes: all that it holds is in the document.
  for (const [key, { name }] of present) {
    if (!kept.some((column) => column.name.toLowerCase() === key)) await session.run(dropColumn(context.dialect, tables, name));
  }
  const missing = wanted.filter((column) => !kept.includes(column));
  // One without a comment was being filled when its process was killed, where such a thing is no transaction.
  for (const { name } of missing) await session.run(dropColumn(context.dialect, tables, name));
  if (missing.length > 0) await session.runAll(addColumns(context.dialect, context.catalog, tables, missing));
}

export async function listCollections(session: Session, context: Context): Promise<readonly CollectionRow[]> {
  const rows = await session.all<Omit<CollectionRow, 'namespace'> & Namespace>(selectCollections(context.catalog));
  return rows.map(({ db, coll, ...facts }) => ({ namespace: { db, coll }, ...facts }));
}
