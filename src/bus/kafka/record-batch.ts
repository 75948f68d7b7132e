/**
 * Messages as the bytes of a record batch (Kafka's format 2), and back.
 *
 * The client does this, too, with a dozen objects for each header; with six headers on each message that was half of what a
 * producer and a consumer did. Here a batch is one buffer (core/message-batch.ts), and a message that is read is a few numbers
 * until somebody asks.
 * Requests, connections, logins and whatever else of the protocol stay the client's.
 */
import { compressionsAlgorithmsByBitmask } from '@platformatic/kafka';
import type { BusRecord } from '../../core/bus.ts';
import { BATCH_HEAD_BYTES, type MessageBatch } from '../../core/message-batch.ts';
import { crc32c } from './crc32c.ts';

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
const RECORDS_AT = BATCH_HEAD_BYTES;
const COMPRESSION = 0b111;
/** Bit of a batch's attributes: markers of transactions, not messages. */
const IS_CONTROL = 0x20;

/** Writes the head of a batch. @returns all of it, which stays the batch's */
export function sealBatch(messages: MessageBatch, sender: Sender, nowMs: number): Buffer {
  const batch = messages.bytes;
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(batch.length - HEAD_BYTES, 8);
  batch.writeInt32BE(-1, 12);
  batch.writeInt8(FORMAT, 16);
  batch.writeInt16BE(0, SUMMED_AT);
  batch.writeInt32BE(messages.count - 1, 23);
  batch.writeBigInt64BE(BigInt(nowMs), 27);
  batch.writeBigInt64BE(BigInt(nowMs), 35);
  batch.writeBigInt64BE(sender.id, 43);
  batch.writeInt16BE(sender.epoch, 51);
  batch.writeInt32BE(sender.sequence, 53);
  batch.writeInt32BE(messages.count, 57);
  batch.writeUInt32BE(crc32c(batch.subarray(SUMMED_AT)), CRC_AT);
  return batch;
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
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
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

  skipPiece(): void {
    const length = this.number();
    if (length > 0) this.at += length;
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
  readonly #bytes: Buffer;
  readonly #keyAt: number;
  readonly #valueAt: number;
  readonly #headersAt: number;

  constructor(offset: bigint, timeMs: number, cursor: Cursor) {
    this.offset = offset;
    this.timeMs = timeMs;
    this.#bytes = cursor.bytes;
    this.#keyAt = cursor.at;
    cursor.skipPiece();
    this.#valueAt = cursor.at;
    cursor.skipPiece();
    this.#headersAt = cursor.at;
  }

  get key(): Buffer | null {
    return new Cursor(this.#bytes, this.#keyAt).piece();
  }

  get value(): Buffer | null {
    return new Cursor(this.#bytes, this.#valueAt).piece();
  }

  headers(): readonly (readonly [name: string, value: Buffer | null])[] {
    const cursor = new Cursor(this.#bytes, this.#headersAt);
    return Array.from({ length: cursor.number() }, () => {
      const name = cursor.piece()?.toString('utf8') ?? '';
      return [name, cursor.piece()] as const;
    });
  }

  header(name: string): string | null {
    if (places.of !== this) this.#findHeaders();
    const bytes = this.#bytes;
    for (let at = 0; at < places.count; at += PLACE) {
      const start = places.all[at]!;
      if (places.all[at + 1] !== name.length || !isAt(bytes, start, name)) continue;
      const from = places.all[at + 2]!;
      const length = places.all[at + 3]!;
      return length < 0 ? null : bytes.toString('utf8', from, from + length);
    }
    return null;
  }

  #findHeaders(): void {
    const cursor = new Cursor(this.#bytes, this.#headersAt);
    let at = 0;
    for (let left = cursor.number(); left > 0; left -= 1) {
      at = note(at, cursor);
      at = note(at, cursor);
    }
    places.count = at;
    places.of = this;
  }
}

/** Whose headers were looked for last, and where they are: begin and length of the name, then of the value. One after another asks. */
const places: { of: ReadRecord | null; count: number; readonly all: number[] } = { of: null, count: 0, all: [] };
const PLACE = 4;

function note(at: number, cursor: Cursor): number {
  const length = cursor.number();
  places.all[at] = cursor.at;
  places.all[at + 1] = length;
  if (length > 0) cursor.at += length;
  return at + 2;
}

function isAt(bytes: Buffer, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
