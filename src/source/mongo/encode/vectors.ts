/**
 * Every BSON type and every extreme of it, for tests: its exact text in relaxed and in canonical lines, whether the line
 * is lossy, what the `bson` library makes of it, and whether a server stores it.
 */
import { binary, cstring, documentOf, double, element, int32, int64, string, timestamp } from './raw-bson.ts';
import { decimal } from './read-line.ts';

export interface Vector {
  readonly name: string;
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly relaxed: string;
  readonly canonical: string;
  readonly lossy: boolean;
  /** Why the library's Extended JSON is another one; `null` where it is the same. */
  readonly library: string | null;
  /** A server refuses it, or stores something else. */
  readonly unstorable: boolean;
}

type Rest = Partial<Pick<Vector, 'lossy' | 'library' | 'unstorable'>>;

/** @param canonical the same text as relaxed, if it is left out */
export function vector(name: string, type: number, bytes: Uint8Array, relaxed: string, canonical: string = relaxed, rest: Rest = {}): Vector {
  return { name, type, bytes, relaxed, canonical, lossy: false, library: null, unstorable: false, ...rest };
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const nothing = Buffer.alloc(0);
const EMPTY = documentOf();
const OBJECT_ID = hex('00112233445566778899aAbB');
const BAD = hex('61ff62');
const LOSSY: Rest = { lossy: true };

const DIGITS_GONE = 'its relaxed form makes a double of it, and digits are gone';
const NO_DATE = 'a Date holds 100,000,000 days on either side of 1970 and no more';
const BAD_TEXT = 'it refuses to read text that is not UTF-8';

const doubleVector = (name: string, n: number, text: string, rest: Rest = {}): Vector =>
  vector(`double: ${name}`, 0x01, double(n), text, `{"$numberDouble":"${text}"}`, rest);
const wrappedDouble = (name: string, bytes: Uint8Array, text: string, rest: Rest = {}): Vector =>
  vector(`double: ${name}`, 0x01, bytes, `{"$numberDouble":"${text}"}`, undefined, rest);

const doubles = [
  doubleVector('1.5', 1.5, '1.5'),
  doubleVector('whole', 1, '1.0'),
  doubleVector('zero', 0, '0.0'),
  doubleVector('minus zero', -0, '-0.0', { library: 'its relaxed form drops the sign' }),
  doubleVector('the least above zero', 5e-324, '5e-324'),
  doubleVector('the least below zero', -5e-324, '-5e-324'),
  doubleVector('the least normal one', 2 ** -1022, '2.2250738585072014e-308'),
  doubleVector('the largest', Number.MAX_VALUE, '1.7976931348623157e+308'),
  doubleVector('the lowest', -Number.MAX_VALUE, '-1.7976931348623157e+308'),
  doubleVector('a third', 1 / 3, '0.3333333333333333'),
  doubleVector('0.1 + 0.2', 0.1 + 0.2, '0.30000000000000004'),
  doubleVector('a millionth', 1e-6, '0.000001'),
  doubleVector('a ten-millionth', 1e-7, '1e-7'),
  doubleVector('whole, 1e15 - 1', 1e15 - 1, '999999999999999.0'),
  doubleVector('whole, 1e15', 1e15, '1000000000000000.0'),
  doubleVector('whole, 2^53', 2 ** 53, '9007199254740992.0'),
  doubleVector('whole, -2^53 - 2', -(2 ** 53) - 2, '-9007199254740994.0'),
  doubleVector('whole, 2^63', 2 ** 63, '9223372036854776000.0', { library: 'it writes more digits than the value needs' }),
  doubleVector('whole, 1e20', 1e20, '100000000000000000000.0'),
  doubleVector('whole, 1e21', 1e21, '1e+21'),
  wrappedDouble('NaN', double(Number.NaN), 'NaN'),
  wrappedDouble('infinity', double(Infinity), 'Infinity'),
  wrappedDouble('minus infinity', double(-Infinity), '-Infinity'),
  wrappedDouble('NaN with a sign', hex('000000000000f8ff'), 'NaN', LOSSY),
  wrappedDouble('NaN that signals', hex('010000000000f07f'), 'NaN', LOSSY),
  wrappedDouble('NaN with a payload', hex('efbeadde0000f87f'), 'NaN', LOSSY),
];

const integer32 = (n: number): Vector => vector(`int32: ${n}`, 0x10, int32(n), String(n), `{"$numberInt":"${n}"}`);
const integer64 = (n: bigint, rest: Rest = {}): Vector => vector(`int64: ${n}`, 0x12, int64(n), String(n), `{"$numberLong":"${n}"}`, rest);

const integers = [
  ...[0, -1, 9, 10, 99, 100, 999_999_999, 1_000_000_000, 2_147_483_647, -2_147_483_648].map(integer32),
  ...[0n, -1n, 2n ** 31n, -(2n ** 31n) - 1n, 2n ** 32n, 10n ** 9n, 10n ** 15n, 2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n)].map((n) => integer64(n)),
  ...[2n ** 53n + 1n, -(2n ** 53n) - 1n, 10n ** 18n + 1n, 2n ** 63n - 1n, -(2n ** 63n) + 1n, -(2n ** 63n)].map((n) =>
    integer64(n, { library: DIGITS_GONE }),
  ),
];

const decimalVector = (text: string, high: bigint, low: bigint, rest: Rest = {}): Vector =>
  vector(
    `decimal128: ${text}${rest.lossy === true ? `, ${high.toString(16)} ${low.toString(16)}` : ''}`,
    0x13,
    decimal(high, low),
    `{"$numberDecimal":"${text}"}`,
    undefined,
    rest,
  );
const SIGN = 1n << 63n;
const scale = (exponent: number): bigint => BigInt(exponent + 6176) << 49n;
const NINES = 10n ** 34n - 1n;
const [NINES_HIGH, NINES_LOW] = [NINES >> 64n, NINES & (2n ** 64n - 1n)];

const decimals = [
  decimalVector('0', scale(0), 0n),
  decimalVector('-0', SIGN | scale(0), 0n),
  decimalVector('0.00', scale(-2), 0n),
  decimalVector('-0.00', SIGN | scale(-2), 0n),
  decimalVector('0E-6176', scale(-6176), 0n),
  decimalVector('-0E+6111', SIGN | scale(6111), 0n),
  decimalVector('1.0', scale(-1), 10n),
  decimalVector('-123.4500', SIGN | scale(-4), 1_234_500n),
  decimalVector('0.000001', scale(-6), 1n),
  decimalVector('1E-7', scale(-7), 1n),
  decimalVector('1E+1', scale(1), 1n),
  decimalVector('1.0E+2', scale(1), 10n),
  decimalVector('1E-6176', scale(-6176), 1n),
  decimalVector('1E+6111', scale(6111), 1n),
  decimalVector('9999999999999999999999999999999999', scale(0) | NINES_HIGH, NINES_LOW),
  decimalVector('-0.9999999999999999999999999999999999', SIGN | scale(-34) | NINES_HIGH, NINES_LOW),
  decimalVector('9.999999999999999999999999999999999E+6144', scale(6111) | NINES_HIGH, NINES_LOW),
  decimalVector('-9.999999999999999999999999999999999E-6143', SIGN | scale(-6176) | NINES_HIGH, NINES_LOW),
  decimalVector('NaN', 0x7cn << 56n, 0n),
  decimalVector('Infinity', 0x78n << 56n, 0n),
  decimalVector('-Infinity', 0xf8n << 56n, 0n),
  decimalVector('NaN', 0xfcn << 56n, 0n, LOSSY),
  decimalVector('NaN', 0x7en << 56n, 0n, LOSSY),
  decimalVector('NaN', 0x7cn << 56n, 1n, LOSSY),
  decimalVector('Infinity', 0x78n << 56n, 1n, LOSSY),
  decimalVector('-Infinity', (0xf8n << 56n) | 1n, 0n, LOSSY),
  decimalVector('0', scale(0) | ((NINES + 1n) >> 64n), (NINES + 1n) & (2n ** 64n - 1n), LOSSY),
  decimalVector('-0', SIGN | (0x6c10n << 48n), 0n, LOSSY),
];

const dateVector = (ms: bigint, iso: string | null, rest: Rest = {}): Vector => {
  const canonical = `{"$date":{"$numberLong":"${ms}"}}`;
  return vector(`date: ${ms}`, 0x09, int64(ms), iso === null ? canonical : `{"$date":"${iso}"}`, canonical, rest);
};

const dates = [
  dateVector(0n, '1970-01-01T00:00:00Z'),
  dateVector(1n, '1970-01-01T00:00:00.001Z'),
  dateVector(-1n, null),
  dateVector(1_795_247_101_120n, '2026-11-21T07:45:01.120Z'),
  dateVector(951_782_400_000n, '2000-02-29T00:00:00Z'),
  dateVector(253_402_300_799_999n, '9999-12-31T23:59:59.999Z'),
  dateVector(253_402_300_800_000n, null),
  // The first millisecond of the year 0, and the one before it.
  dateVector(-62_167_219_200_000n, null),
  dateVector(-62_167_219_200_001n, null),
  dateVector(8_640_000_000_000_000n, null),
  dateVector(8_640_000_000_000_001n, null, { library: NO_DATE }),
  dateVector(-8_640_000_000_000_001n, null, { library: NO_DATE }),
  dateVector(2n ** 63n - 1n, null, { library: NO_DATE }),
  dateVector(-(2n ** 63n), null, { library: NO_DATE }),
];

const binaryText = (data: Uint8Array, subtype: number): string =>
  `{"$binary":{"base64":"${Buffer.from(data).toString('base64')}","subType":"${subtype.toString(16).padStart(2, '0')}"}}`;
const binaryVector = (name: string, subtype: number, data: Uint8Array, rest: Rest = {}): Vector =>
  vector(`binary: ${name}`, 0x05, binary(subtype, data), binaryText(data, subtype), undefined, rest);
const old = (name: string, data: Uint8Array, text: Uint8Array, rest: Rest = {}): Vector =>
  vector(`binary: ${name}`, 0x05, binary(2, data), binaryText(text, 2), undefined, rest);
const UUID_BYTES = hex('c8edabc3f7384ca3b68dab92a91478a3');
const OLD = 'it refuses to read it';
const [SHORT_OLD, WRONG_OLD] = [hex('01'), hex('09000000abcd')];

const binaries = [
  ...[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 0x7f, 0x80, 0xfe, 0xff].map((n) => binaryVector(`subtype ${n}`, n, UUID_BYTES)),
  binaryVector('empty', 0, nothing),
  binaryVector('of one byte', 0, hex('ff')),
  binaryVector('of two bytes', 0, hex('fffe')),
  binaryVector('a UUID that is too short', 4, hex('01')),
  binaryVector('a UUID of the old kind that is too long', 3, Buffer.alloc(17, 3)),
  binaryVector('a vector of no known kind', 9, hex('01')),
  old('old', hex('02000000abcd'), hex('abcd')),
  old('old and empty', hex('00000000'), nothing),
  old('old without its inner length', SHORT_OLD, SHORT_OLD, { lossy: true, library: OLD }),
  old('old with a wrong inner length', WRONG_OLD, WRONG_OLD, { lossy: true, library: OLD }),
];

const stringVector = (name: string, text: string | Uint8Array, json: string, rest: Rest = {}): Vector =>
  vector(`string: ${name}`, 0x02, string(text), json, undefined, rest);
const brokenString = (name: string, bytes: string, text: string): Vector =>
  stringVector(name, hex(bytes), JSON.stringify(text), { lossy: true, library: BAD_TEXT });

const strings = [
  stringVector('plain', 'abc', '"abc"'),
  stringVector('empty', '', '""'),
  stringVector('of all that is escaped', '"\\/\b\f\n\r\t\u0001\u001f', String.raw`"\"\\/\b\f\n\r\t\u0001\u001f"`),
  stringVector('of what looks like an escape', String.raw`\u0041\n`, String.raw`"\\u0041\\n"`),
  stringVector('with NULs', '\u0000a\u0000\u0000', String.raw`"\u0000a\u0000\u0000"`),
  stringVector('with line separators, DEL, NEL and a byte order mark', '\ufeff\u2028\u2029\u007f\u0085', '"\ufeff\u2028\u2029\u007f\u0085"'),
  stringVector('with noncharacters', '\ufffe\uffff\u{10ffff}', '"\ufffe\uffff\u{10ffff}"'),
  stringVector('with U+FFFD of its own', 'a\ufffdb', '"a\ufffdb"'),
  stringVector('with a combining mark, joined and flags', 'e\u0301 👩‍👩‍👧 🇩🇪', '"e\u0301 👩‍👩‍👧 🇩🇪"'),
  stringVector('that looks like a line', '}\n{"_meta":{"position":"82"', String.raw`"}\n{\"_meta\":{\"position\":\"82\""`),
  brokenString('of a byte that is never used', '61ff62', 'a\ufffdb'),
  brokenString('of a lone high surrogate in WTF-8', 'eda080', '\ufffd\ufffd\ufffd'),
  brokenString('of a lone low surrogate in WTF-8', '61edbfbf', 'a\ufffd\ufffd\ufffd'),
  brokenString('of a pair of surrogates in CESU-8', 'eda0bdedb882', '\ufffd'.repeat(6)),
  brokenString('of an overlong NUL', 'c080', '\ufffd\ufffd'),
  brokenString('of a sequence that is cut', '61e282', 'a\ufffd'),
  brokenString('beyond U+10FFFF', 'f4908080', '\ufffd'.repeat(4)),
];

const rareText = (name: string, type: number, bytes: Uint8Array, text: string, rest: Rest = {}): Vector =>
  vector(name, type, bytes, text, undefined, rest);
const regex = (pattern: string | Uint8Array, options: string | Uint8Array): Buffer => Buffer.concat([cstring(pattern), cstring(options)]);
const scoped = (code: string | Uint8Array, scope: Uint8Array): Buffer => {
  const body = Buffer.concat([string(code), scope]);
  return Buffer.concat([int32(body.length + 4), body]);
};
const POINTER_TEXT = '{"$dbPointer":{"$ref":"db.c","$id":{"$oid":"00112233445566778899aabb"}}}';
const REGEX_LETTERS = 'it knows the letters i, l, m, s, u and x alone';

const rare = [
  rareText('undefined', 0x06, nothing, '{"$undefined":true}', { library: 'it writes null' }),
  rareText('null', 0x0a, nothing, 'null'),
  rareText('true', 0x08, hex('01'), 'true'),
  rareText('false', 0x08, hex('00'), 'false'),
  rareText('min key', 0xff, nothing, '{"$minKey":1}'),
  rareText('max key', 0x7f, nothing, '{"$maxKey":1}'),
  rareText('object id', 0x07, OBJECT_ID, '{"$oid":"00112233445566778899aabb"}'),
  rareText('object id of zeros', 0x07, Buffer.alloc(12), '{"$oid":"000000000000000000000000"}'),
  rareText('timestamp: zero', 0x11, timestamp(0, 0), '{"$timestamp":{"t":0,"i":0}}', { unstorable: true }),
  rareText('timestamp: the last', 0x11, timestamp(4_294_967_295, 4_294_967_295), '{"$timestamp":{"t":4294967295,"i":4294967295}}'),
  rareText('timestamp: 2^31', 0x11, timestamp(2_147_483_648, 0), '{"$timestamp":{"t":2147483648,"i":0}}'),
  rareText('regex', 0x0b, regex('a"/b', 'im'), String.raw`{"$regularExpression":{"pattern":"a\"/b","options":"im"}}`),
  rareText('regex of nothing', 0x0b, regex('', ''), '{"$regularExpression":{"pattern":"","options":""}}'),
  rareText('regex with options out of order', 0x0b, regex('a', 'xi'), '{"$regularExpression":{"pattern":"a","options":"xi"}}', {
    library: 'it puts them in order',
  }),
  rareText('regex with odd options', 0x0b, regex('[\n', 'zyé"'), String.raw`{"$regularExpression":{"pattern":"[\n","options":"zyé\""}}`, {
    library: REGEX_LETTERS,
  }),
  rareText('regex of broken text', 0x0b, regex(BAD, BAD), '{"$regularExpression":{"pattern":"a\ufffdb","options":"a\ufffdb"}}', {
    lossy: true,
    library: REGEX_LETTERS,
  }),
  rareText('DBPointer', 0x0c, Buffer.concat([string('db.c'), OBJECT_ID]), POINTER_TEXT, { library: 'it makes a DBRef of it' }),
  rareText('DBPointer of broken text', 0x0c, Buffer.concat([string(BAD), OBJECT_ID]), POINTER_TEXT.replace('db.c', 'a\ufffdb'), {
    lossy: true,
    library: BAD_TEXT,
  }),
  rareText('code', 0x0d, string('f()\n'), String.raw`{"$code":"f()\n"}`),
  rareText('code of broken text', 0x0d, string(BAD), '{"$code":"a\ufffdb"}', { lossy: true, library: BAD_TEXT }),
  rareText('symbol', 0x0e, string('s\u0000'), String.raw`{"$symbol":"s\u0000"}`),
  rareText('symbol of broken text', 0x0e, string(BAD), '{"$symbol":"a\ufffdb"}', { lossy: true, library: BAD_TEXT }),
  rareText('code with scope', 0x0f, scoped('', EMPTY), '{"$code":"","$scope":{}}'),
  vector(
    'code with scope: values inside',
    0x0f,
    scoped('f', documentOf(element(0x10, 'x', int32(7)))),
    '{"$code":"f","$scope":{"x":7}}',
    '{"$code":"f","$scope":{"x":{"$numberInt":"7"}}}',
  ),
];

export const SCALARS: readonly Vector[] = [...doubles, ...integers, ...decimals, ...dates, ...binaries, ...strings, ...rare];
