/**
 * Decimal128 as text: the canonical string conversion of the BSON Decimal128 specification, straight from the 16 bytes.
 *
 * Invariant: a value that is stored canonically reads back to the same bytes (coefficient and exponent are both in the
 * text, trailing zeros included). What is not — a coefficient above 34 digits, which counts as zero, NaN with a sign or a
 * payload, infinity with other bits set — keeps its value and makes the line lossy.
 */
import { literal, writeAscii, writeLiteral } from './literal.ts';
import { closeWrapper, writeNine, writeSmall } from './number.ts';
import type { Tape } from './tape.ts';

const OPEN = literal('{"$numberDecimal":"');
const NAN = literal('NaN');
const INFINITE = literal('Infinity');
const ZERO = 0x30;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const EXPONENT_LETTER = 0x45;

const EXPONENT_BIAS = 6176;
const DIGITS_MAX = 34;
const BILLION = 1e9;
const INFINITY_HIGH = 0x78000000;
const NAN_HIGH = 0x7c000000;

/** Coefficient as text, four groups of nine digits: the last digit always stands at the end. */
const digits = Buffer.alloc(36);
const digitsView = new DataView(digits.buffer, digits.byteOffset, digits.length);
/** Coefficient as 32-bit words, the highest first, while it is being divided. */
const words = new Float64Array(4);

/** Writes the text of a Decimal128 at `from` of the input, in its wrapper. */
export function writeDecimalValue(tape: Tape, from: number, to: number): number {
  const out = tape.outputView;
  return closeWrapper(out, writeDecimal(tape, from, writeLiteral(out, to, OPEN)));
}

function writeDecimal(tape: Tape, from: number, to: number): number {
  const out = tape.outputView;
  const high = tape.inputView.getInt32(from + 12, true);
  let at = to;
  if ((high & INFINITY_HIGH) === INFINITY_HIGH) return writeSpecial(tape, from, high, at);
  if (high < 0) {
    out.setUint8(at, MINUS);
    at++;
  }
  // With both top bits of the exponent set, the coefficient would begin at 2^113: more than 34 digits.
  const large = ((high >> 29) & 3) === 3;
  const exponent = ((high >> (large ? 15 : 17)) & 0x3fff) - EXPONENT_BIAS;
  const count = large ? DIGITS_MAX + 1 : readDigits(tape, from, high);
  if (count <= DIGITS_MAX) return writeScaled(tape, at, count, exponent);
  tape.lossy = true;
  digits[35] = ZERO;
  return writeScaled(tape, at, 1, exponent);
}

function writeSpecial(tape: Tape, from: number, high: number, to: number): number {
  const { inputView: input, outputView: out } = tape;
  const isNan = (high & NAN_HIGH) === NAN_HIGH;
  const bitsLeft = input.getInt32(from, true) | input.getInt32(from + 4, true) | input.getInt32(from + 8, true);
  const exact = bitsLeft === 0 && (high === NAN_HIGH || (!isNan && (high & 0x7fffffff) === INFINITY_HIGH));
  if (!exact) tape.lossy = true;
  if (isNan) return writeLiteral(out, to, NAN);
  if (high >= 0) return writeLiteral(out, to, INFINITE);
  out.setUint8(to, MINUS);
  return writeLiteral(out, to + 1, INFINITE);
}

/** Fills {@link digits} and gives how many count (1 for zero). */
function readDigits(tape: Tape, from: number, high: number): number {
  const input = tape.inputView;
  const low = input.getUint32(from, true);
  words[0] = high & 0x1ffff;
  words[1] = input.getUint32(from + 8, true);
  words[2] = input.getUint32(from + 4, true);
  words[3] = low;
  let group = 3;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0 && low < BILLION) {
    writeNine(digitsView, 27, low);
  } else {
    for (; group >= 0; group--) {
      writeNine(digitsView, group * 9, divideByBillion());
      if (words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 0) break;
    }
  }
  let first = Math.max(group, 0) * 9;
  while (first < 35 && digits[first] === ZERO) first++;
  return 36 - first;
}

/** Divides {@link words} and gives the remainder; in 16-bit steps, so that nothing passes 2^53. */
function divideByBillion(): number {
  let remainder = 0;
  for (let i = 0; i < 4; i++) {
    const word = words[i]!;
    const upper = remainder * 0x1_0000 + Math.floor(word / 0x1_0000);
    const upperQuotient = Math.floor(upper / BILLION);
    const lower = (upper - upperQuotient * BILLION) * 0x1_0000 + (word % 0x1_0000);
    const lowerQuotient = Math.floor(lower / BILLION);
    remainder = lower - lowerQuotient * BILLION;
    words[i] = upperQuotient * 0x1_0000 + lowerQuotient;
  }
  return remainder;
}

/** The last `count` of {@link digits}, times ten to the `exponent`. */
function writeScaled(tape: Tape, to: number, count: number, exponent: number): number {
  const { output, outputView: out } = tape;
  const scientific = count - 1 + exponent;
  // A positive exponent always shows: written out, its zeros would look like digits that count.
  if (exponent <= 0 && scientific >= -6) return writePlain(output, to, count, -exponent);
  let at = copyDigits(output, to, count, 1);
  if (count > 1) {
    output[at] = DOT;
    at = copyDigits(output, at + 1, count - 1, count - 1);
  }
  output[at] = EXPONENT_LETTER;
  if (scientific === 0) return writeAscii(output, at + 1, '0');
  output[at + 1] = scientific < 0 ? MINUS : PLUS;
  return writeSmall(out, at + 2, Math.abs(scientific));
}

/** @param places digits after the point */
function writePlain(output: Buffer, to: number, count: number, places: number): number {
  const whole = count - places;
  let at = to;
  if (whole > 0) {
    at = copyDigits(output, at, count, whole);
    if (places === 0) return at;
    output[at] = DOT;
    return copyDigits(output, at + 1, places, places);
  }
  output[at] = ZERO;
  output[at + 1] = DOT;
  at += 2;
  for (let i = whole; i < 0; i++) {
    output[at] = ZERO;
    at++;
  }
  return copyDigits(output, at, count, count);
}

/** `length` digits, the first of them `fromEnd` places before the end. */
function copyDigits(output: Buffer, to: number, fromEnd: number, length: number): number {
  const from = 36 - fromEnd;
  for (let i = 0; i < length; i++) output[to + i] = digits[from + i]!;
  return to + length;
}
