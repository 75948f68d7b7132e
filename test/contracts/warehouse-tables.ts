/**
 * Part of the suite in warehouse.ts: new tables made of documents, for `sluice restore`. They hold every document, digit for digit, with the
 * columns that the collection has; or they are not there.
 */
import { describe, expect, it } from 'vitest';
import { RESTORE_ROWS, RESTORE_TARGET } from '../../src/core/errors.ts';
import type { KeyedDocument, MadeTable, NewTable } from '../../src/core/warehouse.ts';
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
}
