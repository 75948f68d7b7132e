/**
 * A cursor whose server goes on answering without being asked (an exhaust cursor), on a connection of its own. The same to
 * its reader as {@link RawCursor}.
 *
 * Why: with one question for each answer the server idles for the way there and back. Replies are asked for in small
 * batches, which costs nothing here: each is encoded while the next one comes in, and none holds up the event loop.
 * A server that does not answer by itself (a `mongos`) is asked again each time.
 *
 * Invariant: a server that is no longer the one to read from is left, although its cursor would go on: after a step-down it
 * is a secondary, and would send what it hears of, however late that is.
 */
import { deserialize, Long } from 'bson';
import { MongoServerError, type ClientSession, type Document, type MongoClient, type TopologyDescription } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import { takeConnection, type OwnConnection } from './connection.ts';
import { DOCUMENT, elementsOf } from './encode/bson.ts';
import { cursorIdOf } from './encode/reply.ts';
import { AWAIT_MS, type CursorOf } from './raw-cursor.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import { Wire } from './wire.ts';

/** About a megabyte of usual events: a few milliseconds of encoding. */
const BATCH_EVENTS = 1_000;

export class ExhaustCursor {
  readonly #client: MongoClient;
  readonly #session: ClientSession;
  readonly #of: CursorOf;
  readonly #connection: OwnConnection;
  readonly #wire: Wire;
  readonly #onTopology: (event: { readonly newDescription: TopologyDescription }) => void;
  /** The first one. */
  #first: Uint8Array | null = null;
  /** The server sends the next reply by itself. */
  #moreToCome = false;

  private constructor(client: MongoClient, of: CursorOf, connection: OwnConnection, silenceMsMax: number) {
    this.#client = client;
    this.#of = of;
    this.#connection = connection;
    this.#session = client.startSession({ causalConsistency: false });
    this.#wire = new Wire(connection.socket, AWAIT_MS + silenceMsMax);
    this.#onTopology = ({ newDescription }) => {
      if (!isToBeRead(newDescription, connection.address, client.readPreference.mode)) this.#wire.destroy();
    };
    client.on('topologyDescriptionChanged', this.#onTopology);
  }

  /** @param silenceMsMax the connection is given up when the server says nothing for this long, though it was not asked to wait */
  static async open(
    client: MongoClient,
    of: CursorOf,
    pipeline: readonly Document[],
    silenceMsMax: number,
    signal: AbortSignal,
  ): Promise<ExhaustCursor> {
    const connection = await takeConnection(client, signal);
    const cursor = new ExhaustCursor(client, of, connection, silenceMsMax);
    try {
      cursor.#send({ aggregate: of.collection ?? 1, pipeline, cursor: {}, readConcern: { level: 'majority' } }, false);
      cursor.#first = await unlessAborted(cursor.#receive(), signal);
      return cursor;
    } catch (error) {
      await cursor.close();
      throw error;
    }
  }

  get reply(): Uint8Array {
    return this.#first!;
  }

  /** The reply after `reply`, whose bytes must then be read before this is called again; `null` once the signal aborts. */
  async more(reply: Uint8Array, signal: AbortSignal): Promise<Uint8Array | null> {
    const id = cursorIdOf(reply);
    if (id === 0n) return null;
    try {
      if (!this.#moreToCome) {
        const collection = this.#of.collection ?? '$cmd.aggregate';
        this.#send({ getMore: Long.fromBigInt(id), collection, batchSize: BATCH_EVENTS, maxTimeMS: AWAIT_MS }, true);
      }
      return await unlessAborted(this.#receive(), signal);
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  /** The server ends the cursor when it finds the connection closed. */
  async close(): Promise<void> {
    this.#client.off('topologyDescriptionChanged', this.#onTopology);
    this.#wire.destroy();
    this.#connection[Symbol.dispose]();
    await this.#session.endSession().catch(() => {});
  }

  #send(command: Document, exhaust: boolean): void {
    const { serverApi } = this.#client.options;
    this.#wire.send(
      {
        ...command,
        lsid: this.#session.id,
        ...this.#readPreference(),
        ...(serverApi === undefined ? {} : { apiVersion: serverApi.version }),
        $db: this.#of.database,
      },
      exhaust,
    );
  }

  #readPreference(): Document {
    const { readPreference, options } = this.#client;
    if (readPreference.mode !== 'primary') return { $readPreference: readPreference.toJSON() };
    // Whatever kind of server the one is that was named: it is to be read.
    return options.directConnection ? { $readPreference: { mode: 'primaryPreferred' } } : {};
  }

  async #receive(): Promise<Uint8Array> {
    const { body, moreToCome } = await this.#wire.receive();
    this.#moreToCome = moreToCome;
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    for (const { key, type, from, next } of elementsOf(view, 0, body.length - 1)) {
      if (key === 'cursor' && type === DOCUMENT) return body.subarray(from, next);
    }
    const said = deserialize(body);
    if (said['ok'] === 1) throw new SluiceError(SOURCE_PROTOCOL, 'a reply came without a cursor');
    throw new MongoServerError(said);
  }
}

/** Would this server be chosen again? */
function isToBeRead(topology: TopologyDescription, address: string, mode: string): boolean {
  const type = topology.servers.get(address)?.type;
  if (type === undefined || type === 'Unknown') return false;
  return mode !== 'primary' || topology.type === 'Single' || type === 'RSPrimary' || type === 'Mongos';
}
