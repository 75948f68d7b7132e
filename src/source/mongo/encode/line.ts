/**
 * One change event → one line (docs/specs/line.md).
 *
 * `_meta` first, then every other top-level field in the order in which the server sent it. Invariants: a line is whole,
 * valid JSON and ends in a newline, or the whole reply is refused; everything that the server sent is in the line, or
 * `_meta` says so (`lossy`, `oversize`); positions strictly rise within a reply.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_ORDER, SOURCE_PROTOCOL } from '../../../core/errors.ts';
import type { EventBatchBuilder } from '../../../core/event-batch.ts';
import { LINE_PREFIX } from '../../../core/event.ts';
import { DOCUMENT, STRING, TIMESTAMP, documentSize, valueSize } from './bson.ts';
import { CLUSTER_TIME, ID, LSID, NS, OPERATION_TYPE, TXN_NUMBER, WALL_TIME, EventFields } from './event-fields.ts';
import { literal, literalOf, writeAscii, writeLiteral, type Literal } from './literal.ts';
import { Namespaces } from './namespaces.ts';
import { writeSafe } from './number.ts';
import { operationIndex } from './operations.ts';
import { SplitEvents } from './split.ts';
import { writeText } from './string.ts';
import { EXPANSION_MAX, Tape } from './tape.ts';
import type { Masker } from '../mask/masker.ts';
import type { Ranks } from '../mask/ranks.ts';
import { POSITION_END, keylessLength } from '../mask/tokens.ts';
import { findData } from './token.ts';
import { writeMembers, writeValue } from './value.ts';

export interface LineOptions {
  readonly json: 'relaxed' | 'canonical';
  /** Bytes of a line, newline included, above which a stub takes its place. */
  readonly maxLineBytes: number;
  /** Namespace of events that carry none: `invalidate` on the stream of a database or a collection. */
  readonly database: string | null;
  readonly collection: string | null;
  /** What is changed in an event before a line is made of it. */
  readonly mask?: Masker | null;
  /** With a mask on a sharded cluster: tells apart what has one position without its key. */
  readonly ranks?: Ranks | null;
}

const OPEN = literal(LINE_PREFIX);
const OPERATION = literal('","operationType":"');
const NAMESPACE = literal('","ns":');
const WALL = literal(',"wallTime":');
const TXN = literal(',"txnNumber":');
const SESSION = literal(',"lsid":');
const CLOSE_META = literal(',"v":1},');
const CLOSE_TIME = literal('}}');
const OVERSIZE = literal(',"oversize":true,"bytes":');
const LOSSY = ',"lossy":true';
const NEWLINE = 0x0a;
const CLOSE_BRACE = 0x7d;

/** What `_meta` has besides copies of the event's own fields, with room to spare. */
export const META_BYTES_MAX = 1024;

/** Bytes that may stand in a position. */
const POSITION_BYTE: Uint8Array = (() => {
  const allowed = new Uint8Array(256);
  for (const char of '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_:.') allowed[char.charCodeAt(0)] = 1;
  return allowed;
})();

export class LineEncoder {
  /** Lines so far whose `_meta` says that JSON could not carry all of the event. */
  lossy = 0;
  /** Stubs so far. */
  oversize = 0;
  readonly #tape = new Tape();
  readonly #fields = new EventFields();
  readonly #splits = new SplitEvents();
  readonly #canonical: boolean;
  readonly #maxLineBytes: number;
  readonly #database: string | null;
  readonly #collection: string | null;
  readonly #mask: Masker | null;
  readonly #ranks: Ranks | null;
  readonly #namespaces = new Namespaces();
  /** `ns` for events that carry none. */
  readonly #ownNamespace: Literal | null;
  #builder: EventBatchBuilder | null = null;
  /** Where the line before this one begins in the output, -1 for the first. */
  #previous = -1;
  /** Where the resume token of the last event stands. */
  #tokenSource: Buffer | null = null;
  #tokenFrom = 0;
  #tokenNext = 0;
  /** Columns of the line that is being written. */
  #namespace = 0;
  #operation = 0;
  #second = -1;
  #ordinal = 0;
  /** `,"at":…,"clusterTime":{"$timestamp":{"t":…,"i":`, the same for all events of {@link LineEncoder.#second}. */
  #secondText: Literal = literal('');

  constructor(options: LineOptions) {
    this.#canonical = options.json === 'canonical';
    this.#maxLineBytes = options.maxLineBytes;
    this.#database = options.database;
    this.#collection = options.collection;
    this.#mask = options.mask ?? null;
    this.#ranks = options.ranks ?? null;
    const own = options.database === null ? null : { db: options.database, ...(options.collection === null ? {} : { coll: options.collection }) };
    this.#ownNamespace = own === null ? null : literalOf(Buffer.from(JSON.stringify(own), 'utf8'));
  }

  /** A new cursor begins: fragments of an event that its predecessor did not finish come again. */
  reset(): void {
    this.#splits.reset();
  }

  /** From here on events come from `input` and lines go to `builder`. */
  start(input: Buffer, builder: EventBatchBuilder): void {
    this.#tape.read(input);
    this.#tape.write(builder.buffer);
    this.#builder = builder;
    this.#previous = -1;
    this.#tokenSource = null;
    this.#namespaces.start();
  }

  /** Fragments have come of an event that is not whole yet: no resume point may lie here. */
  get insideSplitEvent(): boolean {
    return this.#splits.pending > 0;
  }

  /**
   * Encodes one event, or keeps it if it is a fragment of one.
   * @param at @param bytes where the event's document begins in the input, and its size
   * @throws SOURCE_PROTOCOL, SOURCE_ORDER, BSON_BROKEN; the builder's batch is then not to be used
   */
  event(at: number, bytes: number): void {
    const tape = this.#tape;
    const fields = this.#fields;
    fields.scan(tape, at, at + bytes - 1);
    if (fields.splitEvent < 0) {
      if (this.#splits.pending > 0) throw new SluiceError(SOURCE_PROTOCOL, 'an event came before the last fragment of the one before');
      this.#masked(at, bytes);
      return;
    }
    const reply = tape.input;
    const whole = this.#splits.add(tape, at, at + bytes - 1, fields);
    if (whole === null) return;
    tape.read(whole);
    const size = documentSize(tape.inputView, 0, whole.length);
    fields.scan(tape, 0, size - 1);
    this.#masked(0, size);
    tape.read(reply);
  }

  /** Ends what {@link LineEncoder.start} began. A copy of the resume token of the last event, `null` if there was none. */
  finish(): Uint8Array | null {
    const token = this.#tokenSource === null ? null : Buffer.from(this.#tokenSource.subarray(this.#tokenFrom, this.#tokenNext));
    this.#tokenSource = null;
    this.#builder = null;
    this.#tape.release();
    return token;
  }

  /** Encodes the event that has been scanned, as the mask leaves it. */
  #masked(at: number, bytes: number): void {
    const tape = this.#tape;
    const { input, inputView } = tape;
    const { type, from, next } = this.#fields;
    const mask = this.#mask;
    // What carries no namespace carries no document.
    const masked = mask === null || type[NS] !== DOCUMENT ? null : mask.event(input, inputView, at, bytes, from[NS]!, next[NS]!);
    if (masked === null) return this.#encode(bytes);
    tape.read(masked.bson);
    this.#fields.scan(tape, 0, masked.bytes - 1);
    this.#encode(masked.bytes);
    tape.read(input);
  }

  #encode(bytes: number): void {
    const tape = this.#tape;
    const builder = this.#builder!;
    const room = bytes * EXPANSION_MAX + META_BYTES_MAX + (this.#ownNamespace?.length ?? 0);
    builder.reserve(room);
    if (tape.output !== builder.buffer) tape.write(builder.buffer);
    const start = builder.length;
    tape.lossy = false;
    const mark = this.#writeMeta(start);
    const metaLossy = tape.lossy;
    let end = this.#writeBody(mark);
    const size = end - start + (tape.lossy ? LOSSY.length : 0);
    if (size > this.#maxLineBytes) {
      tape.lossy = metaLossy;
      end = this.#writeStub(mark, size);
      this.oversize++;
    }
    if (tape.lossy) {
      end = insertLossy(tape.output, mark, end);
      this.lossy++;
    }
    // A write beyond the output is dropped in silence, so the promise behind EXPANSION_MAX is checked line by line.
    if (end > start + room || end > tape.output.length) throw new Error('a line outgrew the room that was reserved for it');
    builder.length = end;
    builder.add(this.#namespace, this.#operation, this.#second, this.#ordinal);
    this.#previous = start;
    this.#tokenSource = tape.input;
    this.#tokenFrom = this.#fields.from[ID]!;
    this.#tokenNext = this.#fields.next[ID]!;
  }

  /** Writes `_meta` up to where `,"v":1` comes, and leaves the line's columns in the fields of this object. */
  #writeMeta(start: number): number {
    const tape = this.#tape;
    const fields = this.#fields;
    const { input, outputView: out } = tape;
    let at = this.#writePosition(writeLiteral(out, start, OPEN));
    const operation = fields.from[OPERATION_TYPE]!;
    if (fields.type[OPERATION_TYPE] !== STRING) throw new SluiceError(SOURCE_PROTOCOL, 'an event without an `operationType`');
    const operationEnd = fields.next[OPERATION_TYPE]! - 1;
    this.#operation = operationIndex(input, operation + 4, operationEnd);
    at = writeText(tape, operation + 4, operationEnd, writeLiteral(out, at, OPERATION));
    at = this.#writeNamespace(writeLiteral(out, at, NAMESPACE));
    at = this.#writeClusterTime(at);
    tape.canonical = true;
    at = this.#writeOptional(WALL_TIME, WALL, at);
    at = this.#writeOptional(TXN_NUMBER, TXN, at);
    return this.#writeOptional(LSID, SESSION, at);
  }

  #writePosition(to: number): number {
    const { input, inputView, output } = this.#tape;
    const { type, from, next } = this.#fields;
    const id = from[ID]!;
    const data = type[ID] === DOCUMENT ? findData(this.#tape, id, next[ID]! - 1) : -1;
    if (data < 0) throw new SluiceError(SOURCE_PROTOCOL, 'an event without `_id._data`');
    const whole = valueSize(inputView, STRING, data, next[ID]! - 1) - 5;
    const length = this.#mask === null ? whole : keylessLength(input, data + 4, whole);
    let plain = length > 0 ? 1 : 0;
    for (let i = 0; i < length; i++) {
      const byte = input[data + 4 + i]!;
      plain &= POSITION_BYTE[byte]!;
      output[to + i] = byte;
    }
    if (plain === 0) throw new SluiceError(SOURCE_PROTOCOL, 'an event whose `_id._data` is not a position');
    // What is cut off ends as a whole one does.
    if (length < whole) output.write(POSITION_END, to + length - POSITION_END.length, 'latin1');
    let end = to + length;
    if (this.#ranks !== null) {
      const rank = this.#ranks.next(input.toString('latin1', data + 4, data + 4 + whole), output.toString('latin1', to, end));
      end += output.write(rank, end, 'latin1');
    }
    if (this.#previous >= 0) this.#assertRises(this.#previous + OPEN.length, to, end);
    return end;
  }

  /** @throws SOURCE_ORDER unless the position of the line before sorts before the one from `at` to `end` */
  #assertRises(before: number, at: number, end: number): void {
    const { output } = this.#tape;
    let i = 0;
    // The earlier position ends in a quote, which sorts before all that may stand in one: it needs no bound of its own.
    while (at + i < end && output[before + i] === output[at + i]) i++;
    if (at + i < end && output[before + i]! < output[at + i]!) return;
    const earlier = output.toString('latin1', before, output.indexOf('"', before));
    throw new SluiceError(SOURCE_ORDER, `${output.toString('latin1', at, end)} came after ${earlier}`);
  }

  #writeNamespace(to: number): number {
    const tape = this.#tape;
    const fields = this.#fields;
    if (fields.type[NS] === DOCUMENT) {
      const known = this.#namespaces.lookUp(tape, this.#builder!, fields.from[NS]!, fields.next[NS]!, to);
      if (known.lossy) tape.lossy = true;
      this.#namespace = known.index;
      return writeLiteral(tape.outputView, to, known.json);
    }
    if (fields.type[NS] !== 0 || this.#ownNamespace === null) throw new SluiceError(SOURCE_PROTOCOL, 'an event without a namespace');
    this.#namespace = this.#builder!.namespace(this.#database!, this.#collection);
    return writeLiteral(tape.outputView, to, this.#ownNamespace);
  }

  #writeClusterTime(to: number): number {
    const { inputView: input, outputView: out } = this.#tape;
    if (this.#fields.type[CLUSTER_TIME] !== TIMESTAMP) throw new SluiceError(SOURCE_PROTOCOL, 'an event without a `clusterTime`');
    const from = this.#fields.from[CLUSTER_TIME]!;
    const second = input.getUint32(from + 4, true);
    this.#ordinal = input.getUint32(from, true);
    if (second !== this.#second) {
      const iso = new Date(second * 1000).toISOString();
      this.#secondText = literal(`,"at":"${iso}","clusterTime":{"$timestamp":{"t":${second},"i":`);
      this.#second = second;
    }
    return writeLiteral(out, writeSafe(out, writeLiteral(out, to, this.#secondText), this.#ordinal), CLOSE_TIME);
  }

  #writeOptional(field: number, name: Literal, to: number): number {
    const { type, from, next } = this.#fields;
    if (type[field] === 0) return to;
    const at = writeLiteral(this.#tape.outputView, to, name);
    return writeValue(this.#tape, type[field]!, from[field]!, next[field]!, at, 0);
  }

  /** Writes the rest of the line: all fields that are not in `_meta`. */
  #writeBody(to: number): number {
    const tape = this.#tape;
    const fields = this.#fields;
    let at = writeLiteral(tape.outputView, to, CLOSE_META);
    for (let i = 0; i < fields.bodyCount; i++) {
      tape.canonical = this.#canonical || i === fields.documentKey;
      at = writeMembers(tape, fields.bodyFrom[i]!, fields.bodyNext[i]!, at, 0, false);
    }
    return closeLine(tape.output, at);
  }

  /** Writes instead of the rest of the line what is left of one that is too long. */
  #writeStub(to: number, size: number): number {
    const tape = this.#tape;
    const fields = this.#fields;
    const out = tape.outputView;
    let at = writeLiteral(out, writeSafe(out, writeLiteral(out, to, OVERSIZE), size), CLOSE_META);
    const key = fields.documentKey;
    tape.canonical = true;
    if (key >= 0) at = writeMembers(tape, fields.bodyFrom[key]!, fields.bodyNext[key]!, at, 0, false);
    return closeLine(tape.output, at);
  }
}

/** @param at just after the comma that becomes the end of the line */
function closeLine(output: Buffer, at: number): number {
  output[at - 1] = CLOSE_BRACE;
  output[at] = NEWLINE;
  return at + 1;
}

/** Whether a line is lossy is known when it has been written: what follows moves up. */
function insertLossy(output: Buffer, at: number, end: number): number {
  output.copyWithin(at + LOSSY.length, at, end);
  writeAscii(output, at, LOSSY);
  return end + LOSSY.length;
}
