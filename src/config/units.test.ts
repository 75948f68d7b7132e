import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, isCron, parseBytes, parseDuration } from './units.ts';

describe('a size', () => {
  it.each([
    ['256MiB', 268_435_456],
    ['4 MB', 4_000_000],
    ['1.5KiB', 1536],
    ['900kb', 900_000],
    ['17', 17],
    [17, 17],
    ['0', 0],
  ])('%s is %d bytes', (written, bytes) => expect(parseBytes(written)).toBe(bytes));

  it.each(['', 'MiB', '4 M', '4 cows', '-1', '1e3', -1, 1.5, Number.NaN, '99999999TiB'])('%s is none', (written) =>
    expect(parseBytes(written)).toBeNull(),
  );

  it.each([268_435_456, 900_000, 1, 1_234_567, 2 ** 40])('%d is written so that it reads back as itself', (bytes) => {
    expect(parseBytes(formatBytes(bytes))).toBe(bytes);
  });
});

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['1.5 s', 1500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['90d', 7_776_000_000],
    ['0', 0],
    [0, 0],
  ])('%s is %d ms', (written, ms) => expect(parseDuration(written)).toBe(ms));

  it.each(['', '5', 5, '5 minutes', 'h', '-1s'])('%s is none', (written) => expect(parseDuration(written)).toBeNull());

  it.each([3_600_000, 1500, 1, 7_776_000_000])('%d ms is written so that it reads back as itself', (ms) =>
    expect(parseDuration(formatDuration(ms))).toBe(ms),
  );
});

describe('a cron line', () => {
  it.each(['0 * * * *', '*/5 0-6,18 1 jan-mar mon-fri', '59 23 31 12 7'])('%s is one', (line) => expect(isCron(line)).toBe(true));
  it.each(['', '0 * * *', '60 * * * *', '0 24 * * *', '0 * 0 * *', '0 * * 13 *', '*/0 * * * *', '5-1 * * * *', 'a * * * *', '0 * * * * *'])(
    '%s is none',
    (line) => expect(isCron(line)).toBe(false),
  );
});
