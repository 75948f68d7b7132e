/**
 * Part of the suite in warehouse.ts: what `sluice restore` asks of a warehouse. New tables made of documents hold every one of them, digit
 * for digit, with the columns that the collection has; or they are not there. Bronze gives back the lines that came, in order, and says of
 * which moments it knows.
 */
import { describe, expect, it } from 'vitest';
import { RESTORE_ROWS, RESTORE_TARGET } from '../../src/core/errors.ts';
import type { KeyedDocument, MadeTable, NewTable } from '../../src/core/warehouse.ts';
import type { Namespace } from '../../src/core/namespace.ts';
import type { Timestamp } from '../../src/core/time.ts';
import { isoOf, lineOf, positionOf, timeOf, type TestEvent } from './sealed-files.ts';
import { kindOf, never, ORDERS, type Bench } from './warehouse-bench.ts';

const TABLE: NewTable = { schema: 'restored', name: 'orders_before', like: ORDERS, comment: () => "shop.orders as of 12.3, restored: it's whole" };
const keyed = (id: string, doc: string): KeyedDocument => ({ key: `{"region":"eu,\\"_id\\":1","_id":${id}}`, doc });
/** Text that a database's own reading of JSON would change. */
const DOCUMENTS: readonly KeyedDocument[] = [
  keyed('"a"', '{"_id":"a","n":1.10,"key":"mine","when":{"$date":"2026-11-21T07:45:01.123Z"},"fullDocument":{"fullDocument":1e+300}}'),
  keyed('{"$numberLong":"9007199254740993"}', '{"_id":{"$numberLong":"9007199254740993"},"text":"\\u00e9ß\\u0001\\"","n":"no number"}'),
  keyed('{"b":[1,{"c":2.0}]}', '{"_id":{"b":[1,{"c":2.0}]},"n":7,"n":8}'),
];

/** @param how `thorough: false` where each step takes its time: one chunk of documents */
export function describeTables(bench: Bench, name: string, how: { readonly thorough: boolean }): void {
  const make = (documents: AsyncIterable<KeyedDocument>, table: NewTable = TABLE): Promise<MadeTable> =>
    bench.warehouse.makeTable(table, documents, never);
  async function* given(documents: readonly KeyedDocument[]): AsyncGenerator<KeyedDocument> {
    yield* documents;
  }
  /** Schemas and names of all tables and views, and of what was left anywhere. */
  const tables = async (): Promise<string[]> =>
    (
      await bench.rows(
        "select lower(table_schema), lower(table_name) from information_schema.tables where lower(table_schema) = 'restored' or lower(table_name) like 'restoring%'",
      )
    ).map((row) => row.join('.'));
  const commentOf = async (table: string): Promise<unknown> => {
    const from = name === 'DuckDB' ? 'select comment, table_name from duckdb_tables()' : 'select comment, table_name from information_schema.tables';
    return (await bench.rows(`select comment from (${from}) where lower(table_name) = '${table}'`))[0]?.[0];
  };

  describe('a table of documents', () => {
    it('has each of them digit for digit, with the columns of silver and of gold, and says what it is', async () => {
      await bench.reopen({ columns: { 'shop.orders': { total: 'fullDocument.n DECIMAL(18,2)', _doc: 'fullDocument.n VARCHAR' } } });
      await bench.take(ORDERS, [
        { n: 1, op: 'insert', key: '"x"', doc: '{"_id":"x","n":1.5,"when":{"$date":"2026-01-01T00:00:00Z"},"key":"k","total":"other"}' },
      ]);
      const made = await make(given(DOCUMENTS));
      expect(made).toEqual({ rows: 3, columns: ['total', '_id', 'n', 'when', 'key'] });
      const rows = await bench.rows('select _key, cast(_doc as varchar), total, n, "when", key from restored.orders_before order by _key');
      expect(rows).toEqual([
        ['"a"', DOCUMENTS[0]!.doc, 1.1, 1.1, '2026-11-21T07:45:01.123Z', 'mine'],
        ['{"$numberLong":"9007199254740993"}', DOCUMENTS[1]!.doc, null, null, null, null],
        ['{"b":[1,{"c":2.0}]}', DOCUMENTS[2]!.doc, expect.anything(), expect.anything(), null, null],
      ]);
      expect(await commentOf('orders_before')).toBe(TABLE.comment());
      expect(await tables()).toEqual(['restored.orders_before']);
    });

    it('of a collection that nobody has loaded has key and document, also when there is none', async () => {
      expect(await make(given([]))).toEqual({ rows: 0, columns: [] });
      expect(await bench.rows('select _key, _doc from restored.orders_before')).toEqual([]);
      expect(await make(given(DOCUMENTS), { ...TABLE, name: 'Order by' })).toEqual({ rows: 3, columns: [] });
      expect(await bench.rows('select count(*) from restored."Order by"')).toEqual([[3]]);
    });

    it('is not made over one that is there, nor over a view, nor among those of sluice, and nothing is read then', async () => {
      await bench.damage('create schema restored', 'create table restored.mine as select 1 as a', 'create view restored.seen as select 1 as a');
      const asked: string[] = [];
      async function* telling(): AsyncGenerator<KeyedDocument> {
        asked.push('asked');
        yield* DOCUMENTS;
      }
      for (const [schema, table] of [
        ['restored', 'mine'],
        ['Restored', 'MINE'],
        ['restored', 'seen'],
        ['silver', 'mine'],
        ['SLUICE', 'mine'],
        ['bronze', 'mine'],
        ['gold', 'mine'],
        ['information_schema', 'mine'],
      ] as const)
        expect(await kindOf(make(telling(), { ...TABLE, schema, name: table })), `${schema}.${table}`).toBe(RESTORE_TARGET);
      expect(asked).toEqual([]);
      expect(await bench.rows('select a from restored.mine')).toEqual([[1]]);
    });

    it('is not there before the last document, nor after a failure, and can be made afterwards', async () => {
      const many = how.thorough ? 50_001 : 3;
      const seen: string[][] = [];
      async function* breaking(): AsyncGenerator<KeyedDocument> {
        for (let n = 0; n < many; n += 1) yield keyed(`${n}`, `{"_id":${n}}`);
        seen.push((await tables()).filter((table) => table.startsWith('restored.')));
        throw new Error('the lake is gone');
      }
      await expect(make(breaking())).rejects.toThrow('the lake is gone');
      expect(seen).toEqual([[]]);
      expect(await tables()).toEqual([]);
      async function* whole(): AsyncGenerator<KeyedDocument> {
        for (let n = 0; n < many; n += 1) yield keyed(`${n}`, `{"_id":${n}}`);
      }
      expect((await make(whole())).rows).toBe(many);
      expect(await bench.rows('select count(*), count(distinct _key) from restored.orders_before')).toEqual([[many, many]]);
    });

    it('is not there when its rows are not as many as the documents', async () => {
      const table: NewTable = { ...TABLE, name: 'less' };
      async function* twice(): AsyncGenerator<KeyedDocument> {
        yield DOCUMENTS[0]!;
        // Two lines where one document was promised.
        yield keyed('"b"', '{"_id":"b"}}\n{"_meta":0,"documentKey":{"_id":"c"},"fullDocument":{"_id":"c"}');
      }
      expect(await kindOf(make(twice(), table))).toBe(RESTORE_ROWS);
      expect(await tables()).toEqual([]);
    });
  });
  describe('bronze as a history', () => {
    const ELSEWHERE = { db: 'shop', coll: 'elsewhere' };
    const doc = (text: string): string => `{"_id":1,"n":1.10,"text":"\\u00e9ß\\"","more":${text}}`;
    const lines = async (from: AsyncIterable<string>): Promise<string[]> => await Array.fromAsync(from);
    const event = (n: number, op: TestEvent['op'], text = '1e+300'): TestEvent => ({ n, op, key: '1', doc: doc(text) });
    const through = (ns: Namespace, n: number): { namespace: Namespace; through: Timestamp } => ({ namespace: ns, through: { ...timeOf(n), i: 7 } });

    it('has the lines as they came, by position, up to a moment', async () => {
      const [late, early] = [
        [event(7, 'replace'), event(9, 'update')],
        [event(2, 'insert', '[1,{"a":2.0}]'), event(4, 'delete')],
      ];
      await bench.take(ORDERS, late);
      await bench.take(ORDERS, [{ n: 1, op: 'create' }, ...early]);
      const of = (n: number, op: TestEvent['op'], text?: string): string => lineOf(ORDERS, event(n, op, text));
      const all = [of(2, 'insert', '[1,{"a":2.0}]'), of(4, 'delete'), of(7, 'replace'), of(9, 'update')];
      const span = (n: number, upTo: Timestamp): Promise<string[]> =>
        lines(bench.warehouse.eventLines(ORDERS, { after: positionOf(n), upTo }, never));
      expect(await span(1, timeOf(9))).toEqual(all);
      expect(await span(2, timeOf(7))).toEqual(all.slice(1, 3));
      expect(await span(1, { ...timeOf(7), i: 0 })).toEqual(all.slice(0, 2));
      expect(await lines(bench.warehouse.eventLines(ELSEWHERE, { after: '', upTo: timeOf(9) }, never))).toEqual([]);
    });

    it('says where a collection begins and ends, and up to when that is known', async () => {
      const nothing = { marks: [], snapshots: [], ends: [], gaps: [], from: null, until: null, erased: false };
      expect(await bench.warehouse.history(ORDERS, never)).toEqual(nothing);
      const folder = '_snapshots/shop/orders/20-1-abcd';
      const marks: TestEvent[] = [
        { n: 1, op: 'create' },
        { n: 9, op: 'rename', rest: '"to":{"db":"shop","coll":"away"}' },
      ];
      const end: TestEvent = { n: 20, op: 'snapshotEnd', rest: '"snapshot":{"id":"abcd","files":1,"rows":2}' };
      const part = await bench.files.seal(ORDERS, [event(20, 'snapshot'), { ...event(20, 'snapshot'), key: '2' }], {
        path: `${folder}/part-00001.jsonl`,
      });
      await bench.take(ORDERS, [...marks, event(3, 'insert')]);
      await bench.load(await bench.files.seal(ORDERS, [end], { path: `${folder}/end.jsonl` }));
      await bench.take({ db: 'shop', coll: null }, [{ n: 11, op: 'dropDatabase' }]);
      await bench.take({ db: 'shop2', coll: null }, [{ n: 12, op: 'dropDatabase' }]);
      await bench.take(ELSEWHERE, [{ n: 13, op: 'rename', rest: '"to":{"db":"shop","coll":"orders"}' }]);
      await bench.warehouse.noteGaps('shop', [
        { from: timeOf(14), to: timeOf(15), detectedAt: isoOf(15), collections: ['shop.*'], cause: 'lost' },
        { from: timeOf(16), to: null, detectedAt: isoOf(16), collections: ['shop.*'], cause: 'lost' },
      ]);
      await bench.warehouse.markComplete([
        through(ORDERS, 30),
        through(ELSEWHERE, 40),
        through({ db: 'shop', coll: null }, 40),
        through({ db: 'shop2', coll: null }, 40),
      ]);
      const second = (n: number): Timestamp => ({ t: timeOf(n).t, i: 0 });
      const known = {
        marks: expect.arrayContaining([
          ...marks.map((mark) => lineOf(ORDERS, mark)),
          lineOf({ db: 'shop', coll: null }, { n: 11, op: 'dropDatabase' }),
        ]) as unknown,
        snapshots: [],
        ends: [second(13)],
        gaps: expect.arrayContaining([
          { from: second(14), to: second(15) },
          { from: second(16), to: null },
        ]) as unknown,
        from: null,
        until: { at: { t: timeOf(30).t, i: 7 }, by: 'shop.orders' },
        erased: false,
      };
      // A snapshot of which a file is missing is none.
      const before = await bench.warehouse.history(ORDERS, never);
      expect(before).toEqual(known);
      expect(before.marks).toHaveLength(3);
      await bench.load(part);
      expect((await bench.warehouse.history(ORDERS, never)).snapshots).toEqual([{ end: lineOf(ORDERS, end), folder, rows: 2 }]);
      expect((await lines(bench.warehouse.snapshotLines(ORDERS, folder, never))).toSorted()).toEqual(
        ['1', '2'].map((key) => lineOf(ORDERS, { ...event(20, 'snapshot'), key })),
      );
      expect(await lines(bench.warehouse.snapshotLines(ORDERS, '_snapshots/shop/orders/20-1-abc', never))).toEqual([]);
      // Somebody who is not loaded as far may have been renamed to it.
      await bench.take({ db: 'shop', coll: 'behind' }, [event(5, 'insert')]);
      expect((await bench.warehouse.history(ORDERS, never)).until).toEqual({ at: { t: 0, i: 0 }, by: 'shop.behind' });
      await bench.warehouse.markComplete([through({ db: 'shop', coll: 'behind' }, 25)]);
      expect((await bench.warehouse.history(ORDERS, never)).until).toEqual({ at: { t: timeOf(25).t, i: 7 }, by: 'shop.behind' });
      // Retention says from where on it has every row.
      await bench.damage(`update sluice.collection_registry set bronze_from = cast('${isoOf(4)}' as timestamptz) where collection = 'shop.orders'`);
      expect((await bench.warehouse.history(ORDERS, never)).from).toEqual(second(4));
    });
  });
}
