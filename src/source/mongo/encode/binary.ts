/**
 * Bytes as text: hexadecimal for object ids, base64 for binary data.
 */
import { literal, writeLiteral } from './literal.ts';
import { closeWrapper } from './number.ts';
import type { Tape } from './tape.ts';

const HEX = '0123456789abcdef';
/** Both digits of a byte, the first in the low half. */
const HEX_PAIRS: Uint16Array = Uint16Array.from({ length: 256 }, (_, n) => HEX.charCodeAt(n >> 4) | (HEX.charCodeAt(n & 15) << 8));

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Both characters of 12 bits, the first in the low half. */
const BASE64_PAIRS: Uint16Array = Uint16Array.from({ length: 4096 }, (_, n) => BASE64.charCodeAt(n >> 6) | (BASE64.charCodeAt(n & 63) << 8));
const EQUALS = 0x3d;

const OPEN_OBJECT_ID = literal('{"$oid":"');
const OPEN_BINARY = literal('{"$binary":{"base64":"');
const SUBTYPE = literal('","subType":"');
const CLOSE_BINARY = literal('"}}');

const OBJECT_ID_BYTES = 12;
const SUBTYPE_OLD = 2;

/** `{"$oid":"…"}` */
export function writeObjectId(tape: Tape, from: number, to: number): number {
  const { input, outputView: out } = tape;
  let at = writeLiteral(out, to, OPEN_OBJECT_ID);
  for (let p = from; p < from + OBJECT_ID_BYTES; p++) {
    out.setUint16(at, HEX_PAIRS[input[p]!]!, true);
    at += 2;
  }
  return closeWrapper(out, at);
}

/** @param end offset just after the value, which {@link import('./bson.ts').valueSize} has bounded */
export function writeBinary(tape: Tape, from: number, end: number, to: number): number {
  const { input, inputView, outputView: out } = tape;
  const subtype = input[from + 4]!;
  let start = from + 5;
  if (subtype === SUBTYPE_OLD) {
    // The old generic subtype repeats its length inside. Where that length is wrong, JSON has no way to say so: all bytes are kept as data.
    if (end - start >= 4 && inputView.getInt32(start, true) === end - start - 4) start += 4;
    else tape.lossy = true;
  }
  let at = writeBase64(tape, start, end, writeLiteral(out, to, OPEN_BINARY));
  at = writeLiteral(out, at, SUBTYPE);
  out.setUint16(at, HEX_PAIRS[subtype]!, true);
  return writeLiteral(out, at + 2, CLOSE_BINARY);
}

function writeBase64(tape: Tape, from: number, end: number, to: number): number {
  const { input, outputView: out } = tape;
  const whole = end - ((end - from) % 3);
  let at = to;
  let p = from;
  for (; p < whole; p += 3) {
    const bits = (input[p]! << 16) | (input[p + 1]! << 8) | input[p + 2]!;
    out.setUint16(at, BASE64_PAIRS[bits >> 12]!, true);
    out.setUint16(at + 2, BASE64_PAIRS[bits & 0xfff]!, true);
    at += 4;
  }
  if (p === end) return at;
  const two = end - p === 2;
  const bits = (input[p]! << 16) | (two ? input[p + 1]! << 8 : 0);
  out.setUint16(at, BASE64_PAIRS[bits >> 12]!, true);
  out.setUint16(at + 2, BASE64_PAIRS[bits & 0xfff]!, true);
  if (!two) out.setUint8(at + 2, EQUALS);
  out.setUint8(at + 3, EQUALS);
  return at + 4;
}
