import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWarehouse } from '../../../test/contracts/warehouse.ts';
import { ready, type WarehouseOptions } from '../../../test/contracts/warehouse-bench.ts';
import type { Warehouse } from '../../core/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { Database } from './database.ts';
import { openDuckDb } from './duckdb.ts';

describeWarehouse('DuckDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-warehouse-'));
  const path = join(folder, 'warehouse.duckdb');
  const opened = (existing: boolean, { deletes = 'soft', columns = {} }: WarehouseOptions = {}): Promise<Warehouse> =>
    openDuckDb({ path, existing, deletes, columns, log: silentLog });
  return {
    open: async (options) => ready(await opened(false, options), 'migrate'),
    look: async (options) => ready(await opened(true, options), 'assertMigrated'),
    damage: async (...statements) => {
      await using database = await Database.open(path);
      await database.read((session) => session.runAll(statements.map((text) => ({ text, values: [] }))));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
});
