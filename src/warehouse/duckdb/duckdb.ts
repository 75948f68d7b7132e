/**
 * The warehouse in a DuckDB file: bronze holds every line as it came, silver one row per document.
 *
 * What it promises is in core/warehouse.ts; how: one transaction for a file's rows and its ledger line (loader.ts), one
 * for a piece of the merge and its mark (merger.ts), and every writer behind one row that it updates first (database.ts).
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_FAILED } from '../../core/errors.ts';
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
import { createSchema, SCHEMA_VERSION, selectSchemaExists, selectSchemaVersion, takeBatch } from '../sql/schema.ts';
import { selectCurrent } from '../sql/silver.ts';
import { allEntries, findEntry, listCollections, refreshAll, register, tablesOf, type Context } from '../steps/collections.ts';
import { countFailed, learnCollection } from '../steps/learner.ts';
import { mergeCollection, purgeIfComplete } from '../steps/merger.ts';
import { loadedFiles, loadedLines, proveCollection } from '../steps/prover.ts';
import type { Session, Write } from '../steps/session.ts';
import { Database, MEMORY_LIMIT_BYTES } from './database.ts';
import { duckDbDialect } from './dialect.ts';
import { Loader } from './loader.ts';
import { runQuery } from './query.ts';
import { rebuildCollection, dropSpare } from './rebuild.ts';

export interface DuckDbOptions {
  /** File, made when it is missing, or `:memory:`. */
  readonly path: string;
  /** `soft`: deleted documents stay, with `is_current = false`. `hard`: they go once nothing older can come. */
  readonly deletes: 'soft' | 'hard';
  /** `db.coll` → column → `fullDocument.path.to.field TYPE`. */
  readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Default 2 GiB, which a line of 100 MiB needs. */
  readonly memoryLimitBytes?: number;
  readonly log: Logger;
}

/** @throws WAREHOUSE_COLUMNS, WAREHOUSE_BUSY, WAREHOUSE_UNAVAILABLE */
export async function openDuckDb(options: DuckDbOptions): Promise<Warehouse> {
  const context: Context = {
    dialect: duckDbDialect,
    catalog: catalogOf(duckDbDialect, SCHEMAS),
    columns: parseColumns(options.columns),
    deletes: options.deletes,
    memoryLimitBytes: options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES,
  };
  return new DuckDbWarehouse(await Database.open(options.path, context.memoryLimitBytes), context, options.log);
}

class DuckDbWarehouse implements Warehouse {
  readonly description: string;
  /** Writers take turns in a file. */
  readonly atOnce = 1;
  readonly idleMarkMs = 5_000;
  readonly #database: Database;
  readonly #context: Context;
  readonly #loader: Loader;
  readonly #log: Logger;

  constructor(database: Database, context: Context, log: Logger) {
    this.description = `duckdb:${database.path}`;
    this.#database = database;
    this.#context = context;
    this.#loader = new Loader(database, context, log);
    this.#log = log;
  }

  async migrate(): Promise<void> {
    const { catalog, dialect } = this.#context;
    const [first, ...rest] = createSchema(dialect, catalog);
    if (first === undefined) return;
    await this.#database.write(first, async (session) => {
      const exists = ((await session.all<{ tables: number }>(selectSchemaExists(catalog)))[0]?.tables ?? 0) > 0;
      const version = exists ? ((await session.all<{ version: number }>(selectSchemaVersion(catalog)))[0]?.version ?? 0) : 0;
      if (version > SCHEMA_VERSION) {
        throw new SluiceError(WAREHOUSE_FAILED, `its tables are of version ${version}, this sluice knows ${SCHEMA_VERSION}`, {
          next: 'Run the newer version of sluice.',
        });
      }
      await session.runAll(rest);
      await refreshAll(session, this.#context, version < SCHEMA_VERSION);
      // Of a rebuild that was cut short.
      for (const entry of await allEntries(session, this.#context)) await session.run(dropSpare(this.#context, entry));
      failpoint('warehouse.before-migrate-commit');
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
    const write: Write = (work) => this.#database.write(takeBatch(this.#context.catalog), work, signal);
    const result = how.rebuild
      ? { rows: await rebuildCollection(this.#database, this.#context, ns, signal) }
      : await mergeCollection(write, this.#context, ns);
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
    await this.#write(async (session) => {
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
    await this.#write((session) => register(session, this.#context, namespaces));
  }

  async setStatus(ns: Namespace, status: CollectionStatus, reason: string | null, from?: readonly CollectionStatus[]): Promise<void> {
    await this.#write(async (session) => {
      await register(session, this.#context, [ns]);
      await session.run(updateStatus(this.#context.catalog, ns, status, reason, from));
    });
  }

  async collections(): Promise<readonly CollectionRow[]> {
    return this.#database.read((session) => listCollections(session, this.#context));
  }

  async noteSourceCounts(counts: readonly { readonly namespace: Namespace; readonly count: number }[]): Promise<void> {
    await this.#write(async (session) => {
      for (const { namespace, count } of counts) await session.run(updateSourceCount(this.#context.catalog, namespace, count));
    });
  }

  async learn(ns: Namespace, seen: DocumentSchema): Promise<void> {
    await this.#write(async (session) => {
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

  async #write(work: (session: Session) => Promise<void>): Promise<void> {
    await this.#database.write(takeBatch(this.#context.catalog), work);
  }
}
