/** Part of the suite in warehouse.ts: what people and `verify` read. */
import { describe, expect, it } from 'vitest';
import { WAREHOUSE_COLUMNS, WAREHOUSE_QUERY } from '../../src/core/errors.ts';
import { isoOf, type TestEvent } from './sealed-files.ts';
import { kindOf, never, ORDERS, type Bench } from './warehouse-bench.ts';

const insert = (n: number, key: string, doc: string): TestEvent => ({ n, op: 'insert', key, doc });

export function describeReading(bench: Bench): void {
  describe('columns that the user named', () => {
    const DATE = '{"when":{"$date":"2026-11-21T07:45:01.123Z"}}';
    const cases: readonly (readonly [definition: string, doc: string, value: unknown])[] = [
      ['fullDocument.a DECIMAL(18,2)', '{"a":12.5}', 12.5],
      ['fullDocument.a DECIMAL(18,2)', '{"a":{"$numberDecimal":"12.50"}}', 12.5],
      ['fullDocument.a DECIMAL(38,4)', '{"a":{"$numberDecimal":"1234567890123456789012345678901234"}}', '1234567890123456789012345678901234.0000'],
      ['fullDocument.a DECIMAL(18,2)', '{"a":{"$numberDecimal":"NaN"}}', null],
      ['fullDocument.a BIGINT', '{"a":{"$numberLong":"9223372036854775807"}}', '9223372036854775807'],
      ['fullDocument.a BIGINT', '{"a":-9223372036854775808}', '-9223372036854775808'],
      ['fullDocument.a INTEGER', '{"a":{"$numberInt":"7"}}', 7],
      ['fullDocument.a DOUBLE', '{"a":{"$numberDouble":"1.0E300"}}', 1e300],
      ['fullDocument.a DOUBLE', '{"a":{"$numberDouble":"Infinity"}}', 'Infinity'],
      ['fullDocument.a INTEGER', '{"a":"seven"}', null],
      ['fullDocument.a INTEGER', '{"b":1}', null],
      ['fullDocument.a VARCHAR', '{"a":null}', null],
      ['fullDocument.a VARCHAR', '{"a":{"$oid":"64b000000000000000000001"}}', '64b000000000000000000001'],
      ['fullDocument.a VARCHAR', '{"a":{"b":[1]}}', '{"b":[1]}'],
      ['fullDocument.a VARCHAR', '{"a":"\\u00e9"}', 'é'],
      ['fullDocument.a BOOLEAN', '{"a":true}', true],
      ['fullDocument.when TIMESTAMP', DATE, '2026-11-21T07:45:01.123Z'],
      ['fullDocument.when DATE', DATE, '2026-11-21'],
      ['fullDocument.when TIMESTAMPTZ', '{"when":{"$date":{"$numberLong":"-1"}}}', '1969-12-31T23:59:59.999Z'],
      ['fullDocument.when TIMESTAMP', '{"when":{"$date":{"$numberLong":"9223372036854775807"}}}', null],
      ['fullDocument.id UUID', '{"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}}', '00010203-0405-0607-0809-0a0b0c0d0e0f'],
      ['fullDocument.items.1.sku VARCHAR', '{"items":[{"sku":"a"},{"sku":"b"}]}', 'b'],
      ['fullDocument.a/b.c~d VARCHAR', '{"a/b":{"c~d":"odd"}}', 'odd'],
    ];
    it('are read through Extended JSON, and NULL where the value does not fit', async () => {
      const columns = Object.fromEntries(cases.map(([definition], i) => [`c${i}`, definition]));
      await bench.reopen({ columns: { 'shop.orders': columns } });
      await bench.take(
        ORDERS,
        cases.map(([, doc], i) => insert(i, `"${String(i).padStart(2, '0')}"`, doc)),
      );
      const rows = await bench.rows(`select ${Object.keys(columns).join(', ')} from silver.shop__orders order by key`);
      for (const [i, [definition, doc, value]] of cases.entries()) expect(rows[i]?.[i], `${definition} of ${doc}`).toEqual(value);
    });

    it('follow the document through every merge', async () => {
      await bench.reopen({
        columns: {
          'shop.orders': { total: 'fullDocument.total DECIMAL(18,2)', versions: 'fullDocument.versions BIGINT', Line: 'fullDocument.line BIGINT' },
        },
      });
      const total = async (): Promise<unknown> => (await bench.rows('select total from silver.shop__orders'))[0]?.[0];
      await bench.take(ORDERS, [{ n: 3, op: 'update', key: '"k"', doc: '{"total":3.25}' }]);
      await bench.take(ORDERS, [insert(1, '"k"', '{"total":1}')]);
      expect(await total()).toBe(3.25);
      await bench.take(ORDERS, [{ n: 4, op: 'update', key: '"k"', doc: null }]);
      expect(await total()).toBe(3.25);
      await bench.take(ORDERS, [{ n: 5, op: 'update', key: '"k"', doc: '{}' }]);
      expect(await total()).toBeNull();
      await bench.take(ORDERS, [
        { n: 6, op: 'update', key: '"k"', doc: '{"total":6}' },
        { n: 7, op: 'delete', key: '"k"' },
      ]);
      expect(await total()).toBe(6);
      await bench.take(ORDERS, [{ n: 9, op: 'update', key: '"k"', doc: null }]);
      await bench.take(ORDERS, [{ n: 8, op: 'drop' }]);
      expect(await total()).toBeNull();
    });

    it('that are added, changed or taken out later are filled from the documents', async () => {
      await bench.take(ORDERS, [insert(1, '"k"', '{"total":"12.345","order":"o"}')]);
      await bench.reopen({ columns: { 'shop.orders': { total: 'fullDocument.total DECIMAL(18,2)', order: 'fullDocument.order VARCHAR' } } });
      expect(await bench.rows('select total, "order" from silver.shop__orders')).toEqual([[12.35, 'o']]);
      await bench.reopen({ columns: { 'shop.orders': { total: 'fullDocument.total  varchar' } } });
      expect(await bench.rows('select total from silver.shop__orders')).toEqual([['12.345']]);
      expect(await kindOf(bench.warehouse.query('select "order" from silver.shop__orders', 1, never))).toBe(WAREHOUSE_QUERY);
      await bench.take(ORDERS, [insert(2, '"l"', '{"total":1}')]);
      expect(await bench.rows('select total from silver.shop__orders order by key')).toEqual([['12.345'], ['1']]);
    });

    it('leave what somebody else has said of a column, or has added, as it is', async () => {
      const columns = { 'shop.orders': { total: 'fullDocument.total BIGINT' } };
      await bench.reopen({ columns });
      await bench.take(ORDERS, [insert(1, '"k"', '{"total":1}')]);
      await bench.damage(
        'alter table silver.shop__orders add column mine varchar',
        "comment on column silver.shop__orders.mine is 'whom to call'",
        "comment on column silver.shop__orders.key is 'fullDocument._id VARCHAR'",
        "update silver.shop__orders set mine = 'me'",
      );
      await bench.reopen({ columns });
      expect(await bench.rows('select key, mine, total from silver.shop__orders')).toEqual([['"k"', 'me', 1]]);
      expect(await bench.warehouse.prove(ORDERS, 5, never)).toEqual([]);
      await bench.reopen({});
      expect(await bench.rows('select key, mine from silver.shop__orders')).toEqual([['"k"', 'me']]);
    });

    it.each([
      ['shop', { total: 'fullDocument.total BIGINT' }],
      ['shop.orders', { total: 'fullDocument.total' }],
      ['shop.orders', { total: 'fullDocument.total MONEY' }],
      ['shop.orders', { total: 'fullDocument.total DECIMAL(39,2)' }],
      ['shop.orders', { total: 'fullDocument.total DECIMAL(4,5)' }],
      ['shop.orders', { total: 'fullDocument.total VARCHAR; drop table x' }],
      ['shop.orders', { total: 'total BIGINT' }],
      ['shop.orders', { total: 'fullDocument..total BIGINT' }],
      ['shop.orders', { Position: 'fullDocument.total BIGINT' }],
      ['shop.orders', { a: 'fullDocument.a BIGINT', A: 'fullDocument.a BIGINT' }],
      ['shop.orders', { '': 'fullDocument.a BIGINT' }],
    ])('are refused where they make no sense: %s %o', async (collection, columns) => {
      expect(await kindOf(bench.reopen({ columns: { [collection]: columns } }))).toBe(WAREHOUSE_COLUMNS);
    });
  });

  describe('queries', () => {
    it('give columns and rows, numbers that a double cannot hold as text', async () => {
      const sql = `select 1 as a, cast(9007199254740993 as bigint) as b, cast(-42 as bigint) as c, 0.1 as d, 12345678901234567.25 as e, 'x' as f, null as g, true as h`;
      expect(await bench.warehouse.query(sql, 10, never)).toEqual({
        columns: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'],
        rows: [[1, '9007199254740993', -42, 0.1, '12345678901234567.25', 'x', null, true]],
        truncated: false,
      });
    });

    it('stop at the limit and say so', async () => {
      const numbers = 'select * from (values (1), (2), (3)) as t(n) order by n';
      expect(await bench.warehouse.query(numbers, 2, never)).toEqual({ columns: ['n'], rows: [[1], [2]], truncated: true });
      expect(await bench.warehouse.query(numbers, 3, never)).toMatchObject({ truncated: false });
    });

    it.each(['selekt 1', 'select * from silver.nowhere', '', '-- nothing', 'select 1; select 2'])('say what is wrong with %j', async (sql) => {
      expect(await kindOf(bench.warehouse.query(sql, 1, never))).toBe(WAREHOUSE_QUERY);
    });

    it.each([
      'delete from bronze.shop__orders',
      'update bronze.shop__orders set key = null',
      "insert into sluice.gaps (cause) values ('x')",
      'drop table bronze.shop__orders',
      'create table silver.mine (n integer)',
      'select 1; drop table bronze.shop__orders',
      'explain analyze delete from bronze.shop__orders',
      'truncate table bronze.shop__orders',
    ])('change nothing: %s', async (sql) => {
      await bench.take(ORDERS, [insert(1, '"k"', '{}')]);
      expect(await kindOf(bench.warehouse.query(sql, 1, never))).toBe(WAREHOUSE_QUERY);
      expect(await bench.rows('select key from bronze.shop__orders')).toEqual([['"k"']]);
    });

    it('do not see half of a load', async () => {
      await bench.load(await bench.files.seal(ORDERS, [insert(0, '"0"', '{}')]));
      const files = await Promise.all([1, 2, 3].map((n) => bench.files.seal(ORDERS, [insert(n, `"${n}"`, '{}'), insert(n + 10, `"${n}"`, '{}')])));
      const loading = bench.load(...files);
      do {
        const [counts = []] = await bench.rows('select (select count(*) from bronze.shop__orders), (select sum("rows") from sluice.load_ledger)');
        expect(counts[0]).toBe(counts[1]);
      } while (!(await isDone(loading)));
      expect(await bench.rows('select count(*) from bronze.shop__orders')).toEqual([[7]]);
    });
  });

  describe('silver as a stream', () => {
    it('has the current documents alone, by key', async () => {
      const keys = ['"b"', '"a"', '{"$oid":"64b000000000000000000001"}', '"é"', '"B"'];
      await bench.take(ORDERS, [
        ...keys.map((key, i) => insert(i, key, `{"n":${i}.0}`)),
        { n: 10, op: 'delete', key: '"a"' },
        { n: 11, op: 'update', key: '"u"', doc: null },
      ]);
      const rows = await Array.fromAsync(bench.warehouse.silver(ORDERS, never));
      expect(rows).toEqual([
        { key: '"B"', doc: '{"n":4.0}' },
        { key: '"b"', doc: '{"n":0.0}' },
        { key: '"u"', doc: null },
        { key: '"é"', doc: '{"n":3.0}' },
        { key: '{"$oid":"64b000000000000000000001"}', doc: '{"n":2.0}' },
      ]);
      expect(await Array.fromAsync(bench.warehouse.silver({ db: 'shop', coll: 'unknown' }, never))).toEqual([]);
    });

    it('can be left half-way, by break and by abort', async () => {
      await bench.take(
        ORDERS,
        Array.from({ length: 5000 }, (_, n) => insert(n, `"${n}"`, '{}')),
      );
      for await (const row of bench.warehouse.silver(ORDERS, never)) {
        expect(row.key).toBe('"0"');
        break;
      }
      const stop = new AbortController();
      const reason = new Error('enough');
      const reading = (async () => {
        for await (const _row of bench.warehouse.silver(ORDERS, stop.signal)) stop.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
    });
  });

  describe('views', () => {
    it('give every version with its span, ended by the next one, a delete or a drop', async () => {
      const update = (n: number, doc: string | null): TestEvent => ({ n, op: 'update', key: '"k"', doc });
      await bench.take(ORDERS, [insert(1, '"k"', '{"n":1.0}'), update(2, null), { n: 3, op: 'delete', key: '"k"' }, insert(4, '"k"', '{"n":4}')]);
      await bench.take(ORDERS, [{ n: 5, op: 'drop' }, insert(6, '"k"', '{"n":6}'), insert(7, '"l"', '{}')]);
      const versions = await bench.rows(`
        select key, cast(doc as varchar), operation, version_number, valid_from, valid_to from silver.shop__orders_history order by key, position`);
      expect(versions).toEqual([
        ['"k"', '{"n":1.0}', 'insert', 1, isoOf(1), isoOf(2)],
        ['"k"', null, 'update', 2, isoOf(2), isoOf(3)],
        ['"k"', '{"n":4}', 'insert', 4, isoOf(4), isoOf(5)],
        ['"k"', '{"n":6}', 'insert', 1, isoOf(6), null],
        ['"l"', '{}', 'insert', 1, isoOf(7), null],
      ]);
    });

    it('say how each collection fares', async () => {
      const health = (): Promise<readonly (readonly unknown[])[]> =>
        bench.rows('select collection, health, files, files_rejected, "rows", last_error from sluice.pipeline_health order by 1');
      const now = { t: Math.floor(Date.now() / 1000), i: 0 };
      for (const coll of ['a', 'b', 'c', 'd']) await bench.load(await bench.files.seal({ db: 's', coll }, [insert(1, '"k"', '{}')]));
      const mark = (coll: string, secondsAgo: number): Promise<void> =>
        bench.warehouse.markComplete([{ namespace: { db: 's', coll }, through: { t: now.t - secondsAgo, i: 0 } }]);
      await mark('a', 60);
      await mark('b', 3 * 3600);
      await bench.load(await bench.files.seal({ db: 's', coll: 'c' }, [insert(2, '"l"', '{}')], { claim: { rows: 5 } }));
      await bench.warehouse.setStatus({ db: 's', coll: 'd' }, 'PAUSED', 'by hand');
      expect(await health()).toEqual([
        ['s.a', 'HEALTHY', 1, 0, 1, null],
        ['s.b', 'STALE', 1, 0, 1, null],
        ['s.c', 'ERROR', 1, 1, 1, 'it has 1 rows, its ledger line says 5'],
        ['s.d', 'PAUSED', 1, 0, 1, 'by hand'],
      ]);
      const [[lag, mean] = []] = await bench.rows("select lag_seconds, mean_load_ms from sluice.pipeline_health where collection = 's.b'");
      expect(lag).toBeGreaterThanOrEqual(3 * 3600);
      expect(mean).toBeGreaterThanOrEqual(0);
    });
  });
}

async function isDone(work: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([work, Promise.resolve(pending)])) !== pending;
}
