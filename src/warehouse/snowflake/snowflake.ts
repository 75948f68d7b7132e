/**
 * The warehouse in Snowflake: the same tables and the same steps as in DuckDB, from the same statements.
 *
 * What it promises is in core/warehouse.ts; how: one transaction for the rows of files and their ledger lines (loader.ts), one
 * for a piece of the merge and its mark (steps/merger.ts), and every writer behind one row that it updates first (database.ts).
 * DDL of Snowflake commits by itself: it is done before a transaction, and may be done twice.
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_FAILED, WAREHOUSE_REFUSED } from '../../core/errors.ts';
import type { DocumentSchema } from '../../core/document-schema.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import type {
  CollectionRow,
  CollectionStatus,
  LoadResult,
  MergeResult,
  QueryResult,
  SchemaVersion,
  SealedFile,
  Warehouse,
} from '../../core/warehouse.ts';
import type { LoadedFile, LoadedLine, WarehouseFault } from '../../core/warehouse-proof.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { parseColumns } from '../sql/columns.ts';
import { SCHEMAS } from '../sql/dialect.ts';
import { catalogOf } from '../sql/names.ts';
import { extendSchema, readSchema } from '../sql/learner.ts';
import { isUnmerged, markCompleteThrough, MARKS_MAX, updateSourceCount, updateStatus } from '../sql/registry.ts';
import { createSchema, SCHEMA_VERSION, selectSchemaExists, selectSchemaVersion } from '../sql/schema.ts';
import { selectCurrent } from '../sql/silver.ts';
import { allEntries, findEntry, listCollections, refreshAll, register, tablesOf, type Context } from '../steps/collections.ts';
import { countFailed, learnCollection } from '../steps/learner.ts';
import { mergeCollection, purgeIfComplete } from '../steps/merger.ts';
import { loadedFiles, loadedLines, proveCollection } from '../steps/prover.ts';
import type { Write } from '../steps/session.ts';
import { createStage } from './bronze.ts';
import type { SnowflakeAuth } from './connection.ts';
import { Database } from './database.ts';
import { snowflakeDialect } from './dialect.ts';
import { Loader } from './loader.ts';
import { runQuery } from './query.ts';
import { rebuildCollection } from './rebuild.ts';
import { parseTarget } from './target.ts';

export interface SnowflakeOptions {
  /** `snowflake://account/database?warehouse=…&role=…`. */
  readonly url: string;
  readonly auth: SnowflakeAuth | null;
  /** Begins every query tag. */
  readonly pipeline: string;
  readonly deletes: 'soft' | 'hard';
  readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly log: Logger;
}

/** Nothing is asked of Snowflake yet. @throws WAREHOUSE_COLUMNS, WAREHOUSE_REFUSED, CONFIG_INVALID */
export function openSnowflake(options: SnowflakeOptions): Warehouse {
  const catalog = catalogOf(snowflakeDialect, SCHEMAS);
  const context: Context = {
    dialect: snowflakeDialect,
    catalog,
    columns: parseColumns(options.columns),
    deletes: options.deletes,
    // Snowflake's own affair.
    memoryLimitBytes: Infinity,
  };
  if (options.auth === null) {
    throw new SluiceError(WAREHOUSE_REFUSED, 'there is no `warehouse.auth`', {
      next: 'Set `warehouse.auth: { kind: keyPair, user: …, privateKeyFile: … }`, or kind oauth or pat; Snowflake refuses passwords for services.',
    });
  }
  return new SnowflakeWarehouse(new Database(parseTarget(options.url), options.auth, catalog, `sluice:${options.pipeline}`), context, options.log);
}

class SnowflakeWarehouse implements Warehouse {
  readonly description: string;
  /** Every transaction waits at one row. */
  readonly atOnce = 1;
  readonly idleMarkMs = 60 * 60_000;
  readonly #database: Database;
  readonly #context: Context;
  readonly #loader: Loader;
  readonly #log: Logger;

  constructor(database: Database, context: Context, log: Logger) {
    this.description = database.target.description;
    this.#database = database;
    this.#context = context;
    this.#loader = new Loader(database, context, log);
    this.#log = log;
  }

  async migrate(): Promise<void> {
    const { catalog, dialect } = this.#context;
    const exists = (await this.#database.read((session) => session.all<{ tables: number }>(selectSchemaExists(catalog))))[0]?.tables ?? 0;
    const version =
      exists > 0 ? ((await this.#database.read((session) => session.all<{ version: number }>(selectSchemaVersion(catalog))))[0]?.version ?? 0) : 0;
    if (version > SCHEMA_VERSION) {
      throw new SluiceError(WAREHOUSE_FAILED, `its tables are of version ${version}, this sluice knows ${SCHEMA_VERSION}`, {
        next: 'Run the newer version of sluice.',
      });
    }
    await this.#database.define(async (session) => {
      await session.runAll(createSchema(dialect, catalog));
      if (this.#database.target.stage === null) await session.run(createStage(catalog.schemas.sluice));
      await refreshAll(session, this.#context, version < SCHEMA_VERSION);
    });
    failpoint('warehouse.after-migrate-commit');
  }

  async loaded(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#loader.known(paths);
  }

  async load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult> {
    return this.#loader.load(files, signal);
  }

  async merge(ns: Namespace, how: { readonly rebuild: boolean }, signal: AbortSignal): Promise<MergeResult> {
    if (ns.coll === null) return { rows: 0 };
    const write: Write = (work) => this.#database.write(work, signal);
    const result = how.rebuild ? { rows: await rebuildCollection(write, this.#context, ns) } : await mergeCollection(write, this.#context, ns);
    await learnCollection(this.#database, write, this.#context, ns, { log: this.#log, signal });
    return result;
  }

  async unmerged(): Promise<readonly Namespace[]> {
    const entries = await this.#database.read((session) => allEntries(session, this.#context));
    return entries.filter(isUnmerged).map(({ db, coll }) => ({ db, coll }));
  }

  async unlearnt(): Promise<readonly Namespace[]> {
    const entries = await this.#database.read((session) => allEntries(session, this.#context));
    return entries.filter((entry) => entry.coll !== null && entry.learnt_batch < entry.merged_batch).map(({ db, coll }) => ({ db, coll }));
  }

  async markComplete(marks: readonly { readonly namespace: Namespace; readonly through: Timestamp }[]): Promise<void> {
    await this.#database.write(async (session) => {
      await register(
        session,
        this.#context,
        marks.map((mark) => mark.namespace),
      );
      for (let from = 0; from < marks.length; from += MARKS_MAX) {
        await session.run(markCompleteThrough(this.#context.catalog, marks.slice(from, from + MARKS_MAX)));
      }
      if (this.#context.deletes === 'hard') for (const { namespace } of marks) await purgeIfComplete(session, this.#context, namespace);
      failpoint('warehouse.before-complete-commit');
    });
    failpoint('warehouse.after-complete-commit');
  }

  async discover(namespaces: readonly Namespace[]): Promise<void> {
    // Asked for often, with nothing new in it: that must not cost a transaction.
    const known = new Set((await this.#database.read((session) => allEntries(session, this.#context))).map((entry) => entry.collection));
    if (namespaces.every((ns) => known.has(formatNamespace(ns)))) return;
    await this.#database.write((session) => register(session, this.#context, namespaces));
  }

  async setStatus(ns: Namespace, status: CollectionStatus, reason: string | null, from?: readonly CollectionStatus[]): Promise<void> {
    await this.#database.write(async (session) => {
      await register(session, this.#context, [ns]);
      await session.run(updateStatus(this.#context.catalog, ns, status, reason, from));
    });
  }

  async collections(): Promise<readonly CollectionRow[]> {
    return this.#database.read((session) => listCollections(session, this.#context));
  }

  async noteSourceCounts(counts: readonly { readonly namespace: Namespace; readonly count: number }[]): Promise<void> {
    await this.#database.write(async (session) => {
      for (const { namespace, count } of counts) await session.run(updateSourceCount(this.#context.catalog, namespace, count));
    });
  }

  async learn(ns: Namespace, seen: DocumentSchema): Promise<void> {
    await this.#database.write(async (session) => {
      const entry = await findEntry(session, this.#context, ns);
      if (entry !== null) await extendSchema(session, this.#context, entry, seen);
    });
  }

  async schema(ns: Namespace): Promise<readonly SchemaVersion[]> {
    return this.#database.read((session) => readSchema(session, this.#context, ns));
  }

  async failedCasts(ns: Namespace, signal: AbortSignal): Promise<readonly { readonly column: string; readonly documents: number }[]> {
    return countFailed(this.#database, this.#context, ns, signal);
  }

  async query(sql: string, limit: number, signal: AbortSignal): Promise<QueryResult> {
    return runQuery(this.#database, sql, limit, signal);
  }

  async *silver(ns: Namespace, signal: AbortSignal): AsyncGenerator<{ readonly key: string; readonly doc: string | null }> {
    if (ns.coll === null) return;
    const entry = await this.#database.read((session) => findEntry(session, this.#context, ns), signal);
    if (entry === null || entry.last_batch === 0) return;
    yield* this.#database.stream<{ key: string; doc: string | null }>(selectCurrent(tablesOf(this.#context, entry)), signal);
  }

  loadedFiles(ns: Namespace, signal: AbortSignal): AsyncIterable<LoadedFile> {
    return loadedFiles(this.#database, this.#context, ns, signal);
  }

  loadedLines(ns: Namespace, path: string, signal: AbortSignal): AsyncIterable<LoadedLine> {
    return loadedLines(this.#database, this.#context, ns, path, signal);
  }

  async prove(ns: Namespace, examplesMax: number, signal: AbortSignal): Promise<readonly WarehouseFault[]> {
    return proveCollection(this.#database, this.#context, ns, examplesMax, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }
}
