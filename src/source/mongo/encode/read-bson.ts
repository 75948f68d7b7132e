/**
 * BSON read strictly and slowly, for tests: what a document holds, and what is left of it in JSON.
 *
 * It shares nothing with the encoder: every value is cut out before it is looked at, and every rule of docs/specs/line.md
 * about what JSON cannot carry is written here a second time.
 */
import { isUtf8 } from 'node:buffer';
import { arrayOf, binary, cstring, documentOf, double, element, int32, int64, string } from './raw-bson.ts';
import { decimal } from './read-line.ts';

export interface Member {
  readonly key: Buffer;
  readonly type: number;
  /** The value's bytes. */
  readonly value: Buffer;
  /** Offset of the value in the document that was read first. */
  readonly at: number;
  /** Of a document, an array, or a scope. */
  readonly inner: readonly Member[] | null;
}

const FIXED: ReadonlyMap<number, number> = new Map([
  [0x01, 8],
  [0x06, 0],
  [0x07, 12],
  [0x08, 1],
  [0x09, 8],
  [0x0a, 0],
  [0x10, 4],
  [0x11, 8],
  [0x12, 8],
  [0x13, 16],
  [0x7f, 0],
  [0xff, 0],
]);

/** @throws Error it is not BSON, or more than one document */
export function readBson(bytes: Buffer, at = 0): Member[] {
  if (bytes.length < 5 || bytes.readInt32LE(0) !== bytes.length || bytes.at(-1) !== 0) throw new Error('not a document');
  const members: Member[] = [];
  for (let p = 4; p < bytes.length - 1;) {
    const type = bytes[p]!;
    const keyEnd = bytes.indexOf(0, p + 1);
    const rest = bytes.subarray(keyEnd + 1, -1);
    const value = rest.subarray(0, sizeOf(type, rest));
    if (keyEnd < 0 || keyEnd > bytes.length - 2 || value.length !== sizeOf(type, rest)) throw new Error('a value that is cut');
    if (type === 0x08 && value[0]! > 1) throw new Error('a boolean that is neither');
    members.push({ key: bytes.subarray(p + 1, keyEnd), type, value, at: at + keyEnd + 1, inner: innerOf(type, value, at + keyEnd + 1) });
    p = keyEnd + 1 + value.length;
  }
  return members;
}

function sizeOf(type: number, rest: Buffer): number {
  const fixed = FIXED.get(type);
  if (fixed !== undefined) return fixed;
  switch (type) {
    case 0x02:
    case 0x0d:
    case 0x0e:
      return stringSize(rest);
    case 0x03:
    case 0x04:
    case 0x0f:
      return rest.readInt32LE(0);
    case 0x05:
      if (rest.readInt32LE(0) < 0) break;
      return 5 + rest.readInt32LE(0);
    case 0x0b:
      if (rest.indexOf(0) < 0 || rest.indexOf(0, rest.indexOf(0) + 1) < 0) break;
      return rest.indexOf(0, rest.indexOf(0) + 1) + 1;
    case 0x0c:
      return stringSize(rest) + 12;
  }
  throw new Error('a value that is none');
}

function stringSize(rest: Buffer): number {
  const size = rest.readInt32LE(0);
  if (size < 1 || rest[3 + size] !== 0) throw new Error('a string that is none');
  return 4 + size;
}

function innerOf(type: number, value: Buffer, at: number): Member[] | null {
  if (type === 0x03 || type === 0x04) return readBson(value, at);
  if (type !== 0x0f) return null;
  const from = 4 + stringSize(value.subarray(4));
  return readBson(value.subarray(from), at + from);
}

const WRAPPERS = new Set(
  (
    '$oid $binary $uuid $symbol $numberInt $numberLong $numberDouble $numberDecimal $date $timestamp $regex $regularExpression ' +
    '$code $dbPointer $undefined $minKey $maxKey'
  ).split(' '),
);

/** Some document has a key that a reader of Extended JSON takes for a wrapper. */
export function looksWrapped(members: readonly Member[]): boolean {
  return members.some(
    ({ key, type, inner }) => WRAPPERS.has(key.toString('latin1')) || (inner !== null && looksWrapped(type === 0x04 ? withoutKeys(inner) : inner)),
  );
}

const withoutKeys = (members: readonly Member[]): Member[] => members.map((member) => ({ ...member, key: Buffer.alloc(0) }));

/**
 * The document as JSON can carry it: the same bytes, or what a line that says `lossy` means.
 * @param wide every int32 is an int64, as a relaxed line has it
 */
export function inJson(members: readonly Member[], wide = false): Buffer {
  return documentOf(
    ...members.map((member) => {
      const [type, value] = valueInJson(member, wide);
      return element(type, mended(member.key), value);
    }),
  );
}

function valueInJson({ type, value, inner }: Member, wide: boolean): [type: number, value: Buffer] {
  switch (type) {
    case 0x01:
      return [type, Number.isNaN(value.readDoubleLE(0)) ? double(Number.NaN) : value];
    case 0x02:
    case 0x0d:
    case 0x0e:
      return [type, string(mended(value.subarray(4, -1)))];
    case 0x03:
      return [type, inJson(inner!, wide)];
    case 0x04:
      return [type, arrayOf(...inner!.map((member) => valueInJson(member, wide)))];
    case 0x05:
      return [type, oldBinary(value)];
    case 0x0b: {
      const middle = value.indexOf(0);
      return [type, Buffer.concat([cstring(mended(value.subarray(0, middle))), cstring(mended(value.subarray(middle + 1, -1)))])];
    }
    case 0x0c:
      return [type, Buffer.concat([string(mended(value.subarray(4, -13))), value.subarray(-12)])];
    case 0x0f: {
      const code = string(mended(value.subarray(8, 7 + value.readInt32LE(4))));
      const scope = inJson(inner!, wide);
      return [type, Buffer.concat([int32(4 + code.length + scope.length), code, scope])];
    }
    case 0x10:
      return wide ? [0x12, int64(BigInt(value.readInt32LE(0)))] : [type, value];
    case 0x13:
      return [type, plainDecimal(value)];
    default:
      return [type, value];
  }
}

function mended(text: Buffer): Buffer {
  return isUtf8(text) ? text : Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(text));
}

/** The old subtype repeats its length; where that is wrong, all of it is data. */
function oldBinary(value: Buffer): Buffer {
  const isOld = value[4] === 2;
  const isRight = isOld && value.length >= 9 && value.readInt32LE(5) === value.length - 9;
  return !isOld || isRight ? value : binary(2, Buffer.concat([int32(value.length - 5), value.subarray(5)]));
}

/** What is not canonical: other bits of NaN and infinity, coefficients above 34 digits, which count as zero. */
function plainDecimal(value: Buffer): Buffer {
  const high = value.readBigUInt64LE(8);
  const sign = high & (1n << 63n);
  const top = (high >> 58n) & 31n;
  if (top === 31n) return decimal(0x7cn << 56n, 0n);
  if (top === 30n) return decimal(sign | (0x78n << 56n), 0n);
  if (top >= 24n) return decimal(sign | (((high >> 47n) & 0x3fffn) << 49n), 0n);
  const coefficient = ((high & (2n ** 49n - 1n)) << 64n) | value.readBigUInt64LE(0);
  return coefficient < 10n ** 34n ? value : decimal(high & ~(2n ** 49n - 1n), 0n);
}
