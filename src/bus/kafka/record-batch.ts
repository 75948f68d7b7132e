/**
 * Messages as the bytes of a record batch (Kafka's format 2), and back.
 *
 * The client does this, too, with a dozen objects for each header; with six headers on each message that was half of what a
 * producer and a consumer did. Here a batch is one buffer, and a message that is read is two numbers until somebody asks.
 * Requests, connections, logins and whatever else of the protocol stay the client's.
 */
import { compressionsAlgorithmsByBitmask, crc32c } from '@platformatic/kafka';
import type { BusMessage, BusRecord } from '../../core/bus.ts';

/** Who sends, so that the broker can tell a repetition. */
export interface Sender {
  readonly id: bigint;
  readonly epoch: number;
  /** Of the first message. */
  readonly sequence: number;
}

const FORMAT = 2;
/** First offset, length. */
const HEAD_BYTES = 12;
/** Where the sum is, and where what it covers begins. */
const CRC_AT = 17;
const SUMMED_AT = 21;
const RECORDS_AT = 61;
const COMPRESSION = 0b111;
/** Bit of a batch's attributes: markers of transactions, not messages. */
const IS_CONTROL = 0x20;
/** What a record takes beside its key, its value and its headers: six numbers. */
const RECORD_BYTES_MAX = 30;
const NUMBER_BYTES_MAX = 5;

export function encodeBatch(messages: readonly BusMessage[], sender: Sender, nowMs: number): Buffer {
  let bytesMax = RECORDS_AT;
  for (const message of messages) bytesMax += bytesOf(message);
  const out = Buffer.allocUnsafe(bytesMax);
  let at = RECORDS_AT;
  for (const [index, message] of messages.entries()) at = writeRecord(out, at, message, index);
  out.writeBigInt64BE(0n, 0);
  out.writeInt32BE(at - HEAD_BYTES, 8);
  out.writeInt32BE(-1, 12);
  out.writeInt8(FORMAT, 16);
  out.writeInt16BE(0, SUMMED_AT);
  out.writeInt32BE(messages.length - 1, 23);
  out.writeBigInt64BE(BigInt(nowMs), 27);
  out.writeBigInt64BE(BigInt(nowMs), 35);
  out.writeBigInt64BE(sender.id, 43);
  out.writeInt16BE(sender.epoch, 51);
  out.writeInt32BE(sender.sequence, 53);
  out.writeInt32BE(messages.length, 57);
  const batch = out.subarray(0, at);
  batch.writeUInt32BE(crc32c(batch.subarray(SUMMED_AT)), CRC_AT);
  return batch;
}

/** An upper bound: a character of JavaScript takes three bytes at most. */
function bytesOf({ key, value, headers }: BusMessage): number {
  let bytes = RECORD_BYTES_MAX + key.length * 3 + value.length;
  for (const name in headers) bytes += 2 * NUMBER_BYTES_MAX + (name.length + headers[name]!.length) * 3;
  return bytes;
}

function writeRecord(out: Buffer, start: number, { key, value, headers }: BusMessage, index: number): number {
  // How long it is stands before it: written first, and moved to where that ends.
  const from = start + NUMBER_BYTES_MAX;
  let at = from;
  // Attributes, and milliseconds after the first record.
  out[at++] = 0;
  out[at++] = 0;
  at = writeNumber(out, at, index);
  at = writeText(out, at, key);
  at = writeNumber(out, at, value.length);
  out.set(value, at);
  at += value.length;
  let count = 0;
  for (const _ in headers) count += 1;
  at = writeNumber(out, at, count);
  for (const name in headers) {
    at = writeText(out, at, name);
    at = writeText(out, at, headers[name]!);
  }
  const length = at - from;
  const to = writeNumber(out, start, length);
  out.copyWithin(to, from, at);
  return to + length;
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

function writeText(out: Buffer, start: number, text: string): number {
  const at = start + (text.length < 64 ? 1 : text.length < 8192 ? 2 : 3);
  const length = out.write(text, at);
  if (length === text.length) {
    writeNumber(out, start, length);
    return at + length;
  }
  const after = writeNumber(out, start, length);
  return after + out.write(text, after);
}

export interface Decoded {
  readonly records: readonly BusRecord[];
  /** Of the message after the last; `null`: not even one batch is whole. */
  readonly next: bigint | null;
}

/** Whole batches, so that the first records may lie before what was asked for; the last batch may be cut off. @throws Error */
export function decodeBatches(bytes: Buffer): Decoded {
  const records: BusRecord[] = [];
  let next: bigint | null = null;
  for (let at = 0; at + RECORDS_AT <= bytes.length;) {
    const end = at + HEAD_BYTES + bytes.readInt32BE(at + 8);
    if (end > bytes.length) break;
    const batch = bytes.subarray(at, end);
    if (batch[16] !== FORMAT) throw new Error(`its messages have format ${batch[16]}, which Kafka has not written since 2017`);
    if (crc32c(batch.subarray(SUMMED_AT)) !== batch.readUInt32BE(CRC_AT)) throw new Error('the sum of a batch of messages is wrong');
    const first = batch.readBigInt64BE(0);
    next = first + BigInt(batch.readInt32BE(23)) + 1n;
    readRecords(batch, first, records);
    at = end;
  }
  return { records, next };
}

function readRecords(batch: Buffer, first: bigint, into: BusRecord[]): void {
  const attributes = batch.readInt16BE(SUMMED_AT);
  if ((attributes & IS_CONTROL) !== 0) return;
  const algorithm = attributes & COMPRESSION;
  const packed = batch.subarray(RECORDS_AT);
  const bytes = algorithm === 0 ? packed : compressionsAlgorithmsByBitmask[algorithm]!.decompressSync(packed);
  const cursor = new Cursor(bytes);
  const sinceMs = Number(batch.readBigInt64BE(27));
  for (let left = batch.readInt32BE(57); left > 0; left -= 1) {
    const end = cursor.number() + cursor.at;
    cursor.at += 1;
    const timeMs = sinceMs + cursor.longNumber();
    const offset = first + BigInt(cursor.number());
    into.push(new ReadRecord(offset, timeMs, cursor));
    cursor.at = end;
  }
}

class Cursor {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Of 32 bits, zigzag. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
  }

  /** Bytes, with their number before them. */
  piece(): Buffer | null {
    const length = this.number();
    if (length < 0) return null;
    const from = this.at;
    this.at += length;
    return this.bytes.subarray(from, this.at);
  }

  /** Of up to 64 bits: milliseconds, which 53 hold. */
  longNumber(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
  }
}

/** Nothing of it is copied: the value is a piece of what the broker has answered. */
class ReadRecord implements BusRecord {
  readonly offset: bigint;
  readonly timeMs: number;
  readonly value: Buffer | null;
  readonly #bytes: Buffer;
  readonly #keyAt: number;
  readonly #headersAt: number;

  constructor(offset: bigint, timeMs: number, cursor: Cursor) {
    const { bytes } = cursor;
    this.offset = offset;
    this.timeMs = timeMs;
    this.#bytes = bytes;
    this.#keyAt = cursor.at;
    const key = cursor.number();
    if (key > 0) cursor.at += key;
    this.value = cursor.piece();
    this.#headersAt = cursor.at;
  }

  get key(): Buffer | null {
    const cursor = new Cursor(this.#bytes);
    cursor.at = this.#keyAt;
    return cursor.piece();
  }

  headers(): readonly (readonly [name: string, value: Buffer | null])[] {
    const cursor = new Cursor(this.#bytes);
    cursor.at = this.#headersAt;
    return Array.from({ length: cursor.number() }, () => {
      const name = cursor.piece()?.toString('utf8') ?? '';
      return [name, cursor.piece()] as const;
    });
  }

  header(name: string): string | null {
    const cursor = new Cursor(this.#bytes);
    cursor.at = this.#headersAt;
    for (let left = cursor.number(); left > 0; left -= 1) {
      const length = cursor.number();
      const isIt = length === name.length && this.#bytes.toString('latin1', cursor.at, cursor.at + length) === name;
      cursor.at += length;
      const value = cursor.number();
      if (isIt) return value < 0 ? null : this.#bytes.toString('utf8', cursor.at, cursor.at + value);
      if (value > 0) cursor.at += value;
    }
    return null;
  }
}
