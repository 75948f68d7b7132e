/**
 * The warehouse in Snowflake: the same tables and the same steps as in DuckDB, from the same statements.
 *
 * What it promises is in core/warehouse.ts; how: one transaction for the rows of files and their ledger lines (loader.ts), one
 * for a piece of the merge and its mark (steps/merger.ts), and every writer behind one row that it updates first (database.ts).
 * DDL of Snowflake commits by itself: it is done before a transaction, and may be done twice.
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_REFUSED } from '../../core/errors.ts';
import type { Namespace } from '../../core/namespace.ts';
import type { NewTable, QueryResult, Warehouse } from '../../core/warehouse.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { parseColumns } from '../sql/columns.ts';
import { SCHEMAS } from '../sql/dialect.ts';
import { mergeRange } from '../sql/silver.ts';
import { catalogOf } from '../sql/names.ts';
import { createSchema, raiseVersion, SCHEMA_VERSION } from '../sql/schema.ts';
import { refreshAll, type Context } from '../steps/collections.ts';
import { dropBeside, type Intake } from '../steps/new-table.ts';
import { knownVersion } from '../steps/schema-version.ts';
import type { Session, Write } from '../steps/session.ts';
import { SqlWarehouse } from '../steps/warehouse.ts';
import { createStage } from './bronze.ts';
import type { SnowflakeAuth } from './connection.ts';
import { Database } from './database.ts';
import { snowflakeDialect } from './dialect.ts';
import { SnowflakeIntake } from './intake.ts';
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
    fold: {
      statements: (tables, range, columns) => [mergeRange(snowflakeDialect, catalog, tables, range, columns)],
      isTooLarge: () => false,
    },
  };
  if (options.auth === null) {
    throw new SluiceError(WAREHOUSE_REFUSED, 'there is no `warehouse.auth`', {
      next: 'Set `warehouse.auth: { kind: keyPair, user: …, privateKeyFile: … }`, or kind oauth or pat; Snowflake refuses passwords for services.',
    });
  }
  return new SnowflakeWarehouse(new Database(parseTarget(options.url), options.auth, catalog, `sluice:${options.pipeline}`), context, options.log);
}

class SnowflakeWarehouse extends SqlWarehouse {
  readonly description: string;
  readonly idleMarkMs = 60 * 60_000;
  readonly #database: Database;
  readonly #log: Logger;

  constructor(database: Database, context: Context, log: Logger) {
    super(database, context, new Loader(database, context, log), log);
    this.description = database.target.description;
    this.#database = database;
    this.#log = log;
  }

  async migrate({ columns } = { columns: true }): Promise<void> {
    const { catalog, dialect } = this.context;
    const version = await this.#database.read((session) => knownVersion(session, catalog));
    if (version === SCHEMA_VERSION && !columns) return;
    await this.#database.define(async (session) => {
      await session.runAll(createSchema(dialect, catalog));
      if (this.#database.target.stage === null) await session.run(createStage(catalog.schemas.sluice));
      await refreshAll(session, this.context, { upgrade: version < SCHEMA_VERSION, columns });
      await session.run(raiseVersion(catalog));
    });
    failpoint('warehouse.after-migrate-commit');
  }

  async query(sql: string, limit: number, signal: AbortSignal): Promise<QueryResult> {
    return runQuery(this.#database, sql, limit, signal);
  }

  protected write<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#database.write(work, signal);
  }

  protected async intake<T>(work: (session: Session, intake: Intake) => Promise<T>, table: NewTable, signal: AbortSignal): Promise<T> {
    await using intake = await SnowflakeIntake.make(this.context.catalog.schemas.sluice);
    try {
      return await this.#database.define(async (session) => {
        await intake.begin(session);
        return await work(session, intake);
      }, signal);
    } catch (error) {
      // Without the caller's signal: it may be why.
      await this.#database
        .define(async (session) => {
          await intake.end(session);
          await dropBeside(session, this.context, table);
        })
        .catch((left: unknown) => this.#log.warn({ err: left }, 'what a table was made of was left'));
      throw error;
    }
  }

  protected rebuild(ns: Namespace, write: Write): Promise<number> {
    return rebuildCollection(write, this.context, ns);
  }
}
