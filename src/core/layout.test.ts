import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LAYOUT_PRESETS, escapeSegment, hourFolder, partPath } from './layout.ts';
import { hourName, hourOf, parseHourName } from './time.ts';

const HOUR = hourOf(Date.parse('2026-11-21T07:45:01Z') / 1000);
const ORDERS = { db: 'shop', coll: 'orders' };

describe('the hive layout', () => {
  it('puts the first part of an hour under its plain name and the next ones after it', () => {
    const first = partPath(LAYOUT_PRESETS.hive, ORDERS, HOUR, 0, '');
    const second = partPath(LAYOUT_PRESETS.hive, ORDERS, HOUR, 1, '');
    expect(first).toBe('shop/orders/year=2026/month=11/day=21/hour=07/events-20261121-07.jsonl');
    expect(second).toBe('shop/orders/year=2026/month=11/day=21/hour=07/events-20261121-07.part-0001.jsonl');
    expect(first < second).toBe(true);
  });

  it('has a folder for each hour, and one for events without a collection', () => {
    expect(hourFolder(LAYOUT_PRESETS.hive, ORDERS, HOUR)).toBe('shop/orders/year=2026/month=11/day=21/hour=07');
    expect(partPath(LAYOUT_PRESETS.hive, { db: 'shop', coll: null }, HOUR, 0, '.gz')).toMatch(/^shop\/_database\/.*\.jsonl\.gz$/);
  });

  it('sorts parts of an hour by their number', () => {
    const paths = Array.from({ length: 1200 }, (_, n) => partPath(LAYOUT_PRESETS.hive, ORDERS, HOUR, n, ''));
    expect(paths.toSorted()).toEqual(paths);
  });
});

it('a day layout has no folder of its own for an hour', () => {
  expect(hourFolder('{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl', ORDERS, HOUR)).toBeNull();
});

describe('a path segment', () => {
  it.each([
    ['..', '%2E%2E'],
    ['_database', '%5Fdatabase'],
    ['a/b', 'a%2Fb'],
    ['a\\b', 'a%5Cb'],
    ['100%', '100%25'],
    ['dot.', 'dot%2E'],
    ['space ', 'space%20'],
    ['a\u0001', 'a%01'],
    ['plain.name', 'plain.name'],
  ])('writes %j as %s', (name, expected) => {
    expect(escapeSegment(name)).toBe(expected);
  });

  it('is reversible, safe and never too long', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (name) => {
        const segment = escapeSegment(name);
        expect(segment).not.toMatch(/[/\\\u0000-\u001f]|^\.|^_|[. ]$/);
        expect(Buffer.byteLength(segment)).toBeLessThanOrEqual(255);
        if (Buffer.byteLength(segment) < 200) expect(decodeURIComponent(segment)).toBe(name);
      }),
      { numRuns: 2_000 },
    );
  });

  it('tells long names apart that begin alike', () => {
    const long = 'x'.repeat(300);
    expect(escapeSegment(`${long}a`)).not.toBe(escapeSegment(`${long}b`));
    expect(Buffer.byteLength(escapeSegment('ü'.repeat(300)))).toBeLessThanOrEqual(255);
  });
});

it('hours survive their names', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2_500_000 }), (hour) => {
      expect(parseHourName(hourName(hour))).toBe(hour);
    }),
  );
});
