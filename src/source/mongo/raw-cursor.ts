/**
 * A cursor of raw replies, in a session of its own: without one it does not outlive its socket.
 */
import type { ClientSession, Document, MongoClient, RunCommandOptions } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import { cursorIdOf } from './encode/reply.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';

/** How long the server waits for something to send: the beat of everything that happens while nothing happens. */
export const AWAIT_MS = 1_000;
const CLOSE_MS_MAX = 2_000;

export interface CursorOf {
  readonly database: string;
  /** `null`: of the database. */
  readonly collection: string | null;
}

export interface OpenLimits {
  /** Events in a reply; the server's own limits unless said. */
  readonly batchSize?: number;
  /** For the opening, on the server. */
  readonly maxTimeMS?: number;
}

interface CursorLimits extends OpenLimits {
  /** The socket is given up when the server says nothing for this long, though it was not asked to wait. */
  readonly silenceMsMax: number;
}

/** The driver takes a limit for each command, but does not say so in its types. */
interface CommandOptions extends RunCommandOptions {
  readonly raw: true;
  readonly socketTimeoutMS: number;
}

export class RawCursor {
  /** The first one. */
  readonly reply: Uint8Array;
  readonly #client: MongoClient;
  readonly #session: ClientSession;
  readonly #of: CursorOf;
  readonly #limits: CursorLimits;
  #id: bigint;

  private constructor(client: MongoClient, session: ClientSession, of: CursorOf, limits: CursorLimits, reply: Uint8Array) {
    this.#client = client;
    this.#session = session;
    this.#of = of;
    this.#limits = limits;
    this.reply = reply;
    this.#id = cursorIdOf(reply);
  }

  static async open(client: MongoClient, of: CursorOf, pipeline: readonly Document[], limits: CursorLimits): Promise<RawCursor> {
    const { batchSize, maxTimeMS, silenceMsMax } = limits;
    const session = client.startSession({ causalConsistency: false });
    try {
      const options: CommandOptions = { session, raw: true, socketTimeoutMS: AWAIT_MS + silenceMsMax };
      const reply = await client.db(of.database).command(
        {
          aggregate: of.collection ?? 1,
          pipeline,
          cursor: batchSize === undefined ? {} : { batchSize },
          readConcern: { level: 'majority' },
          ...(maxTimeMS === undefined ? {} : { maxTimeMS }),
        },
        options,
      );
      return new RawCursor(client, session, of, limits, cursorBytes(reply));
    } catch (error) {
      await session.endSession().catch(() => {});
      throw error;
    }
  }

  /** The reply after `reply`, or `null` once the signal aborts: a stop does not wait for the server's patience to end. */
  async more(reply: Uint8Array, signal: AbortSignal): Promise<Uint8Array | null> {
    this.#id = cursorIdOf(reply);
    if (this.#id === 0n) return null;
    const { database, collection } = this.#of;
    const { batchSize, silenceMsMax } = this.#limits;
    const options: CommandOptions = { session: this.#session, raw: true, socketTimeoutMS: AWAIT_MS + silenceMsMax };
    const command = this.#client.db(database).command(
      {
        getMore: this.#id,
        collection: collection ?? '$cmd.aggregate',
        maxTimeMS: AWAIT_MS,
        ...(batchSize === undefined ? {} : { batchSize }),
      },
      options,
    );
    try {
      return cursorBytes(await unlessAborted(command, signal));
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  /** Best effort, and not for long: a cursor that is left behind ends by itself after ten minutes. */
  async close(): Promise<void> {
    // Not `timeoutMS`: the driver does not count the time in which it tries to connect.
    await unlessAborted(this.#kill(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
  }

  async #kill(): Promise<void> {
    const { database, collection } = this.#of;
    if (this.#id !== 0n) {
      await this.#client
        .db(database)
        .command({ killCursors: collection ?? '$cmd.aggregate', cursors: [this.#id] })
        .catch(() => {});
    }
    await this.#session.endSession();
  }
}

function cursorBytes(reply: Document): Uint8Array {
  const cursor = reply['cursor'] as unknown;
  if (!(cursor instanceof Uint8Array)) throw new SluiceError(SOURCE_PROTOCOL, 'a reply came without a cursor');
  return cursor;
}
