import { Decimal128 } from 'bson';
import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { valueOf } from './raw-bson.ts';

const COEFFICIENT_MAX = 10n ** 34n - 1n;
const BIAS = 6176;

/** A finite decimal, stored as MongoDB stores it. */
function decimal(negative: boolean, coefficient: bigint, exponent: number): Buffer {
  const bytes = Buffer.alloc(16);
  const high = (BigInt(exponent + BIAS) << 49n) | (coefficient >> 64n) | (negative ? 1n << 63n : 0n);
  bytes.writeBigUInt64LE(coefficient & (2n ** 64n - 1n), 0);
  bytes.writeBigUInt64LE(high, 8);
  return bytes;
}

function written(bytes: Uint8Array): { text: string; lossy: boolean } {
  const { text, lossy } = valueOf(0x13, bytes);
  expect(text.startsWith('{"$numberDecimal":"') && text.endsWith('"}')).toBe(true);
  return { text: text.slice('{"$numberDecimal":"'.length, -2), lossy };
}

describe('a Decimal128', () => {
  it.each([
    '0',
    '-0',
    '0.00',
    '-0.0',
    '0E+3',
    '0E-6176',
    '0E+6111',
    '1',
    '-1',
    '1.0',
    '12.34',
    '0.001',
    '0.000001234',
    '1.234E-7',
    '1E-6',
    '1E-7',
    '1E+1',
    '1.5E+10',
    '999999999',
    '1000000000',
    '9999999999',
    '4294967295',
    '4294967296',
    '18446744073709551615',
    '18446744073709551616',
    '9999999999999999999999999999999999',
    '-9.999999999999999999999999999999999E+6144',
    '9.999999999999999999999999999999999E-6143',
    '1E-6176',
    '1E+6111',
    '1.000000000000000000000000000000000E+6144',
    '0.1234567890123456789012345678901234',
    '1234567890123456.789012345678901234',
    '1.000000000',
    '1000000000.000000000',
    'NaN',
    'Infinity',
    '-Infinity',
  ])('%s is written as the library reads it', (text) => {
    const { bytes } = Decimal128.fromString(text);
    expect(written(bytes)).toEqual({ text: new Decimal128(bytes).toString(), lossy: false });
  });

  it('has the text of the library, and reads back to the same bytes, whatever its digits and exponent', () => {
    const digits = fc.tuple(fc.bigInt({ min: 0n, max: COEFFICIENT_MAX }), fc.integer({ min: 0, max: 34 })).map(([n, cut]) => n / 10n ** BigInt(cut));
    const exponent = fc.oneof(fc.integer({ min: -BIAS, max: 6111 }), fc.integer({ min: -45, max: 12 }));
    fc.assert(
      fc.property(fc.boolean(), digits, exponent, (negative, coefficient, scale) => {
        const bytes = decimal(negative, coefficient, scale);
        const { text, lossy } = written(bytes);
        expect(text).toBe(new Decimal128(bytes).toString());
        expect(lossy).toBe(false);
        expect(Buffer.from(Decimal128.fromString(text).bytes).equals(bytes)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('is exact at every length of its coefficient', () => {
    for (let length = 1; length <= 34; length++) {
      for (const coefficient of [10n ** BigInt(length - 1), 10n ** BigInt(length) - 1n]) {
        for (const exponent of [0, -1, -length, -length - 3, -length - 7, 1]) {
          const bytes = decimal(false, coefficient, exponent);
          expect(written(bytes).text).toBe(new Decimal128(bytes).toString());
        }
      }
    }
  });

  it('with a coefficient above 34 digits counts as zero and makes the line lossy', () => {
    expect(written(decimal(false, COEFFICIENT_MAX + 1n, 0))).toEqual({ text: '0', lossy: true });
    expect(written(decimal(true, COEFFICIENT_MAX + 1n, 5))).toEqual({ text: '-0E+5', lossy: true });
    expect(written(decimal(false, 2n ** 113n - 1n, -2))).toEqual({ text: '0.00', lossy: true });
    // The other form of the exponent, whose coefficient begins at 2^113: vectors of the specification.
    expect(written(Buffer.from('0000000000000000000000000000106c', 'hex'))).toEqual({ text: '0', lossy: true });
    expect(written(Buffer.from('dcba9876543210deadbeef00000010ec', 'hex'))).toEqual({ text: '-0', lossy: true });
    expect(written(Buffer.from('ffffffffffffffffffffffffffff116c', 'hex'))).toEqual({ text: '0E+3', lossy: true });
  });

  it.each([
    ['a negative NaN', '000000000000000000000000000000fc', 'NaN'],
    ['a NaN with a payload', '010000000000000000000000000000 7c', 'NaN'],
    ['a signalling NaN', '0000000000000000000000000000007e', 'NaN'],
    ['infinity with other bits', '01000000000000000000000000000078', 'Infinity'],
    ['minus infinity with other bits', '000000000000000000000000000001f8', '-Infinity'],
  ])('%s makes the line lossy', (_name, hex, text) => {
    expect(written(Buffer.from(hex.replace(' ', ''), 'hex'))).toEqual({ text, lossy: true });
  });

  it('of any 16 bytes reads back to them, or the line is lossy', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const { text, lossy } = written(bytes);
        const back = Buffer.from(Decimal128.fromString(text).bytes);
        expect(back.equals(bytes)).toBe(!lossy);
      }),
      { numRuns: 2000 },
    );
  });
});
