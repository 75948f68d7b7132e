/**
 * Random documents and events for tests, with a liking for what goes wrong: the ends of every range, keys that look like
 * something else, deep chains, long texts, and what JSON cannot carry.
 */
import fc from '../../../../test/fast-check.ts';
import { arrayOf, binary, cstring, documentOf, double, element, int32, int64, SECOND, string, timestamp } from './raw-bson.ts';
import { decimal } from './read-line.ts';

type Value = readonly [type: number, bytes: Uint8Array];
type Key = string | Uint8Array;

interface Kinds {
  readonly key: fc.Arbitrary<Key>;
  readonly scalar: fc.Arbitrary<Value>;
  /** Keys of one document may be equal. */
  readonly repeatKeys: boolean;
}

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const nothing = Buffer.alloc(0);

const bytesOf = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes));
const someBytes = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes));
const piece = fc.constantFrom(
  'a',
  'bcd',
  '"',
  '\\',
  '\n',
  '\t',
  '\u0001',
  '\u001f',
  '\u007f',
  '\u0085',
  'é',
  '€',
  '\ud7ff',
  '\uffff',
  '🙂',
  '\u2028',
);
const text = fc.oneof(
  { weight: 4, arbitrary: fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')) },
  { weight: 2, arbitrary: fc.string({ maxLength: 24 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', '\u0000', 'a\u0000b', '\ufeffa', '{"$oid":"x"}', '\\u0041', '","fullDocument":{', '}\n{"_meta":{"position":"'),
  },
  { weight: 1, arbitrary: fc.tuple(piece, fc.integer({ min: 60, max: 600 })).map(([one, times]) => one.repeat(times)) },
);
const noNul = text.map((value) => value.replaceAll('\u0000', ''));

const SCALES = [0, 1, 5, 6142, 6143, 6175, 6176, 6177, 6209, 6210, 12_286, 12_287];
const COEFFICIENTS = [0n, 1n, 10n, 999_999_999n, 10n ** 9n, 2n ** 32n, 2n ** 64n - 1n, 2n ** 64n, 10n ** 33n, 10n ** 34n - 1n];
const finiteDecimal = fc
  .tuple(
    fc.boolean(),
    fc.oneof(fc.constantFrom(...COEFFICIENTS), fc.bigInt({ min: 0n, max: 10n ** 34n - 1n })),
    fc.oneof(fc.constantFrom(...SCALES), fc.integer({ min: 0, max: 12_287 })),
    fc.integer({ min: 0, max: 34 }),
  )
  .map(([negative, digits, exponent, cut]) => {
    const coefficient = digits / 10n ** BigInt(cut);
    return decimal((BigInt(exponent) << 49n) | (coefficient >> 64n) | (negative ? 1n << 63n : 0n), coefficient & (2n ** 64n - 1n));
  });
const DECIMAL_SPECIALS = [0x7cn, 0x78n, 0xf8n].map((high) => decimal(high << 56n, 0n));

const DOUBLES = [
  0,
  -0,
  5e-324,
  -5e-324,
  2.2250738585072014e-308,
  Number.MAX_VALUE,
  1e15,
  1e15 - 1,
  1e15 + 2,
  2 ** 53,
  2 ** 53 + 2,
  1e20,
  1e21,
  1e22,
  123_456_789_012_345_680,
].concat([1e-6, 1e-7, 0.1, 0.3, 1 / 3, 4.35, 1.005, 999_999_999.99, 999_999_999.999_999, 1e9 + 0.1, Number.NaN, Infinity, -Infinity]);
const NEAR = [
  0n,
  1n,
  2n ** 31n,
  2n ** 32n,
  10n ** 9n,
  10n ** 18n,
  2n ** 53n,
  2n ** 62n,
  8_640_000_000_000_000n,
  253_402_300_800_000n,
  62_135_596_800_000n,
];
const integer = fc.oneof(
  fc.bigInt(INT64),
  fc.constantFrom(INT64.min, INT64.min + 1n, INT64.max, INT64.max - 1n),
  fc.tuple(fc.constantFrom(...NEAR), fc.bigInt({ min: -2n, max: 2n }), fc.boolean()).map(([n, off, minus]) => (minus ? -n : n) + off),
);
/** Dates that a `Date` can hold. */
const nearDate = fc.oneof(
  fc.bigInt({ min: -8_640_000_000_000_000n, max: 8_640_000_000_000_000n }),
  fc.bigInt({ min: -(10n ** 12n), max: 260_000_000_000_000n }),
  fc.constantFrom(0n, -1n, 999n, 253_402_300_799_999n, 253_402_300_800_000n, -62_135_596_800_001n, -62_167_219_200_000n),
);
const libraryOptions = fc.subarray(['i', 'm', 's', 'u', 'x'], { minLength: 0 }).map((letters) => letters.toSorted().join(''));

/** What the library reads back to the same bytes. */
const common: fc.Arbitrary<Value>[] = [
  fc.double({ noNaN: true }).map((n): Value => [0x01, double(n)]),
  fc.constantFrom(...DOUBLES).map((n): Value => [0x01, double(n)]),
  text.map((value): Value => [0x02, string(value)]),
  fc.tuple(fc.constantFrom(0, 1, 5, 0x80, 0xff), someBytes).map(([subtype, data]): Value => [0x05, binary(subtype, data)]),
  someBytes.map((data): Value => [0x05, binary(2, Buffer.concat([int32(data.length), data]))]),
  bytesOf(16).map((data): Value => [0x05, binary(4, data)]),
  bytesOf(12).map((id): Value => [0x07, id]),
  fc.boolean().map((value): Value => [0x08, Buffer.from([value ? 1 : 0])]),
  nearDate.map((ms): Value => [0x09, int64(ms)]),
  fc.constant<Value>([0x0a, nothing]),
  fc.tuple(noNul, libraryOptions).map(([pattern, flags]): Value => [0x0b, Buffer.concat([cstring(pattern), cstring(flags)])]),
  text.map((value): Value => [0x0d, string(value)]),
  fc.oneof(fc.integer({ min: -2147483648, max: 2147483647 }), fc.constantFrom(0, -1, 2147483647, -2147483648)).map((n): Value => [0x10, int32(n)]),
  fc.tuple(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff)).map(([t, i]): Value => [0x11, timestamp(t, i)]),
  integer.map((n): Value => [0x12, int64(n)]),
  fc.oneof(finiteDecimal, fc.constantFrom(...DECIMAL_SPECIALS)).map((bytes): Value => [0x13, bytes]),
  fc.constantFrom<Value>([0xff, nothing], [0x7f, nothing]),
];

const KEYS = [
  '',
  'a',
  'a',
  '0',
  '10',
  '2',
  '01',
  'a.b',
  '.',
  '$',
  '$set',
  '$ref',
  '$id',
  '$db',
  '$scope',
  '$oidx',
  '__proto__',
  '_id',
  '_meta',
  'fullDocument',
];
const dbRef = fc.shuffledSubarray([element(0x02, '$ref', string('c')), element(0x10, '$id', int32(1)), element(0x02, '$db', string('d'))]);

/** What objects of a library cannot keep, and JSON can. */
const uncommon: fc.Arbitrary<Value>[] = [
  fc.constant<Value>([0x06, nothing]),
  integer.map((ms): Value => [0x09, int64(ms)]),
  fc.tuple(noNul, noNul).map(([pattern, flags]): Value => [0x0b, Buffer.concat([cstring(pattern), cstring(flags)])]),
  fc.tuple(text, bytesOf(12)).map(([ref, id]): Value => [0x0c, Buffer.concat([string(ref), id])]),
  text.map((value): Value => [0x0e, string(value)]),
  fc.tuple(fc.nat(255), someBytes).map(([subtype, data]): Value => [0x05, binary(subtype === 2 ? 3 : subtype, data)]),
  dbRef.map((elements): Value => [0x03, documentOf(...elements)]),
];

const brokenText = fc.oneof(
  fc.uint8Array({ maxLength: 16 }),
  fc.array(fc.integer({ min: 0x80, max: 0xff }), { maxLength: 8 }).map((bytes) => Uint8Array.from(bytes)),
  // Lone surrogates as WTF-8, overlong forms, sequences that are cut.
  fc.constantFrom('eda080', '61edbfbf62', 'c080', 'f4908080', 'e282', 'f09f9882f09f', 'ff').map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
);
const wrapped = fc
  .tuple(fc.constantFrom('$oid', '$date', '$numberLong', '$numberInt', '$uuid', '$regex', '$code', '$symbol', '$binary', '$minKey'), text)
  .map(([key, value]): Value => [0x03, documentOf(element(0x02, key, string(value)))]);

/** What JSON cannot carry, or just so. */
const lossy: fc.Arbitrary<Value>[] = [
  brokenText.map((bytes): Value => [0x02, string(bytes)]),
  brokenText.map((bytes): Value => [0x0e, string(bytes)]),
  brokenText.map((bytes): Value => [0x0d, string(bytes)]),
  brokenText.map((bytes): Value => [0x0c, Buffer.concat([string(bytes), Buffer.alloc(12)])]),
  brokenText.map((bytes): Value => [0x0b, Buffer.concat([cstring(withoutNul(bytes)), cstring('i')])]),
  fc
    .tuple(bytesOf(6), fc.integer({ min: 0xf0, max: 0xff }), fc.constantFrom(0x7f, 0xff))
    .map(([low, a, b]): Value => [0x01, Buffer.from([...low, a, b])]),
  bytesOf(16).map((bytes): Value => [0x13, bytes]),
  fc.tuple(fc.constantFrom(0x5f, 0x60, 0x6c, 0x78, 0x7c, 0x7e, 0xfc), bytesOf(15)).map(([top, rest]): Value => [0x13, Buffer.from([...rest, top])]),
  fc
    .integer({ min: -2, max: 2 })
    .map((n): Value => [0x13, decimal((6176n << 49n) | ((10n ** 34n + BigInt(n)) >> 64n), (10n ** 34n + BigInt(n)) & (2n ** 64n - 1n))]),
  someBytes.map((data): Value => [0x05, binary(2, data)]),
  fc
    .array(fc.constantFrom('0', '1', '2', '00', 'x', '', '10'), { maxLength: 4 })
    .map((keys): Value => [0x04, documentOf(...keys.map((key) => element(0x0a, key)))]),
  wrapped,
];

function withoutNul(bytes: Uint8Array): Uint8Array {
  return bytes.filter((byte) => byte !== 0);
}

function documents({ key, scalar, repeatKeys }: Kinds): fc.Arbitrary<Buffer> {
  const distinct = (a: readonly [Key, unknown], b: readonly [Key, unknown]): boolean => !repeatKeys && a[0] === b[0];
  const { value } = fc.letrec<{ value: Value }>((tie) => {
    const document = fc
      .uniqueArray(fc.tuple(key, tie('value')), { maxLength: 5, comparator: distinct })
      .map((pairs): Value => [0x03, toDocument(pairs)]);
    const array = fc.array(tie('value'), { maxLength: 12 }).map((values): Value => [0x04, arrayOf(...values)]);
    const scoped = fc.tuple(text, document).map(([code, [, scope]]): Value => codeWithScope(code, scope));
    const chain = fc.tuple(fc.nat(100), fc.boolean(), scalar).map(([levels, inArrays, end]): Value => nested(levels, inArrays, end));
    const branch = fc.oneof(
      { weight: 4, arbitrary: document },
      { weight: 3, arbitrary: array },
      { weight: 2, arbitrary: scoped },
      { weight: 1, arbitrary: chain },
    );
    return { value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, { weight: 3, arbitrary: scalar }, { weight: 1, arbitrary: branch }) };
  });
  return fc.uniqueArray(fc.tuple(key, value), { maxLength: 8, comparator: distinct }).map(toDocument);
}

function toDocument(pairs: readonly (readonly [Key, Value])[]): Buffer {
  return documentOf(...pairs.map(([name, [type, bytes]]) => element(type, name, bytes)));
}

export function codeWithScope(code: string, scope: Uint8Array): Value {
  const body = Buffer.concat([string(code), scope]);
  return [0x0f, Buffer.concat([int32(body.length + 4), body])];
}

/** `end` below so many documents, or documents and arrays in turn. */
export function nested(levels: number, inArrays: boolean, end: Value): Value {
  let value = end;
  for (let i = 0; i < levels; i++) value = inArrays && i % 2 === 0 ? [0x04, arrayOf(value)] : [0x03, documentOf(element(value[0], 'd', value[1]))];
  return value;
}

const plainKey = fc
  .oneof(fc.string({ maxLength: 14 }), fc.constantFrom('', 'a.b', '_id', 'größe', 'x"y', '\t'))
  // JavaScript moves keys that are numbers to the front, the library reads some keys with a dollar as wrappers, and the
  // JSON.parse of Node 26.10 reads the key "\t" as "\" once it has read "\" at the same place of another object.
  .filter((key) => !/^\d+$|^\$|\u0000|\\/.test(key) && key !== '__proto__');
const anyKey = fc
  .oneof({ weight: 3, arbitrary: fc.constantFrom(...KEYS) }, { weight: 2, arbitrary: noNul })
  .filter((key) => !/^\$(?!(?:set|ref|id|db|scope|oidx)?$)/.test(key));
const lossyKey: fc.Arbitrary<Key> = fc.oneof(
  { weight: 12, arbitrary: anyKey },
  { weight: 1, arbitrary: brokenText.map(withoutNul) },
  { weight: 1, arbitrary: fc.constantFrom('$oid', '$numberDouble', '$dbPointer', '$maxKey') },
);

/** Documents that the library reads and writes without loss. */
export const forLibrary = documents({ key: plainKey, scalar: fc.oneof(...common), repeatKeys: false });
/** Documents that JSON can carry. */
const forAnyReader = documents({ key: anyKey, scalar: fc.oneof(...common, ...uncommon), repeatKeys: true });
/** Documents that JSON can carry in part. */
const forNobody = documents({
  key: lossyKey,
  scalar: fc.oneof({ weight: 3, arbitrary: fc.oneof(...common, ...uncommon) }, { weight: 1, arbitrary: fc.oneof(...lossy) }),
  repeatKeys: true,
});

/** A change event in all its parts, and where its document key stands. */
const eventParts = (document: fc.Arbitrary<Buffer>): fc.Arbitrary<Uint8Array[]> =>
  fc
    .record({
      fullDocument: fc.option(document, { nil: null, freq: 6 }),
      key: document,
      shape: fc.constantFrom('insert', 'insert', 'update', 'replace', 'delete', 'images'),
      changed: document,
      session: fc.boolean(),
    })
    .map(({ fullDocument, key, shape, changed, session }) => [
      ...(session
        ? [element(0x12, 'txnNumber', int64(INT64.max)), element(0x03, 'lsid', documentOf(element(0x05, 'id', binary(4, Buffer.alloc(16, 7)))))]
        : []),
      element(0x09, 'wallTime', int64(BigInt(SECOND) * 1000n)),
      ...(shape === 'delete' ? [] : [fullDocument === null ? element(0x0a, 'fullDocument') : element(0x03, 'fullDocument', fullDocument)]),
      element(0x03, 'documentKey', key),
      ...(shape === 'update' || shape === 'images' ? [element(0x03, 'updateDescription', updateDescription(changed))] : []),
      ...(shape === 'images' ? [element(0x03, 'fullDocumentBeforeChange', changed)] : []),
    ]);

/** The keys of `changed` as paths that were set, removed, cut and told apart. */
function updateDescription(changed: Buffer): Buffer {
  return documentOf(
    element(0x03, 'updatedFields', changed),
    element(0x04, 'removedFields', arrayOf([0x02, string('a.b')], [0x02, string('')])),
    element(0x04, 'truncatedArrays', arrayOf([0x03, documentOf(element(0x02, 'field', string('a.0.b')), element(0x10, 'newSize', int32(2)))])),
    element(
      0x03,
      'disambiguatedPaths',
      documentOf(element(0x04, 'a.0', arrayOf([0x02, string('a')], [0x10, int32(0)])), element(0x04, 'c', arrayOf([0x03, changed]))),
    ),
  );
}

/** What follows the first fields of {@link import('./raw-bson.ts').eventOf}; one in four events is lossy or nearly so. */
export const anyEventParts = fc.oneof({ weight: 3, arbitrary: eventParts(forAnyReader) }, { weight: 1, arbitrary: eventParts(forNobody) });

/** Some of these are lossy. */
export const anyDocument = fc.oneof({ weight: 3, arbitrary: forAnyReader }, { weight: 1, arbitrary: forNobody });
