import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { NamespaceFilter, formatNamespace, parseNamespace } from './namespace.ts';

describe('a namespace filter', () => {
  it.each([
    ['shop.orders', 'shop.orders', true],
    ['shop.orders', 'shop.orders2', false],
    ['shop.*', 'shop.a.b', true],
    ['shop', 'shop.orders', true],
    ['*.orders', 'shop.orders', true],
    ['sh?p.*', 'ship.x', true],
    ['sh?p.*', 'shoop.x', false],
    ['shop.a+b', 'shop.a+b', true],
    ['shop.a+b', 'shop.aab', false],
    ['shop.*', 'shop2.orders', false],
  ])('%s covers %s: %s', (glob, ns, expected) => {
    expect(new NamespaceFilter([glob], []).matches(parseNamespace(ns))).toBe(expected);
  });

  it('lets exclude win over include', () => {
    const filter = new NamespaceFilter(['shop.*'], ['shop.tmp_*']);
    expect(filter.matches({ db: 'shop', coll: 'tmp_1' })).toBe(false);
    expect(filter.matches({ db: 'shop', coll: 'orders' })).toBe(true);
  });

  it('covers the events of a database of which it covers anything', () => {
    const filter = new NamespaceFilter(['shop.orders'], ['shop.*']);
    expect(filter.matches({ db: 'shop', coll: null })).toBe(true);
    expect(filter.matches({ db: 'other', coll: null })).toBe(false);
  });
});

it('namespaces survive their text', () => {
  const name = fc.string({ minLength: 1 }).filter((s) => !s.includes('.'));
  fc.assert(
    fc.property(name, fc.option(fc.string({ minLength: 1 })), (db, coll) => {
      expect(parseNamespace(formatNamespace({ db, coll }))).toEqual({ db, coll });
    }),
  );
});
