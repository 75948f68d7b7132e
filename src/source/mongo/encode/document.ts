/**
 * One document of a collection → one line with the operation `snapshot` (docs/specs/line.md).
 *
 * All that stands in `_meta` is the same for every line of a snapshot of a collection, so it is made once and copied.
 * Invariants: as with events, a line is whole, valid JSON and ends in a newline, or the whole reply is refused; and the key is
 * written as a change event writes it (that of a sharded collection has more than `_id`: document-key.ts).
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../../core/errors.ts';
import type { BufferPool } from '../../../core/buffer-pool.ts';
import type { Namespace } from '../../../core/namespace.ts';
import type { SnapshotPoint } from '../../../core/snapshot.ts';
import type { Masker } from '../mask/masker.ts';
import type { DocumentKeys } from './document-key.ts';
import { DOCUMENT, cstringEnd, documentSize, elementsOf, valueSize } from './bson.ts';
import { literal, writeLiteral } from './literal.ts';
import { writeSafe } from './number.ts';
import { batchOf } from './reply.ts';
import { EXPANSION_MAX, Tape, broken } from './tape.ts';
import { writeDocument, writeMembers } from './value.ts';

export interface DocumentLineOptions {
  readonly json: 'relaxed' | 'canonical';
  /** Bytes of a line, newline included, above which a stub takes its place. */
  readonly maxLineBytes: number;
  readonly mask: Masker | null;
  /** Of a sharded collection; `null`: the key is `_id` alone. */
  readonly keys: DocumentKeys | null;
}

export interface EncodedDocuments {
  readonly count: number;
  /** The buffer that came from the pool, and how much of it is lines. */
  readonly buffer: Buffer;
  readonly bytes: number;
  /** BSON document with the `_id` of the last line alone, as the server has it; `null` when there is none. */
  readonly lastKey: Buffer | null;
}

/** `_id\0` as a little-endian word. */
const ID_WORD = 0x0064695f;
const LOSSY = literal(',"lossy":true');
const OVERSIZE = literal(',"oversize":true,"bytes":');
const CLOSE_META = literal(',"v":1},');
const OPEN_KEY = literal('"documentKey":{');
const CLOSE_KEY_OPEN_DOCUMENT = literal('},"fullDocument":');
const CLOSE_STUB = literal('}}\n');
const CLOSE_LINE = literal('}\n');
/** Pieces of a line beside the prefix and the document, with room to spare. */
const REST_BYTES_MAX = 256;
/** Bytes of line per byte of BSON that a reply is expected to have. */
const EXPANSION_EXPECTED = 1.6;
const NOTHING = Buffer.alloc(0);
/** tape.ts reads words. */
const PADDING = Buffer.alloc(8);

export class DocumentEncoder {
  /** Lines so far that JSON could not carry whole, and stubs so far. */
  lossy = 0;
  oversize = 0;
  readonly #tape = new Tape();
  readonly #canonical: boolean;
  readonly #maxLineBytes: number;
  readonly #mask: Masker | null;
  readonly #keys: DocumentKeys | null;
  readonly #ns: Namespace;
  /** `{"_meta":…` up to where `,"v":1` comes. */
  readonly #prefix: Buffer;
  #output: Buffer = NOTHING;
  #idFrom = 0;
  #idNext = 0;
  /** Of the document at hand, where it is more than `_id`: BSON with padding. */
  #key: { readonly bson: Buffer; readonly bytes: number } | null = null;

  constructor({ json, maxLineBytes, mask, keys }: DocumentLineOptions, ns: Namespace, at: SnapshotPoint) {
    this.#canonical = json === 'canonical';
    this.#maxLineBytes = maxLineBytes;
    this.#mask = mask;
    this.#keys = keys;
    this.#ns = ns;
    const { position, clusterTime } = at;
    const meta = {
      position,
      operationType: 'snapshot',
      ns: { db: ns.db, coll: ns.coll },
      at: new Date(clusterTime.t * 1000).toISOString(),
      clusterTime: { $timestamp: { t: clusterTime.t, i: clusterTime.i } },
    };
    this.#prefix = Buffer.from(JSON.stringify({ _meta: meta }).slice(0, -'}}'.length), 'utf8');
  }

  /**
   * @param cursor raw BSON of a reply's `cursor`
   * @param except key of a document that is left out if it is the first one
   * @throws BSON_BROKEN, SOURCE_PROTOCOL: no document of the reply may then be used
   */
  encode(cursor: Uint8Array, pool: BufferPool, except: Uint8Array | null = null): EncodedDocuments {
    const tape = this.#tape;
    const { input, view, end, bytesMax, ...batch } = batchOf(cursor);
    let { from, count } = batch;
    if (except !== null && count > 0) {
      const at = cstringEnd(view, from + 1, end) + 1;
      const bytes = documentSize(view, at, end);
      tape.read(input);
      this.#findId(at, at + bytes - 1);
      if (keyDocument(input, this.#idFrom, this.#idNext).equals(except)) {
        from = at + bytes;
        count -= 1;
      }
    }
    if (count === 0) return { count: 0, buffer: NOTHING, bytes: 0, lastKey: null };
    const each = this.#prefix.length + REST_BYTES_MAX;
    this.#output = pool.take(Math.ceil((end - from) * EXPANSION_EXPECTED) + count * each + bytesMax * 2 * EXPANSION_MAX + each);
    tape.read(input);
    tape.write(this.#output);
    let to = 0;
    let [at, bytes] = [0, 0];
    for (let p = from; p < end; p = at + bytes) {
      at = cstringEnd(view, p + 1, end) + 1;
      bytes = documentSize(view, at, end);
      this.#key = this.#keyOf(input, view, at);
      to = this.#mask === null ? this.#line(at, bytes, to, each) : this.#masked(this.#mask, input.subarray(at, at + bytes), to, each);
    }
    tape.read(input);
    this.#findId(at, at + bytes - 1);
    const lastKey = keyDocument(input, this.#idFrom, this.#idNext);
    const buffer = this.#output;
    this.#output = NOTHING;
    tape.release();
    return { count, buffer, bytes: to, lastKey };
  }

  #keyOf(input: Buffer, view: DataView, at: number): { readonly bson: Buffer; readonly bytes: number } | null {
    if (this.#keys === null) return null;
    const key = this.#keys.of(input, view, at);
    return this.#mask?.key(key.bson, key.bytes, this.#ns) ?? key;
  }

  #masked(mask: Masker, document: Buffer, start: number, each: number): number {
    const bson = mask.document(document, this.#ns);
    this.#tape.read(Buffer.concat([bson, PADDING]));
    return this.#line(0, bson.length, start, each);
  }

  #line(at: number, bytes: number, start: number, each: number): number {
    const tape = this.#tape;
    // The key is there twice, once of its own.
    const room = (bytes + (this.#key?.bytes ?? bytes)) * EXPANSION_MAX + each;
    if (start + room > this.#output.length) this.#grow(start, room);
    this.#findId(at, at + bytes - 1);
    const mark = start + this.#prefix.copy(this.#output, start);
    tape.lossy = false;
    let to = this.#writeKey(writeLiteral(tape.outputView, mark, CLOSE_META));
    const keyLossy = tape.lossy;
    tape.canonical = this.#canonical;
    to = writeDocument(tape, at, at + bytes, writeLiteral(tape.outputView, to, CLOSE_KEY_OPEN_DOCUMENT), 1);
    to = writeLiteral(tape.outputView, to, CLOSE_LINE);
    const size = to - start + (tape.lossy ? LOSSY.length : 0);
    if (size > this.#maxLineBytes) {
      tape.lossy = keyLossy;
      const out = tape.outputView;
      to = writeSafe(out, writeLiteral(out, mark, OVERSIZE), size);
      to = writeLiteral(out, this.#writeKey(writeLiteral(out, to, CLOSE_META)), CLOSE_STUB);
      this.oversize++;
    }
    if (tape.lossy) {
      this.#output.copyWithin(mark + LOSSY.length, mark, to);
      // Word by word it would write beyond its end, over what has just moved there.
      this.#output.write(',"lossy":true', mark, 'latin1');
      to += LOSSY.length;
      this.lossy++;
    }
    // A write beyond the output is dropped in silence.
    if (to > start + room || to > this.#output.length) throw new Error('a line outgrew the room that was reserved for it');
    return to;
  }

  #writeKey(to: number): number {
    const tape = this.#tape;
    tape.canonical = true;
    const open = writeLiteral(tape.outputView, to, OPEN_KEY);
    // The comma after the last member is written over.
    if (this.#key === null) return writeMembers(tape, this.#idFrom, this.#idNext, open, 1, false) - 1;
    const { input } = tape;
    tape.read(this.#key.bson);
    const end = writeMembers(tape, 4, this.#key.bytes - 1, open, 1, false) - 1;
    tape.read(input);
    return end;
  }

  /** A server puts `_id` first; what was brought in otherwise may have it anywhere. */
  #findId(at: number, end: number): void {
    const { inputView: view, input } = this.#tape;
    const first = at + 4;
    if (first + 5 <= end && view.getInt32(first + 1, true) === ID_WORD) {
      this.#idFrom = first;
      this.#idNext = first + 5 + valueSize(view, input[first]!, first + 5, end);
      if (this.#idNext > end) throw broken('a value does not fit into its document', first);
      return;
    }
    for (const element of elementsOf(view, at, end)) {
      if (element.key !== '_id') continue;
      this.#idFrom = element.at;
      this.#idNext = element.next;
      return;
    }
    throw new SluiceError(SOURCE_PROTOCOL, 'a document without an `_id`');
  }

  #grow(used: number, room: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(used + room, this.#output.length * 2));
    this.#output.copy(grown, 0, 0, used);
    this.#output = grown;
    this.#tape.write(grown);
  }
}

/** A document of one element, whose bytes are those from `from` to `next`. */
function keyDocument(input: Buffer, from: number, next: number): Buffer {
  const key = Buffer.alloc(next - from + 5);
  key.writeInt32LE(key.length, 0);
  input.copy(key, 4, from, next);
  return key;
}

/** The `_id`s alone of a reply whose documents have nothing else to be read, in the order of the reply. */
export function keysOf(cursor: Uint8Array): Buffer[] {
  const { input, view, from, end } = batchOf(cursor);
  const keys: Buffer[] = [];
  for (let p = from; p < end;) {
    if (view.getUint8(p) !== DOCUMENT) throw new SluiceError(SOURCE_PROTOCOL, 'a batch that holds something else than documents');
    const at = cstringEnd(view, p + 1, end) + 1;
    const next = at + documentSize(view, at, end);
    for (const element of elementsOf(view, at, next - 1)) {
      if (element.key === '_id') keys.push(keyDocument(input, element.at, element.next));
    }
    p = next;
  }
  return keys;
}
