/**
 * A collection read whole, for full dumps: lines of documents, and how many there should be.
 */
import type { Namespace } from './namespace.ts';
import type { Timestamp } from './time.ts';

export interface DocumentLines {
  readonly count: number;
  /** One document a line, each ending in `\n`. */
  readonly lines: Buffer;
}

/** How many documents there were while they were read; both are the same when they were read at one cluster time. */
export interface Counted {
  readonly least: number;
  readonly most: number;
}

export interface CollectionReading extends AsyncDisposable {
  /** The moment that all documents are of; `null` when they were read one after another, while others wrote. */
  readonly at: Timestamp | null;
  /** @throws DUMP_HISTORY the server no longer knows the moment `at`: read again without one */
  documents(signal: AbortSignal): AsyncIterable<DocumentLines>;
  /** To be asked after all documents were read. */
  count(): Promise<Counted>;
}

export interface DocumentReader extends AsyncDisposable {
  /** Collections that are captured, in order; views and time series left out. */
  collections(signal: AbortSignal): Promise<readonly Namespace[]>;
  /** @param atOneTime all documents of one moment, as long as the server keeps it */
  open(ns: Namespace, how: { readonly atOneTime: boolean }, signal: AbortSignal): Promise<CollectionReading>;
}
