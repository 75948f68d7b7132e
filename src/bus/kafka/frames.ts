/**
 * Large requests and replies, past the buffers of the client.
 *
 * The client joins a request into a new buffer before it writes it, and a reply into another one when all of it has come: for an event
 * that was a copy each way, and most of the memory whose collection took more time than everything else. Here a request
 * is written as it is, and a reply is gathered in memory that is used again. The connection stays the client's: it connects, encrypts, logs in and asks
 * for topics on it, and gets every frame that is not an answer to one of ours.
 *
 * Invariants: an answer goes whole to who asked for it; who waits hears of it when the connection ends, or when the broker says
 * nothing for too long; when an {@link Frames.ask} has come to its end, nobody reads what it was given to send any more.
 */
import type { Socket } from 'node:net';
import { ConnectionStatuses, type Base, type BaseOptions, type Connection } from '@platformatic/kafka';
import { BufferPool, freeNow } from '../../core/buffer-pool.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';

export interface Api {
  readonly key: number;
  readonly version: number;
}

export interface Answer {
  readonly body: Buffer;
  /** Nobody reads the body any more: its memory is used again. */
  readonly release: () => void;
}

/** Length, without itself; number of the request that it answers. */
const HEAD_BYTES = 8;
const LENGTH_BYTES = 4;
const ID_BYTES = 4;
const FRAME_BYTES_MAX = 256 * 1024 * 1024;
/** The client counts from 1, and asks a few questions an hour. */
const IDS_FROM = 0x4000_0000;
const IDS_TO = 0x7fff_ffff;
/** Of answers that nobody reads any more, over all connections. */
const pool = new BufferPool(16 * 1024 * 1024);
const all = new WeakMap<Connection, Frames>();

/** From now on {@link framesOf} knows every connection of the client. Before the first is made: no reply may be on its way. */
export function watchConnections(client: Base<BaseOptions>, silenceMsMax: number): void {
  client.connections.on('connect', ({ connection }: { readonly connection: Connection }) => {
    all.set(connection, new Frames(connection, client.clientId, silenceMsMax));
  });
}

/** @throws BUS_UNAVAILABLE when it has ended meanwhile */
export function framesOf(connection: Connection): Frames {
  const frames = all.get(connection);
  if (frames === undefined) throw new SluiceError(BUS_UNAVAILABLE, 'the connection has ended');
  return frames;
}

export class Frames {
  readonly #connection: Connection;
  readonly #socket: Socket;
  readonly #clientId: Buffer;
  readonly #silenceMsMax: number;
  /** What the client reads with. */
  readonly #theirs: readonly ((chunk: Buffer) => void)[];
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #lastId = IDS_FROM;
  #failure: Error | null = null;
  /** What is coming in: its head, as much as there is of it, and all of it once the length is known. */
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #frame: Buffer | null = null;
  #frameBytes = 0;
  #filled = 0;

  /** @param silenceMsMax while somebody waits: after this long without a byte either way the connection counts as lost */
  constructor(connection: Connection, clientId: string, silenceMsMax: number) {
    this.#connection = connection;
    this.#socket = connection.socket;
    this.#clientId = Buffer.from(clientId);
    this.#silenceMsMax = silenceMsMax;
    this.#theirs = this.#socket.listeners('data') as ((chunk: Buffer) => void)[];
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.on('timeout', () => this.#fail(new Error(`the broker has said nothing for ${silenceMsMax / 1000} s`)));
    this.#socket.on('error', (error: Error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  /**
   * Asks one question. @param bulk its last bytes, which are not copied and must stay as they are until this has ended
   * @throws Error when the connection ends
   */
  async ask({ key, version }: Api, start: Buffer, bulk: Buffer | null = null): Promise<Answer> {
    // Until the broker has heard who we are anew, it takes nothing else.
    if (this.#connection.status === ConnectionStatuses.REAUTHENTICATING) await this.#connection.ready();
    if (this.#failure !== null) throw this.#failure;
    const id = this.#newId();
    const answer = Promise.withResolvers<Answer>();
    this.#waiting.set(id, answer);
    if (this.#waiting.size === 1) this.#socket.setTimeout(this.#silenceMsMax);
    this.#socket.cork();
    this.#socket.write(this.#headOf(key, version, id, start.length + (bulk?.length ?? 0)));
    this.#socket.write(start);
    if (bulk !== null) this.#socket.write(bulk);
    this.#socket.uncork();
    return await answer.promise;
  }

  /** Ends the connection: who waits hears of it. */
  destroy(): void {
    this.#fail(new Error('the connection was given up'));
  }

  #newId(): number {
    this.#lastId = this.#lastId === IDS_TO ? IDS_FROM : this.#lastId + 1;
    return this.#lastId;
  }

  #headOf(key: number, version: number, id: number, bytes: number): Buffer {
    const name = this.#clientId;
    const head = Buffer.alloc(LENGTH_BYTES + 10 + name.length);
    head.writeInt32BE(head.length - LENGTH_BYTES + bytes, 0);
    head.writeInt16BE(key, 4);
    head.writeInt16BE(version, 6);
    head.writeInt32BE(id, 8);
    head.writeInt16BE(name.length, 12);
    head.set(name, 14);
    return head;
  }

  #take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#failure === null;) {
      if (this.#frame === null) {
        const part = chunk.copy(this.#head, this.#filled, at);
        at += part;
        this.#filled += part;
        if (this.#filled < HEAD_BYTES || !this.#begin()) continue;
      }
      const part = chunk.copy(this.#frame!, this.#filled, at, Math.min(chunk.length, at + this.#frameBytes - this.#filled));
      at += part;
      this.#filled += part;
      if (this.#filled === this.#frameBytes) this.#deliver();
    }
    freeNow(chunk);
  }

  /** Room for a frame whose head has come. @returns whether it may come */
  #begin(): boolean {
    const bytes = this.#head.readInt32BE(0);
    if (bytes < ID_BYTES || bytes > FRAME_BYTES_MAX) {
      this.#fail(new Error(`the broker has sent ${bytes} bytes, which it cannot mean`));
      return false;
    }
    this.#frameBytes = LENGTH_BYTES + bytes;
    this.#frame = this.#isOurs ? pool.take(this.#frameBytes) : Buffer.alloc(this.#frameBytes);
    this.#frame.set(this.#head);
    return true;
  }

  get #isOurs(): boolean {
    return this.#waiting.has(this.#head.readInt32BE(LENGTH_BYTES));
  }

  #deliver(): void {
    const buffer = this.#frame!;
    const isOurs = this.#isOurs;
    this.#frame = null;
    this.#filled = 0;
    if (!isOurs) {
      for (const listener of this.#theirs) listener.call(this.#socket, buffer);
      return;
    }
    const id = this.#head.readInt32BE(LENGTH_BYTES);
    const { resolve } = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#socket.setTimeout(0);
    resolve({ body: buffer.subarray(HEAD_BYTES, this.#frameBytes), release: () => pool.give(buffer) });
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    // First: once it is destroyed, nothing more of what was to be sent is read.
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
