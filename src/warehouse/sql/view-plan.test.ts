import fc from '../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { BSON_TYPES, DocumentSchema, type BsonType, type FieldPath } from '../../core/document-schema.ts';
import { CHILD_COLUMNS, distinctName, NO_VIEWS, planViews, VIEW_COLUMNS, type ColumnType, type ViewColumn, type ViewPlan } from './view-plan.ts';

/** What each type may become without a query that names the column breaking. */
const WIDER: Readonly<Record<string, RegExp>> = {
  BIGINT: /^(BIGINT|DOUBLE|DECIMAL\(38,\d+\)|VARCHAR)$/,
  DOUBLE: /^(DOUBLE|VARCHAR)$/,
  DECIMAL: /^(DECIMAL\(38,\d+\)|VARCHAR)$/,
  BOOLEAN: /^(BOOLEAN|VARCHAR)$/,
  TIMESTAMPTZ: /^(TIMESTAMPTZ|VARCHAR)$/,
  HEX: /^(HEX|VARCHAR)$/,
  JSON: /^(JSON|VARCHAR)$/,
  VARCHAR: /^VARCHAR$/,
};

function typeIn(types: Partial<Record<BsonType, number>>, before: ViewPlan = NO_VIEWS): ColumnType | undefined {
  const schema = DocumentSchema.from(100, [{ path: ['f'], types }]);
  return planViews(schema, before).columns[0]?.type;
}

const name = fc.constantFrom('a', 'A', 'a_b', 'b', 'ab', '', 'select', '_key', '_KEY', 'é', 'x\ny', 'value', '"', 'z'.repeat(300));
const path: fc.Arbitrary<FieldPath> = fc
  .array(fc.oneof({ weight: 5, arbitrary: name }, fc.constant(null)), { minLength: 1, maxLength: 9 })
  .filter(([first]) => first !== null);
const field = fc.record({
  path,
  type: fc.constantFrom(...BSON_TYPES),
  count: fc.integer({ min: 1, max: 300 }),
  scale: fc.integer({ min: 0, max: 38 }),
});

describe('the plan of the views', () => {
  it('only grows, whatever comes: names and places stay, types only widen, and no two columns share a name', () => {
    fc.assert(
      fc.property(fc.array(fc.array(field, { maxLength: 12 }), { minLength: 1, maxLength: 6 }), (batches) => {
        const schema = new DocumentSchema();
        let plan = NO_VIEWS;
        for (const batch of batches) {
          for (const { path: at, type, count, scale } of batch) {
            schema.add(at, type, count);
            if (type === 'decimal') schema.widenDecimals(at, scale > 30 ? 'wide' : { integers: 8, scale });
          }
          const next = planViews(schema, plan);
          expectGrown(plan.columns, next.columns);
          expect(next.children.slice(0, plan.children.length).map((child) => child.path)).toEqual(plan.children.map((child) => child.path));
          for (const [i, child] of plan.children.entries()) expectGrown(child.columns, next.children[i]?.columns ?? []);
          expectDistinct(next.columns, VIEW_COLUMNS);
          for (const child of next.children) expectDistinct(child.columns, CHILD_COLUMNS);
          // As it is kept.
          expect(planViews(DocumentSchema.from(schema.documents, JSON.parse(JSON.stringify(schema.records())) as never), next)).toEqual(next);
          plan = next;
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    [{ long: 5 }, 'BIGINT'],
    [{ long: 5, int: 1, double: 1 }, 'DOUBLE'],
    [{ long: 9999, double: 1 }, 'DOUBLE'],
    [{ decimal: 1 }, 'VARCHAR'],
    [{ string: 1, objectId: 1, symbol: 1 }, 'VARCHAR'],
    [{ bool: 2, null: 50 }, 'BOOLEAN'],
    [{ null: 50, undefined: 1 }, undefined],
    [{ date: 99, string: 1 }, 'TIMESTAMPTZ'],
    [{ date: 98, string: 2 }, 'VARCHAR'],
    [{ date: 999, double: 1 }, 'TIMESTAMPTZ'],
    [{ array: 3 }, 'JSON'],
    [{ object: 3 }, 'JSON'],
    [{ array: 50, string: 50 }, 'VARCHAR'],
    [{ binData: 1 }, 'HEX'],
    [{ timestamp: 1, regex: 1 }, 'JSON'],
  ] as const)('makes of %j %s', (types, wanted) => {
    expect(typeIn(types)).toBe(wanted);
  });

  it('keeps the digits of decimals, and of whole numbers beside them', () => {
    const of = (
      decimals: 'wide' | { integers: number; scale: number },
      types: Partial<Record<BsonType, number>> = { decimal: 1 },
    ): ColumnType | undefined => planViews(DocumentSchema.from(1, [{ path: ['f'], types, decimals }]), NO_VIEWS).columns[0]?.type;
    expect(of({ integers: 5, scale: 2 })).toBe('DECIMAL(38,2)');
    expect(of('wide')).toBe('VARCHAR');
    expect(of({ integers: 30, scale: 9 })).toBe('VARCHAR');
    expect(of({ integers: 5, scale: 2 }, { decimal: 1, long: 1 })).toBe('DECIMAL(38,2)');
    expect(of({ integers: 5, scale: 25 }, { decimal: 1, long: 1 })).toBe('VARCHAR');
    expect(of({ integers: 5, scale: 2 }, { decimal: 1, double: 1 })).toBe('VARCHAR');
  });

  it('leaves names that are data in one column, and what is too deep', () => {
    const schema = new DocumentSchema();
    schema.addShape({ days: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`d${i}`, 'BIGINT'])), some: { x: 'BIGINT' } }, 1);
    schema.addShape({ a: { b: { c: { d: { e: { f: { g: 'BIGINT' } } } } } } }, 1);
    expect(planViews(schema, NO_VIEWS).columns.map((column) => [column.name, column.type])).toEqual([
      ['days', 'JSON'],
      ['some_x', 'BIGINT'],
      ['a_b_c_d_e_f', 'JSON'],
    ]);
  });
});

it('a name that is not free or too long gets as much of a hash as it takes', () => {
  expect(distinctName('a', 'x', () => true)).toBe('a');
  const second = distinctName('a', 'x', (one) => one !== 'a');
  expect(second).toMatch(/^a_[0-9a-f]{8}$/);
  expect(distinctName('a', 'x', (one) => one !== 'a' && one !== second)).toMatch(/^a_[0-9a-f]{9}$/);
  expect(distinctName('z'.repeat(200), 'x', () => true)).toMatch(/^z{150}_[0-9a-f]{8}$/);
});

function expectGrown(before: readonly ViewColumn[], after: readonly ViewColumn[]): void {
  expect(after.slice(0, before.length).map(({ name: of, path: at }) => [of, at])).toEqual(before.map(({ name: of, path: at }) => [of, at]));
  for (const [i, { type }] of before.entries()) {
    expect(after[i]?.type).toMatch(WIDER[type.replace(/\(.*/, '')]!);
    const [was, is] = [type, after[i]?.type ?? ''].map((text) => Number(/,(\d+)/.exec(text)?.[1] ?? Number.NaN)) as [number, number];
    if (!Number.isNaN(was) && !Number.isNaN(is)) expect(is).toBeGreaterThanOrEqual(was);
  }
}

function expectDistinct(columns: readonly ViewColumn[], reserved: readonly string[]): void {
  const names = [...reserved, ...columns.map((column) => column.name)].map((text) => text.toLowerCase());
  expect(new Set(names).size).toBe(names.length);
}
