/**
 * BSON text → JSON text.
 *
 * BSON strings are UTF-8 already, so text is copied four bytes at a time; only quotes, backslashes, control characters
 * and bytes beyond ASCII are looked at one by one. All text ends in a NUL, which counts as a control character: the loop
 * needs no other bound. Invalid UTF-8 becomes U+FFFD as the Unicode standard recommends (one for each maximal piece of a
 * sequence, like `TextDecoder`), and makes the line lossy. Noncharacters, U+2028 and DEL stand in JSON as they are.
 */
import { broken, type Tape } from './tape.ts';

const HIGH_BITS = 0x80808080 | 0;
const ONES = 0x01010101;
const SPACES = 0x20202020;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;

const BACKSLASH = 0x5c;
const HEX = Buffer.from('0123456789abcdef', 'latin1');

/** The letter after the backslash, for what JSON can say in two characters. */
const SHORT_ESCAPE: Uint8Array = (() => {
  const letters = new Uint8Array(128);
  for (const [char, letter] of ['""', '\\\\', '\bb', '\ff', '\nn', '\rr', '\tt']) letters[char!.charCodeAt(0)] = letter!.charCodeAt(0);
  return letters;
})();

/**
 * High bit set in every byte of `word` that cannot be copied as it is; exact for the lowest such byte, which is the
 * first in the text (a borrow can only run upwards from a hit).
 */
export function specialBytes(word: number): number {
  return ((word - SPACES) | ((word ^ QUOTES) - ONES) | ((word ^ BACKSLASHES) - ONES) | word) & HIGH_BITS;
}

/** Number of bytes before the lowest hit. */
export function bytesBefore(hits: number): number {
  return (31 - Math.clz32(hits & -hits)) >> 3;
}

/** @param end offset of the NUL that ends the text (NULs before it are part of it) */
export function writeText(tape: Tape, from: number, end: number, to: number): number {
  const { input, inputView, outputView } = tape;
  let p = from;
  let at = to;
  for (;;) {
    const word = inputView.getInt32(p, true);
    const hits = specialBytes(word);
    outputView.setInt32(at, word, true);
    if (hits === 0) {
      p += 4;
      at += 4;
      continue;
    }
    const plain = bytesBefore(hits);
    p += plain;
    at += plain;
    if (p === end) return at;
    if (input[p]! < 0x80) {
      at = writeEscape(tape, input[p]!, at);
      p++;
    } else {
      do {
        const length = sequenceLength(input, p);
        at = writeSequence(tape, p, length, at);
        p += length < 0 ? -length : length;
      } while (input[p]! >= 0x80);
    }
  }
}

/**
 * Goes on with a key at a byte that could not be copied. Where the key's NUL stands is left in `tape.keyEnd`.
 * @param end offset of the terminator of the document
 */
export function writeRestOfKey(tape: Tape, from: number, end: number, to: number): number {
  const { input } = tape;
  let stop = from;
  while (stop < end && input[stop] !== 0) stop++;
  if (stop >= end) throw broken('a key does not end', from);
  tape.keyEnd = stop;
  return writeText(tape, from, stop, to);
}

function writeEscape(tape: Tape, byte: number, to: number): number {
  const { output } = tape;
  const letter = SHORT_ESCAPE[byte]!;
  output[to] = BACKSLASH;
  if (letter !== 0) {
    output[to + 1] = letter;
    return to + 2;
  }
  output[to + 1] = 0x75; // u
  output[to + 2] = 0x30;
  output[to + 3] = 0x30;
  output[to + 4] = HEX[byte >> 4]!;
  output[to + 5] = HEX[byte & 15]!;
  return to + 6;
}

function writeSequence(tape: Tape, from: number, length: number, to: number): number {
  const { input, output } = tape;
  if (length < 0) {
    tape.lossy = true;
    output[to] = 0xef;
    output[to + 1] = 0xbf;
    output[to + 2] = 0xbd;
    return to + 3;
  }
  for (let i = 0; i < length; i++) output[to + i] = input[from + i]!;
  return to + length;
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

/**
 * Length of the UTF-8 sequence that begins at `at` with a byte >= 0x80; negative if it is not valid, and then the length
 * of the piece that one U+FFFD stands for. Never reads past the NUL that ends the text: a NUL is no continuation.
 */
function sequenceLength(input: Buffer, at: number): number {
  const first = input[at]!;
  if (first < 0xc2 || first > 0xf4) return -1;
  const second = input[at + 1]!;
  if (first < 0xe0) return isContinuation(second) ? 2 : -1;
  // The second byte bars overlong forms, surrogates and what lies beyond U+10FFFF.
  let low = 0x80;
  let high = 0xbf;
  if (first === 0xe0) low = 0xa0;
  else if (first === 0xed) high = 0x9f;
  else if (first === 0xf0) low = 0x90;
  else if (first === 0xf4) high = 0x8f;
  if (second < low || second > high) return -1;
  if (!isContinuation(input[at + 2]!)) return -2;
  if (first < 0xf0) return 3;
  return isContinuation(input[at + 3]!) ? 4 : -3;
}
