/**
 * The cursor of a change stream: its replies, in order, as raw BSON. Two ways to have them: cursor-driver.ts, cursor-exhaust.ts.
 */
import { SluiceError } from '../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import type { Document } from 'mongodb';
import type { StreamPlan } from './stream-plan.ts';

/** How long the server waits for something to send: the beat of everything that happens while nothing happens. */
export const AWAIT_MS = 1_000;
/** A connection is given up when the server has said nothing for this much longer than it was asked to wait. */
export const SOCKET_SILENCE_MS = 60_000;

export interface Cursor extends AsyncDisposable {
  /**
   * The `cursor` document of the next reply, the one that opened the cursor first; `null` when the server has closed it or
   * the signal has aborted. The server is at work on the reply after it by then.
   */
  next(): Promise<Uint8Array | null>;
}

/** Opens a change stream. */
export function aggregateCommand({ collection, changeStream }: StreamPlan, stages: readonly Document[], start: Document): Document {
  return {
    aggregate: collection ?? 1,
    pipeline: [{ $changeStream: { ...changeStream, ...start } }, ...stages],
    cursor: {},
    readConcern: { level: 'majority' },
  };
}

/** Name that `getMore` and `killCursors` know the stream by. */
export function collectionOf({ collection }: StreamPlan): string {
  return collection ?? '$cmd.aggregate';
}

/** @param reply of a command, with `raw: true` */
export function cursorBytes(reply: Document): Uint8Array {
  const cursor = reply['cursor'] as unknown;
  if (!(cursor instanceof Uint8Array)) throw new SluiceError(SOURCE_PROTOCOL, 'a reply came without a cursor');
  return cursor;
}
