/**
 * Transactions and reads over a few sessions.
 *
 * Writers take turns twice: those of this process wait in a line, and each transaction first updates the row of
 * `sluice.control`, where Snowflake makes a loader elsewhere wait. Snowflake has READ COMMITTED alone, so what a
 * transaction reads after that update is what the other has committed.
 *
 * What is tried again: a read; a transaction whose COMMIT was not sent (the server rolls it back, `work` begins anew). Never
 * a COMMIT whose reply was lost: it may have happened. The caller asks the ledger.
 */
import { systemClock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_BUSY } from '../../core/errors.ts';
import type { Catalog } from '../sql/names.ts';
import { sql, type Statement } from '../sql/statement.ts';
import { Line } from '../steps/line.ts';
import type { Reads, Session } from '../steps/session.ts';
import { SnowflakeConnection, type RunHow, type SnowflakeAuth } from './connection.ts';
import { failure, isConnectionLost, isLockTimeout } from './errors.ts';
import type { Target } from './target.ts';

const IDLE_MAX = 4;
const ATTEMPTS_MAX = 3;
const PAUSE_MS = 500;
const LOCK_ATTEMPTS_MAX = 4;

/** Limits of one statement. */
const STATEMENT_MS_MAX = 30 * 60_000;

const plain = (text: string): Statement => ({ text, values: [] });

/** A number for a batch: numbers rise in the order of commits. */
export interface Turn {
  readonly batch: number;
}

class Connected implements Session {
  readonly #connection: SnowflakeConnection;
  readonly #how: RunHow;
  readonly #beside: ((statement: Statement) => Promise<void>) | null;

  /** @param beside runs what would end the transaction of this session */
  constructor(connection: SnowflakeConnection, how: RunHow, beside: ((statement: Statement) => Promise<void>) | null = null) {
    this.#connection = connection;
    this.#how = how;
    this.#beside = beside;
  }

  async all<T extends object>(statement: Statement): Promise<readonly T[]> {
    const { names, rows } = await this.#connection.run(statement, this.#how);
    return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i] ?? null])) as T);
  }

  async run(statement: Statement): Promise<number> {
    return (await this.#connection.run(statement, this.#how)).changed;
  }

  async runAll(statements: readonly Statement[]): Promise<void> {
    for (const statement of statements) await this.run(statement);
  }

  async define(statement: Statement): Promise<void> {
    if (this.#beside === null) await this.run(statement);
    else await this.#beside(statement);
  }
}

export class Database implements Reads, AsyncDisposable {
  readonly target: Target;
  readonly #auth: SnowflakeAuth;
  readonly #catalog: Catalog;
  readonly #tag: string;
  readonly #closing = new AbortController();
  readonly #idle: SnowflakeConnection[] = [];
  /** Sessions that have the temporary table. */
  readonly #prepared = new WeakSet<SnowflakeConnection>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #writers = new Line();

  constructor(target: Target, auth: SnowflakeAuth, catalog: Catalog, tag: string) {
    this.target = target;
    this.#auth = auth;
    this.#catalog = catalog;
    this.#tag = tag;
  }

  async read<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#again(() => this.#with('read', signal, (connection, how) => work(new Connected(connection, how))), signal);
  }

  /** One result, with the names of its columns. Not tried again: it is a user's statement. */
  async raw<T>(work: (connection: SnowflakeConnection, how: RunHow) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#with('query', signal, work);
  }

  /** Snowflake has no snapshot over several statements: the writers are made to wait instead. */
  async readOneMoment<T>(work: (session: Session) => Promise<T>, signal: AbortSignal): Promise<T> {
    const answer: { value?: T } = {};
    const done = new Error('read');
    try {
      await this.write(async (session) => {
        answer.value = await work(session);
        // Nothing was changed but the turn that was taken: that is given back.
        throw done;
      }, signal);
    } catch (error) {
      if (error !== done) throw error;
    }
    return answer.value as T;
  }

  async *stream<T extends object>(statement: Statement, signal: AbortSignal): AsyncGenerator<T> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const connection = await this.#take(stop);
    try {
      for await (const { names, row } of connection.stream(statement, this.#how('read', stop))) {
        yield Object.fromEntries(names.map((name, i) => [name, row[i] ?? null])) as T;
      }
    } catch (error) {
      throw failure(error, this.target.description);
    } finally {
      await this.#give(connection);
    }
  }

  /** Statements that commit by themselves, as all DDL of Snowflake does. In line with the writers of this process. */
  async define<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#writers.run(async () => {
      try {
        return await this.#with('define', signal, (connection, how) => work(new Connected(connection, how)));
      } catch (error) {
        throw failure(error, this.target.description);
      }
    }, signal);
  }

  /** @param temporary a table of the session, which `work` needs; made before the transaction, because DDL ends one */
  async write<T>(work: (session: Session, turn: Turn) => Promise<T>, signal?: AbortSignal, temporary?: Statement): Promise<T> {
    return this.#writers.run(() => this.#again(() => this.#transaction(work, signal, temporary), signal), signal);
  }

  async #transaction<T>(work: (session: Session, turn: Turn) => Promise<T>, signal?: AbortSignal, temporary?: Statement): Promise<T> {
    return this.#with('write', signal, async (connection, how) => {
      // DDL ends a transaction, so it takes a session of its own; others still wait at the row that this one holds.
      const session = new Connected(connection, how, (statement) =>
        this.#with('define', signal, async (other, itsHow) => void (await other.run(statement, itsHow))),
      );
      if (temporary !== undefined && !this.#prepared.has(connection)) {
        await session.run(temporary);
        this.#prepared.add(connection);
      }
      await session.run(plain('BEGIN TRANSACTION'));
      let committing = false;
      try {
        await session.run(sql`UPDATE ${this.#catalog.control} SET last_batch = last_batch + 1`);
        const [turn] = await session.all<Turn>(sql`SELECT max(last_batch) AS batch FROM ${this.#catalog.control}`);
        const result = await work(session, turn ?? { batch: 0 });
        committing = true;
        await session.run(plain('COMMIT'));
        return result;
      } catch (error) {
        if (committing && isConnectionLost(error)) throw new UnknownCommit(error);
        if (!connection.broken) await connection.run(plain('ROLLBACK'), { ...how, signal: this.#rolling }).catch(() => (connection.broken = true));
        throw error;
      }
    });
  }

  /** A rollback goes on when the work it belongs to was aborted. */
  readonly #rolling = new AbortController().signal;

  /** A login that failed is not tried again here: the driver has done so. */
  async #again<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 1, locked = 1; ;) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof UnknownCommit) throw failure(error.cause, this.target.description);
        if (isLockTimeout(error) && locked < LOCK_ATTEMPTS_MAX) locked += 1;
        else if (isConnectionLost(error) && attempt < ATTEMPTS_MAX) attempt += 1;
        else throw failure(error, this.target.description);
        await systemClock.sleep(PAUSE_MS * attempt, signal ?? this.#closing.signal);
      }
    }
  }

  async #with<T>(step: string, signal: AbortSignal | undefined, work: (connection: SnowflakeConnection, how: RunHow) => Promise<T>): Promise<T> {
    const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    const running = (async () => {
      const connection = await this.#take(stop);
      try {
        return await work(connection, this.#how(step, stop));
      } catch (error) {
        if (isConnectionLost(error)) connection.broken = true;
        throw error;
      } finally {
        await this.#give(connection);
      }
    })();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  #how(step: string, signal: AbortSignal): RunHow {
    return { limitMs: STATEMENT_MS_MAX, tag: `${this.#tag}:${step}`, signal };
  }

  async #take(signal: AbortSignal): Promise<SnowflakeConnection> {
    signal.throwIfAborted();
    return this.#idle.pop() ?? (await SnowflakeConnection.open(this.target, this.#auth, this.#tag, signal));
  }

  async #give(connection: SnowflakeConnection): Promise<void> {
    if (connection.broken || this.#idle.length >= IDLE_MAX || this.#closing.signal.aborted) await connection.close();
    else this.#idle.push(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new SluiceError(WAREHOUSE_BUSY, `${this.target.description} is being closed`));
    await this.#writers.emptied();
    await Promise.allSettled(this.#underWay);
    await Promise.all(this.#idle.splice(0).map((connection) => connection.close()));
  }
}

/** The reply to a COMMIT was lost. */
class UnknownCommit extends Error {
  override readonly name = 'UnknownCommit';

  constructor(cause: unknown) {
    super('the reply to COMMIT was lost', { cause });
  }
}
