import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { double, int32, int64, valueOf } from './raw-bson.ts';

const doubleText = (n: number): string => valueOf(0x01, double(n)).text;

/** What a finite double should look like: JavaScript's text, and always with a sign that it is a double. */
const expectedDouble = (n: number): string => {
  const text = Object.is(n, -0) ? '-0' : String(n);
  return /[.e]/.test(text) ? text : `${text}.0`;
};

const fromBits = (high: number, low: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(low, 0);
  bytes.writeUInt32LE(high, 4);
  return bytes;
};

describe('integers', () => {
  it('of 32 bits are written with all their digits', () => {
    for (const n of [
      0, 1, -1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 99_999, 1e5, 999_999, 1e6, 9_999_999, 1e7, 99_999_999, 1e8, 999_999_999, 1e9,
    ]) {
      expect(valueOf(0x10, int32(n)).text).toBe(String(n));
      expect(valueOf(0x10, int32(-n)).text).toBe(String(-n === 0 ? 0 : -n));
    }
    for (const n of [2147483647, -2147483648]) expect(valueOf(0x10, int32(n)).text).toBe(String(n));
    fc.assert(fc.property(fc.integer({ min: -2147483648, max: 2147483647 }), (n) => valueOf(0x10, int32(n)).text === String(n)));
  });

  it('of 64 bits are exact at and around every power of two and of ten', () => {
    const powers = [...Array.from({ length: 64 }, (_, e) => 2n ** BigInt(e)), ...Array.from({ length: 19 }, (_, e) => 10n ** BigInt(e))];
    for (const power of powers) {
      for (const n of [power - 1n, power, power + 1n]) {
        if (n < 2n ** 63n) expect(valueOf(0x12, int64(n)).text).toBe(String(n));
        if (n <= 2n ** 63n) expect(valueOf(0x12, int64(-n)).text).toBe(String(-n));
      }
    }
  });

  it('of 64 bits are exact, any of them, in both modes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
        expect(valueOf(0x12, int64(n)).text).toBe(String(n));
        expect(valueOf(0x12, int64(n), 'canonical').text).toBe(`{"$numberLong":"${n}"}`);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('doubles', () => {
  it.each([
    [0, '0.0'],
    [-0, '-0.0'],
    [1, '1.0'],
    [-1, '-1.0'],
    [0.1, '0.1'],
    [12.5, '12.5'],
    [12.34, '12.34'],
    [12.3, '12.3'],
    [0.01, '0.01'],
    [100.25, '100.25'],
    [0.000001, '0.000001'],
    [0.000002, '0.000002'],
    [1e-7, '1e-7'],
    [8.541694, '8.541694'],
    [47.3768, '47.3768'],
    [999999999.99, '999999999.99'],
    [1e9 + 0.5, '1000000000.5'],
    [1e15, '1000000000000000.0'],
    [1e15 - 1, '999999999999999.0'],
    [2 ** 53, '9007199254740992.0'],
    [2 ** 53 + 2, '9007199254740994.0'],
    [1e20, '100000000000000000000.0'],
    [123456789012345680000, '123456789012345680000.0'],
    [1e21, '1e+21'],
    [-1e21, '-1e+21'],
    [1e300, '1e+300'],
    [5e-324, '5e-324'],
    [-5e-324, '-5e-324'],
    [2.2250738585072014e-308, '2.2250738585072014e-308'],
    [Number.MAX_VALUE, '1.7976931348623157e+308'],
    [0.1 + 0.2, '0.30000000000000004'],
    [1 / 3, '0.3333333333333333'],
    [1.005, '1.005'],
    [4.35, '4.35'],
    [1.7976931348623157, '1.7976931348623157'],
  ])('%d is %s', (n, text) => {
    expect(doubleText(n)).toBe(text);
    expect(valueOf(0x01, double(n), 'canonical').text).toBe(`{"$numberDouble":"${text}"}`);
  });

  it('read back to the same bits, in the shortest text there is', () => {
    const decimals = fc.tuple(fc.integer({ min: -1e12, max: 1e12 }), fc.integer({ min: 0, max: 9 })).map(([n, places]) => n / 10 ** places);
    const any = fc.double({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.oneof(any, decimals, fc.maxSafeInteger()), (n) => {
        const text = doubleText(n);
        expect(text).toBe(expectedDouble(n));
        expect(Object.is(JSON.parse(text), n)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  it('next to short decimals keep their own digits', () => {
    const bits = new BigUint64Array(1);
    const asDouble = new Float64Array(bits.buffer);
    for (const n of [0.07, 1.1, 19.99, 123456.78, 99999999.01, 8.541694, 0.000123]) {
      for (const step of [-2n, -1n, 1n, 2n]) {
        asDouble[0] = n;
        bits[0] = bits[0]! + step;
        expect(doubleText(asDouble[0])).toBe(expectedDouble(asDouble[0]));
      }
    }
  });

  it.each([
    [0x7ff80000, 0, false],
    [0xfff80000, 0, true],
    [0x7ff80000, 1, true],
    [0x7ff00000, 1, true],
    [0x7ff40000, 0, true],
    [0xffffffff, 0xffffffff, true],
  ])('NaN with the bits %i %i: lossy is %s', (high, low, lossy) => {
    for (const json of ['relaxed', 'canonical'] as const) {
      expect(valueOf(0x01, fromBits(high, low), json)).toEqual({ text: '{"$numberDouble":"NaN"}', lossy });
    }
  });
});
