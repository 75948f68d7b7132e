/**
 * What the steps of load, merge and proof need of a database: the statements are shared (../sql), how they are run is not.
 */
import type { Statement } from '../sql/statement.ts';

/** One connection, inside a transaction or not. */
export interface Session {
  /** Rows as objects by column name; their shape is what the statement says it is. */
  all<T extends object>(statement: Statement): Promise<readonly T[]>;
  /** @returns rows that changed */
  run(statement: Statement): Promise<number>;
  runAll(statements: readonly Statement[]): Promise<void>;
  /** Makes a view. Where that would end the transaction it is done beside it, and stays when the transaction does not. */
  define(statement: Statement): Promise<void>;
}

export interface Reads {
  read<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** As {@link read}, and no statement sees what was committed after the first of them began. */
  readOneMoment<T>(work: (session: Session) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Rows of one statement as they come. */
  stream<T extends object>(statement: Statement, signal: AbortSignal): AsyncIterable<T>;
}

/** Runs `work` in one transaction that no other writer can pass; `work` may run again from its start. */
export type Write = <T>(work: (session: Session) => Promise<T>) => Promise<T>;
