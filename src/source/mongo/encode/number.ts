/**
 * Integers and doubles as text.
 *
 * Integers are written two digits at a time; 64-bit ones in pieces of nine digits, in double arithmetic that stays below
 * 2^53 and is therefore exact: no BigInt. A double that is a short decimal is recognised by dividing back, all others
 * take the engine's shortest form; both are the shortest text that reads back to the same bits.
 */
import { literal, writeAscii, writeLiteral } from './literal.ts';
import type { Tape } from './tape.ts';

const ZERO = 0x30;
const MINUS = 0x2d;
const DOT = 0x2e;
const TWO_32 = 2 ** 32;
const BILLION = 1e9;

/** `00` to `99`, the first digit in the low byte. */
const PAIRS: Uint16Array = Uint16Array.from({ length: 100 }, (_, n) => (ZERO + Math.floor(n / 10)) | ((ZERO + (n % 10)) << 8));

export function writePair(out: DataView, at: number, n: number): number {
  out.setUint16(at, PAIRS[n]!, true);
  return at + 2;
}

/** @param n integer, 0 <= n < 1e9 */
export function writeSmall(out: DataView, at: number, n: number): number {
  if (n < 10) {
    out.setUint8(at, ZERO + n);
    return at + 1;
  }
  const end = at + digitsOf(n);
  let p = end;
  let rest = n | 0;
  while (rest >= 100) {
    const quotient = (rest / 100) | 0;
    p -= 2;
    out.setUint16(p, PAIRS[rest - quotient * 100]!, true);
    rest = quotient;
  }
  if (rest >= 10) out.setUint16(p - 2, PAIRS[rest]!, true);
  else out.setUint8(p - 1, ZERO + rest);
  return end;
}

function digitsOf(n: number): number {
  if (n < 1e5) return n < 1e3 ? (n < 100 ? 2 : 3) : n < 1e4 ? 4 : 5;
  if (n < 1e7) return n < 1e6 ? 6 : 7;
  return n < 1e8 ? 8 : 9;
}

/** All nine digits of an integer below 1e9. */
export function writeNine(out: DataView, at: number, n: number): number {
  let rest = n | 0;
  for (let p = at + 7; p > at; p -= 2) {
    const quotient = (rest / 100) | 0;
    out.setUint16(p, PAIRS[rest - quotient * 100]!, true);
    rest = quotient;
  }
  out.setUint8(at, ZERO + rest);
  return at + 9;
}

/** @param n integer, 0 <= n < 2^53 */
export function writeSafe(out: DataView, at: number, n: number): number {
  if (n < BILLION) return writeSmall(out, at, n);
  const head = Math.floor(n / BILLION);
  return writeNine(out, writeSmall(out, at, head), n - head * BILLION);
}

function writeInt32(out: DataView, at: number, n: number): number {
  if (n >= 0) return writeSafe(out, at, n);
  out.setUint8(at, MINUS);
  return writeSafe(out, at + 1, -n);
}

/** @param high @param low the two halves as signed 32-bit integers */
function writeInt64(out: DataView, at: number, high: number, low: number): number {
  if (high >= 0) return writeUint64(out, at, high, low >>> 0);
  out.setUint8(at, MINUS);
  const negatedLow = -low >>> 0;
  return writeUint64(out, at + 1, (~high + (negatedLow === 0 ? 1 : 0)) >>> 0, negatedLow);
}

/** @param high @param low the two halves, unsigned */
function writeUint64(out: DataView, at: number, high: number, low: number): number {
  if (high < 0x20_0000) return writeSafe(out, at, high * TWO_32 + low);
  const headQuotient = Math.floor(high / BILLION);
  // A 16-bit step at a time keeps remainder * 2^16 below 2^53.
  const upper = (high - headQuotient * BILLION) * 0x1_0000 + (low >>> 16);
  const upperQuotient = Math.floor(upper / BILLION);
  const lower = (upper - upperQuotient * BILLION) * 0x1_0000 + (low & 0xffff);
  const lowerQuotient = Math.floor(lower / BILLION);
  const head = headQuotient * TWO_32 + upperQuotient * 0x1_0000 + lowerQuotient;
  return writeNine(out, writeSafe(out, at, head), lower - lowerQuotient * BILLION);
}

const OPEN_INT32 = literal('{"$numberInt":"');
const OPEN_INT64 = literal('{"$numberLong":"');
const OPEN_DOUBLE = literal('{"$numberDouble":"');
/** `"}` as a little-endian word. */
const CLOSE_WRAPPER = 0x7d22;

export function closeWrapper(out: DataView, at: number): number {
  out.setUint16(at, CLOSE_WRAPPER, true);
  return at + 2;
}

export function writeInt32Value(tape: Tape, from: number, to: number): number {
  const out = tape.outputView;
  const n = tape.inputView.getInt32(from, true);
  if (!tape.canonical) return writeInt32(out, to, n);
  return closeWrapper(out, writeInt32(out, writeLiteral(out, to, OPEN_INT32), n));
}

export function writeInt64Value(tape: Tape, from: number, to: number): number {
  const out = tape.outputView;
  const low = tape.inputView.getInt32(from, true);
  const high = tape.inputView.getInt32(from + 4, true);
  if (!tape.canonical) return writeInt64(out, to, high, low);
  return writeWrappedInt64(out, to, high, low);
}

/** `{"$numberLong":"…"}` */
export function writeWrappedInt64(out: DataView, at: number, high: number, low: number): number {
  return closeWrapper(out, writeInt64(out, writeLiteral(out, at, OPEN_INT64), high, low));
}

const NAN_HIGH = 0x7ff80000;
const EXPONENT = 0x7ff00000;
const NAN = literal('{"$numberDouble":"NaN"}');
const INFINITE = literal('{"$numberDouble":"Infinity"}');
const MINUS_INFINITE = literal('{"$numberDouble":"-Infinity"}');

/** A double always shows that it is one (`1.0`, `-0.0`, `1e+300`); what JSON has no number for is wrapped in both modes. */
export function writeDoubleValue(tape: Tape, from: number, to: number): number {
  const out = tape.outputView;
  const high = tape.inputView.getInt32(from + 4, true);
  if ((high & EXPONENT) === EXPONENT) {
    const low = tape.inputView.getInt32(from, true);
    if ((high & 0xfffff) === 0 && low === 0) return writeLiteral(out, to, high < 0 ? MINUS_INFINITE : INFINITE);
    // A reader gets the quiet NaN back: any other one has lost its bits.
    if (high !== NAN_HIGH || low !== 0) tape.lossy = true;
    return writeLiteral(out, to, NAN);
  }
  const n = tape.inputView.getFloat64(from, true);
  if (!tape.canonical) return writeFinite(tape, to, n, high < 0);
  return closeWrapper(out, writeFinite(tape, writeLiteral(out, to, OPEN_DOUBLE), n, high < 0));
}

function writeFinite(tape: Tape, to: number, n: number, negative: boolean): number {
  const out = tape.outputView;
  let at = to;
  if (negative) {
    out.setUint8(at, MINUS);
    at++;
  }
  const a = negative ? -n : n;
  const whole = Math.floor(a);
  if (whole === a && a < 1e15) {
    at = writeSafe(out, at, whole);
    out.setUint8(at, DOT);
    out.setUint8(at + 1, ZERO);
    return at + 2;
  }
  if (a < BILLION && a > 1e-6) {
    // At most 15 digits: if dividing gives the same bits, no other decimal of 15 digits does, so this is the shortest.
    const cents = Math.floor(a * 100 + 0.5);
    if (cents / 100 === a) return writeCents(out, at, cents);
    const micros = Math.floor(a * 1e6 + 0.5);
    if (micros / 1e6 === a) return writeMicros(out, at, micros);
  }
  const text = String(a);
  at = writeAscii(tape.output, at, text);
  // Whole numbers from 1e15 to 1e21 come as bare digits.
  return whole === a && a < 1e21 ? writeAscii(tape.output, at, '.0') : at;
}

function writeCents(out: DataView, to: number, cents: number): number {
  const whole = Math.floor(cents / 100);
  const at = writeSafe(out, to, whole);
  out.setUint8(at, DOT);
  const fraction = cents - whole * 100;
  writePair(out, at + 1, fraction);
  return fraction % 10 === 0 ? at + 2 : at + 3;
}

function writeMicros(out: DataView, to: number, micros: number): number {
  const whole = Math.floor(micros / 1e6);
  let fraction = micros - whole * 1e6;
  const at = writeSafe(out, to, whole);
  out.setUint8(at, DOT);
  let digits = 6;
  for (; fraction % 10 === 0; fraction /= 10) digits--;
  for (let p = at + digits; p > at; p--) {
    out.setUint8(p, ZERO + (fraction % 10));
    fraction = (fraction / 10) | 0;
  }
  return at + 1 + digits;
}
