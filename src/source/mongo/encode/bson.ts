/**
 * The bones of BSON: types, sizes, terminators. Everything that is read later has been bounded here.
 *
 * Invariant: {@link valueSize} gives a size only if the value lies inside its document and its own length fields and
 * terminators agree. What lies inside a nested document is checked when that document is walked.
 */
import { broken } from './tape.ts';

/** Types that more than one file asks for; value.ts has them all. */
export const STRING = 0x02;
export const DOCUMENT = 0x03;
export const ARRAY = 0x04;
export const INT32 = 0x10;
export const TIMESTAMP = 0x11;
export const INT64 = 0x12;

/** Bytes of an empty document: its length and its terminator. */
const DOCUMENT_BYTES_MIN = 5;
const OBJECT_ID_BYTES = 12;

/** Size by type, -1 where it is written in the value or the type is unknown. */
export const FIXED_SIZE: Int8Array = (() => {
  const sizes = new Int8Array(256).fill(-1);
  sizes[0x01] = 8; // double
  sizes[0x06] = 0; // undefined
  sizes[0x07] = OBJECT_ID_BYTES;
  sizes[0x08] = 1; // bool
  sizes[0x09] = 8; // date
  sizes[0x0a] = 0; // null
  sizes[INT32] = 4;
  sizes[TIMESTAMP] = 8;
  sizes[INT64] = 8;
  sizes[0x13] = 16; // decimal128
  sizes[0xff] = 0; // min key
  sizes[0x7f] = 0; // max key
  return sizes;
})();

/** Offset of the NUL that ends the key or pattern at `at`. @throws BSON_BROKEN none before `end` */
export function cstringEnd(input: DataView, at: number, end: number): number {
  let p = at;
  while (p < end && input.getUint8(p) !== 0) p++;
  if (p >= end) throw broken('a key or pattern does not end', at);
  return p;
}

/**
 * Bytes of the document at `at`, its length and terminator included.
 * @param end the first byte that cannot belong to it
 */
export function documentSize(input: DataView, at: number, end: number): number {
  if (at + DOCUMENT_BYTES_MIN > end) throw broken('a document has no room for itself', at);
  const size = input.getInt32(at, true);
  if (size < DOCUMENT_BYTES_MIN || at + size > end) throw broken(`a document cannot be ${size} bytes long here`, at);
  if (input.getUint8(at + size - 1) !== 0) throw broken('a document does not end', at);
  return size;
}

/** Bytes of the string at `at`, its length and NUL included. */
function stringSize(input: DataView, at: number, end: number): number {
  if (at + 5 > end) throw broken('a string has no room for itself', at);
  const size = input.getInt32(at, true);
  if (size < 1 || at + 4 + size > end) throw broken(`a string cannot be ${size} bytes long here`, at);
  if (input.getUint8(at + 3 + size) !== 0) throw broken('a string does not end', at);
  return 4 + size;
}

function binarySize(input: DataView, at: number, end: number): number {
  if (at + 5 > end) throw broken('binary data has no room for itself', at);
  const size = input.getInt32(at, true);
  if (size < 0 || at + 5 + size > end) throw broken(`binary data cannot be ${size} bytes long here`, at);
  return 5 + size;
}

function codeWithScopeSize(input: DataView, at: number, end: number): number {
  if (at + 4 > end) throw broken('code with scope has no room for itself', at);
  const size = input.getInt32(at, true);
  if (size < 0 || at + size > end) throw broken(`code with scope cannot be ${size} bytes long here`, at);
  const scope = at + 4 + stringSize(input, at + 4, at + size);
  if (scope + documentSize(input, scope, at + size) !== at + size) throw broken('code with scope holds more than both', at);
  return size;
}

/** Bytes of the value at `at`. @param end offset of the terminator of the document that holds it */
export function valueSize(input: DataView, type: number, at: number, end: number): number {
  switch (type) {
    case 0x02: // string
    case 0x0d: // code
    case 0x0e: // symbol
      return stringSize(input, at, end);
    case 0x03: // document
    case 0x04: // array
      return documentSize(input, at, end);
    case 0x05: // binary
      return binarySize(input, at, end);
    case 0x0b: // regular expression
      return cstringEnd(input, cstringEnd(input, at, end) + 1, end) + 1 - at;
    case 0x0c: // DBPointer
      return bounded(stringSize(input, at, end) + OBJECT_ID_BYTES, at, end);
    case 0x0f: // code with scope
      return codeWithScopeSize(input, at, end);
    default:
      return bounded(FIXED_SIZE[type]!, at, end);
  }
}

function bounded(size: number, at: number, end: number): number {
  if (size < 0) throw broken('a value is of no known type', at);
  if (at + size > end) throw broken('a value does not fit into its document', at);
  return size;
}

/** One element of a document; for documents that are not on the hot path. */
export interface Element {
  readonly key: string;
  readonly type: number;
  /** Offsets of the element, of its value, and of the next element. */
  readonly at: number;
  readonly from: number;
  readonly next: number;
}

/** @param at @param end offsets of the document's length and of its terminator */
export function* elementsOf(input: DataView, at: number, end: number): Generator<Element> {
  for (let p = at + 4; p < end;) {
    const type = input.getUint8(p);
    const keyEnd = cstringEnd(input, p + 1, end);
    const key = Buffer.from(input.buffer, input.byteOffset + p + 1, keyEnd - p - 1).toString('latin1');
    const next = keyEnd + 1 + valueSize(input, type, keyEnd + 1, end);
    yield { key, type, at: p, from: keyEnd + 1, next };
    p = next;
  }
}
