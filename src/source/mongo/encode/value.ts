/**
 * BSON values → Extended JSON (version 2), element by element, straight into the line.
 *
 * Invariant: what is written for an element is valid JSON whatever the bytes are, and an element that would have to be
 * guessed at is an error, never a guess. Sizes are checked before a value is touched (bson.ts). What JSON cannot carry
 * sets `tape.lossy`:
 * - invalid UTF-8, the payload of a NaN, a Decimal128 that is not canonical (string.ts, number.ts, decimal.ts);
 * - a key of a document that a reader of Extended JSON would take for a wrapper ({@link WRAPPER_KEYS});
 * - an array whose keys are not 0, 1, 2 …: MongoDB stores such, and JSON arrays have no keys.
 */
import { FIXED_SIZE, cstringEnd, valueSize } from './bson.ts';
import { writeBinary, writeObjectId } from './binary.ts';
import { writeDateValue } from './date.ts';
import { writeDecimalValue } from './decimal.ts';
import { literal, writeLiteral } from './literal.ts';
import { closeWrapper, writeDoubleValue, writeInt32Value, writeInt64Value, writeSafe } from './number.ts';
import { bytesBefore, specialBytes, writeRestOfKey, writeText } from './string.ts';
import { broken, type Tape } from './tape.ts';

/** Deeper than any server lets a document nest (its own limit can be raised to 250), and far from the end of our stack. */
export const DEPTH_MAX = 250;

/**
 * A document with such a key of its own is taken for a value of that type when its JSON is read. `$ref`, `$id` and `$db`
 * are not here: a DBRef is a document in BSON too.
 */
const WRAPPER_KEYS: ReadonlySet<string> = new Set([
  '$oid',
  '$binary',
  '$uuid',
  '$symbol',
  '$numberInt',
  '$numberLong',
  '$numberDouble',
  '$numberDecimal',
  '$date',
  '$timestamp',
  '$regex',
  '$regularExpression',
  '$code',
  '$dbPointer',
  '$undefined',
  '$minKey',
  '$maxKey',
]);

const QUOTE = 0x22;
const COMMA = 0x2c;
const DOLLAR = 0x24;
const ZERO = 0x30;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** `":` as a little-endian word. */
const CLOSE_KEY = 0x3a22;

const TRUE = literal('true');
const FALSE = literal('false');
const NULL_TEXT = literal('null');
const MIN_KEY_TEXT = literal('{"$minKey":1}');
const MAX_KEY_TEXT = literal('{"$maxKey":1}');
const UNDEFINED_TEXT = literal('{"$undefined":true}');
const OPEN_SYMBOL = literal('{"$symbol":"');
const OPEN_CODE = literal('{"$code":"');
const SCOPE = literal('","$scope":');
const OPEN_REGEX = literal('{"$regularExpression":{"pattern":"');
const OPTIONS = literal('","options":"');
const CLOSE_TWO = literal('"}}');
const OPEN_DB_POINTER = literal('{"$dbPointer":{"$ref":"');
const POINTER_ID = literal('","$id":');
const OPEN_TIMESTAMP = literal('{"$timestamp":{"t":');
const ORDINAL = literal(',"i":');
const CLOSE_BRACES = literal('}}');

/**
 * Writes `"key":value,` for each element from `from` up to `end`, the comma after the last one included.
 * @param end where the elements end: the terminator of their document, or the start of another element
 * @param array the elements are those of an array: values alone
 */
export function writeMembers(tape: Tape, from: number, end: number, to: number, depth: number, array: boolean): number {
  const { input, inputView, output, outputView } = tape;
  let p = from;
  let at = to;
  let index = 0;
  while (p < end) {
    const type = input[p]!;
    p++;
    if (array) {
      p = skipIndex(tape, p, end, index);
      index++;
    } else {
      output[at] = QUOTE;
      at++;
      const key = p;
      let hits = 0;
      while (p < end) {
        const word = inputView.getInt32(p, true);
        hits = specialBytes(word);
        outputView.setInt32(at, word, true);
        if (hits !== 0) break;
        p += 4;
        at += 4;
      }
      if (hits === 0) throw broken('a key does not end', key);
      const plain = bytesBefore(hits);
      p += plain;
      at += plain;
      if (input[p] !== 0) {
        at = writeRestOfKey(tape, p, end, at);
        p = tape.keyEnd;
      }
      if (input[key] === DOLLAR && WRAPPER_KEYS.has(input.toString('latin1', key, p))) tape.lossy = true;
      outputView.setInt16(at, CLOSE_KEY, true);
      at += 2;
      p++;
    }
    const fixed = FIXED_SIZE[type]!;
    const next = p + (fixed >= 0 ? fixed : valueSize(inputView, type, p, end));
    if (next > end) throw broken('a value does not fit into its document', p);
    at = writeValue(tape, type, p, next, at, depth);
    output[at] = COMMA;
    at++;
    p = next;
  }
  return at;
}

/** Reads the key of an array's element, which JSON does not have, and gives the offset after it. */
function skipIndex(tape: Tape, from: number, end: number, index: number): number {
  const { input } = tape;
  if (index < 10 && input[from] === ZERO + index && input[from + 1] === 0) return from + 2;
  const stop = cstringEnd(tape.inputView, from, end);
  let n = stop > from && input[from] !== ZERO ? 0 : -1;
  for (let p = from; p < stop && n >= 0; p++) {
    const digit = input[p]! - ZERO;
    n = digit >= 0 && digit <= 9 ? n * 10 + digit : -1;
  }
  if (n !== index) tape.lossy = true;
  return stop + 1;
}

/**
 * Writes the value at `from`.
 * @param next offset just after it: its size is known to be right
 */
export function writeValue(tape: Tape, type: number, from: number, next: number, to: number, depth: number): number {
  switch (type) {
    case 0x02: // string
      return writeString(tape, from, next, to);
    case 0x03: // document
      return writeDocument(tape, from, next, to, depth + 1);
    case 0x04: // array
      return writeArray(tape, from, next, to, depth + 1);
    case 0x07: // object id
      return writeObjectId(tape, from, to);
    case 0x10: // int32
      return writeInt32Value(tape, from, to);
    case 0x01: // double
      return writeDoubleValue(tape, from, to);
    case 0x12: // int64
      return writeInt64Value(tape, from, to);
    case 0x09: // date
      return writeDateValue(tape, from, to);
    case 0x08: // bool
      return writeBool(tape, from, to);
    case 0x0a: // null
      return writeLiteral(tape.outputView, to, NULL_TEXT);
    case 0x13: // decimal128
      return writeDecimalValue(tape, from, to);
    case 0x05: // binary
      return writeBinary(tape, from, next, to);
    default:
      return writeRare(tape, type, from, next, to, depth);
  }
}

/** @param next offset just after the string's NUL */
function writeString(tape: Tape, from: number, next: number, to: number): number {
  tape.output[to] = QUOTE;
  const at = writeText(tape, from + 4, next - 1, to + 1);
  tape.output[at] = QUOTE;
  return at + 1;
}

export function writeDocument(tape: Tape, from: number, next: number, to: number, depth: number): number {
  if (depth > DEPTH_MAX) throw broken(`documents nest deeper than ${DEPTH_MAX} levels`, from);
  const { output } = tape;
  output[to] = OPEN_BRACE;
  const at = writeMembers(tape, from + 4, next - 1, to + 1, depth, false);
  // The comma after the last element becomes the brace.
  const close = at === to + 1 ? at : at - 1;
  output[close] = CLOSE_BRACE;
  return close + 1;
}

function writeArray(tape: Tape, from: number, next: number, to: number, depth: number): number {
  if (depth > DEPTH_MAX) throw broken(`documents nest deeper than ${DEPTH_MAX} levels`, from);
  const { output } = tape;
  output[to] = OPEN_BRACKET;
  const at = writeMembers(tape, from + 4, next - 1, to + 1, depth, true);
  const close = at === to + 1 ? at : at - 1;
  output[close] = CLOSE_BRACKET;
  return close + 1;
}

function writeBool(tape: Tape, from: number, to: number): number {
  const byte = tape.input[from]!;
  if (byte > 1) throw broken('a boolean is neither 0 nor 1', from);
  return writeLiteral(tape.outputView, to, byte === 1 ? TRUE : FALSE);
}

function writeRare(tape: Tape, type: number, from: number, next: number, to: number, depth: number): number {
  const out = tape.outputView;
  switch (type) {
    case 0x11: // timestamp
      return writeTimestamp(tape, from, to);
    case 0x0b: // regular expression
      return writeRegex(tape, from, next, to);
    case 0x0d: // code
      return closeWrapper(out, writeText(tape, from + 4, next - 1, writeLiteral(out, to, OPEN_CODE)));
    case 0x0e: // symbol
      return closeWrapper(out, writeText(tape, from + 4, next - 1, writeLiteral(out, to, OPEN_SYMBOL)));
    case 0x0f: // code with scope
      return writeCodeWithScope(tape, from, next, to, depth);
    case 0x0c: // DBPointer
      return writeDbPointer(tape, from, next, to);
    case 0xff: // min key
      return writeLiteral(out, to, MIN_KEY_TEXT);
    case 0x7f: // max key
      return writeLiteral(out, to, MAX_KEY_TEXT);
    case 0x06: // undefined
      return writeLiteral(out, to, UNDEFINED_TEXT);
    default:
      throw broken('a value is of no known type', from);
  }
}

function writeTimestamp(tape: Tape, from: number, to: number): number {
  const { inputView: input, outputView: out } = tape;
  let at = writeSafe(out, writeLiteral(out, to, OPEN_TIMESTAMP), input.getUint32(from + 4, true));
  at = writeSafe(out, writeLiteral(out, at, ORDINAL), input.getUint32(from, true));
  return writeLiteral(out, at, CLOSE_BRACES);
}

function writeRegex(tape: Tape, from: number, next: number, to: number): number {
  const out = tape.outputView;
  const patternEnd = cstringEnd(tape.inputView, from, next);
  let at = writeText(tape, from, patternEnd, writeLiteral(out, to, OPEN_REGEX));
  at = writeText(tape, patternEnd + 1, next - 1, writeLiteral(out, at, OPTIONS));
  return writeLiteral(out, at, CLOSE_TWO);
}

function writeCodeWithScope(tape: Tape, from: number, next: number, to: number, depth: number): number {
  const { inputView: input, output, outputView: out } = tape;
  const text = from + 8;
  const scope = text + input.getInt32(from + 4, true);
  let at = writeText(tape, text, scope - 1, writeLiteral(out, to, OPEN_CODE));
  at = writeDocument(tape, scope, next, writeLiteral(out, at, SCOPE), depth + 1);
  output[at] = CLOSE_BRACE;
  return at + 1;
}

function writeDbPointer(tape: Tape, from: number, next: number, to: number): number {
  const { output, outputView: out } = tape;
  const id = next - 12;
  let at = writeText(tape, from + 4, id - 1, writeLiteral(out, to, OPEN_DB_POINTER));
  at = writeObjectId(tape, id, writeLiteral(out, at, POINTER_ID));
  output[at] = CLOSE_BRACE;
  output[at + 1] = CLOSE_BRACE;
  return at + 2;
}
