/**
 * What Snowflake and its driver say, as errors of sluice with a next step. The messages of the service name objects and
 * people, never a secret; tokens and keys do not get here.
 */
import { reasonOf, SluiceError } from '../../core/error.ts';
import { WAREHOUSE_BUSY, WAREHOUSE_FAILED, WAREHOUSE_QUERY, WAREHOUSE_REFUSED, WAREHOUSE_UNAVAILABLE } from '../../core/errors.ts';

const KEY_NEXT =
  'Check that the public half of `warehouse.auth.privateKeyFile` is set on that user (ALTER USER … SET RSA_PUBLIC_KEY = …), that `user` and the account in `warehouse.url` are right, and that this machine has the right time.';
const GRANTS = 'Ask for the rights that `sluice render snowflake` writes into its file of roles and grants, or name another role in `warehouse.url`.';

/** Codes of the login and of statements that nothing but a person can mend. */
const REFUSALS: Readonly<Record<string, string>> = {
  '390100': 'Check the user and the way to log in; Snowflake refuses passwords for users of services.',
  '390101': 'Check the user in `warehouse.auth`.',
  '390102': 'The user is locked: wait, or ask an administrator to unlock it.',
  '390144': KEY_NEXT,
  '394300': KEY_NEXT,
  '394304': KEY_NEXT,
  '390186': 'The role in `warehouse.url` may not be used by this user; grant it (GRANT ROLE … TO USER …), or name another.',
  '390189': 'The role in `warehouse.url` does not exist, or this user does not have it: GRANT ROLE … TO USER ….',
  '390201': 'The database, schema or warehouse in `warehouse.url` does not exist, or the role may not use it.',
  '390303': 'The OAuth token is not valid: get a new one and set `warehouse.auth.token`.',
  '390318': 'The OAuth token has expired: get a new one and set `warehouse.auth.token`.',
  '390422': 'A network policy of the account does not let this address in: ask an administrator to allow it.',
  '394400':
    'The access token is not valid or has expired: make a new one (ALTER USER … ADD PROGRAMMATIC ACCESS TOKEN) and set `warehouse.auth.token`.',
  '000606': 'Name a warehouse that the role may use: `warehouse.url: snowflake://account/database?warehouse=…`, and GRANT USAGE on it.',
  '090073': 'The warehouse cannot be started: its resource monitor has spent its quota, or it is suspended for good. Ask who administers it.',
  '057014': 'Ask who administers the warehouse why it is suspended.',
  '003001': GRANTS,
  '003041': GRANTS,
  '090105': 'Name a database that exists and that the role may use: `warehouse.url: snowflake://account/database?…`.',
};

/** The session is gone or was never told: a new connection may do better, and nothing of an open transaction was kept. */
const SESSION_GONE: ReadonlySet<string> = new Set([
  '390104',
  '390110',
  '390111',
  '390112',
  '390114',
  '390195',
  '405501',
  '405502',
  '405503',
  '407002',
]);
const NETWORK: ReadonlySet<string> = new Set(['401001', '401002', '401003', '402001', '402002', '407001']);

/** `390144` of a driver's error, in six digits. */
export function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' || typeof code === 'number' ? String(code).padStart(6, '0') : '';
}

/** Nothing came back in time, or the connection went: what became of the statement is not known. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

export function isConnectionLost(error: unknown): boolean {
  return error instanceof ConnectionLost || SESSION_GONE.has(codeOf(error)) || NETWORK.has(codeOf(error));
}

/** Another writer has had the row that every writer updates first for too long, or Snowflake broke a deadlock. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === '000625' || codeOf(error) === '000627';
}

/** An error while a file is read: the file may be to blame. */
export function blamesFile(error: unknown): boolean {
  const code = codeOf(error);
  // 100xxx: data; 091016: a file is not there; 000xxx of COPY when a line is too long.
  return /^100(?!035$)/.test(code) || code === '091016' || code === '000100';
}

/** One line, without the code that the driver puts before it. */
export function headline(error: unknown): string {
  return (reasonOf(error).split('\n\n')[0] ?? '')
    .replace(/^\d{6} \(\w{5}\):\s*/, '')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}

/** A driver's error as one of ours; what is one already stays what it is. */
export function failure(error: unknown, where: string): unknown {
  if (error instanceof SluiceError || !isDriverError(error)) return error;
  const next = REFUSALS[codeOf(error)];
  const detail = `${where}: ${headline(error)}`;
  if (next !== undefined) return new SluiceError(WAREHOUSE_REFUSED, detail, { cause: error, next });
  if (isLockTimeout(error)) return new SluiceError(WAREHOUSE_BUSY, `${where}, another loader has its lock`, { cause: error });
  if (isConnectionLost(error)) {
    return new SluiceError(WAREHOUSE_UNAVAILABLE, detail, {
      cause: error,
      next: 'Check the account in `warehouse.url`, DNS, proxy and firewall of this machine; what was committed stays, and the rest is tried again.',
    });
  }
  return new SluiceError(WAREHOUSE_FAILED, detail, { cause: error });
}

/** What is wrong with a user's statement, or with the connection that it went over. */
export function queryFailure(error: unknown, where: string): unknown {
  const known = failure(error, where);
  return SluiceError.is(known, WAREHOUSE_FAILED) ? new SluiceError(WAREHOUSE_QUERY, headline(error), { cause: error }) : known;
}

function isDriverError(error: unknown): boolean {
  return (
    error instanceof ConnectionLost ||
    codeOf(error) !== '' ||
    (error instanceof Error && /SnowflakeError|RequestFailedError|NetworkError|OperationFailedError/.test(error.name))
  );
}
