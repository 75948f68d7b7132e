import fc from '../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { duckDbDialect } from '../duckdb/dialect.ts';
import { tableStem } from './names.ts';

describe('the name of a table', () => {
  it('is plain where it can be', () => {
    expect(tableStem({ db: 'shop', coll: 'orders' }, [])).toBe('shop__orders');
    expect(tableStem({ db: 'shop', coll: 'orders' }, ['shop__order', 'shop2__orders'])).toBe('shop__orders');
    expect(tableStem({ db: 'shop', coll: null }, [])).toBe('shop___database');
  });

  it('differs by more than case from all others, and from their history views', () => {
    const part = fc.constantFrom('a', 'A', 'b', '_', '__', 'history', '\n', 'é', 'É');
    const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(fc.record({ db: name, coll: fc.option(name) }), { maxLength: 30 }), (namespaces) => {
        const stems: string[] = [];
        for (const ns of new Map(namespaces.map((one) => [JSON.stringify(one), one])).values()) stems.push(tableStem(ns, stems));
        const names = stems.flatMap((stem) => [stem, `${stem}_history`]).map((stem) => stem.toLowerCase());
        expect(new Set(names).size).toBe(names.length);
      }),
    );
  });
});

describe('an identifier', () => {
  it.each([
    ['shop__orders', 'shop__orders'],
    ['at', '"at"'],
    ['2026', '"2026"'],
    ['my "name"', '"my ""name"""'],
    ['ünï', '"ünï"'],
  ])('%s is written %s', (name, written) => {
    expect(duckDbDialect.identifier(name)).toBe(written);
  });

  it('keeps the name of a table short enough for Snowflake, and different', () => {
    const long = (end: string): string => tableStem({ db: 'shop', coll: 'x'.repeat(193) + '🐟'.repeat(12) + end }, []);
    expect(long('a').length).toBeLessThanOrEqual(210);
    expect(long('a')).not.toBe(long('b'));
    expect(long('a').isWellFormed()).toBe(true);
  });
});
