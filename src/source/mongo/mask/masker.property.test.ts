/**
 * Random masks over random documents, in every part of an event: the bytes of the line are searched for what is masked.
 *
 * Every value is a text or number that occurs once, so that it is known wherever and in whatever form it turns up. What a
 * mask covers is decided here a second time, by a plain recursion over the rules' text.
 */
import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { maskProblem, type MaskRule } from '../../../core/mask.ts';
import { SECOND, arrayOf, binary, documentOf, element, int64, lineOf, namespaceOf, string, timestamp, tokenOf } from '../encode/raw-bson.ts';
import { Masker } from './masker.ts';

const RUNS = Number(process.env['SLUICE_MASKS'] ?? 1500);
const KEY = 'a key of the mask, for tests';
const NAMES = ['a', 'b', 'c', 'ab', '0', '1', 'x.y', 'a.b', '_id', 'größe'];

/** A leaf holds its secret; the same in several forms. */
type Tree = { readonly leaf: Leaf } | { readonly fields: readonly (readonly [string, Tree])[] } | { readonly items: readonly Tree[] };
interface Leaf {
  readonly form: 'text' | 'number' | 'binary' | 'symbol';
  readonly secret: string;
}

let counter = 0;
const leaf = fc.constantFrom<Leaf['form']>('text', 'text', 'number', 'binary', 'symbol').map((form): Tree => {
  counter += 1;
  return { leaf: { form, secret: `7${String(counter).padStart(11, '0')}7` } };
});
const tree = fc.letrec<{ tree: Tree; document: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    leaf,
    tie('document'),
    fc.array(tie('tree'), { maxLength: 3 }).map((items): Tree => ({ items })),
  ),
  document: fc.array(fc.tuple(fc.constantFrom(...NAMES), tie('tree')), { maxLength: 4 }).map((fields): Tree => ({ fields })),
}));
const segment = fc.constantFrom('a', 'b', 'c', 'a*', '?b', '*', '**', '0', 'x', 'y', '_id', 'größe');
const rule = fc.oneof<fc.Arbitrary<MaskRule>[]>(
  fc.constantFrom<MaskRule>('hash', 'drop', { truncate: 0 }),
  fc.constantFrom('z', 'größer').map((rename) => ({ rename })),
);
const mask = fc
  .array(fc.tuple(fc.constantFrom('orders', '*', 'o*s', 'shop.orders', 'others'), fc.array(segment, { minLength: 1, maxLength: 3 }), rule), {
    minLength: 1,
    maxLength: 4,
  })
  .map((rules) => Object.fromEntries(rules.map(([where, path, what]) => [`${where}.${path.join('.')}`, what] as const)))
  .filter((rules) => Object.entries(rules).every(([key, what]) => maskProblem(key, what) === null));

function valueBytes(value: Tree): readonly [number, Buffer] {
  if ('fields' in value)
    return [0x03, documentOf(...value.fields.map(([name, member]) => element(valueBytes(member)[0], name, valueBytes(member)[1])))];
  if ('items' in value) return [0x04, arrayOf(...value.items.map(valueBytes))];
  const { form, secret } = value.leaf;
  if (form === 'text') return [0x02, string(secret)];
  if (form === 'symbol') return [0x0e, string(secret)];
  return form === 'number' ? [0x12, int64(BigInt(secret))] : [0x05, binary(0, Buffer.from(secret))];
}

/** Every leaf, with the names (and indexes, as numbers) that lead to it. */
function leavesOf(value: Tree, path: readonly (string | number)[] = []): { path: readonly (string | number)[]; leaf: Leaf }[] {
  if ('leaf' in value) return [{ path, leaf: value.leaf }];
  if ('fields' in value) return value.fields.flatMap(([name, member]) => leavesOf(member, [...path, name]));
  return value.items.flatMap((item, i) => leavesOf(item, [...path, i]));
}

/** `names` is what a rule's path leads to, or something inside it. */
function covers(rulePath: readonly string[], names: readonly (string | number)[]): boolean {
  const [wanted, ...rest] = rulePath;
  if (wanted === undefined) return true;
  if (wanted === '**' && covers(rest, names)) return true;
  const [name, ...others] = names;
  if (name === undefined) return false;
  if (typeof name === 'number' && covers(rulePath, others)) return true;
  // A name with a dot may be meant as a path.
  const parts = String(name).split('.');
  if (parts.length > 1 && covers(rulePath, [...parts, ...others])) return true;
  if (wanted === '**') return covers(rulePath, others);
  return fits(wanted, String(name)) && covers(rest, others);
}

const fits = (glob: string, name: string): boolean => new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(name);

function pathsFor(rules: Readonly<Record<string, MaskRule>>): { path: string[]; hides: boolean }[] {
  return Object.entries(rules).flatMap(([key, what]) => {
    const [first, second, ...rest] = key.split('.') as [string, string, ...string[]];
    const hides = typeof what !== 'object' || 'truncate' in what;
    return [
      ...(fits(first, 'orders') ? [{ path: [second, ...rest], hides }] : []),
      ...(rest.length > 0 && fits(first, 'shop') && fits(second, 'orders') ? [{ path: rest, hides }] : []),
    ];
  });
}

/** All the ways in which a secret could be read out of a text. */
const formsOf = (secret: string): string[] => [secret, Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('hex')];

/** The document's leaves as an update tells of them: a dotted path to each. */
function updated(value: Tree): Buffer {
  return documentOf(
    ...leavesOf(value).map(({ path, leaf: one }) => element(valueBytes({ leaf: one })[0], path.join('.'), valueBytes({ leaf: one })[1])),
  );
}

/** An update that carries the documents in all its parts. */
function eventWith(id: Tree, document: Tree, other: Tree, hexKey: string): Buffer {
  const key = element(valueBytes(id)[0], '_id', valueBytes(id)[1]);
  const fields = 'fields' in document ? document.fields.filter(([name]) => name !== '_id') : [];
  const whole = documentOf(key, ...fields.map(([name, member]) => element(valueBytes(member)[0], name, valueBytes(member)[1])));
  const named = leavesOf(other).map(({ path }) => path.join('.'));
  return documentOf(
    element(0x03, '_id', tokenOf(`826B0147BD000000032B022C0100296E5A1004052220CABDAA4F74B3DD9DFC6EB392D6463C5F6964003C${hexKey}000004`)),
    element(0x02, 'operationType', string('update')),
    element(0x11, 'clusterTime', timestamp(SECOND, 3)),
    element(0x03, 'ns', namespaceOf('shop', 'orders')),
    element(
      0x03,
      'documentKey',
      documentOf(
        key,
        ...leavesOf(other)
          .slice(0, 2)
          .map(({ path, leaf: one }) => element(valueBytes({ leaf: one })[0], path.join('.'), valueBytes({ leaf: one })[1])),
      ),
    ),
    element(0x03, 'fullDocument', whole),
    element(0x03, 'fullDocumentBeforeChange', valueBytes(other)[1]),
    element(
      0x03,
      'updateDescription',
      documentOf(
        element(0x03, 'updatedFields', updated(other)),
        element(0x04, 'removedFields', arrayOf(...named.map((name) => [0x02, string(name)] as const))),
        element(
          0x04,
          'truncatedArrays',
          arrayOf(...named.map((name) => [0x03, documentOf(element(0x02, 'field', string(name)), element(0x12, 'newSize', int64(1n)))] as const)),
        ),
        element(0x03, 'disambiguatedPaths', documentOf(...named.map((name) => element(0x04, name, arrayOf([0x02, string(name)]))))),
      ),
    ),
  );
}

describe('a mask', () => {
  it('leaves nothing of a masked value in the line, in any part of the event, and everything of any other', () => {
    let hidden = 0;
    let shown = 0;
    fc.assert(
      fc.property(mask, fc.record({ id: tree.document, document: tree.document, other: tree.document }), (rules, { id, document, other }) => {
        const paths = pathsFor(rules);
        const hides = paths.filter((one) => one.hides);
        const hexKey = Buffer.from('the key of the document').toString('hex').toUpperCase();
        const line = lineOf(eventWith(id, document, other, hexKey), { mask: new Masker({ rules, key: KEY }), json: 'canonical' });
        expect(line).not.toContain(hexKey);
        const parts = [...leavesOf(id, ['_id']), ...leavesOf(document).filter(({ path }) => path[0] !== '_id'), ...leavesOf(other)];
        for (const { path, leaf: one } of parts) {
          if (hides.some((each) => covers(each.path, path))) {
            hidden += 1;
            for (const form of formsOf(one.secret)) expect(line).not.toContain(form);
          } else {
            shown += 1;
            expect(formsOf(one.secret).some((form) => line.includes(form))).toBe(true);
          }
        }
      }),
      { numRuns: RUNS },
    );
    // A test of masks that fit nothing would show nothing.
    expect(hidden).toBeGreaterThan(RUNS / 2);
    expect(shown).toBeGreaterThan(RUNS / 2);
  });
});
