/**
 * MongoDB's wire protocol, as far as one cursor needs it: OP_MSG with one document each way, over a socket on which the
 * driver has logged in.
 *
 * Invariants: replies come out in the order in which they came in, whole; of those that nobody has taken no more than
 * {@link QUEUE_BYTES_MAX} and one are kept, then the socket is not read, which stops the server; who waits hears of it when
 * the socket ends or says nothing for too long.
 */
import type { Socket } from 'node:net';
import { serialize } from 'bson';
import { MongoNetworkError, MongoNetworkTimeoutError, type Document } from 'mongodb';
import { BufferPool, freeNow } from '../../core/buffer-pool.ts';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import { DOCUMENT } from './encode/bson.ts';

const OP_MSG = 2013;
const HEADER_BYTES = 16;
/** Header, flags, and the kind of the one section. */
const BODY_FROM = HEADER_BYTES + 5;
const MESSAGE_BYTES_MAX = 48_000_000;
const CHECKSUM_BYTES = 4;
const CHECKSUM_PRESENT = 1;
const MORE_TO_COME = 2;
const EXHAUST_ALLOWED = 1 << 16;
/** Flags below this must be understood. */
const REQUIRED_FLAGS = 0xffff;
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** Of messages that nobody needs any more. */
const POOL_BYTES_MAX = 16 * 1024 * 1024;

export interface Reply {
  /** BSON document. */
  readonly body: Buffer;
  /** The server sends the next reply without being asked. */
  readonly moreToCome: boolean;
}

export class Wire {
  readonly #socket: Socket;
  readonly #silenceMsMax: number;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #paused = false;
  #failure: Error | null = null;
  #waiting: PromiseWithResolvers<Buffer> | null = null;
  /** The message that is coming in: its length, as much as there is of it, and itself once the length is known. */
  readonly #length = Buffer.alloc(4);
  #message: Buffer | null = null;
  #messageBytes = 0;
  #filled = 0;
  #requestId = 0;
  /** What the next reply answers. */
  #answers = 0;
  readonly #pool = new BufferPool(POOL_BYTES_MAX);
  /** Messages whose replies somebody has: the one that is read, and the one that was asked for meanwhile. */
  readonly #lent: Buffer[] = [];

  /** @param silenceMsMax after this long without a byte the connection counts as lost */
  constructor(socket: Socket, silenceMsMax: number) {
    this.#socket = socket;
    this.#silenceMsMax = silenceMsMax;
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
      freeNow(chunk);
    });
    socket.on('error', (cause: Error) => this.#fail(new MongoNetworkError(cause.message, { cause })));
    socket.on('close', () => this.#fail(new MongoNetworkError('the server has closed the connection')));
    socket.on('timeout', () => this.#fail(new MongoNetworkTimeoutError(`the server has said nothing for ${silenceMsMax / 1000} s`)));
    socket.setTimeout(silenceMsMax);
    socket.resume();
  }

  /** @param exhaust the server may answer more than once; @param raw documents of the command that must not be decoded on the way */
  send(command: Document, exhaust: boolean, raw: Readonly<Record<string, Uint8Array>> = {}): void {
    const body = withRaw(serialize(command), raw);
    const message = Buffer.allocUnsafe(BODY_FROM + body.length);
    this.#requestId += 1;
    this.#answers = this.#requestId;
    message.writeInt32LE(message.length, 0);
    message.writeInt32LE(this.#requestId, 4);
    message.writeInt32LE(0, 8);
    message.writeInt32LE(OP_MSG, 12);
    message.writeUInt32LE(exhaust ? EXHAUST_ALLOWED : 0, HEADER_BYTES);
    message.writeUInt8(0, HEADER_BYTES + 4);
    message.set(body, BODY_FROM);
    this.#socket.write(message);
  }

  /** The next reply, whose bytes are its own until the call after the next. One caller at a time. @throws MongoNetworkError, SOURCE_PROTOCOL */
  async receive(): Promise<Reply> {
    if (this.#lent.length === 2) this.#pool.give(Buffer.from(this.#lent.shift()!.buffer as ArrayBuffer));
    const message = await this.#next();
    this.#lent.push(message);
    return this.#open(message);
  }

  /** Ends it; who waits hears of it. */
  destroy(): void {
    this.#fail(new MongoNetworkError('the connection was ended'));
  }

  async #next(): Promise<Buffer> {
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#queuedBytes -= message.length;
      if (this.#paused && this.#queuedBytes < QUEUE_BYTES_MAX) this.#pause(false);
      return message;
    }
    if (this.#failure !== null) throw this.#failure;
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  #pause(on: boolean): void {
    this.#paused = on;
    // Silence counts only while somebody listens.
    this.#socket.setTimeout(on ? 0 : this.#silenceMsMax);
    if (on) this.#socket.pause();
    else this.#socket.resume();
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#socket.setTimeout(0);
    this.#socket.destroy();
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#message === null) {
        const part = chunk.copy(this.#length, this.#filled, at);
        at += part;
        this.#filled += part;
        if (this.#filled < this.#length.length) return;
        const length = this.#length.readInt32LE(0);
        if (length <= BODY_FROM || length > MESSAGE_BYTES_MAX) return this.#fail(broken(`a message of ${length} bytes`));
        this.#message = this.#pool.take(length);
        this.#messageBytes = length;
        this.#message.set(this.#length);
      }
      const part = chunk.copy(this.#message, this.#filled, at, Math.min(chunk.length, at + this.#messageBytes - this.#filled));
      at += part;
      this.#filled += part;
      if (this.#filled === this.#messageBytes) this.#deliver(this.#message.subarray(0, this.#messageBytes));
    }
  }

  #deliver(message: Buffer): void {
    this.#message = null;
    this.#filled = 0;
    if (this.#waiting !== null) {
      this.#waiting.resolve(message);
      this.#waiting = null;
      return;
    }
    this.#queue.push(message);
    this.#queuedBytes += message.length;
    if (this.#queuedBytes >= QUEUE_BYTES_MAX && !this.#paused) this.#pause(true);
  }

  #open(message: Buffer): Reply {
    const flags = message.readUInt32LE(HEADER_BYTES);
    const opCode = message.readInt32LE(12);
    if (opCode !== OP_MSG) throw broken(`a message of kind ${opCode}`);
    if ((flags & REQUIRED_FLAGS & ~(CHECKSUM_PRESENT | MORE_TO_COME)) !== 0) throw broken(`a message with the flags ${flags}`);
    if (message.readUInt8(HEADER_BYTES + 4) !== 0) throw broken('a message that does not begin with its document');
    if (message.readInt32LE(8) !== this.#answers) throw broken('an answer to another question');
    this.#answers = message.readInt32LE(4);
    const end = message.length - ((flags & CHECKSUM_PRESENT) === 0 ? 0 : CHECKSUM_BYTES);
    const body = message.subarray(BODY_FROM, end);
    if (body.length < 5 || body.readInt32LE(0) !== body.length) throw broken('a message with more than one document');
    return { body, moreToCome: (flags & MORE_TO_COME) !== 0 };
  }
}

/** Fields whose values are BSON documents already, put behind those of a document. */
function withRaw(document: Uint8Array, raw: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const fields = Object.entries(raw).map(([name, value]) => Buffer.concat([Buffer.of(DOCUMENT), Buffer.from(`${name}\0`, 'utf8'), value]));
  if (fields.length === 0) return document;
  const whole = Buffer.concat([document.subarray(0, document.length - 1), ...fields, Buffer.of(0)]);
  whole.writeInt32LE(whole.length, 0);
  return whole;
}

function broken(what: string): SluiceError {
  return new SluiceError(SOURCE_PROTOCOL, `the server sent ${what}`);
}
