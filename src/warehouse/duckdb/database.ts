/**
 * One DuckDB file, opened once in this process, with its transactions.
 *
 * DuckDB lets one process have the file; within a process a second opening would silently drop the lock of the first
 * (POSIX locks end with the first descriptor that is closed), so openings share one instance through DuckDB's cache.
 * Writers take turns: each transaction first updates the row of `sluice.control`. Readers have connections of their own
 * and see what is committed.
 *
 * The database may read no file but those in `folder`: whoever can send a query cannot read the machine's disk.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm, rmdir } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { systemClock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_BUSY } from '../../core/errors.ts';
import { makeFolders } from '../../core/folders.ts';
import { linkInPlace } from '../../core/link-in-place.ts';
import type { Statement } from '../sql/statement.ts';
import { Line } from '../steps/line.ts';
import type { Reads, Session } from '../steps/session.ts';
import { failure, isConflict, isInterrupt, openFailure } from './errors.ts';
import { draftOf, removeLeftovers, stagedFolder } from './leftovers.ts';
import { plainValue, type Plain } from './values.ts';

export const MEMORY = ':memory:';

export const MEMORY_LIMIT_BYTES = 2 * 1024 ** 3;
const THREADS_MAX = 4;
/** What DuckDB's documentation asks for. */
const BYTES_PER_THREAD = 125_000_000;
/** How long a writer waits for another one before it gives up, and how often it looks. */
const TURN_WAIT_MS_MAX = 10 * 60_000;
const TURN_POLL_MS = 20;
const INTERRUPT_EVERY_MS = 20;

const FORMAT = {
  // Older files keep their format; new ones get the one that can compress documents with zstd.
  storage_compatibility_version: 'v1.2.0',
  autoinstall_known_extensions: 'false',
} as const;
/** Openings and closings in this process, one after the other: they share a folder, and what the first one sets and locks. */
const doors = new Line();

/** What the first statement of a write gives: the number for a batch. */
export interface Turn {
  readonly batch: number;
}

/** A connection inside {@link Database.read} or {@link Database.write}. */
class Connected implements Session {
  readonly #connection: DuckDBConnection;
  readonly #signal: AbortSignal;

  constructor(connection: DuckDBConnection, signal: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
  }

  /** Rows as objects by column name; their shape is what the statement says it is. */
  async all<T extends object>(statement: Statement): Promise<readonly T[]> {
    this.#signal.throwIfAborted();
    const reader = await this.#connection.runAndReadAll(statement.text, [...statement.values]);
    const names = reader.columnNames();
    return reader.convertRows(plainValue).map((row) => rowOf(names, row) as T);
  }

  /** @returns rows that changed */
  async run(statement: Statement): Promise<number> {
    this.#signal.throwIfAborted();
    return (await this.#connection.run(statement.text, [...statement.values])).rowsChanged;
  }

  async runAll(statements: readonly Statement[]): Promise<void> {
    for (const statement of statements) await this.run(statement);
  }

  /** All of DuckDB's statements are part of the transaction. */
  async define(statement: Statement): Promise<void> {
    await this.run(statement);
  }
}

export class Database implements Reads, AsyncDisposable {
  readonly path: string;
  /** The only folder, below which files may be read. */
  readonly folder: string;
  readonly #instance: DuckDBInstance;
  readonly #closing = new AbortController();
  /** Reads and writes that are under way: the instance outlives them. */
  readonly #underWay = new Set<Promise<unknown>>();
  /** Connections of iterations that nobody has ended yet. */
  readonly #streams = new Set<DuckDBConnection>();
  readonly #writers = new Line();

  private constructor(path: string, folder: string, instance: DuckDBInstance) {
    this.path = path;
    this.folder = folder;
    this.#instance = instance;
  }

  /** @throws WAREHOUSE_BUSY, WAREHOUSE_UNAVAILABLE */
  static async open(where: string, memoryLimitBytes: number = MEMORY_LIMIT_BYTES): Promise<Database> {
    return await doors.run(() => Database.#open(where === MEMORY ? MEMORY : resolve(where), memoryLimitBytes));
  }

  static async #open(path: string, memoryLimitBytes: number): Promise<Database> {
    let instance: DuckDBInstance | null = null;
    try {
      if (path !== MEMORY) await makeFile(path);
      instance = await DuckDBInstance.fromCache(path, {
        ...FORMAT,
        threads: String(Math.max(1, Math.min(THREADS_MAX, availableParallelism(), Math.floor(memoryLimitBytes / BYTES_PER_THREAD)))),
      });
      const folder = await confine(instance, path, memoryLimitBytes);
      return new Database(path, folder, instance);
    } catch (error) {
      instance?.closeSync();
      throw openFailure(error, path);
    }
  }

  /** Runs `work` on a connection of its own; abort interrupts the statement that is running. */
  async read<T>(work: (session: Session, connection: DuckDBConnection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    const running = this.#connected(work, stop);
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  /** As {@link read}, and all statements see what was committed when the first of them began. */
  async readOneMoment<T>(work: (session: Session) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.read(async (session, connection) => {
      // Ends with its connection.
      await connection.run('BEGIN TRANSACTION READ ONLY');
      return work(session);
    }, signal);
  }

  /** Rows of one statement as they come, on a connection of their own, which ends with the iteration. */
  async *stream<T extends object>(statement: Statement, signal: AbortSignal): AsyncGenerator<T> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    stop.throwIfAborted();
    const connection = await this.#instance.connect();
    using _interrupts = interruptsOn(stop, connection);
    this.#streams.add(connection);
    try {
      const result = await connection.stream(statement.text, [...statement.values]);
      const names = result.columnNames();
      for await (const rows of result.yieldConvertedRows(plainValue)) {
        for (const row of rows) {
          stop.throwIfAborted();
          yield rowOf(names, row) as T;
        }
      }
    } catch (error) {
      stop.throwIfAborted();
      throw failure(error);
    } finally {
      this.#streams.delete(connection);
      connection.closeSync();
    }
  }

  /**
   * Runs `work` in one transaction, after all earlier ones. `begin` is its first statement: it updates the row that
   * every writer updates, so that a writer elsewhere has to wait. `work` may run again after such a wait, from the start.
   */
  async write<T>(begin: Statement, work: (session: Session, turn: Turn) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#writers.run(() => this.#withRetries(begin, work, signal), signal);
  }

  async #withRetries<T>(begin: Statement, work: (session: Session, turn: Turn) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let waitedMs = 0; ; waitedMs += TURN_POLL_MS) {
      try {
        return await this.read((session) => transaction(session, begin, work), signal);
      } catch (error) {
        const cause = error instanceof SluiceError ? error.cause : error;
        if (!isConflict(cause)) throw error;
        if (waitedMs >= TURN_WAIT_MS_MAX) throw new SluiceError(WAREHOUSE_BUSY, `${this.path}, another writer in this process`, { cause });
        await systemClock.sleep(TURN_POLL_MS, signal ?? this.#closing.signal);
      }
    }
  }

  async #connected<T>(work: (session: Session, connection: DuckDBConnection) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const connection = await this.#instance.connect();
    using _interrupts = interruptsOn(signal, connection);
    try {
      return await work(new Connected(connection, signal), connection);
    } catch (error) {
      if (isInterrupt(error)) signal.throwIfAborted();
      throw failure(error);
    } finally {
      connection.closeSync();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new SluiceError(WAREHOUSE_BUSY, `${this.path} is being closed`));
    await this.#writers.emptied();
    await Promise.allSettled(this.#underWay);
    for (const connection of this.#streams) connection.closeSync();
    await doors.run(() => this.#close());
  }

  async #close(): Promise<void> {
    try {
      // While the file is ours: who has it next makes this folder anew, at that moment.
      await rm(this.folder, { recursive: true, force: true });
      // Fails while another opening in this process has its folder there.
      if (this.path !== MEMORY) await rmdir(dirname(this.folder)).catch(() => undefined);
    } finally {
      this.#instance.closeSync();
    }
  }
}

/**
 * Interrupts what runs on `connection` from the abort on until it is disposed of. Once is not enough: a statement that is
 * just about to begin clears the interrupt that came before it, and would run to its end.
 */
function interruptsOn(signal: AbortSignal, connection: DuckDBConnection): Disposable {
  let again: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    connection.interrupt();
    again = setInterval(() => connection.interrupt(), INTERRUPT_EVERY_MS);
  };
  if (signal.aborted) interrupt();
  else signal.addEventListener('abort', interrupt, { once: true });
  return {
    [Symbol.dispose]: () => {
      signal.removeEventListener('abort', interrupt);
      clearInterval(again);
    },
  };
}

function rowOf(names: readonly string[], values: readonly (Plain | null)[]): object {
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? null]));
}

async function transaction<T>(session: Session, begin: Statement, work: (session: Session, turn: Turn) => Promise<T>): Promise<T> {
  await session.run({ text: 'BEGIN TRANSACTION', values: [] });
  try {
    const [turn] = await session.all<Turn>(begin);
    const result = await work(session, turn ?? { batch: 0 });
    await session.run({ text: 'COMMIT', values: [] });
    return result;
  } catch (error) {
    // The connection is closed after this, which rolls back whatever ROLLBACK itself could not.
    await session.run({ text: 'ROLLBACK', values: [] }).catch(() => undefined);
    throw error;
  }
}

/**
 * A new file comes whole, under its name: DuckDB makes an empty one first, which no version of it can open again if the process dies there.
 * Where two make it at one time, the first one's stays.
 */
async function makeFile(path: string): Promise<void> {
  await makeFolders(dirname(path));
  if (existsSync(path)) return;
  const draft = draftOf(path);
  try {
    (await DuckDBInstance.create(draft, FORMAT)).closeSync();
    // On a file system without links DuckDB itself makes it.
    await linkInPlace(draft, path);
  } catch (error) {
    // Who was first has the file by now, and has taken our draft for a leftover.
    if (!existsSync(path)) throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Sets what holds for the whole instance; the first opening of the process locks it. Gives the folder of this opening. */
async function confine(instance: DuckDBInstance, path: string, memoryLimitBytes: number): Promise<string> {
  const connection = await instance.connect();
  try {
    const locked = (await connection.runAndReadAll("SELECT current_setting('lock_configuration')")).getRows()[0]?.[0] === true;
    const shared = path === MEMORY ? await mkdtemp(join(tmpdir(), 'sluice-duckdb-')) : stagedFolder(path);
    // Nobody else has the file, and this process has not begun with it.
    if (!locked && path !== MEMORY) await removeLeftovers(path);
    await makeFolders(shared);
    const root = await realpath(shared);
    if (!locked) {
      const settings = [
        "TimeZone = 'UTC'",
        `memory_limit = '${Math.floor(memoryLimitBytes / 1024)}KiB'`,
        `allowed_directories = ['${root.replaceAll("'", "''")}']`,
        'enable_external_access = false',
        'lock_configuration = true',
      ];
      for (const setting of settings) await connection.run(`SET GLOBAL ${setting}`);
    }
    return path === MEMORY ? root : await mkdtemp(join(root, 'files-'));
  } finally {
    connection.closeSync();
  }
}
