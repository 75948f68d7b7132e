/**
 * Random documents, both ways: canonical lines lose nothing, relaxed lines mean what the library's relaxed JSON means.
 */
import { EJSON, deserialize, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayOf, binary, cstring, documentOf, double, element, eventOf, int32, int64, lineOf, string, timestamp } from './raw-bson.ts';
import { membersOf, parseJson, readDocument } from './read-canonical.ts';

type Value = readonly [type: number, bytes: Uint8Array];

interface Kinds {
  readonly key: fc.Arbitrary<string>;
  readonly scalar: fc.Arbitrary<Value>;
  /** Keys of one document may be equal. */
  readonly repeatKeys: boolean;
}

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const DATE_MAX = 8_640_000_000_000_000n;
const nothing = Buffer.alloc(0);

const bytesOf = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes));
const text = fc.oneof(
  fc.string({ maxLength: 24 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('\u0000', '"\\/\b\f\n\r\t', 'é€🙂'),
);
const noNul = text.map((value) => value.replaceAll('\u0000', ''));
const options = fc.subarray(['i', 'm', 's', 'u', 'x'], { minLength: 0 }).map((letters) => letters.toSorted().join(''));

const finiteDecimal = fc
  .tuple(fc.boolean(), fc.bigInt({ min: 0n, max: 10n ** 34n - 1n }), fc.integer({ min: 0, max: 12_287 }), fc.integer({ min: 0, max: 34 }))
  .map(([negative, digits, exponent, cut]): Buffer => {
    const coefficient = digits / 10n ** BigInt(cut);
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64LE(coefficient & (2n ** 64n - 1n), 0);
    bytes.writeBigUInt64LE((BigInt(exponent) << 49n) | (coefficient >> 64n) | (negative ? 1n << 63n : 0n), 8);
    return bytes;
  });

/** What the library reads back to the same bytes. */
const common: fc.Arbitrary<Value>[] = [
  fc.double({ noNaN: true }).map((n): Value => [0x01, double(n)]),
  fc.constant<Value>([0x01, double(Number.NaN)]),
  text.map((value): Value => [0x02, string(value)]),
  fc.tuple(fc.constantFrom(0, 1, 5, 0x80, 0xff), fc.uint8Array({ maxLength: 20 })).map(([subtype, data]): Value => [0x05, binary(subtype, data)]),
  fc.uint8Array({ maxLength: 20 }).map((data): Value => [0x05, binary(2, Buffer.concat([int32(data.length), data]))]),
  bytesOf(16).map((data): Value => [0x05, binary(4, data)]),
  bytesOf(12).map((id): Value => [0x07, id]),
  fc.boolean().map((value): Value => [0x08, Buffer.from([value ? 1 : 0])]),
  fc.bigInt({ min: -DATE_MAX, max: DATE_MAX }).map((ms): Value => [0x09, int64(ms)]),
  fc.constant<Value>([0x0a, nothing]),
  fc.tuple(noNul, options).map(([pattern, flags]): Value => [0x0b, Buffer.concat([cstring(pattern), cstring(flags)])]),
  text.map((value): Value => [0x0d, string(value)]),
  fc.integer({ min: -2147483648, max: 2147483647 }).map((n): Value => [0x10, int32(n)]),
  fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)).map(([t, i]): Value => [0x11, timestamp(t, i)]),
  fc.bigInt(INT64).map((n): Value => [0x12, int64(n)]),
  finiteDecimal.map((bytes): Value => [0x13, bytes]),
  fc.constantFrom<Value>([0xff, nothing], [0x7f, nothing]),
];

/** What objects of a library cannot keep, and JSON can. */
const uncommon: fc.Arbitrary<Value>[] = [
  fc.constant<Value>([0x06, nothing]),
  fc.bigInt(INT64).map((ms): Value => [0x09, int64(ms)]),
  fc.tuple(noNul, noNul).map(([pattern, flags]): Value => [0x0b, Buffer.concat([cstring(pattern), cstring(flags)])]),
  fc.tuple(text, bytesOf(12)).map(([ref, id]): Value => [0x0c, Buffer.concat([string(ref), id])]),
  text.map((value): Value => [0x0e, string(value)]),
  fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 20 })).map(([subtype, data]): Value => [0x05, binary(subtype === 2 ? 3 : subtype, data)]),
];

function documents({ key, scalar, repeatKeys }: Kinds): fc.Arbitrary<Buffer> {
  const { value } = fc.letrec<{ value: Value }>((tie) => {
    const entries = fc.uniqueArray(fc.tuple(key, tie('value')), { maxLength: 6, comparator: (a, b) => !repeatKeys && a[0] === b[0] });
    const document = entries.map((pairs): Value => [0x03, documentOf(...pairs.map(([name, [type, bytes]]) => element(type, name, bytes)))]);
    const array = fc.array(tie('value'), { maxLength: 12 }).map((values): Value => [0x04, arrayOf(...values)]);
    const scoped = fc.tuple(text, document).map(([code, [, scope]]): Value => {
      const body = Buffer.concat([string(code), scope]);
      return [0x0f, Buffer.concat([int32(body.length + 4), body])];
    });
    return { value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalar, document, array, scoped) };
  });
  return fc
    .uniqueArray(fc.tuple(key, value), { maxLength: 8, comparator: (a, b) => !repeatKeys && a[0] === b[0] })
    .map((pairs) => documentOf(...pairs.map(([name, [type, bytes]]) => element(type, name, bytes))));
}

const plainKey = fc
  .oneof(fc.string({ maxLength: 14 }), fc.constantFrom('', 'a.b', '_id', 'größe', 'x"y', '\t'))
  // JavaScript moves keys that are numbers to the front, the library reads some keys with a dollar as wrappers, and the
  // JSON.parse of Node 26.10 reads the key "\t" as "\" once it has read "\" at the same place of another object.
  .filter((key) => !/^\d+$|^\$|\u0000|\\/.test(key) && key !== '__proto__');
const anyKey = fc.oneof(noNul, fc.constantFrom('', '0', '10', 'a', 'a', '$set', '$ref', '__proto__')).filter((key) => !/^\$(?!set$|ref$)/.test(key));

const forLibrary = documents({ key: plainKey, scalar: fc.oneof(...common), repeatKeys: false });
const forAnyReader = documents({ key: anyKey, scalar: fc.oneof(...common, ...uncommon), repeatKeys: true });

const withDocument = (document: Uint8Array): Buffer => eventOf(1, element(0x03, 'fullDocument', document));

describe('a canonical line', () => {
  it('gives back the very bytes through the library', () => {
    fc.assert(
      fc.property(forLibrary, (document) => {
        const line = lineOf(withDocument(document), { json: 'canonical' });
        expect(line).not.toContain('"lossy":true,"v":1');
        const read = EJSON.parse(line, { relaxed: false }) as { fullDocument: object };
        expect(Buffer.from(serialize(read.fullDocument)).toString('hex')).toBe(document.toString('hex'));
      }),
      { numRuns: 400 },
    );
  });

  it('gives back the very bytes where a library cannot: repeated keys, order of keys, undefined, DBPointer', () => {
    fc.assert(
      fc.property(forAnyReader, (document) => {
        const line = lineOf(withDocument(document), { json: 'canonical' });
        expect(line).not.toContain('"lossy":true,"v":1');
        const [, body] = membersOf(parseJson(line)).find(([key]) => key === 'fullDocument')!;
        expect(readDocument(body).toString('hex')).toBe(document.toString('hex'));
      }),
      { numRuns: 400 },
    );
  });
});

/** `-0` and `0` are one number to JSON.stringify, and so to the library. */
const withoutMinusZero = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('a relaxed line', () => {
  it('means what the relaxed JSON of the library means', () => {
    fc.assert(
      fc.property(forLibrary, (document) => {
        const line = JSON.parse(lineOf(withDocument(document))) as { fullDocument: unknown };
        const read = deserialize(document, { promoteValues: false, bsonRegExp: true });
        expect(withoutMinusZero(line.fullDocument)).toEqual(JSON.parse(EJSON.stringify(read, { relaxed: true })));
      }),
      { numRuns: 400 },
    );
  });

  it('is one line of JSON, whatever the document', () => {
    fc.assert(
      fc.property(forAnyReader, (document) => {
        const line = lineOf(withDocument(document));
        expect(line).not.toContain('\n');
        expect(() => JSON.parse(line)).not.toThrow();
      }),
      { numRuns: 200 },
    );
  });

  it('tells a double from an integer: the one refinement besides all digits of an int64', () => {
    const document = documentOf(element(0x01, 'd', double(5)), element(0x10, 'i', int32(5)), element(0x12, 'l', int64(9_007_199_254_740_993n)));
    expect(lineOf(withDocument(document))).toContain('"fullDocument":{"d":5.0,"i":5,"l":9007199254740993}}');
    expect(EJSON.stringify(deserialize(document, { promoteValues: false }), { relaxed: true })).toBe('{"d":5,"i":5,"l":9007199254740992}');
  });
});
