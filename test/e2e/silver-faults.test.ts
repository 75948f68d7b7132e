/** The checkers of a warehouse are only worth what they find: each fault is planted, and must be found by its name, alone. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { Database } from '../../src/warehouse/duckdb/database.ts';
import { SealedFiles } from '../contracts/sealed-files.ts';
import { never, ORDERS } from '../contracts/warehouse-bench.ts';
import { linesOf, type LakeLine } from './lake-files.ts';
import { bronzeFaults, differencesOf, openWarehouse } from './silver-faults.ts';

const DOCUMENTS = ['a', 'b', 'c'].map((key) => ({ _id: key, n: 1.5 }));
const FIRST_ROW = 'row_number = 1';

describe('the checkers of a warehouse', () => {
  let folder: string;
  let warehouse: Warehouse;
  let database: Database;
  let lines: readonly LakeLine[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-checkers-'));
    warehouse = await openWarehouse(join(folder, 'warehouse.duckdb'));
    await warehouse.migrate();
    const files = new SealedFiles(folder);
    const events = DOCUMENTS.map(({ _id }, n) => ({
      n,
      op: 'insert' as const,
      key: `"${_id}"`,
      doc: `{"_id":"${_id}","n":{"$numberDouble":"1.5"}}`,
    }));
    const file = await files.seal(ORDERS, events, { path: 'shop/orders/events-1.jsonl' });
    await warehouse.load([file], never);
    await warehouse.merge(ORDERS, { rebuild: false }, never);
    lines = linesOf(new Map([[file.line.path, await readFile(join(folder, file.line.path))]]));
    database = await Database.open(join(folder, 'warehouse.duckdb'));
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await warehouse[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const faultsOf = async (): Promise<string[]> => [
    ...(await bronzeFaults(warehouse, 'shop', 'orders', lines)),
    ...(await differencesOf(warehouse, 'shop', 'orders', DOCUMENTS)),
  ];

  it('find nothing in one that is right', async () => {
    expect(await faultsOf()).toEqual([]);
  });

  it.each([
    ['a row that is missing in bronze', 'missing in bronze', 'bronze', `delete from bronze.shop__orders where ${FIRST_ROW}`],
    ['a row that is extra in bronze', 'extra in bronze', 'bronze', `insert into bronze.shop__orders select * replace (9 as row_number) from bronze.shop__orders where ${FIRST_ROW}`], // prettier-ignore
    ['a file that was loaded twice', 'duplicate in bronze', 'bronze', 'insert into bronze.shop__orders select * from bronze.shop__orders'],
    ['a byte that has changed in bronze', 'changed in bronze', 'bronze', `update bronze.shop__orders set doc = replace(cast(doc as varchar), '1.5', '1.6') where ${FIRST_ROW}`], // prettier-ignore
    ['a row that is missing in silver', 'missing in silver', 'silver', `delete from silver.shop__orders where key = '"a"'`],
    ['a deleted document that is the last one', 'missing in silver', 'silver', `update silver.shop__orders set is_current = false where key = '"a"'`],
    ['a row that is extra in silver', 'extra in silver', 'silver', `insert into silver.shop__orders select * replace ('"x"' as key) from silver.shop__orders where key = '"a"'`], // prettier-ignore
    ['a row that is in silver twice', 'duplicate in silver', 'silver', `insert into silver.shop__orders select * from silver.shop__orders where key = '"a"'`], // prettier-ignore
    ['a row that is stale in silver', 'stale in silver', 'silver', `update silver.shop__orders set doc = replace(cast(doc as varchar), '1.5', '1.4') where key = '"a"'`], // prettier-ignore
  ])('find %s', async (_what, name, schema, statement) => {
    const run = (text: string): Promise<unknown> => database.read((session) => session.run({ text, values: [] }));
    await database.read((session) =>
      session.runAll(
        [`create or replace table ${schema}.kept as select * from ${schema}.shop__orders`, statement].map((text) => ({ text, values: [] })),
      ),
    );
    try {
      const faults = await faultsOf();
      expect([...new Set(faults.map((fault) => fault.slice(0, fault.indexOf(':'))))], faults.join('\n')).toEqual([name]);
    } finally {
      await run(`delete from ${schema}.shop__orders`);
      await run(`insert into ${schema}.shop__orders select * from ${schema}.kept`);
    }
  });
});
