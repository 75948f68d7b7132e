/**
 * One session with Snowflake, on its driver.
 *
 * Invariant: every call ends. Some of the driver's errors never call back, so each statement has a limit of time on the
 * server and a little more here; what passes it is cancelled, and its connection is not used again.
 */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Column, Connection, ConnectionOptions, RowStatement, StatementOption } from 'snowflake-sdk';
import { reasonOf, SluiceError } from '../../core/error.ts';
import { WAREHOUSE_REFUSED } from '../../core/errors.ts';
import type { Statement } from '../sql/statement.ts';
import { ConnectionLost, failure } from './errors.ts';
import type { Target } from './target.ts';
import { columnNames, rowsOf, type Plain } from './values.ts';

const CONNECT_MS_MAX = 60_000;
/** What a statement may take here beyond its limit on the server: the way there and back. */
const GRACE_MS = 30_000;
const LATE = 'Snowflake did not answer in time';

export type SnowflakeAuth =
  | { readonly kind: 'keyPair'; readonly user: string; readonly privateKeyFile: string; readonly passphrase?: string | undefined }
  | { readonly kind: 'oauth'; readonly user?: string | undefined; readonly token: string }
  | { readonly kind: 'pat'; readonly user: string; readonly token: string };

/** Set, not assumed: an account or a user may have others. */
const SESSION: readonly string[] = [
  "TIMEZONE = 'UTC'",
  'ERROR_ON_NONDETERMINISTIC_MERGE = TRUE',
  'ERROR_ON_NONDETERMINISTIC_UPDATE = TRUE',
  "TIMESTAMP_TYPE_MAPPING = 'TIMESTAMP_NTZ'",
  "TIMESTAMP_INPUT_FORMAT = 'AUTO'",
  "TIMESTAMP_TZ_OUTPUT_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM'",
  'QUOTED_IDENTIFIERS_IGNORE_CASE = FALSE',
  'AUTOCOMMIT = TRUE',
  'MULTI_STATEMENT_COUNT = 1',
  // More than the five minutes after which Snowflake takes a lock from a session that is gone.
  'LOCK_TIMEOUT = 900',
  'CLIENT_SESSION_KEEP_ALIVE = FALSE',
  'ABORT_DETACHED_QUERY = TRUE',
];

type Sdk = typeof import('snowflake-sdk');

/** Loaded when it is needed, and silent: at INFO it prints account and user. */
function driver(): Sdk {
  const sdk = createRequire(import.meta.url)('snowflake-sdk') as Sdk;
  sdk.configure({ logLevel: 'OFF', additionalLogToConsole: false });
  return sdk;
}

async function credentials(auth: SnowflakeAuth): Promise<Partial<ConnectionOptions>> {
  if (auth.kind === 'oauth') return { authenticator: 'OAUTH', token: auth.token, ...(auth.user === undefined ? {} : { username: auth.user }) };
  if (auth.kind === 'pat') return { authenticator: 'PROGRAMMATIC_ACCESS_TOKEN', token: auth.token, username: auth.user };
  let privateKey: string;
  try {
    const key = createPrivateKey({ key: await readFile(auth.privateKeyFile), passphrase: auth.passphrase });
    privateKey = key.export({ type: 'pkcs8', format: 'pem' });
  } catch (error) {
    throw new SluiceError(WAREHOUSE_REFUSED, `the private key ${auth.privateKeyFile} cannot be read: ${reasonOf(error)}`, {
      cause: error,
      next: 'Set `warehouse.auth.privateKeyFile` to a PEM file with an RSA key that this user may read, and `passphrase` if it has one.',
    });
  }
  return { authenticator: 'SNOWFLAKE_JWT', username: auth.user, privateKey };
}

export interface RunHow {
  readonly limitMs: number;
  /** Shows in QUERY_HISTORY. */
  readonly tag: string;
  readonly signal: AbortSignal;
}

export interface Result {
  readonly names: readonly string[];
  readonly rows: readonly (readonly Plain[])[];
  /** Rows that a DML statement changed. */
  readonly changed: number;
}

export class SnowflakeConnection {
  readonly #connection: Connection;
  readonly #where: string;
  /** Not to be used again: what the session holds is not known. */
  broken = false;

  private constructor(connection: Connection, where: string) {
    this.#connection = connection;
    this.#where = where;
  }

  /** @throws WAREHOUSE_REFUSED, WAREHOUSE_UNAVAILABLE */
  static async open(target: Target, auth: SnowflakeAuth, tag: string, signal: AbortSignal): Promise<SnowflakeConnection> {
    const options: ConnectionOptions = {
      account: target.account,
      database: target.database,
      application: 'sluice',
      ...(target.warehouse === null ? {} : { warehouse: target.warehouse }),
      ...(target.role === null ? {} : { role: target.role }),
      ...(target.accessUrl === null ? {} : { accessUrl: target.accessUrl }),
      ...(await credentials(auth)),
      clientSessionKeepAlive: false,
      retryTimeout: CONNECT_MS_MAX / 1000,
      sfRetryMaxLoginRetries: 2,
    };
    try {
      const connection = driver().createConnection(options);
      await timed(CONNECT_MS_MAX, signal, `${target.description} did not let us in`, (resolve, reject) => {
        connection.connect((error: unknown) => (error === undefined || error === null ? resolve(undefined) : reject(error)));
      });
      const opened = new SnowflakeConnection(connection, target.description);
      await opened.run({ text: `ALTER SESSION SET ${SESSION.join(' ')}`, values: [] }, { limitMs: CONNECT_MS_MAX, tag, signal });
      return opened;
    } catch (error) {
      signal.throwIfAborted();
      throw failure(error, target.description);
    }
  }

  /** @throws the driver's own errors, ConnectionLost, the signal's reason */
  async run(statement: Statement, how: RunHow): Promise<Result> {
    how.signal.throwIfAborted();
    let started: RowStatement | undefined;
    try {
      return await timed(how.limitMs + GRACE_MS, how.signal, LATE, (resolve: (result: Result) => void, reject) => {
        started = this.#connection.execute({
          ...options(statement, how),
          complete: (error, done, rows) => {
            if (error !== undefined && error !== null) return reject(error);
            const columns = done.getColumns() ?? [];
            resolve({ names: columnNames(columns), rows: rowsOf(columns, rows ?? []), changed: Math.max(done.getNumUpdatedRows() ?? 0, 0) });
          },
        });
      });
    } catch (error) {
      throw this.#ended(error, how, started);
    }
  }

  /** Rows as they come, without holding them all. */
  async *stream(statement: Statement, how: RunHow): AsyncGenerator<{ readonly names: readonly string[]; readonly row: readonly Plain[] }> {
    try {
      const { columns, done } = await this.#start(statement, how);
      const names = columnNames(columns);
      for await (const row of done.streamRows()) {
        how.signal.throwIfAborted();
        yield { names, row: rowsOf(columns, [row])[0] ?? [] };
      }
    } catch (error) {
      this.broken = true;
      how.signal.throwIfAborted();
      throw failure(error, this.#where);
    }
  }

  /** The first rows of a result; the others are not fetched. */
  async first(statement: Statement, rowsMax: number, how: RunHow): Promise<Result> {
    const { columns, done } = await this.#start(statement, how);
    const rows: unknown[] = [];
    if (rowsMax > 0) for await (const row of done.streamRows({ start: 0, end: rowsMax - 1 })) rows.push(row);
    how.signal.throwIfAborted();
    return { names: columnNames(columns), rows: rowsOf(columns, rows), changed: 0 };
  }

  async #start(statement: Statement, how: RunHow): Promise<{ readonly columns: readonly Column[]; readonly done: RowStatement }> {
    how.signal.throwIfAborted();
    let started: RowStatement | undefined;
    try {
      return await timed(
        how.limitMs + GRACE_MS,
        how.signal,
        LATE,
        (resolve: (result: { columns: readonly Column[]; done: RowStatement }) => void, reject) => {
          started = this.#connection.execute({
            ...options(statement, how),
            streamResult: true,
            complete: (error, done) => (error !== undefined && error !== null ? reject(error) : resolve({ columns: done.getColumns() ?? [], done })),
          });
        },
      );
    } catch (error) {
      throw this.#ended(error, how, started);
    }
  }

  /** A statement that nobody waits for any more is cancelled, and its session not used again. */
  #ended(error: unknown, how: RunHow, started: RowStatement | undefined): unknown {
    if (!how.signal.aborted && !(error instanceof ConnectionLost)) return error;
    this.broken = true;
    started?.cancel(() => undefined);
    return how.signal.aborted ? how.signal.reason : error;
  }

  /** Ends the session, which rolls back what is open. Never rejects. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, GRACE_MS, undefined);
    try {
      this.#connection.destroy(() => resolve(undefined));
      await promise;
    } catch {
      // It was never open, or is gone already.
    } finally {
      clearTimeout(timer);
    }
  }
}

function options(statement: Statement, how: RunHow): StatementOption {
  return {
    sqlText: statement.text,
    binds: [...statement.values],
    rowMode: 'array',
    fetchAsString: ['Number'],
    parameters: { QUERY_TAG: how.tag, STATEMENT_TIMEOUT_IN_SECONDS: Math.ceil(how.limitMs / 1000) },
  };
}

/** What `begin` resolves to; rejects when `limitMs` have gone by, or with the signal's reason. */
async function timed<T>(
  limitMs: number,
  signal: AbortSignal,
  late: string,
  begin: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
): Promise<T> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new ConnectionLost(late)), limitMs);
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    begin(resolve, reject);
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
