/**
 * What `source.mask` says: which fields of which collections are changed before anything is written.
 *
 * A key is `collection.path.to.field` or `database.collection.path.to.field`. Both readings hold at once, because to
 * mask one field too many is seen in the lake and can be put right, while a value that was meant to be masked and was
 * not is there for good. `*` and `?` stand for anything within a name, `**` for any number of names. Arrays are looked through:
 * `items.sku` is the `sku` of every item.
 */
import { globToRegex, type Namespace } from './namespace.ts';

export type MaskRule = 'hash' | 'drop' | 'truncate' | { readonly truncate: number } | { readonly rename: string };

/** What becomes of a value; the strictest rule that fits decides. */
export type Redaction = { readonly kind: 'drop' } | { readonly kind: 'hash' } | { readonly kind: 'truncate'; readonly chars: number };

export interface FieldRule {
  /** `null`: any number of names. */
  readonly path: readonly (RegExp | null)[];
  readonly redaction: Redaction | null;
  readonly rename: string | null;
}

/** Characters that `truncate` without a number leaves. */
export const TRUNCATE_CHARS = 3;

interface Reading {
  readonly db: RegExp | null;
  readonly coll: RegExp;
  readonly rule: FieldRule;
}

export class MaskRules {
  readonly #readings: readonly Reading[];

  constructor(mask: Readonly<Record<string, MaskRule>>) {
    this.#readings = Object.entries(mask).flatMap(([key, rule]) => readingsOf(key, rule));
  }

  /** Rules for the documents of a collection. */
  rulesOf({ db, coll }: Namespace): readonly FieldRule[] {
    if (coll === null) return [];
    return this.#readings.filter((reading) => (reading.db?.test(db) ?? true) && reading.coll.test(coll)).map(({ rule }) => rule);
  }
}

/** What is wrong about a key of the mask, or `null`. */
export function maskProblem(key: string, rule: MaskRule): string | null {
  const names = key.split('.');
  if (names.some((name) => name === '')) return 'has an empty name in its path';
  if (names.length < 2) return 'must name a collection and a field, such as customers.email or *.ssn';
  if (typeof rule === 'object' && 'rename' in rule && (rule.rename.includes('.') || rule.rename.startsWith('$') || rule.rename.includes('\0')))
    return 'must be renamed to a plain name: no dots, no dollar in front';
  // Wildcards that meet `_id` are made safe (they hash there); whoever names it must know what happens to it.
  if (rule !== 'hash' && names[1] === '_id') return 'is about `_id`, which tells documents apart: it can be hashed and nothing else';
  return null;
}

function readingsOf(key: string, rule: MaskRule): Reading[] {
  const names = key.split('.');
  const [first = '', second = '', ...rest] = names;
  const readings: Reading[] = [{ db: null, coll: pattern(first), rule: fieldRule(names.slice(1), rule) }];
  if (rest.length > 0) readings.push({ db: pattern(first), coll: pattern(second), rule: fieldRule(rest, rule) });
  return readings;
}

function fieldRule(names: readonly string[], rule: MaskRule): FieldRule {
  const path = names.map((name) => (name === '**' ? null : pattern(name)));
  if (typeof rule === 'object') {
    if ('rename' in rule) return { path, redaction: null, rename: rule.rename };
    return { path, redaction: { kind: 'truncate', chars: rule.truncate }, rename: null };
  }
  return { path, redaction: rule === 'truncate' ? { kind: 'truncate', chars: TRUNCATE_CHARS } : { kind: rule }, rename: null };
}

function pattern(glob: string): RegExp {
  return new RegExp(globToRegex(glob));
}
