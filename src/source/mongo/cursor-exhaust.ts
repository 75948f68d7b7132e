/**
 * A cursor whose server goes on answering without being asked (an exhaust cursor), on a connection of its own.
 *
 * Why: with one question for each answer the server idles for the way there and back. Replies are asked for in small
 * batches, which costs nothing here: each is encoded while the next one comes in, and none holds up the event loop.
 * A server that does not answer by itself (a `mongos`) is asked again each time.
 *
 * Invariant: a server that is no longer the one to read from is left, although its cursor would go on: after a step-down it
 * is a secondary, and what it does not hear of it would not send.
 */
import { setImmediate } from 'node:timers/promises';
import { deserialize, Long } from 'bson';
import { MongoServerError, type ClientSession, type Document, type MongoClient, type TopologyDescription } from 'mongodb';
import { unlessAborted } from '../../core/abort.ts';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import { takeConnection, type OwnConnection } from './connection.ts';
import { AWAIT_MS, SOCKET_SILENCE_MS, aggregateCommand, collectionOf, type Cursor } from './cursor.ts';
import { DOCUMENT, elementsOf } from './encode/bson.ts';
import { cursorIdOf } from './encode/reply.ts';
import type { StreamPlan } from './stream-plan.ts';
import { Wire } from './wire.ts';

/** About a megabyte of usual events: a few milliseconds of encoding. */
const BATCH_EVENTS = 1_000;

export class ExhaustCursor implements Cursor {
  readonly #client: MongoClient;
  readonly #plan: StreamPlan;
  readonly #session: ClientSession;
  readonly #connection: OwnConnection;
  readonly #wire: Wire;
  readonly #signal: AbortSignal;
  readonly #onTopology: (event: { readonly newDescription: TopologyDescription }) => void;
  readonly #onAbort: () => void;
  #id = 0n;
  /** The server sends the next reply by itself. */
  #moreToCome = false;
  #first: Uint8Array | null = null;

  private constructor(client: MongoClient, plan: StreamPlan, session: ClientSession, connection: OwnConnection, signal: AbortSignal) {
    this.#client = client;
    this.#plan = plan;
    this.#session = session;
    this.#connection = connection;
    this.#signal = signal;
    this.#wire = new Wire(connection.socket, AWAIT_MS + SOCKET_SILENCE_MS);
    this.#onAbort = () => this.#wire.destroy();
    this.#onTopology = ({ newDescription }) => {
      if (!isToBeRead(newDescription, connection.address, client.readPreference.mode)) this.#wire.destroy();
    };
    signal.addEventListener('abort', this.#onAbort, { once: true });
    client.on('topologyDescriptionChanged', this.#onTopology);
  }

  static async open(
    client: MongoClient,
    plan: StreamPlan,
    stages: readonly Document[],
    start: Document,
    signal: AbortSignal,
  ): Promise<ExhaustCursor> {
    const connection = await unlessAborted(takeConnection(client, signal), signal);
    const cursor = new ExhaustCursor(client, plan, client.startSession({ causalConsistency: false }), connection, signal);
    try {
      cursor.#send(aggregateCommand(plan, stages, start), false);
      cursor.#first = await cursor.#receive();
      return cursor;
    } catch (error) {
      await cursor[Symbol.asyncDispose]();
      signal.throwIfAborted();
      throw error;
    }
  }

  async next(): Promise<Uint8Array | null> {
    try {
      // What has come in may be taken without a wait: the event loop must have its turn all the same.
      await setImmediate();
      const reply = this.#first ?? (this.#id === 0n ? null : await this.#receive());
      this.#first = null;
      if (this.#id !== 0n && !this.#moreToCome) {
        const getMore = { getMore: Long.fromBigInt(this.#id), collection: collectionOf(this.#plan), batchSize: BATCH_EVENTS, maxTimeMS: AWAIT_MS };
        this.#send(getMore, true);
      }
      return reply;
    } catch (error) {
      if (this.#signal.aborted) return null;
      throw error;
    }
  }

  /** The server ends the cursor when it finds the connection closed; who is told at once need not find out. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
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
        $db: this.#plan.database,
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
      if (key !== 'cursor' || type !== DOCUMENT) continue;
      const cursor = body.subarray(from, next);
      this.#id = cursorIdOf(cursor);
      return cursor;
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
