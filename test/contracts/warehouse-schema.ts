/** Part of the suite in warehouse.ts: what is learnt of documents, and the views that people read. */
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/core/error.ts';
import { DocumentSchema, formatPath } from '../../src/core/document-schema.ts';
import { formatNamespace, type Namespace } from '../../src/core/namespace.ts';
import type { QueryResult, SchemaVersion } from '../../src/core/warehouse.ts';
import { isoOf, timeOf, type TestEvent } from './sealed-files.ts';
import { never, ORDERS, type Bench } from './warehouse-bench.ts';

const FISH: Namespace = { db: 'shop', coll: 'a"b.c $é 🐟' };
const LONG: Namespace = { db: 'Shop', coll: 'LongName'.repeat(15) };

const insert = (n: number, doc: string): TestEvent => ({ n, op: 'insert', key: `"k${n}"`, doc });

/** `path` → `type: count, …`. */
function typesOf(version: SchemaVersion | undefined): Record<string, string> {
  const entries = (version?.fields ?? []).map(({ path, types }) => [
    formatPath(path),
    Object.entries(types)
      .map(([type, n]) => `${type} ${n}`)
      .join(', '),
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

export function describeSchema(bench: Bench): void {
  const schema = async (ns = ORDERS): Promise<SchemaVersion | undefined> => (await bench.warehouse.schema(ns)).at(-1);
  const read = (sql: string): Promise<QueryResult> => bench.warehouse.query(sql, 1000, never);
  const takeDocs = (...docs: readonly string[]): Promise<void> =>
    bench.take(
      ORDERS,
      docs.map((doc) => insert((n += 1), doc)),
    );
  let n = 0;
  /** Columns of a view with their values in its one row, without those that every view has. */
  const only = async (view: string): Promise<Record<string, unknown>> => {
    const { columns, rows } = await read(`select * from ${view} order by _key desc limit 1`);
    return Object.fromEntries(columns.map((column, i) => [column, rows[0]?.[i]] as const).filter(([column]) => !column.startsWith('_')));
  };

  describe('the schema', () => {
    it('has every path with its BSON types and how many documents had them', async () => {
      await takeDocs(
        '{"a":1,"s":"x","o":{"in":true,"deep":{"er":null}},"list":[{"x":1},{"y":"z"}],"none":[],"when":{"$date":"2026-11-21T07:45:01Z"}}',
        '{"a":1.5,"s":null,"id":{"$oid":"64b000000000000000000001"},"n":{"$numberDecimal":"1.10"},"list":["p","q"],"both":[1,"x"]}',
        '{"a":{"$numberLong":"5"},"i":{"$numberInt":"1"},"d":{"$numberDouble":"1.0"},"b":{"$binary":{"base64":"AAEC","subType":"00"}},"signs":[1,-1]}',
      );
      expect(await schema()).toMatchObject({ version: 1, documents: 3 });
      expect(typesOf(await schema())).toEqual({
        a: expect.stringMatching(/^(long 2, double 1|double 1, long 2)$/) as string,
        s: expect.stringMatching(/string 1/) as string,
        o: 'object 1',
        'o.in': 'bool 1',
        'o.deep': 'object 1',
        'o.deep.er': 'null 1',
        list: 'array 2',
        'list[]': expect.stringMatching(/object 1/) as string,
        'list[].x': 'long 1',
        'list[].y': 'string 1',
        none: 'array 1',
        when: 'date 1',
        id: 'objectId 1',
        n: 'decimal 1',
        both: 'array 1',
        'both[]': 'mixed 1',
        i: 'int 1',
        d: 'double 1',
        b: 'binData 1',
        signs: 'array 1',
        'signs[]': 'long 1',
      });
    });

    it('counts each event with a document once, in whatever files and batches they come', async () => {
      await takeDocs('{"a":1}', '{"a":2,"b":1}');
      await bench.take(ORDERS, [
        { n: 900, op: 'update', key: '"k1"', doc: '{"a":3}' },
        { n: 901, op: 'update', key: '"k1"', doc: null },
        { n: 902, op: 'delete', key: '"k1"' },
        { n: 903, op: 'drop' },
      ]);
      await bench.merge(ORDERS, true);
      expect(await schema()).toMatchObject({ version: 1, documents: 3 });
      expect(typesOf(await schema())).toEqual({ a: 'long 3', b: 'long 1' });
    });

    it('gets a version when a path or a type is new, and the earlier ones stay', async () => {
      await takeDocs('{"a":1}');
      await takeDocs('{"a":2}');
      await takeDocs('{"a":null}');
      await takeDocs('{"a":1,"b":{}}');
      await bench.reopen();
      const versions = await bench.warehouse.schema(ORDERS);
      expect(versions.map(({ version, documents }) => [version, documents])).toEqual([
        [1, 2],
        [2, 3],
        [3, 4],
      ]);
      expect(versions.map(typesOf)).toEqual([{ a: 'long 2' }, { a: 'long 2, null 1' }, { a: 'long 3, null 1', b: 'object 1' }]);
      expect(new Set(versions.map(({ hash }) => hash)).size).toBe(3);
      expect(await bench.rows("select version from sluice.schema_history where collection = 'shop.orders' order by 1")).toEqual([[1], [2], [3]]);
    });

    it('takes in what a look at some documents has shown, before anything is loaded', async () => {
      await bench.warehouse.discover([ORDERS]);
      const seen = new DocumentSchema();
      seen.documents = 2;
      seen.add(['a'], 'int', 2);
      seen.add(['b'], 'string', 1);
      await bench.warehouse.learn(ORDERS, seen);
      expect(typesOf(await schema())).toEqual({ a: 'int 2', b: 'string 1' });
      expect((await schema())?.columns.map(({ view, name, type }) => [view, name, type])).toEqual([
        [null, 'a', 'BIGINT'],
        [null, 'b', 'VARCHAR'],
      ]);
      await takeDocs('{"a":1}');
      expect(await only('gold.shop__orders')).toEqual({ a: 1, b: null });
    });

    it('is learnt from documents of any kind without losing one of them', async () => {
      const wide = `{"days":{${Array.from({ length: 3000 }, (_, i) => `"day${i}":{"n":${i}}`).join(',')}}}`;
      const deep = `${'{"d":'.repeat(100)}1${'}'.repeat(100)}`;
      const docs = [
        '{"":1,"a":{"":2},"__proto__":{"x":1},"a.b":3,"$x":4,"tab\\tend":5}',
        '{"twice":1,"twice":"x"}',
        wide,
        deep,
        '{}',
        '{"n":[[1],[[2]]]}',
      ];
      await takeDocs(...docs);
      expect(await bench.rows('select count(*) from silver.shop__orders')).toEqual([[docs.length]]);
      expect(await bench.rows('select count(*) from gold.shop__orders')).toEqual([[docs.length]]);
      const known = typesOf(await schema());
      expect(known).toMatchObject({
        '': 'long 1',
        'a.': 'long 1',
        '__proto__.x': 'long 1',
        $x: 'long 1',
        twice: expect.any(String) as string,
        n: 'array 1',
      });
      expect(Object.keys(known).length).toBeLessThan(1100);
      expect((await schema())?.columns.map(({ name }) => name)).toContain('days');
    });

    it('is caught up with after a crash between the merge and the learning', async () => {
      await takeDocs('{"a":1,"list":[1]}');
      expect(await bench.warehouse.unlearnt()).toEqual([]);
      await bench.warehouse[Symbol.asyncDispose]();
      await bench.damage(
        'update sluice.collection_registry set learnt_batch = null',
        'delete from sluice.schema_history',
        'delete from sluice.views',
        'drop view gold.shop__orders',
        'drop view gold.shop__orders__list',
      );
      await bench.reopen();
      expect([await bench.warehouse.unmerged(), await bench.warehouse.unlearnt()]).toEqual([[], [ORDERS]]);
      expect(await bench.merge(ORDERS)).toBe(0);
      expect(await bench.warehouse.unlearnt()).toEqual([]);
      expect(await only('gold.shop__orders')).toEqual({ a: 1, list: '[1]' });
      expect(await bench.rows('select value from gold.shop__orders__list')).toEqual([[1]]);
    });

    it('notes how many documents the source has', async () => {
      await bench.warehouse.discover([ORDERS]);
      await bench.warehouse.noteSourceCounts([{ namespace: ORDERS, count: 12 }]);
      const [row] = await bench.warehouse.collections();
      expect(row).toMatchObject({ sourceCount: 12, sourceCountedAt: expect.stringMatching(/^20/) as string, status: 'DISCOVERED' });
    });
  });

  describe('gaps of the history', () => {
    it('are noted by pipeline, once, and follow what becomes of them', async () => {
      const noted = (): Promise<unknown> =>
        bench.rows('select pipeline, from_at, to_at, collections, cause from sluice.gaps order by pipeline, from_at');
      const first = {
        from: timeOf(1),
        to: timeOf(60),
        detectedAt: '2026-11-21T00:01:00.123Z',
        collections: ['shop.*', 'crm.people'],
        cause: "it's gone",
      };
      const second = { ...first, from: timeOf(600), to: null, detectedAt: '2026-11-21T00:20:00.000Z' };
      const other = { ...first, collections: ['*.*'] };
      await bench.warehouse.noteGaps('shop', [first]);
      await bench.warehouse.noteGaps('shop', [first, second]);
      await bench.warehouse.noteGaps('shop', [first, second]);
      await bench.warehouse.noteGaps('other', [other]);
      const row = (to: string | null) => (from: string, collections: string, pipeline: string) => [pipeline, from, to, collections, "it's gone"];
      const closed = row(isoOf(60))(isoOf(1), 'shop.*, crm.people', 'shop');
      const others = row(isoOf(60))(isoOf(1), '*.*', 'other');
      expect(await noted()).toEqual([others, closed, row(null)(isoOf(600), 'shop.*, crm.people', 'shop')]);
      const warehouse = await bench.reopen();
      await warehouse.noteGaps('shop', [first]);
      expect(await noted()).toEqual([others, closed]);
      await warehouse.noteGaps('shop', []);
      expect(await noted()).toEqual([others]);
    });
  });

  describe('gold', () => {
    it('has a typed column for each field, and what is changed or deleted follows', async () => {
      await takeDocs(
        `{"_id":"k","total":{"$numberDecimal":"12.50"},"n":7,"ratio":0.5,"ok":true,"when":{"$date":"2026-11-21T07:45:01.123Z"},"long":9007199254740993,
          "who":{"$oid":"64b000000000000000000001"},"bin":{"$binary":{"base64":"AAEC","subType":"00"}},"address":{"city":"Köln","geo":{"lat":1.0}},"nothing":null}`.replaceAll(
          /\n\s*/g,
          '',
        ),
      );
      expect(await only('gold.shop__orders')).toEqual({
        total: 12.5,
        n: 7,
        ratio: 0.5,
        ok: true,
        when: '2026-11-21T07:45:01.123Z',
        long: '9007199254740993',
        who: '64b000000000000000000001',
        bin: '000102',
        address_city: 'Köln',
        address_geo_lat: 1,
      });
      expect(await bench.rows('select _key, _at, _version, _id from gold.shop__orders')).toEqual([[`"k${n}"`, isoOf(n), 1, 'k']]);
      await bench.take(ORDERS, [{ n: 950, op: 'update', key: `"k${n}"`, doc: '{"_id":"k","n":8}' }]);
      expect(await bench.rows('select _version, n, total from gold.shop__orders')).toEqual([[2, 8, null]]);
      await bench.take(ORDERS, [{ n: 951, op: 'delete', key: `"k${n}"` }]);
      expect(await bench.rows('select * from gold.shop__orders')).toEqual([]);
    });

    it('tells names apart that differ by case or by how they are put together, and takes reserved words', async () => {
      await takeDocs('{"a_b":1,"a":{"b":2},"A_B":3,"select":4,"from":5,"_key":6,"odd \\"name\\"\\n":7,"é 🐟":8}');
      const { columns, rows } = await read('select * from gold.shop__orders');
      expect(new Set(columns.map((column) => column.toLowerCase())).size).toBe(columns.length);
      expect(columns.slice(3, 4)).toEqual(['a_b']);
      expect(rows[0]?.slice(3)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(await bench.rows('select "select", "from" from gold.shop__orders')).toEqual([[4, 5]]);
    });

    it('only gets more columns, whose types only widen', async () => {
      await takeDocs('{"n":1,"d":{"$numberDecimal":"1.5"},"s":"x"}');
      const first = (await read('select * from gold.shop__orders')).columns;
      await takeDocs('{"new":true,"d":{"$numberDecimal":"1.23456"},"n":1.5}', '{"d":{"$numberDecimal":"1E+3"},"e":{"$numberDecimal":"NaN"}}');
      const second = (await read('select * from gold.shop__orders')).columns;
      expect(second.slice(0, first.length)).toEqual(first);
      expect(await bench.rows('select n, d, s from gold.shop__orders order by _key')).toEqual([
        [1, '1.5', 'x'],
        [1.5, '1.23456', null],
        [null, '1E+3', null],
      ]);
      await takeDocs('{"n":1}');
      expect((await read('select * from gold.shop__orders')).columns).toEqual(second);
    });

    it('shows the few values of another type as NULL and counts them, and makes text of a column where they are many', async () => {
      await takeDocs(...Array.from({ length: 300 }, (_, i) => `{"n":${i},"t":"x","b":true}`));
      await takeDocs('{"n":"1.5","t":5,"b":"maybe"}', '{"n":"many"}');
      expect(await bench.rows('select n, t, b from gold.shop__orders where n is null order by _key')).toEqual([
        [null, '5', null],
        [null, null, null],
      ]);
      const conflicts = (await schema())?.columns.map(({ name, type, conflicts: count }) => [name, type, count]);
      expect(conflicts).toEqual([
        ['n', 'BIGINT', 2],
        ['t', 'VARCHAR', 0],
        ['b', 'BOOLEAN', 1],
      ]);
      expect(await bench.warehouse.failedCasts(ORDERS, never)).toEqual([
        { column: 'n', documents: 2 },
        { column: 't', documents: 0 },
        { column: 'b', documents: 1 },
      ]);
      await takeDocs('{"n":"a"}', '{"n":"b"}', '{"n":"c"}');
      expect(await bench.rows("select n from gold.shop__orders where n in ('7', 'many', 'c') order by 1")).toEqual([['7'], ['c'], ['many']]);
    });

    it('shows dates beyond its calendar as NULL', async () => {
      await takeDocs('{"when":{"$date":"2026-11-21T07:45:01Z"}}', '{"when":{"$date":{"$numberLong":"9223372036854775807"}}}');
      expect(await bench.rows('select "when" from gold.shop__orders order by _key')).toEqual([['2026-11-21T07:45:01.000Z'], [null]]);
      expect(await bench.warehouse.failedCasts(ORDERS, never)).toEqual([{ column: 'when', documents: 1 }]);
    });

    it('has a view for each array, with a row per element', async () => {
      await takeDocs(
        '{"items":[{"sku":"a","n":1,"in":{"x":1}},{"sku":"b","tags":[1]}],"o":{"list":[1,2]},"odd":5}',
        '{"items":"none","o":{"list":[]},"odd":[[1]]}',
      );
      expect(await bench.rows('select _index, sku, n, in_x from gold.shop__orders__items order by _index')).toEqual([
        [0, 'a', 1, 1],
        [1, 'b', null, null],
      ]);
      expect(await bench.rows('select _index, value from gold.shop__orders__o_list order by _index')).toEqual([
        [0, 1],
        [1, 2],
      ]);
      expect(await bench.rows('select count(*) from gold.shop__orders__odd')).toEqual([[1]]);
      await takeDocs('{"items":[{"sku":"c","more":true}]}');
      expect(await bench.rows('select sku, more from gold.shop__orders__items where more')).toEqual([['c', true]]);
    });

    it('gives each collection and array a view of its own, whatever they are called', async () => {
      const rivals: readonly Namespace[] = [
        { db: 'shop', coll: 'orders__items' },
        { db: 'shop', coll: 'Orders' },
        { db: 'shop', coll: 'tags' },
        { db: 'shop', coll: 'orders__tags' },
        FISH,
        LONG,
        { db: 'shop', coll: LONG.coll?.toLowerCase() ?? null },
      ];
      const [first, second, ...rest] = rivals;
      const doc = (name: string): string => `{"_id":${JSON.stringify(name)},"items":[{"sku":${JSON.stringify(name)}}],"tags":["x"]}`;
      const take = (ns: Namespace): Promise<void> => bench.take(ns, [insert(1, doc(formatNamespace(ns)))]);
      for (const ns of [first!, ORDERS, second!, ...rest]) await take(ns);
      const views = await bench.rows('select name, collection, field from sluice.views order by name');
      expect(new Set(views.map(([name]) => String(name).toLowerCase())).size).toBe(3 * (rivals.length + 1));
      const quote = (name: unknown): string => `"${String(name).replaceAll('"', '""')}"`;
      for (const [name, collection, field] of views) {
        const column = field === null ? '_id' : field === '["items"]' ? 'sku' : 'value';
        const wanted = field === '["tags"]' ? 'x' : collection;
        expect(await bench.rows(`select ${column} from gold.${quote(name)}`), String(name)).toEqual([[wanted]]);
      }
    });

    it('and the history of a collection with an odd or a long name can be read, and are told from those of its rivals', async () => {
      for (const ns of [FISH, LONG, { db: 'Shop', coll: LONG.coll?.toUpperCase() ?? null }]) {
        await bench.take(ns, [insert(1, '{"n":1}'), { n: 2, op: 'update', key: '"k1"', doc: '{"n":2}' }]);
        const [[stem] = []] = await bench.rows(
          `select table_name from sluice.collection_registry where collection = '${formatNamespace(ns).replaceAll("'", "''")}'`,
        );
        const quoted = (suffix: string): string => `"${String(stem).replaceAll('"', '""')}${suffix}"`;
        expect(await bench.rows(`select n from gold.${quoted('')}`)).toEqual([[2]]);
        expect(await bench.rows(`select version_number from silver.${quoted('_history')} order by 1`)).toEqual([[1], [2]]);
        expect(await Array.fromAsync(bench.warehouse.silver(ns, never), (row) => row.key)).toEqual(['"k1"']);
      }
    });
  });

  it('the history gives the documents as of any moment', async () => {
    const at = (moment: number): Promise<readonly (readonly unknown[])[]> =>
      bench.rows(`
        select key, cast(doc as varchar) from silver.shop__orders_history
        where valid_from <= cast('${isoOf(moment)}' as timestamptz) and (valid_to > cast('${isoOf(moment)}' as timestamptz) or valid_to is null) order by key`);
    await bench.take(ORDERS, [insert(1, '{"n":1}'), insert(2, '{"n":2}'), { n: 3, op: 'update', key: '"k1"', doc: '{"n":3}' }]);
    await bench.take(ORDERS, [{ n: 4, op: 'delete', key: '"k2"' }, { n: 6, op: 'drop' }, insert(7, '{"n":7}')]);
    const moments = [0, 1, 2, 3, 4, 5, 6, 7].map(async (moment) => (await at(moment)).map((row) => row.join(' ')).join('; '));
    expect(await Promise.all(moments)).toEqual([
      '',
      '"k1" {"n":1}',
      '"k1" {"n":1}; "k2" {"n":2}',
      '"k1" {"n":3}; "k2" {"n":2}',
      '"k1" {"n":3}',
      '"k1" {"n":3}',
      '',
      '"k7" {"n":7}',
    ]);
  });

  it('a statement reads collections as they were at a moment, where that is known', async () => {
    const ask = async (statement: string, moment: number): Promise<unknown> => {
      const { rows } = await bench.warehouse.query(await bench.warehouse.asOf(statement, isoOf(moment)), 10, never);
      return rows;
    };
    const reason = (statement: string, moment: number): Promise<unknown> =>
      ask(statement, moment).catch((error: unknown) => (error instanceof SluiceError ? `${error.code} ${error.message}` : error));
    expect(await reason('select * from shop__orders', 2)).toMatch(/^SLC-1341 .*nothing is loaded/);
    await bench.take(ORDERS, [insert(1, '{"n":1}'), insert(2, '{"n":2}'), { n: 3, op: 'update', key: '"k1"', doc: '{"n":3}' }]);
    await bench.take(FISH, [insert(2, '{"fish":2}'), insert(4, '{"fish":4}')]);
    const all = 'select key, cast(doc as varchar) from shop__orders order by key';
    expect(await reason(all, 2)).toMatch(/^SLC-1340 .*shop\.orders is complete up to no time yet/);
    await bench.warehouse.markComplete([ORDERS, FISH].map((namespace) => ({ namespace, through: timeOf(5) })));
    expect(await ask(all, 2)).toEqual([
      ['"k1"', '{"n":1}'],
      ['"k2"', '{"n":2}'],
    ]);
    expect(await ask(all, 4)).toEqual([
      ['"k1"', '{"n":3}'],
      ['"k2"', '{"n":2}'],
    ]);
    // With a WITH of its own, a comment before it, a name that must be quoted, and the present beside the past.
    const fish = '"shop__a""b.c $é 🐟"';
    const joined = `-- then and now\nwith x as (select key from ${fish}) select count(*) from shop__orders o join x on x.key = o.key join silver.shop__orders s on s.key = o.key`;
    expect(await ask(joined, 3)).toEqual([[1]]);
    expect(await reason(all, 0)).toContain(`SLC-1340 What was at that moment is not known: the history of shop.orders begins at ${isoOf(1)}`);
    expect(await reason(all, 5)).toContain(`shop.orders is complete up to ${isoOf(5)}`);
    expect(await reason('select * from silver.shop__orders', 2)).toMatch(/^SLC-1341 .*with its schema/);
    expect(await reason('select 1', 2)).toMatch(/^SLC-1341 .*there are .*shop__orders/);
    await bench.warehouse.noteGaps('shop', [
      { from: timeOf(2), to: timeOf(3), detectedAt: isoOf(4), collections: ['*.*'], cause: 'the oplog was overtaken' },
    ]);
    expect(await reason(all, 2)).toContain(`history is lost from ${isoOf(2)} to ${isoOf(3)}`);
    expect(await ask(all, 1)).toHaveLength(1);
  });
}
