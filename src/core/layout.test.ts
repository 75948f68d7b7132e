import { createHash } from 'node:crypto';
import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { LAYOUT_PRESETS, escapeSegment, eventFileTime, eventPath, hourFolder, hoursPerPart, partHour, partPath } from './layout.ts';
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

describe('a template', () => {
  const at = (template: string): string | null => hourFolder(template, ORDERS, HOUR);

  it('without an hour has files of a day, and a folder of that day', () => {
    const template = '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl';
    expect(hoursPerPart(template)).toBe(24);
    expect(hourName(partHour(template, HOUR))).toBe('20261121-00');
    expect(at(template)).toBe('shop/orders/2026/11/21');
    expect(hoursPerPart(LAYOUT_PRESETS.hive)).toBe(1);
    expect(partHour(LAYOUT_PRESETS.hive, HOUR)).toBe(HOUR);
  });

  it.each([
    ['another hour would share', '{db}/{coll}/{yyyyMMdd}/{HH}{part}.jsonl'],
    ['another month would share', '{db}/{coll}/{dd}-{HH}/{yyyyMMdd}{part}.jsonl'],
    ['another database would share', '{coll}/{yyyyMMdd}-{HH}/{db}-{yyyyMMdd}{part}.jsonl'],
    ['another collection would share', '{db}/{yyyyMMdd}-{HH}/{coll}-{yyyyMMdd}{part}.jsonl'],
    ['another day would share', '{db}/{coll}/{yyyyMMdd}{part}.jsonl'],
  ])('has no folder of its own for an hour when %s it', (_, template) => expect(at(template)).toBeNull());
});

describe('the file of an event', () => {
  const event = { ns: ORDERS, op: 'update', key: '{"_id":{"$oid":"6b0147bd1f3c5a0012345678"}}', at: { t: 1_795_247_101, i: 3 }, position: '82AB' };
  const nameOf = (more: Partial<typeof event> | { key: null }): string =>
    eventPath({ ...event, ...more })
      .split('/')
      .at(-1)!;

  it('tells the operation, the key, the time and what it is told by', () => {
    const hash = createHash('sha256').update('82AB').digest('hex').slice(0, 16);
    expect(eventPath(event)).toBe(`shop/orders/year=2026/month=11/day=21/update-6b0147bd1f3c5a0012345678-20261121T074501Z-3-${hash}.json`);
    expect(eventFileTime(eventPath(event))).toEqual(event.at);
  });

  it.each([
    ['{"_id":{"$numberInt":"-7"}}', 'update--7-'],
    ['{"_id":"a/b"}', 'update-a%2Fb-'],
    ['{"_id":".."}', 'update-%2E%2E-'],
    ['{"region":"eu","_id":"x"}', 'update-x-'],
    ['{"_id":{"a":{"$numberInt":"1"},"b":"c"}}', 'update-{%22a%22'],
    ['{"_id":""}', 'update-%00empty-'],
    ['{"_id":null}', 'update-null-'],
    ['null', 'update-null-'],
    [null, 'update-none-'],
  ])('takes %s into its name', (key, begin) => expect(nameOf({ key }).startsWith(begin)).toBe(true));

  it('has a safe and short name whatever the key is, another one for another position, and gives its time back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 100 }), fc.nat(4_000_000_000), fc.nat(4_000_000_000), (key, t, i) => {
        const path = eventPath({ ...event, op: 'refineCollectionShardKey', key: JSON.stringify({ _id: key }), at: { t, i } });
        const name = path.split('/').at(-1)!;
        expect(path.split('/')).toHaveLength(6);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
        expect(Buffer.from(name).toString()).toBe(name);
        expect(name).not.toMatch(/[\\\u0000-\u001f]/);
        expect(eventFileTime(path)).toEqual({ t, i });
      }),
      { numRuns: 500 },
    );
    expect(nameOf({ position: '82AC' })).not.toBe(nameOf({}));
  });
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
