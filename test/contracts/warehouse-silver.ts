/** Part of the suite in warehouse.ts: silver has one row per document, whatever the order of loads. */
import { describe, expect, it } from 'vitest';
import { isoOf, positionOf, timeOf, type TestEvent } from './sealed-files.ts';
import { ORDERS, type Bench } from './warehouse-bench.ts';
import type { SealedFile } from '../../src/core/warehouse.ts';

const ARCHIVE = { db: 'shop', coll: 'archive' };
const KEY = '"k"';
const doc = (n: number): string => `{"_id":"k","n":${n}.0}`;
const insert = (n: number, key = KEY): TestEvent => ({ n, op: 'insert', key, doc: doc(n) });
const update = (n: number, found = true): TestEvent => ({
  n,
  op: 'update',
  key: KEY,
  doc: found ? doc(n) : null,
  rest: '"updateDescription":{"updatedFields":{}}',
});
const remove = (n: number, key = KEY): TestEvent => ({ n, op: 'delete', key });
const rename = (n: number): TestEvent => ({ n, op: 'rename', rest: '"to":{"db":"shop","coll":"archive"}' });

/** The row of `"k"` that is wanted: state from event `state`, document from event `from`. */
interface Wanted {
  readonly op: string;
  readonly state: number;
  readonly from: number | null;
  readonly versions: number;
  readonly first: number;
}

export function describeSilver(bench: Bench, how: { readonly thorough: boolean }): void {
  const row = async (table = 'shop__orders'): Promise<unknown> =>
    (
      await bench.rows(`
      select operation, position, "at", cast(doc as varchar), doc_position, version_number, is_current, deleted_at, first_seen_at
      from silver.${table} where key = '"k"'`)
    )[0];
  const wanted = ({ op, state, from, versions, first }: Wanted): unknown[] => [
    op,
    positionOf(state),
    isoOf(state),
    from === null ? null : doc(from),
    from === null ? null : positionOf(from),
    versions,
    op !== 'delete',
    op === 'delete' ? isoOf(state) : null,
    isoOf(first),
  ];
  const orders: readonly (readonly [what: string, events: readonly TestEvent[], want: Wanted])[] = [
    ['an insert and an update', [insert(1), update(2)], { op: 'update', state: 2, from: 2, versions: 2, first: 1 }],
    [
      'an update whose document was gone keeps the last one',
      [insert(1), update(2, false)],
      { op: 'update', state: 2, from: 1, versions: 2, first: 1 },
    ],
    ['a delete keeps the last document', [insert(1), update(2), remove(3)], { op: 'delete', state: 3, from: 2, versions: 3, first: 1 }],
    ['a document that comes back is current again', [insert(1), remove(2), insert(3)], { op: 'insert', state: 3, from: 3, versions: 3, first: 1 }],
    [
      'a delete after an update whose document was gone',
      [insert(1), update(2, false), remove(3)],
      { op: 'delete', state: 3, from: 1, versions: 3, first: 1 },
    ],
  ];

  describe('silver', () => {
    it.each(orders)('%s: the same in any order of files, and after a rebuild', async (_what, events, want) => {
      for (const [i, order] of (how.thorough ? permutations(events) : [events.toReversed()]).entries()) {
        const ns = { db: 'shop', coll: `orders${i}` };
        for (const event of order) await bench.take(ns, [event]);
        expect(await row(`shop__orders${i}`), order.map((event) => event.n).join(' ')).toEqual(wanted(want));
      }
      await bench.take(ORDERS, events);
      expect(await row()).toEqual(wanted(want));
      expect(await bench.merge(ORDERS, true)).toBe(events.length);
      expect(await row()).toEqual(wanted(want));
    });

    it('leaves other operations out', async () => {
      await bench.take(ORDERS, [{ n: 1, op: 'create' }, insert(2), { n: 3, op: 'createIndexes' }, { n: 4, op: 'modify' }, { n: 5, op: 'other' }]);
      expect(await bench.rows('select count(*) from silver.shop__orders')).toEqual([[1]]);
    });

    it('takes the documents of a snapshot, which share one position, as they are until something newer comes', async () => {
      const snapshot = (key: string): TestEvent => ({ n: 5, op: 'snapshot', key, doc: doc(5) });
      await bench.take(ORDERS, [update(7)]);
      await bench.take(ORDERS, [snapshot(KEY), snapshot('"other"')]);
      await bench.take(ORDERS, [insert(3)]);
      expect(await row()).toEqual(wanted({ op: 'update', state: 7, from: 7, versions: 3, first: 3 }));
      expect(await bench.rows('select operation, version_number, is_current from silver.shop__orders where key = \'"other"\'')).toEqual([
        ['snapshot', 1, true],
      ]);
    });

    it('folds many batches at once as it folds each by itself', async () => {
      for (const event of [update(3), insert(1), remove(4), update(2)]) await bench.load(await bench.files.seal(ORDERS, [event]));
      expect(await bench.merge(ORDERS)).toBe(4);
      expect(await row()).toEqual(wanted({ op: 'delete', state: 4, from: 3, versions: 4, first: 1 }));
    });

    it('is whole for every reader while it is made again', async () => {
      await bench.take(
        ORDERS,
        Array.from({ length: 2000 }, (_, n) => insert(n, `"${n}"`)),
      );
      const done = new AbortController();
      const rebuilding = bench.merge(ORDERS, true).finally(() => done.abort());
      const counts = new Set<unknown>();
      do {
        counts.add((await bench.rows('select count(*) from silver.shop__orders'))[0]?.[0]);
      } while (!done.signal.aborted);
      expect([await rebuilding, ...counts]).toEqual([2000, 2000]);
    });

    it('keeps the columns that the user named, the views and the merges to come when it is made again', async () => {
      await bench.reopen({ columns: { 'shop.orders': { number: 'fullDocument.n DOUBLE' } } });
      await bench.take(ORDERS, [insert(1), insert(2, '"other"'), { n: 5, op: 'drop' }, insert(6), remove(7)]);
      await bench.load(await bench.files.seal(ORDERS, [insert(8)]));
      for (let again = 0; again < 2; again += 1) await bench.merge(ORDERS, true);
      // What was not merged yet is in it, and is not merged again.
      expect([await bench.warehouse.unmerged(), await bench.merge(ORDERS)]).toEqual([[], 0]);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 8, from: 8, versions: 3, first: 6 }));
      await bench.take(ORDERS, [update(9)]);
      await bench.reopen({ columns: { 'shop.orders': { number: 'fullDocument.n DOUBLE' } } });
      expect(await bench.rows('select s.number, g.n from silver.shop__orders s join gold.shop__orders g on g._key = s.key')).toEqual([[9, 9]]);
      // Nothing is left of the work.
      expect(
        await bench.rows("select count(*) from information_schema.tables where lower(table_schema) = 'silver' and table_type = 'BASE TABLE'"),
      ).toEqual([[1]]);
      expect(await bench.warehouse.prove(ORDERS, 5, new AbortController().signal)).toEqual([]);
    });

    it('is empty for what nobody has loaded', async () => {
      expect(await bench.merge(ORDERS)).toBe(0);
      expect(await bench.merge({ db: 'shop', coll: null })).toBe(0);
    });
  });

  describe('a snapshot that has not brought a document', () => {
    /** In two files, of which the second says that it is whole. */
    const snapshot = async (n: number, ...keys: readonly string[]): Promise<readonly [SealedFile, SealedFile]> => {
      const folder = `_snapshots/shop/orders/${n}-1-a`;
      const rows = keys.map((key): TestEvent => ({ n, op: 'snapshot', key, doc: doc(n) }));
      const end: TestEvent = { n, op: 'snapshotEnd', rest: '"snapshot":{"files":1}' };
      return [
        await bench.files.seal(ORDERS, rows, { path: `${folder}/part-00001.jsonl` }),
        await bench.files.seal(ORDERS, [end], { path: `${folder}/end.jsonl` }),
      ];
    };
    const ended = (want: Wanted, at: number): unknown[] => wanted(want).with(6, false).with(7, isoOf(at));

    it('ends it as deleted, once it is whole, and keeps what was seen of it last', async () => {
      await bench.take(ORDERS, [insert(1), insert(2, '"other"')]);
      const [part, end] = await snapshot(10, '"other"');
      await bench.load(end);
      await bench.merge(ORDERS);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 1, from: 1, versions: 1, first: 1 }));
      await bench.load(part);
      await bench.merge(ORDERS);
      expect(await row()).toEqual(ended({ op: 'insert', state: 1, from: 1, versions: 1, first: 1 }, 10));
      expect(await bench.rows('select key, version_number, is_current from silver.shop__orders where is_current')).toEqual([['"other"', 2, true]]);
      expect(await bench.rows('select key, version_number, valid_to from silver.shop__orders_history order by key, version_number')).toEqual([
        ['"k"', 1, isoOf(10)],
        ['"other"', 1, isoOf(10)],
        ['"other"', 2, null],
      ]);
      expect(await bench.warehouse.prove(ORDERS, 5, new AbortController().signal)).toEqual([]);
    });

    it('ends it also when its events, or an earlier snapshot, come later; and an event after it brings it back', async () => {
      for (const file of await snapshot(20, '"other"')) await bench.load(file);
      await bench.take(ORDERS, [update(3)]);
      expect(await row()).toEqual(ended({ op: 'update', state: 3, from: 3, versions: 1, first: 3 }, 20));
      for (const file of await snapshot(10, '"other"')) await bench.load(file);
      await bench.merge(ORDERS);
      expect(await row()).toEqual(ended({ op: 'update', state: 3, from: 3, versions: 1, first: 3 }, 10));
      await bench.take(ORDERS, [update(15, false)]);
      expect(await row()).toEqual(ended({ op: 'update', state: 15, from: 3, versions: 2, first: 3 }, 20));
      await bench.take(ORDERS, [remove(16)]);
      expect(await row()).toEqual(wanted({ op: 'delete', state: 16, from: 3, versions: 3, first: 3 }));
      await bench.take(ORDERS, [insert(30)]);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 30, from: 30, versions: 4, first: 3 }));
      expect(await bench.warehouse.prove(ORDERS, 5, new AbortController().signal)).toEqual([]);
    });

    it('is found by the proof when silver says otherwise', async () => {
      await bench.take(ORDERS, [insert(1), insert(2, '"other"')]);
      for (const file of await snapshot(10, '"other"')) await bench.load(file);
      await bench.merge(ORDERS);
      const faults = async (): Promise<unknown> =>
        (await bench.warehouse.prove(ORDERS, 5, new AbortController().signal)).map(({ check, examples }) => [check, examples[0]?.where]);
      await bench.damage(`update silver.shop__orders set is_current = true, deleted_at = null where key = '"k"'`);
      expect(await faults()).toEqual([['silver-current', '"k"']]);
      await bench.merge(ORDERS, true);
      await bench.damage(`update silver.shop__orders set is_current = false where key = '"other"'`);
      expect(await faults()).toEqual([['silver-current', '"other"']]);
    });

    it('takes it out of silver with hard deletes', async () => {
      await bench.reopen({ deletes: 'hard' });
      await bench.take(ORDERS, [insert(1), insert(2, '"other"')]);
      for (const file of await snapshot(10, '"other"')) await bench.load(file);
      await bench.merge(ORDERS);
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(9) }]);
      expect(await row()).toEqual(ended({ op: 'insert', state: 1, from: 1, versions: 1, first: 1 }, 10));
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(11) }]);
      expect(await bench.rows('select key from silver.shop__orders')).toEqual([['"other"']]);
      expect(await bench.warehouse.prove(ORDERS, 5, new AbortController().signal)).toEqual([]);
    });

    it('has silver made anew where an older version has taken it out', async () => {
      await bench.take(ORDERS, [insert(1), insert(2, '"other"')]);
      for (const file of await snapshot(10, '"other"')) await bench.load(file);
      await bench.merge(ORDERS);
      await bench.damage(`delete from silver.shop__orders where key = '"k"'`);
      await bench.damage(`update sluice.collection_registry set baseline_applied = '${positionOf(10)}'`);
      await bench.damage('update sluice.control set schema_version = 3');
      await bench.reopen({});
      expect(await bench.warehouse.unmerged()).toEqual([ORDERS]);
      await bench.merge(ORDERS);
      expect(await row()).toEqual(ended({ op: 'insert', state: 1, from: 1, versions: 1, first: 1 }, 10));
      expect(await bench.warehouse.unmerged()).toEqual([]);
    });
  });

  describe('a baseline', () => {
    const ends: readonly (readonly [what: string, event: TestEvent, on: typeof ORDERS | { db: string; coll: null }])[] = [
      ['drop', { n: 10, op: 'drop' }, ORDERS],
      ['rename', rename(10), ORDERS],
      ['dropDatabase', { n: 10, op: 'dropDatabase' }, { db: 'shop', coll: null }],
    ];
    it.each(ends)('(%s) takes what lies below it, loaded before or after', async (_what, event, on) => {
      await bench.take(ORDERS, [insert(1), insert(2, '"other"')]);
      await bench.take(on, [event]);
      expect(await bench.rows('select key from silver.shop__orders')).toEqual([]);
      await bench.take(ORDERS, [update(3), remove(4, '"gone"')]);
      expect(await bench.rows('select key from silver.shop__orders')).toEqual([]);
      await bench.take(ORDERS, [insert(12)]);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 12, from: 12, versions: 1, first: 12 }));
      await bench.merge(ORDERS, true);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 12, from: 12, versions: 1, first: 12 }));
    });

    it('that comes late has what survives counted again, without the document from below', async () => {
      await bench.take(ORDERS, [insert(1), update(2)]);
      await bench.take(ORDERS, [update(11, false)]);
      await bench.take(ORDERS, [update(12, false)]);
      expect(await row()).toEqual(wanted({ op: 'update', state: 12, from: 2, versions: 4, first: 1 }));
      await bench.take(ORDERS, [{ n: 10, op: 'drop' }]);
      expect(await row()).toEqual(wanted({ op: 'update', state: 12, from: null, versions: 2, first: 11 }));
    });

    it('of a rename ends what stood under the new name, and nothing else', async () => {
      const bystander = { db: 'shop', coll: 'archive2' };
      await bench.take(ARCHIVE, [insert(1)]);
      await bench.take(bystander, [insert(1)]);
      await bench.take(ORDERS, [rename(10)]);
      expect(await bench.warehouse.unmerged()).toEqual([]);
      await bench.take(ARCHIVE, [update(11)]);
      expect(await row('shop__archive')).toEqual(wanted({ op: 'update', state: 11, from: 11, versions: 1, first: 11 }));
      expect(await row('shop__archive2')).toEqual(wanted({ op: 'insert', state: 1, from: 1, versions: 1, first: 1 }));
    });

    it('of a database waits for collections that are loaded later', async () => {
      await bench.take({ db: 'shop', coll: null }, [{ n: 10, op: 'dropDatabase' }]);
      await bench.take({ db: 'shopping', coll: 'orders' }, [insert(1)]);
      await bench.take(ORDERS, [insert(1)]);
      expect(await bench.rows('select key from silver.shop__orders')).toEqual([]);
      expect(await bench.rows('select key from silver.shopping__orders')).toEqual([['"k"']]);
    });

    it('that is lower than one before it changes nothing', async () => {
      await bench.take(ORDERS, [{ n: 10, op: 'drop' }]);
      await bench.take(ORDERS, [insert(12)]);
      await bench.take(ORDERS, [{ n: 5, op: 'drop' }]);
      expect(await row()).toEqual(wanted({ op: 'insert', state: 12, from: 12, versions: 1, first: 12 }));
    });
  });

  describe('hard deletes', () => {
    it('take deleted rows out once nothing older can come, and not before', async () => {
      await bench.reopen({ deletes: 'hard' });
      await bench.take(ORDERS, [remove(5), insert(6, '"kept"'), remove(7, '"younger"')]);
      const keys = (): Promise<readonly (readonly unknown[])[]> => bench.rows('select key from silver.shop__orders order by key');
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(5) }]);
      expect(await keys()).toEqual([['"k"'], ['"kept"'], ['"younger"']]);
      await bench.take(ORDERS, [insert(4)]);
      expect(await row()).toEqual(wanted({ op: 'delete', state: 5, from: 4, versions: 2, first: 4 }));
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(7) }]);
      expect(await keys()).toEqual([['"kept"'], ['"younger"']]);
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(3) }]);
      await bench.merge(ORDERS, true);
      expect(await keys()).toEqual([['"kept"'], ['"younger"']]);
    });

    it('wait for rows that are loaded and not merged yet', async () => {
      await bench.reopen({ deletes: 'hard' });
      await bench.take(ORDERS, [remove(5)]);
      await bench.load(await bench.files.seal(ORDERS, [insert(4)]));
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(9) }]);
      expect(await row()).toEqual(wanted({ op: 'delete', state: 5, from: null, versions: 1, first: 5 }));
      await bench.merge(ORDERS);
      expect(await bench.rows('select key from silver.shop__orders')).toEqual([]);
    });

    it('are not what soft deletes do', async () => {
      await bench.take(ORDERS, [insert(1), remove(2)]);
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(100) }]);
      expect(await row()).toEqual(wanted({ op: 'delete', state: 2, from: 1, versions: 2, first: 1 }));
    });
  });
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
