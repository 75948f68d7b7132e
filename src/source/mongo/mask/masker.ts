/**
 * A change event as the mask leaves it: BSON in, BSON out, before a line is made of it.
 *
 * The encoder never sees what is masked, so no form of it (line, stub, key in a file's name, hash of an event) can hold it.
 * Invariant: of a value that a rule fits, nothing but what the rule says is in the result, wherever the event carries it:
 * both images, the document key, and what an update says it did. An update inside a value that is masked as a whole is
 * left out of `updateDescription`: there is no telling what the whole hashes to. So are fields that a later server may
 * put there.
 *
 * `_id` tells documents apart. What would be dropped or cut inside it is hashed, and it keeps its name.
 */
import { createHmac } from 'node:crypto';
import { MaskRules, type MaskRule, type Redaction } from '../../../core/mask.ts';
import { ARRAY, DOCUMENT, INT32, INT64, STRING, cstringEnd, documentSize, elementsOf, valueSize, type Element } from '../encode/bson.ts';
import { formatNamespace, type Namespace } from '../../../core/namespace.ts';
import { BsonWriter } from './bson-writer.ts';
import { MaskPaths, type Place } from './paths.ts';
import { keyFor } from './tokens.ts';

const NULL = 0x0a;
const UNDEFINED = 0x06;
const DOUBLE = 0x01;
/** Digits of the digest, hexadecimal: 128 bits. */
const HASH_CHARS = 32;
const COLLECTIONS_MAX = 10_000;
/** Fields that hold documents of a user's and are not masked: names, types and options of collections and indexes. */
const PLAIN = new Set(['_id', 'ns', 'to', 'lsid', 'operationDescription', 'stateBeforeChange', 'splitEvent']);

export interface MaskOptions {
  readonly rules: Readonly<Record<string, MaskRule>>;
  /** Secret of the hashes. */
  readonly key: string;
}

/** Where a value stands, and whether it is part of its document's `_id`. */
interface Spot {
  readonly place: Place;
  readonly isId: boolean;
}

export class Masker {
  readonly #rules: MaskRules;
  readonly #key: Buffer;
  readonly #collections = new Map<string, MaskPaths | null>();
  readonly #byBytes = new Map<string, MaskPaths | null>();
  readonly #out = new BsonWriter();
  /** What is being masked, and by which rules. */
  #input: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #paths: MaskPaths = new MaskPaths([]);

  constructor({ rules, key }: MaskOptions) {
    this.#rules = new MaskRules(rules);
    this.#key = keyFor(key, 'values');
  }

  /**
   * The event at `at` of `input` as it may be written, with padding after it (encode/tape.ts); `null` when nothing of its
   * collection is masked. Valid until the next call.
   * @param nsFrom @param nsNext where its namespace stands
   */
  event(
    input: Buffer,
    view: DataView,
    at: number,
    bytes: number,
    nsFrom: number,
    nsNext: number,
  ): { readonly bson: Buffer; readonly bytes: number } | null {
    const paths = this.#pathsOf(input, view, nsFrom, nsNext);
    if (paths === null) return null;
    this.#begin(input, view, paths);
    const out = this.#out;
    const start = out.open();
    for (const element of elementsOf(view, at, at + bytes - 1)) {
      const { key, type } = element;
      if (type !== DOCUMENT && type !== ARRAY) out.copy(input, element.at, element.next);
      else if (key === 'fullDocument' || key === 'fullDocumentBeforeChange')
        this.#nested(element, () => this.#fields(element, this.#paths.root, 'root'));
      else if (key === 'documentKey') this.#nested(element, () => this.#pathFields(element));
      else if (key === 'updateDescription') this.#nested(element, () => this.#description(element));
      else if (PLAIN.has(key)) out.copy(input, element.at, element.next);
    }
    out.close(start);
    return out.finish();
  }

  /** A document of a collection by itself, as it may be written. */
  document(bson: Uint8Array, ns: Namespace): Buffer {
    const input = Buffer.from(bson.buffer, bson.byteOffset, bson.byteLength);
    const paths = this.#pathsFor(ns);
    if (paths === null) return input;
    const view = new DataView(input.buffer, input.byteOffset, input.length);
    this.#begin(input, view, paths);
    const start = this.#out.open();
    this.#fields({ from: 0, next: documentSize(view, 0, input.length) }, paths.root, 'root');
    this.#out.close(start);
    const { bson: masked, bytes } = this.#out.finish();
    return Buffer.from(masked.subarray(0, bytes));
  }

  /** A document key by itself, as {@link Masker.event} leaves it; `null` when nothing of its collection is masked. @param bson with padding after it */
  key(bson: Buffer, bytes: number, ns: Namespace): { readonly bson: Buffer; readonly bytes: number } | null {
    const paths = this.#pathsFor(ns);
    if (paths === null) return null;
    this.#begin(bson, new DataView(bson.buffer, bson.byteOffset, bson.length), paths);
    const start = this.#out.open();
    this.#pathFields({ from: 0, next: bytes });
    this.#out.close(start);
    const { bson: masked, bytes: length } = this.#out.finish();
    // What is masked next is written over it.
    return { bson: Buffer.from(masked), bytes: length };
  }

  #begin(input: Buffer, view: DataView, paths: MaskPaths): void {
    this.#input = input;
    this.#view = view;
    this.#paths = paths;
    this.#out.reset();
  }

  /** By the bytes of the namespace: most events are of a collection that was met before. */
  #pathsOf(input: Buffer, view: DataView, from: number, next: number): MaskPaths | null {
    const bytes = input.toString('latin1', from, next);
    const known = this.#byBytes.get(bytes);
    if (known !== undefined) return known;
    const names = new Map<string, string>();
    for (const name of elementsOf(view, from, next - 1))
      if (name.type === STRING) names.set(name.key, input.toString('utf8', name.from + 4, name.next - 1));
    const paths = this.#pathsFor({ db: names.get('db') ?? '', coll: names.get('coll') ?? null });
    if (this.#byBytes.size >= COLLECTIONS_MAX) this.#byBytes.clear();
    this.#byBytes.set(bytes, paths);
    return paths;
  }

  #pathsFor(ns: Namespace): MaskPaths | null {
    const name = formatNamespace(ns);
    let paths = this.#collections.get(name);
    if (paths === undefined) {
      const rules = this.#rules.rulesOf(ns);
      paths = rules.length === 0 ? null : new MaskPaths(rules);
      if (this.#collections.size >= COLLECTIONS_MAX) this.#collections.clear();
      this.#collections.set(name, paths);
    }
    return paths;
  }

  /** Keeps type and name of an element that holds others, and lets `write` write these. */
  #nested(element: Element, write: () => void): void {
    this.#out.copy(this.#input, element.at, element.from);
    const start = this.#out.open();
    write();
    this.#out.close(start);
  }

  /** The fields of a document at `place`. @param part of its document: the whole, its `_id`, or anything else */
  #fields({ from, next }: Pick<Element, 'from' | 'next'>, place: Place, part: 'root' | 'id' | 'other'): void {
    const view = this.#view;
    for (let p = from + 4; p < next - 1;) {
      const keyEnd = cstringEnd(view, p + 1, next - 1);
      const end = keyEnd + 1 + valueSize(view, view.getUint8(p), keyEnd + 1, next - 1);
      const name = this.#input.toString('utf8', p + 1, keyEnd);
      const at = this.#paths.field(place, name);
      const isId = part === 'id' || (part === 'root' && name === '_id');
      this.#field(p, keyEnd + 1, end, { place: at, isId }, at.rename);
      p = end;
    }
  }

  /** The fields of a document whose names are paths into another one. */
  #pathFields({ from, next }: Pick<Element, 'from' | 'next'>): void {
    const view = this.#view;
    for (let p = from + 4; p < next - 1;) {
      const keyEnd = cstringEnd(view, p + 1, next - 1);
      const end = keyEnd + 1 + valueSize(view, view.getUint8(p), keyEnd + 1, next - 1);
      const name = this.#input.toString('utf8', p + 1, keyEnd);
      const { place, renamed } = this.#paths.path(name);
      this.#field(p, keyEnd + 1, end, { place, isId: name === '_id' || name.startsWith('_id.') }, renamed);
      p = end;
    }
  }

  #field(element: number, from: number, next: number, spot: Spot, renamed: string | null): void {
    const redaction = redactionAt(spot);
    if (redaction?.kind === 'drop') return;
    const input = this.#input;
    if (spot.place.isDead && renamed === null) return this.#out.copy(input, element, next);
    const type = input[element]!;
    const name = renamed === null || spot.isId ? input.subarray(element + 1, from - 1) : Buffer.from(renamed, 'utf8');
    this.#value(type, { from, next }, spot, redaction, this.#out.element(type, name));
  }

  /** @param typeAt where the type of what is written stands: a masked value may be of another one */
  #value(type: number, value: Pick<Element, 'from' | 'next'>, spot: Spot, redaction: Redaction | null, typeAt: number): void {
    const out = this.#out;
    const { from, next } = value;
    const input = this.#input;
    if (spot.place.isDead && redaction === null) out.copy(input, from, next);
    else if (type === ARRAY || (redaction === null && type === DOCUMENT)) {
      const start = out.open();
      if (type === ARRAY) this.#elements(value, spot, redaction);
      else this.#fields(value, spot.place, spot.isId ? 'id' : 'other');
      out.close(start);
    } else if (redaction === null || type === NULL || type === UNDEFINED) out.copy(input, from, next);
    else if (redaction.kind === 'hash') {
      out.setType(typeAt, STRING);
      out.string(Buffer.from(this.#hash(type, from, next), 'latin1'));
    } else if (redaction.kind === 'truncate' && type === STRING) out.string(firstChars(input.subarray(from + 4, next - 1), redaction.chars));
    else out.setType(typeAt, NULL);
  }

  /** An array is masked element by element: equal elements stay equal. */
  #elements({ from, next }: Pick<Element, 'from' | 'next'>, spot: Spot, redaction: Redaction | null): void {
    let index = 0;
    for (const { type, from: value, next: end } of elementsOf(this.#view, from, next - 1)) {
      const own = { place: this.#paths.element(spot.place, index), isId: spot.isId };
      const redacted = redaction ?? redactionAt(own);
      const typeAt = this.#out.element(type, Buffer.from(String(index++), 'latin1'));
      // Left out, an element would move those after it.
      if (redacted?.kind === 'drop') this.#out.setType(typeAt, NULL);
      else this.#value(type, { from: value, next: end }, own, redacted, typeAt);
    }
  }

  #description({ from, next }: Element): void {
    for (const element of elementsOf(this.#view, from, next - 1)) {
      const { key, type } = element;
      if (key === 'updatedFields' && type === DOCUMENT) this.#nested(element, () => this.#pathFields(element));
      else if (key === 'removedFields' && type === ARRAY) this.#nested(element, () => this.#removed(element));
      else if (key === 'truncatedArrays' && type === ARRAY) this.#nested(element, () => this.#shortened(element));
      else if (key === 'disambiguatedPaths' && type === DOCUMENT) this.#nested(element, () => this.#told(element));
      else if (type !== DOCUMENT && type !== ARRAY) this.#out.copy(this.#input, element.at, element.next);
    }
  }

  /** The path in a string's value as it may be written, or `null`. */
  #pathIn({ type, from, next }: Element): Buffer | null {
    if (type !== STRING) return null;
    const text = this.#input.toString('utf8', from + 4, next - 1);
    const { place, renamed } = this.#paths.path(text);
    return place.redaction?.kind === 'drop' ? null : Buffer.from(renamed ?? text, 'utf8');
  }

  #removed({ from, next }: Element): void {
    let index = 0;
    for (const element of elementsOf(this.#view, from, next - 1)) {
      const path = this.#pathIn(element);
      if (path === null) continue;
      this.#out.element(STRING, Buffer.from(String(index++), 'latin1'));
      this.#out.string(path);
    }
  }

  #shortened({ from, next }: Element): void {
    const out = this.#out;
    let index = 0;
    for (const element of elementsOf(this.#view, from, next - 1)) {
      const parts = element.type === DOCUMENT ? [...elementsOf(this.#view, element.from, element.next - 1)] : [];
      const field = parts.find(({ key }) => key === 'field');
      const size = parts.find(({ key }) => key === 'newSize');
      const path = field === undefined ? null : this.#pathIn(field);
      if (path === null || size === undefined) continue;
      out.element(DOCUMENT, Buffer.from(String(index++), 'latin1'));
      const start = out.open();
      out.element(STRING, Buffer.from('field', 'latin1'));
      out.string(path);
      out.copy(this.#input, size.at, size.next);
      out.close(start);
    }
  }

  /** How a path is to be read is kept of those that no rule comes near. */
  #told({ from, next }: Element): void {
    for (const { at, next: end } of elementsOf(this.#view, from, next - 1)) {
      const name = this.#input.toString('utf8', at + 1, cstringEnd(this.#view, at + 1, end));
      const { place, renamed } = this.#paths.path(name);
      if (place.redaction === null && renamed === null) this.#out.copy(this.#input, at, end);
    }
  }

  #hash(type: number, from: number, next: number): string {
    const hmac = createHmac('sha256', this.#key);
    const whole = wholeNumber(this.#view, type, from);
    // One customer's number is one hash, whichever of MongoDB's types of numbers a program happened to store it as.
    if (whole === null) hmac.update(Buffer.from([type])).update(this.#input.subarray(from, next));
    else hmac.update(`n${whole}`);
    return hmac.digest('hex').slice(0, HASH_CHARS);
  }
}

function redactionAt({ place, isId }: Spot): Redaction | null {
  return isId && place.redaction !== null ? { kind: 'hash' } : place.redaction;
}

function wholeNumber(view: DataView, type: number, at: number): string | null {
  if (type === INT32) return String(view.getInt32(at, true));
  if (type === INT64) return String(view.getBigInt64(at, true));
  const double = type === DOUBLE ? view.getFloat64(at, true) : Number.NaN;
  return Number.isInteger(double) ? String(BigInt(double)) : null;
}

/** The first characters of UTF-8 text, none of them cut. */
function firstChars(text: Buffer, chars: number): Buffer {
  let at = 0;
  for (let left = chars; at < text.length && left > 0; left--) {
    at++;
    while (at < text.length && (text[at]! & 0xc0) === 0x80) at++;
  }
  return text.subarray(0, at);
}
