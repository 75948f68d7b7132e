/**
 * Collections as the warehouse knows them: registered once under a table name that stays, their tables and user columns
 * kept in step with the configuration.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { CollectionRow } from '../../core/warehouse.ts';
import { addColumns, createHistory, createTables, dropColumn, upgradeBronze } from '../sql/collection.ts';
import { columnOf, type UserColumn, type UserColumns } from '../sql/columns.ts';
import type { Dialect } from '../sql/dialect.ts';
import { selectViews } from '../sql/gold.ts';
import { viewsAnew } from '../sql/learner.ts';
import { tableStem, type Catalog, type Tables } from '../sql/names.ts';
import { insertEntry, rebuildOlder, selectCollections, selectEntries, selectEntry, selectStems, type Entry } from '../sql/registry.ts';
import type { Fold } from './fold.ts';
import type { Session } from './session.ts';

/** What every step of load and merge needs to know. */
export interface Context {
  readonly dialect: Dialect;
  readonly catalog: Catalog;
  readonly columns: UserColumns;
  readonly deletes: 'soft' | 'hard';
  /** What the database may use, where that is ours to say: pieces of work are made to fit. */
  readonly memoryLimitBytes: number;
  readonly fold: Fold;
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
  let entry = await findEntry(session, context, ns);
  if (entry === null) {
    await register(session, context, [ns]);
    entry = await findEntry(session, context, ns);
  }
  if (entry === null) throw new Error(`${formatNamespace(ns)} was registered and is not there`);
  const tables = tablesOf(context, entry);
  if (entry.last_batch === 0) {
    await createObjects(session, context, ns, tables);
    await refreshColumns(session, context, entry, []);
  }
  return { entry, tables };
}

/** Tables and history view of a registered collection, where DDL is no part of a transaction: some may be there, from a start that was cut short. */
export async function defineTables(session: Session, context: Context, entry: Entry): Promise<void> {
  const tables = tablesOf(context, entry);
  await createObjects(session, context, entry, tables);
  if (columnsOf(context, entry).length === 0) return;
  const present = await columnsPresent(session, context, tables.stem);
  await refreshColumns(session, context, entry, [...present.values()].flat());
}

async function createObjects(session: Session, { dialect, catalog }: Context, ns: Namespace, tables: Tables): Promise<void> {
  await session.runAll(createTables(dialect, tables, ns));
  if (ns.coll !== null) await session.run(createHistory(dialect, catalog, tables, ns));
}

export interface Refresh {
  /** They are of an older version: their views are made anew. */
  readonly upgrade: boolean;
  /** What the user has named becomes what the configuration says. */
  readonly columns: boolean;
}

/** Brings all collections up to what this version and configuration say. */
export async function refreshAll(session: Session, context: Context, { upgrade, columns }: Refresh): Promise<void> {
  const { dialect, catalog } = context;
  const made = (await allEntries(session, context)).filter((entry) => entry.last_batch > 0);
  if (upgrade) for (const entry of made) await session.runAll(upgradeBronze(tablesOf(context, entry)));
  const filled = made.filter((entry) => entry.coll !== null);
  if (filled.length === 0) return;
  const comments = columns ? await columnsPresent(session, context, null) : null;
  for (const entry of filled) {
    if (comments !== null) await refreshColumns(session, context, entry, comments.get(entry.table_name.toLowerCase()) ?? []);
    if (upgrade) await session.run(createHistory(dialect, catalog, tablesOf(context, entry), entry));
  }
  if (!upgrade) return;
  await session.run(rebuildOlder(catalog));
  await session.runAll(await viewsAnew(session, context));
}

interface PresentColumn {
  readonly table_name: string;
  readonly name: string;
  readonly comment: string;
}

/** The user's columns by table, in lower case. @param stem of one table, or `null` for all */
async function columnsPresent(
  session: Session,
  { dialect, catalog }: Context,
  stem: string | null,
): Promise<ReadonlyMap<string, readonly PresentColumn[]>> {
  const columns = await session.all<PresentColumn>(dialect.columnComments(catalog.schemas.silver, stem));
  // What others say of a column, or have added themselves, is theirs.
  const own = columns.filter(({ name, comment }) => columnOf(name, comment) !== null);
  return Map.groupBy(own, (column) => column.table_name.toLowerCase());
}

/** The columns that silver has, as they were defined when they were filled, whatever is configured here. */
export async function columnsMade(session: Session, context: Context, entry: Entry): Promise<readonly UserColumn[]> {
  if (entry.coll === null) return [];
  const present = [...(await columnsPresent(session, context, tablesOf(context, entry).stem)).values()].flat();
  return present.flatMap(({ name, comment }) => columnOf(name, comment) ?? []);
}

/** @param present the user's columns that the table has, with their definitions */
async function refreshColumns(session: Session, context: Context, entry: Entry, present: readonly PresentColumn[]): Promise<void> {
  if (entry.coll === null) return;
  const tables = tablesOf(context, entry);
  const wanted = columnsOf(context, entry);
  const isSame = (column: UserColumn, other: PresentColumn): boolean => column.name.toLowerCase() === other.name.toLowerCase();
  const kept = wanted.filter((column) => present.find((other) => isSame(column, other))?.comment === column.definition);
  // A column whose definition has changed, or that is no longer named, goes: all that it holds is in the document.
  for (const other of present) {
    if (!kept.some((column) => isSame(column, other))) await session.run(dropColumn(context.dialect, tables, other.name));
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
