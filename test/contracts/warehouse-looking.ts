/**
 * Part of the suite in warehouse.ts: who only looks changes nothing, whatever is there and whatever it is configured with. A loader may be
 * at work on the same tables at that moment.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WAREHOUSE_EMPTY, WAREHOUSE_FAILED, WAREHOUSE_OLDER } from '../../src/core/errors.ts';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { isoOf, SealedFiles, timeOf, type TestEvent } from './sealed-files.ts';
import { kindOf, never, ORDERS, type WarehouseOptions, type WarehouseUnderTest } from './warehouse-bench.ts';

const LOADED_WITH: WarehouseOptions = {
  columns: { 'shop.orders': { total: 'fullDocument.total DECIMAL(18,2)', n: 'fullDocument.n BIGINT' } },
};
/** One column less, one more, one of another type. */
const OTHERS: readonly WarehouseOptions[] = [
  {},
  { deletes: 'hard', columns: { 'shop.orders': { more: 'fullDocument.n BIGINT', n: 'fullDocument.n VARCHAR' } } },
];
const insert = (n: number): TestEvent => ({ n, op: 'insert', key: `"k${n}"`, doc: `{"_id":"k${n}","n":${n},"total":${n}.5}` });

export function describeLooking(name: string, make: () => Promise<WarehouseUnderTest>): void {
  describe(`who only looks at ${name}`, () => {
    let under: WarehouseUnderTest;
    let files: SealedFiles;
    beforeEach(async () => {
      under = await make();
      files = new SealedFiles(await mkdtemp(join(tmpdir(), 'sluice-lake-')));
    });
    afterEach(async () => {
      await under[Symbol.asyncDispose]();
      await rm(files.root, { recursive: true, force: true });
    });

    const OURS = "in ('sluice', 'bronze', 'silver', 'gold')";
    /** All that is there: tables, columns with their types and comments, and what sluice has noted. */
    async function everything(warehouse: Warehouse): Promise<unknown> {
      const comments = name === 'DuckDB' ? 'select schema_name, table_name, column_name, comment from duckdb_columns()' : null;
      const asked = [
        `select table_schema, table_name from information_schema.tables where lower(table_schema) ${OURS} order by 1, 2`,
        `select table_schema, table_name, column_name, data_type from information_schema.columns where lower(table_schema) ${OURS} order by 1, 2, 3`,
        `select table_schema, table_name, column_name, comment from (${
          comments === null
            ? 'select table_schema, table_name, column_name, comment from information_schema.columns'
            : `select schema_name as table_schema, table_name, column_name, comment from (${comments})`
        }) where lower(table_schema) ${OURS} and comment is not null order by 1, 2, 3`,
        'select * from sluice.control',
        'select * from sluice.collection_registry order by collection',
        'select * from sluice.load_ledger order by path',
        'select * from sluice.views order by name',
        'select * from sluice.schema_history order by collection, version',
        'select * from silver.shop__orders order by key',
      ];
      const found: unknown[] = [];
      for (const sql of asked) {
        const { columns, rows, truncated } = await warehouse.query(sql, 10_000, never);
        expect(truncated).toBe(false);
        found.push({ columns, rows });
      }
      return found;
    }

    /** Everything that a command asks which only looks. */
    async function ask(warehouse: Warehouse): Promise<unknown> {
      const rows = (await warehouse.collections()).map((row) => row.rows);
      const history = await warehouse.history(ORDERS, never);
      return {
        rows,
        marks: history.marks,
        loaded: (await warehouse.loaded(['none'])).size,
        unmerged: await warehouse.unmerged(),
        versions: (await warehouse.schema(ORDERS)).length,
        failed: await warehouse.failedCasts(ORDERS, never),
        earlier: (await warehouse.query(await warehouse.asOf('select key from shop__orders', isoOf(1)), 10, never)).rows,
        keys: (await Array.fromAsync(warehouse.keys(ORDERS, timeOf(9), never))).length,
        counted: await warehouse.countKeys(ORDERS, ['"k1"'], timeOf(9)),
        silver: (await Array.fromAsync(warehouse.silver(ORDERS, never))).length,
        files: (await Array.fromAsync(warehouse.loadedFiles(ORDERS, never))).length,
        retained: (await warehouse.retainBronze(ORDERS, { before: 0, dryRun: true }, never)).rows,
        faults: await warehouse.prove(ORDERS, 5, never),
      };
    }

    const loaded = async (): Promise<Warehouse> => {
      const loader = await under.open(LOADED_WITH);
      await loader.load([await files.seal(ORDERS, [insert(1), insert(2)])], never);
      await loader.merge(ORDERS, { rebuild: false }, never);
      await loader.markComplete([{ namespace: ORDERS, through: timeOf(5) }]);
      return loader;
    };

    it('changes nothing beside a loader, with other columns configured, and finds no fault in them', async () => {
      await using loader = await loaded();
      const before = await everything(loader);
      expect(JSON.stringify(before)).toContain('fullDocument.total DECIMAL(18,2)');
      const answer = await ask(loader);
      expect(answer).toMatchObject({ rows: [2], counted: 1, silver: 2, files: 1, earlier: [['"k1"']], faults: [] });
      for (const other of OTHERS) {
        await using looker = await under.look(other);
        expect(await ask(looker)).toEqual(answer);
      }
      expect(await everything(loader)).toEqual(before);
      await loader.load([await files.seal(ORDERS, [insert(3)])], never);
      await loader.merge(ORDERS, { rebuild: false }, never);
      const { rows } = await loader.query('select total, n from silver.shop__orders order by key', 10, never);
      expect(rows).toEqual([
        [1.5, 1],
        [2.5, 2],
        [3.5, 3],
      ]);
    });

    it('finds a value of a column that is wrong by what silver was made with, not by what is configured', async () => {
      await (await loaded())[Symbol.asyncDispose]();
      await under.damage(`update silver.shop__orders set n = 7 where key = '"k2"'`);
      await using looker = await under.look(OTHERS[1]);
      expect(await looker.prove(ORDERS, 5, never)).toMatchObject([{ check: 'silver-column', total: 1, examples: [{ where: '"k2"' }] }]);
    });

    it('and who writes nothing into silver leaves its columns as they are', async () => {
      await using loader = await loaded();
      const before = await everything(loader);
      for (const other of OTHERS) {
        await using looker = await under.look(other);
        await looker.migrate({ columns: false });
      }
      expect(await everything(loader)).toEqual(before);
    });

    it('makes nothing where there is nothing, and is told so', async () => {
      expect(await kindOf(under.look(LOADED_WITH))).toBe(WAREHOUSE_EMPTY);
      expect(await kindOf(under.look(LOADED_WITH))).toBe(WAREHOUSE_EMPTY);
      await using loader = await under.open();
      expect(await loader.collections()).toEqual([]);
      await using looker = await under.look();
      expect(await looker.collections()).toEqual([]);
    });

    it('leaves tables alone that are older, newer, or those of a start that was cut short, and is told so', async () => {
      await using loader = await loaded();
      for (const [version, kind] of [
        [4, WAREHOUSE_OLDER],
        [99, WAREHOUSE_FAILED],
        [0, WAREHOUSE_EMPTY],
      ] as const) {
        await under.damage(`update sluice.control set schema_version = ${version}`);
        const before = await everything(loader);
        for (const other of [LOADED_WITH, ...OTHERS]) expect(await kindOf(under.look(other)), String(version)).toBe(kind);
        expect(await everything(loader), String(version)).toEqual(before);
      }
    });

    it('can look again once what loads has brought the tables up, all of them', async () => {
      await (await loaded())[Symbol.asyncDispose]();
      // In DuckDB a table stays in its schema, in Snowflake it goes to the one that is named.
      const schema = name === 'DuckDB' ? '' : 'bronze.';
      await under.damage('update sluice.control set schema_version = 4', `alter table bronze.shop__orders rename to ${schema}away`);
      await expect(under.open(LOADED_WITH)).rejects.toThrow(/shop__orders/i);
      expect(await kindOf(under.look())).toBe(WAREHOUSE_OLDER);
      await under.damage(`alter table bronze.away rename to ${schema}shop__orders`);
      await (await under.open(LOADED_WITH))[Symbol.asyncDispose]();
      await using looker = await under.look();
      expect(await looker.prove(ORDERS, 5, never)).toEqual([]);
    });
  });
}
