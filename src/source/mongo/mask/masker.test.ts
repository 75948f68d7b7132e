import { serialize, deserialize, Long, Double, Int32 } from 'bson';
import { describe, expect, it } from 'vitest';
import { maskProblem, type MaskRule } from '../../../core/mask.ts';
import { SluiceError } from '../../../core/error.ts';
import { positionOf, tokenOf } from '../encode/raw-bson.ts';
import { Masker } from './masker.ts';
import { TokenSeal } from './tokens.ts';

const NS = { db: 'shop', coll: 'orders' };

function masked(rules: Readonly<Record<string, MaskRule>>, document: Record<string, unknown>, key = 'a key for tests'): Record<string, unknown> {
  return deserialize(new Masker({ rules, key }).document(serialize(document), NS));
}

describe('a mask', () => {
  it('drops, hashes, shortens and renames', () => {
    const rules: Record<string, MaskRule> = {
      'orders.card': 'drop',
      'orders.email': 'hash',
      'orders.name': 'truncate',
      'orders.street': { truncate: 5 },
      'orders.tel': { rename: 'phone' },
    };
    expect(masked(rules, { _id: 1, card: 4, email: 'a@b.c', name: 'größe', street: 'a', tel: 5, rest: { card: 1 } })).toEqual({
      _id: 1,
      email: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      name: 'grö',
      street: 'a',
      phone: 5,
      rest: { card: 1 },
    });
  });

  it('looks through arrays, and keeps the places of elements', () => {
    const rules: Record<string, MaskRule> = { 'orders.items.sku': 'drop', 'orders.tags': { truncate: 1 }, 'orders.list.1': 'drop' };
    expect(masked(rules, { items: [{ sku: 1, n: 2 }, [{ sku: 3 }]], tags: ['ab', 5, ['cd']], list: [1, 2, 3] })).toEqual({
      items: [{ n: 2 }, [{}]],
      tags: ['a', null, ['c']],
      list: [1, null, 3],
    });
  });

  it('hashes one number to one hash, whichever type it is stored as, and with another key to another', () => {
    const rules: Record<string, MaskRule> = { 'orders.*': 'hash' };
    const { a, b, c, d, n } = masked(rules, { a: new Int32(5), b: Long.fromNumber(5), c: new Double(5), d: '5', n: null });
    expect([b, c]).toEqual([a, a]);
    expect(d).not.toBe(a);
    expect(n).toBe(null);
    expect(masked(rules, { a: new Int32(5) }, 'another key')['a']).not.toBe(a);
  });

  it('hashes in `_id` what it drops and shortens elsewhere, so that documents stay apart', () => {
    const rules: Record<string, MaskRule> = { 'orders.**.ssn': 'drop', 'orders.*': { rename: 'x' } };
    const one = masked(rules, { _id: { ssn: '1', n: 1 }, ssn: '1' });
    const two = masked(rules, { _id: { ssn: '2', n: 1 }, ssn: '2' });
    expect(one).toEqual({ _id: { ssn: expect.stringMatching(/^[0-9a-f]{32}$/) as string, n: 1 } });
    expect(two).not.toEqual(one);
  });

  it('applies a rule in both of its readings: with and without the database', () => {
    expect(masked({ 'shop.orders.a': 'drop' }, { a: 1, b: 2 })).toEqual({ b: 2 });
    expect(masked({ 'orders.a.b': 'drop', 'others.b': 'drop' }, { a: { b: 1 }, b: 2 })).toEqual({ a: {}, b: 2 });
  });

  it.each<[string, MaskRule, RegExp]>([
    ['email', 'hash', /collection and a field/],
    ['orders..email', 'hash', /empty name/],
    ['orders._id', 'drop', /`_id`/],
    ['orders._id.ssn', 'truncate', /`_id`/],
    ['orders.a', { rename: 'b.c' }, /plain name/],
  ])('refuses %s: %j', (key, rule, problem) => expect(maskProblem(key, rule)).toMatch(problem));
});

describe('a resume token', () => {
  const position = `${positionOf(1, 2).slice(0, 18)}2B022C0100296E5A1004052220CABDAA4F74B3DD9DFC6EB392D6463C5F6964003C616C696365000004`;
  const token = tokenOf(position);

  it('is kept without the key of its document, and opened whole', () => {
    const seal = new TokenSeal('a key for tests');
    const point = seal.pointOf(token);
    expect(point.position).toBe(position.replace('463C5F6964003C616C696365000004', '04'));
    expect(Buffer.from(point.token).includes('616C696365')).toBe(false);
    expect(Buffer.from(seal.open(point.token))).toEqual(token);
    // The same event with its key, from before there was a mask, is not behind this one: a floor holds.
    expect(point.position < position).toBe(true);
  });

  it('of a lake with another key, or with none now, is refused with the way out', () => {
    const { token: sealed } = new TokenSeal('a key for tests').pointOf(token);
    for (const other of [new TokenSeal('another key'), new TokenSeal(null)]) expect(() => other.open(sealed)).toThrow(SluiceError);
    expect(Buffer.from(new TokenSeal('a key that is new').open(token))).toEqual(token);
  });
});
