import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { int64, valueOf } from './raw-bson.ts';

const YEAR_10000_MS = 253_402_300_800_000;
const text = (ms: bigint | number): string => valueOf(0x09, int64(BigInt(ms))).text;
const asNumber = (ms: bigint | number): string => `{"$date":{"$numberLong":"${ms}"}}`;
const asIso = (ms: number): string => `{"$date":"${new Date(ms).toISOString().replace('.000Z', 'Z')}"}`;

describe('dates', () => {
  it.each([
    [0, '{"$date":"1970-01-01T00:00:00Z"}'],
    [1, '{"$date":"1970-01-01T00:00:00.001Z"}'],
    [999, '{"$date":"1970-01-01T00:00:00.999Z"}'],
    [951_782_400_000, '{"$date":"2000-02-29T00:00:00Z"}'],
    [4_107_542_399_999, '{"$date":"2100-02-28T23:59:59.999Z"}'],
    [4_107_542_400_000, '{"$date":"2100-03-01T00:00:00Z"}'],
    [YEAR_10000_MS - 1, '{"$date":"9999-12-31T23:59:59.999Z"}'],
  ])('%i ms is %s', (ms, iso) => {
    expect(text(ms)).toBe(iso);
  });

  it.each([
    ['before 1970', -1n],
    ['the year 0', -62_167_219_200_000n],
    ['the year 10000', BigInt(YEAR_10000_MS)],
    ['what Date cannot hold', 8_640_000_000_000_001n],
    ['the last there is', 2n ** 63n - 1n],
    ['the first there is', -(2n ** 63n)],
  ])('%s is written as milliseconds', (_name, ms) => {
    expect(text(ms)).toBe(asNumber(ms));
  });

  it('are milliseconds in canonical lines', () => {
    for (const ms of [0n, 1_795_247_101_123n, -1n, 2n ** 63n - 1n]) expect(valueOf(0x09, int64(ms), 'canonical').text).toBe(asNumber(ms));
  });

  it('agree with Date on the first and last day of every month from 1970 to 9999', () => {
    for (let year = 1970; year < 10_000; year += year < 2110 ? 1 : 37) {
      for (let month = 0; month < 12; month++) {
        for (const ms of [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1) - 1]) expect(text(ms)).toBe(asIso(ms));
      }
    }
  });

  it('agree with Date, any of them, whatever day came before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: YEAR_10000_MS - 1 }), (ms) => text(ms) === asIso(ms)),
      { numRuns: 2000 },
    );
  });
});
