/**
 * A cursor through the driver's own commands: one question, one answer. Works wherever the driver does; cursor-exhaust.ts is
 * faster.
 *
 * An explicit session, because a cursor outlives its socket only in one.
 */
import { setImmediate } from 'node:timers/promises';
import type { ClientSession, Document, MongoClient } from 'mongodb';
import { unlessAborted } from '../../core/abort.ts';
import { AWAIT_MS, aggregateCommand, collectionOf, cursorBytes, type Cursor } from './cursor.ts';
import { cursorIdOf } from './encode/reply.ts';
import type { StreamPlan } from './stream-plan.ts';

export class DriverCursor implements Cursor {
  /** The reply that opened it. */
  readonly first: Uint8Array;
  readonly #client: MongoClient;
  readonly #plan: StreamPlan;
  readonly #session: ClientSession;
  readonly #signal: AbortSignal;
  #id: bigint;
  /** On its way. */
  #reply: Promise<Uint8Array | null>;
  #failed = false;

  private constructor(client: MongoClient, plan: StreamPlan, session: ClientSession, first: Uint8Array, signal: AbortSignal) {
    this.#client = client;
    this.#plan = plan;
    this.#session = session;
    this.#signal = signal;
    this.first = first;
    this.#id = cursorIdOf(first);
    this.#reply = Promise.resolve(first);
  }

  /** @param how what else the command has: `cursor`, `maxTimeMS` */
  static async open(
    client: MongoClient,
    plan: StreamPlan,
    stages: readonly Document[],
    start: Document,
    signal: AbortSignal,
    how: Document = {},
  ): Promise<DriverCursor> {
    const session = client.startSession({ causalConsistency: false });
    try {
      const command = client.db(plan.database).command({ ...aggregateCommand(plan, stages, start), ...how }, { session, raw: true });
      return new DriverCursor(client, plan, session, cursorBytes(await unlessAborted(command, signal)), signal);
    } catch (error) {
      await session.endSession().catch(() => {});
      throw error;
    }
  }

  async next(): Promise<Uint8Array | null> {
    try {
      const reply = await this.#reply;
      if (reply === null) return null;
      this.#id = cursorIdOf(reply);
      this.#reply = this.#id === 0n ? Promise.resolve(null) : this.#getMore();
      // Until somebody awaits it, a failure must not count as unhandled.
      this.#reply.catch(() => {});
      // The driver writes to the socket in a later turn: without this the server would idle while the reply is encoded.
      await setImmediate();
      return reply;
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  /** Best effort: a cursor that is left behind ends by itself after ten minutes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#end();
    // After a failure the server may be gone, and whoever opens the stream again must not wait for it.
    if (!this.#failed) await ended;
  }

  async #end(): Promise<void> {
    if (this.#id !== 0n) {
      await this.#client
        .db(this.#plan.database)
        .command({ killCursors: collectionOf(this.#plan), cursors: [this.#id] }, { timeoutMS: 2_000 })
        .catch(() => {});
    }
    await this.#session.endSession().catch(() => {});
  }

  /** The next reply, or `null` once the signal aborts: a stop does not wait for the server's patience to end. */
  async #getMore(): Promise<Uint8Array | null> {
    const command = this.#client
      .db(this.#plan.database)
      .command({ getMore: this.#id, collection: collectionOf(this.#plan), maxTimeMS: AWAIT_MS }, { session: this.#session, raw: true });
    try {
      return cursorBytes(await unlessAborted(command, this.#signal));
    } catch (error) {
      if (this.#signal.aborted) return null;
      throw error;
    }
  }
}
