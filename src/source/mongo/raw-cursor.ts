/**
 * A cursor of raw replies, in a session of its own: without one it does not outlive its socket.
 */
import { deserialize } from 'bson';
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

/** What opens a cursor, and what asks it for more. */
export interface CursorCommand {
  readonly open: Document;
  /** Fields of the open command that are BSON documents already, and must not be decoded on the way. */
  readonly raw?: Readonly<Record<string, Uint8Array>>;
  /** Fields of each `getMore`. */
  readonly more: Document;
}

export interface OpenLimits {
  /** Events in a reply; the server's own limits unless said. */
  readonly batchSize?: number;
  /** For the opening, on the server. */
  readonly maxTimeMS?: number;
}

/** A change stream. */
export function changeStreamOf({ collection }: CursorOf, pipeline: readonly Document[], { batchSize, maxTimeMS }: OpenLimits = {}): CursorCommand {
  const limited = batchSize === undefined ? {} : { batchSize };
  return {
    open: {
      aggregate: collection ?? 1,
      pipeline,
      cursor: limited,
      readConcern: { level: 'majority' },
      ...(maxTimeMS === undefined ? {} : { maxTimeMS }),
    },
    more: { maxTimeMS: AWAIT_MS, ...limited },
  };
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
  readonly #more: Document;
  readonly #options: CommandOptions;
  #id: bigint;

  private constructor(client: MongoClient, of: CursorOf, more: Document, options: CommandOptions & { session: ClientSession }, reply: Uint8Array) {
    this.#client = client;
    this.#session = options.session;
    this.#of = of;
    this.#more = more;
    this.#options = options;
    this.reply = reply;
    this.#id = cursorIdOf(reply);
  }

  /** @param silenceMsMax the socket is given up when the server says nothing for this long, though it was not asked to wait */
  static async open(client: MongoClient, of: CursorOf, command: CursorCommand, silenceMsMax: number): Promise<RawCursor> {
    const session = client.startSession({ causalConsistency: false });
    try {
      const options = { session, raw: true, socketTimeoutMS: AWAIT_MS + silenceMsMax } as const;
      const raw = Object.entries(command.raw ?? {}).map(([name, value]) => [name, deserialize(value, { promoteValues: false, bsonRegExp: true })]);
      const reply = await client.db(of.database).command({ ...command.open, ...Object.fromEntries(raw) }, options);
      return new RawCursor(client, of, command.more, options, cursorBytes(reply));
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
    const getMore = { getMore: this.#id, collection: collection ?? '$cmd.aggregate', ...this.#more };
    const command = this.#client.db(database).command(getMore, this.#options);
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
