/**
 * The messages of one request to a bus, as bytes: records of Kafka's format 2, which Event Hubs takes as well, one behind the
 * other, with room before them for the head that whoever sends them writes there.
 *
 * An object for each message, one for its headers and a string for each of these cost a producer more than the encoding of its
 * line. Here an event's bytes are copied once, out of the batch of its source, and nothing is made for it.
 */
import type { BufferPool } from './buffer-pool.ts';
import type { BusMessage } from './bus.ts';

/** Room for the head of a batch of records. */
export const BATCH_HEAD_BYTES = 61;
const BYTES_INITIAL = 16 * 1024;
const HEADERS_BYTES_INITIAL = 512;
const NUMBER_BYTES_MAX = 5;
const EMPTY = Buffer.alloc(0);
/** What a record takes beside its key, its value and its headers, at most: its length, attributes, and five numbers. */
const RECORD_BYTES_MAX = 40;
/** Up to here a loop is faster than a call of what is native. */
const LOOP_BYTES_MAX = 24;

/** Headers of a message, in their encoded form; to be used again for the next one. */
export class MessageHeaders {
  bytes: Buffer = Buffer.allocUnsafe(HEADERS_BYTES_INITIAL);
  length = 0;
  count = 0;

  static of(headers: Readonly<Record<string, string>>): MessageHeaders {
    const made = new MessageHeaders();
    for (const name in headers) made.add(name, headers[name]!);
    return made;
  }

  clear(): this {
    this.length = 0;
    this.count = 0;
    return this;
  }

  add(name: string, value: string): this {
    this.#reserve((name.length + value.length) * 3 + 2 * NUMBER_BYTES_MAX);
    this.length = writeText(this.bytes, writeText(this.bytes, this.length, name), value);
    this.count += 1;
    return this;
  }

  /** Those of another one, as they are. */
  addAll({ bytes, length, count }: MessageHeaders): this {
    this.#reserve(length);
    bytes.copy(this.bytes, this.length, 0, length);
    this.length += length;
    this.count += count;
    return this;
  }

  #reserve(bytes: number): void {
    this.bytes = withRoom(this.bytes, this.length, bytes);
  }
}

export class MessageBatch {
  #bytes: Buffer;
  #length = BATCH_HEAD_BYTES;
  #count = 0;
  readonly #pool: BufferPool | null;

  /** @param bytesExpected with its head; @param pool where its memory comes from, and goes to with {@link MessageBatch.release} */
  constructor(bytesExpected: number = BYTES_INITIAL, pool: BufferPool | null = null) {
    const bytes = Math.max(bytesExpected, BATCH_HEAD_BYTES);
    this.#pool = pool;
    this.#bytes = pool?.take(bytes) ?? Buffer.allocUnsafe(bytes);
  }

  static of(messages: readonly BusMessage[]): MessageBatch {
    const batch = new MessageBatch();
    for (const message of messages) batch.addMessage(message);
    return batch;
  }

  get count(): number {
    return this.#count;
  }

  /** Nobody reads it any more. */
  release(): void {
    this.#pool?.give(this.#bytes);
    this.#bytes = EMPTY;
    this.#length = 0;
  }

  /** Its head, which is not written yet, and all records. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  addMessage({ key, value, headers }: BusMessage): void {
    this.add(Buffer.from(key), asBuffer(value), 0, value.length, MessageHeaders.of(headers));
  }

  /** A message whose value is a piece of something else. */
  add(key: Buffer, source: Buffer, start: number, end: number, headers: MessageHeaders): void {
    const bytesMax = RECORD_BYTES_MAX + key.length + end - start + headers.length;
    this.#reserve(bytesMax);
    const out = this.#bytes;
    // How long it is stands before it: the room that this takes is guessed, and what comes after it moved when that was wrong.
    const begin = this.#length;
    const from = begin + sizeOfNumber(bytesMax);
    let at = from;
    // Attributes, and milliseconds after the first record.
    out[at++] = 0;
    out[at++] = 0;
    at = writeNumber(out, at, this.#count);
    at = writeNumber(out, at, key.length);
    out.set(key, at);
    at = writeNumber(out, at + key.length, end - start);
    source.copy(out, at, start, end);
    at = writeNumber(out, at + end - start, headers.count);
    headers.bytes.copy(out, at, 0, headers.length);
    at += headers.length;
    const length = at - from;
    this.#length = writeNumberBefore(out, begin, length, from, at) + length;
    this.#count += 1;
  }

  #reserve(bytes: number): void {
    const before = this.#bytes;
    this.#bytes = withRoom(before, this.#length, bytes, this.#pool);
    if (this.#bytes !== before) this.#pool?.give(before);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Twice as large when it is too small. */
function withRoom(buffer: Buffer, used: number, bytes: number, pool: BufferPool | null = null): Buffer {
  if (used + bytes <= buffer.length) return buffer;
  const size = Math.max(used + bytes, buffer.length * 2);
  const grown = pool?.take(size) ?? Buffer.allocUnsafe(size);
  buffer.copy(grown, 0, 0, used);
  return grown;
}

function sizeOfNumber(value: number): number {
  let size = 1;
  for (let left = value * 2; left > 0x7f; left >>>= 7) size += 1;
  return size;
}

/** Zigzag, seven bits a byte; never negative here. */
function writeNumber(out: Buffer, start: number, value: number): number {
  let at = start;
  let left = value * 2;
  while (left > 0x7f) {
    out[at++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  out[at++] = left;
  return at;
}

/** Writes a number before the bytes from `from` to `end`, which move when there is other room for it than it takes. */
function writeNumberBefore(out: Buffer, start: number, value: number, from: number, end: number): number {
  const size = sizeOfNumber(value);
  if (start + size !== from) out.copyWithin(start + size, from, end);
  return writeNumber(out, start, value);
}

function writeText(out: Buffer, start: number, text: string): number {
  const at = start + sizeOfNumber(text.length);
  const length = writeShort(out, at, text) ? text.length : out.write(text, at);
  if (length === text.length) {
    writeNumber(out, start, length);
    return at + length;
  }
  const after = writeNumber(out, start, length);
  return after + out.write(text, after);
}

/** @returns whether it was short, and ASCII */
function writeShort(out: Buffer, at: number, text: string): boolean {
  if (text.length > LOOP_BYTES_MAX) return false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    out[at + i] = code;
  }
  return true;
}
