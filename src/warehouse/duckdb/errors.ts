/**
 * What DuckDB says, as errors of sluice. It gives a text alone, which begins with the kind of the error.
 */
import { reasonOf, SluiceError } from '../../core/error.ts';
import { WAREHOUSE_BUSY, WAREHOUSE_FAILED, WAREHOUSE_UNAVAILABLE } from '../../core/errors.ts';

/** Opening the file: another process has it, or it cannot be had at all. */
export function openFailure(error: unknown, path: string): SluiceError {
  const reason = headline(error);
  const busy = /Could not set lock on file/i.test(reason);
  const holder = /PID (\d+)/.exec(reason)?.[1];
  if (busy) return new SluiceError(WAREHOUSE_BUSY, holder === undefined ? path : `${path}, process ${holder}`, { cause: error });
  return new SluiceError(WAREHOUSE_UNAVAILABLE, reason, { cause: error });
}

/** Anything else that went wrong inside; what is an error of ours already stays what it is. */
export function failure(error: unknown): unknown {
  if (!isDuckDbError(error)) return error;
  const next = 'Raise `warehouse.memoryLimit`; what is committed stays, and a repeated call goes on from there.';
  return new SluiceError(WAREHOUSE_FAILED, headline(error), { cause: error, ...(isMemory(error) && { next }) });
}

/** The database may not use as much memory as this took: with less at a time it may go well. */
export function isOutOfMemory(error: unknown): boolean {
  return SluiceError.is(error, WAREHOUSE_FAILED) && isMemory(error.cause);
}

function isMemory(error: unknown): boolean {
  return error instanceof Error && /^Out of Memory Error|could not allocate block|failed to (allocate|pin)/i.test(error.message);
}

/** `Parser Error: …`, `IO Error: …`: errors of DuckDB are plain errors whose message begins with a kind. */
export function isDuckDbError(error: unknown): error is Error {
  return (
    error instanceof Error && error.name === 'Error' && /^(Failed to extract statements: )?[A-Za-z ]+ Error: |native callback/.test(error.message)
  );
}

export function isInterrupt(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('INTERRUPT Error');
}

/** Another transaction has updated the row that every writer updates first. */
export function isConflict(error: unknown): boolean {
  return error instanceof Error && /^TransactionContext Error: (Catalog write-write conflict|Conflict on )/i.test(error.message);
}

export function isLineTooLong(error: unknown): boolean {
  return error instanceof Error && error.message.includes('"maximum_object_size" of');
}

/**
 * Is a file to blame for this? Then it is set aside and the others go on. Not so when the database itself is ill, the
 * disk is full, or the statement is wrong: every file would fail alike.
 */
export function blamesFile(error: unknown): boolean {
  if (!isDuckDbError(error)) return false;
  if (/No space left|Could not write|fsync/i.test(error.message)) return false;
  return /^(Invalid Input|Conversion|Constraint|IO|Out of Range|Out of Memory|Permission|Serialization) Error/i.test(error.message);
}

/** The message up to the hints and the excerpt of the statement that follow it. */
export function headline(error: unknown): string {
  return (wholeText(error).split('\n\n')[0] ?? '').trim();
}

/** The message as DuckDB wrote it. */
export function wholeText(error: unknown): string {
  return reasonOf(error)
    .replace(/^Failed to extract statements: /, '')
    .trim();
}
