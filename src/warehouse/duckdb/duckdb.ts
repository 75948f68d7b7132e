/**
 * The warehouse in a DuckDB file: bronze holds every line as it came, silver one row per document.
 *
 * What it promises is in core/warehouse.ts; how: one transaction for a file's rows and its ledger line (loader.ts), one
 * for a piece of the merge and its mark (merger.ts), and every writer behind one row that it updates first (database.ts).
 */
import { existsSync } from 'node:fs';
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_EMPTY } from '../../core/errors.ts';
import type { Namespace } from '../../core/namespace.ts';
import type { NewTable, QueryResult, Warehouse } from '../../core/warehouse.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { parseColumns } from '../sql/columns.ts';
import { SCHEMAS } from '../sql/dialect.ts';
import { catalogOf } from '../sql/names.ts';
import { createSchema, raiseVersion, SCHEMA_VERSION, takeBatch } from '../sql/schema.ts';
import { allEntries, refreshAll, type Context } from '../steps/collections.ts';
import type { Intake } from '../steps/new-table.ts';
import { knownVersion } from '../steps/schema-version.ts';
import type { Session, Write } from '../steps/session.ts';
import { SqlWarehouse } from '../steps/warehouse.ts';
import { Database, MEMORY_LIMIT_BYTES } from './database.ts';
import { duckDbDialect } from './dialect.ts';
import { isOutOfMemory } from './errors.ts';
import { foldInParts } from './fold.ts';
import { DuckDbIntake } from './intake.ts';
import { Loader } from './loader.ts';
import { runQuery } from './query.ts';
import { rebuildCollection, dropSpare } from './rebuild.ts';

export interface DuckDbOptions {
  /** File, made when it is missing unless {@link existing}, or `:memory:`. */
  readonly path: string;
  /** For who only looks: a file that is missing stays missing. */
  readonly existing?: boolean;
  /** `soft`: deleted documents stay, with `is_current = false`. `hard`: they go once nothing older can come. */
  readonly deletes: 'soft' | 'hard';
  /** `db.coll` → column → `fullDocument.path.to.field TYPE`. */
  readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Default 2 GiB, which a line of 100 MiB needs. */
  readonly memoryLimitBytes?: number;
  readonly log: Logger;
}

/** @throws WAREHOUSE_COLUMNS, WAREHOUSE_BUSY, WAREHOUSE_UNAVAILABLE, WAREHOUSE_EMPTY */
export async function openDuckDb(options: DuckDbOptions): Promise<Warehouse> {
  if (options.existing === true && !existsSync(options.path)) throw new SluiceError(WAREHOUSE_EMPTY, `there is no file ${options.path}`);
  const catalog = catalogOf(duckDbDialect, SCHEMAS);
  const context: Context = {
    dialect: duckDbDialect,
    catalog,
    columns: parseColumns(options.columns),
    deletes: options.deletes,
    memoryLimitBytes: options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES,
    fold: {
      statements: (tables, range, columns, parts) => foldInParts(catalog, tables, range, columns, parts),
      isTooLarge: isOutOfMemory,
    },
  };
  return new DuckDbWarehouse(await Database.open(options.path, context.memoryLimitBytes), context, options.log);
}

class DuckDbWarehouse extends SqlWarehouse {
  readonly description: string;
  readonly idleMarkMs = 5_000;
  readonly #database: Database;

  constructor(database: Database, context: Context, log: Logger) {
    super(database, context, new Loader(database, context, log), log);
    this.description = `duckdb:${database.path}`;
    this.#database = database;
  }

  async migrate({ columns } = { columns: true }): Promise<void> {
    const { catalog, dialect } = this.context;
    const before = await this.#database.read((session) => knownVersion(session, catalog));
    if (before === SCHEMA_VERSION && !columns) return;
    const [first, ...rest] = createSchema(dialect, catalog);
    if (first === undefined) return;
    await this.#database.write(first, async (session) => {
      const version = await knownVersion(session, catalog);
      await session.runAll(rest);
      await refreshAll(session, this.context, { upgrade: version < SCHEMA_VERSION, columns });
      await session.run(raiseVersion(catalog));
      // Of a rebuild that was cut short.
      for (const entry of await allEntries(session, this.context)) await session.run(dropSpare(this.context, entry));
      failpoint('warehouse.before-migrate-commit');
    });
    failpoint('warehouse.after-migrate-commit');
  }

  async query(sql: string, limit: number, signal: AbortSignal): Promise<QueryResult> {
    return runQuery(this.#database, sql, limit, signal);
  }

  protected write<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#database.write(takeBatch(this.context.catalog), work, signal);
  }

  protected intake<T>(work: (session: Session, intake: Intake) => Promise<T>, _table: NewTable, signal: AbortSignal): Promise<T> {
    return this.write((session) => work(session, new DuckDbIntake(this.#database.folder)), signal);
  }

  protected rebuild(ns: Namespace, _write: Write, signal: AbortSignal): Promise<number> {
    return rebuildCollection(this.#database, this.context, ns, signal);
  }
}
