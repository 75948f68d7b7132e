/**
 * What the server may say, and what sluice does with it: one table.
 *
 * Decided by code, never by message alone, and never by the labels: replies to raw commands carry none. The codes are
 * those that real servers answered (6.0.5 and 6.0.27); docs/guarantees.md names what could not be run.
 */
import { MongoServerError } from 'mongodb';
import { SluiceError, reasonOf, systemCode, type ErrorKind } from '../../core/error.ts';
import {
  HISTORY_LOST,
  SOURCE_DENIED,
  SOURCE_EVENT_TOO_LARGE,
  SOURCE_FAILED,
  SOURCE_IMAGES_MISSING,
  SOURCE_LOGIN,
  SOURCE_TOKEN,
  SOURCE_UNAVAILABLE,
} from '../../core/errors.ts';

export type Verdict =
  /** A fail-over, a restart, a network cut: open the stream again at the last token, for as long as it takes. */
  | { readonly do: 'resume' }
  /** Needs a person. */
  | { readonly do: 'stop'; readonly error: SluiceError }
  /** Not known to be either: try a few times, then stop. Never skip. */
  | { readonly do: 'retry' };

/**
 * A token that cannot be read. Which code comes depends on the byte at which the server gives up: not hexadecimal (9), cut
 * (15), `_data` or `_typeBits` of another type, one of the fields in it missing or of another type (all others), and the
 * encoding that these are in (50808 to 50832).
 */
const NO_TOKEN: readonly number[] = [
  9, 15, 40646, 40647, 40648, 40649, 50793, 50794, 50795, 50796, 50854, 50855, 50870, 50872, 51055, 51056, 51057,
  6189500, 6189501, 6189503, 6189504, 7182501, ...Array.from({ length: 25 }, (_, index) => 50808 + index),
]; // prettier-ignore

const STOP: readonly { readonly codes: readonly number[]; readonly kind: ErrorKind; readonly why: string }[] = [
  // 286 ChangeStreamHistoryLost at the start; 136 CappedPositionLost when an open cursor is overtaken by the oplog's end.
  { codes: [286, 136], kind: HISTORY_LOST, why: 'what lies between the last token and the oldest entry is gone' },
  // 280: the event of the token is not in this stream (edited token, other filter, other deployment); 260: token of an
  // invalidate with resumeAfter. A changed filter never gets here: the fingerprint tells.
  { codes: [280, 260, ...NO_TOKEN], kind: SOURCE_TOKEN, why: 'opening the stream elsewhere would skip or repeat' },
  { codes: [10334], kind: SOURCE_EVENT_TOO_LARGE, why: 'the same getMore fails again on every resume' },
  { codes: [13], kind: SOURCE_DENIED, why: 'waiting does not grant a right' },
  { codes: [18, 8000], kind: SOURCE_LOGIN, why: 'repeating a wrong password locks accounts' },
  { codes: [47], kind: SOURCE_IMAGES_MISSING, why: 'the event has no image and never will' },
];

const RESUME: ReadonlySet<number> = new Set([
  6, // HostUnreachable
  7, // HostNotFound
  43, // CursorNotFound: step-down, restart, cursor time-out
  63, // StaleShardVersion
  89, // NetworkTimeout
  91, // ShutdownInProgress
  133, // FailedToSatisfyReadPreference
  134, // ReadConcernMajorityNotAvailableYet: just started, nothing is committed yet
  150, // StaleEpoch
  189, // PrimarySteppedDown
  211, // KeyNotFound: just started, the keys that sign the cluster's time are not read yet
  234, // RetryChangeStream
  237, // CursorKilled
  262, // ExceededTimeLimit
  9001, // SocketException
  10058, // LegacyNotPrimary
  10107, // NotWritablePrimary
  11600, // InterruptedAtShutdown
  11602, // InterruptedDueToReplStateChange
  13388, // StaleConfig
  13435, // NotPrimaryNoSecondaryOk
  13436, // NotPrimaryOrSecondary
  50738, // the session is not the one that the cursor was opened in: its socket was lost
]);

const DRIVER_RESUME: ReadonlySet<string> = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoServerSelectionError',
  'MongoPoolClearedError',
  'MongoPoolClosedError',
  'MongoWaitQueueTimeoutError',
  'MongoOperationTimeoutError',
  'PoolClearedOnNetworkError',
]);

export function judge(error: unknown): Verdict {
  if (error instanceof SluiceError) return { do: 'stop', error };
  if (error instanceof MongoServerError) {
    const code = Number(error.code);
    const row = STOP.find(({ codes }) => codes.includes(code));
    if (row !== undefined) return { do: 'stop', error: new SluiceError(row.kind, serverSays(error), { cause: error }) };
    return RESUME.has(code) ? { do: 'resume' } : { do: 'retry' };
  }
  return error instanceof Error && DRIVER_RESUME.has(error.name) ? { do: 'resume' } : { do: 'retry' };
}

/** What to throw when a connection cannot be made, or a single question gets no answer. Only a server that is away may come back. */
export function connectError(error: unknown, where: string): SluiceError {
  const verdict = judge(error);
  if (verdict.do === 'stop') return verdict.error;
  const isAway = verdict.do === 'resume' || isOfSystem(error);
  return new SluiceError(isAway ? SOURCE_UNAVAILABLE : SOURCE_FAILED, `${where}: ${serverSays(error)}`, { cause: error });
}

/** A name that is not found, say; not what Node.js itself complains of. */
function isOfSystem(error: unknown): boolean {
  return systemCode(error)?.startsWith('ERR_') === false;
}

/** The server's words with their code: what a person searches for. */
export function serverSays(error: unknown): string {
  if (!(error instanceof MongoServerError)) return reasonOf(error);
  return `${error.message} (code ${String(error.code)}${error.codeName === undefined ? '' : `, ${error.codeName}`})`;
}
