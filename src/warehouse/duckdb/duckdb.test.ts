import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWarehouse } from '../../../test/contracts/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { Database } from './database.ts';
import { openDuckDb } from './duckdb.ts';

describeWarehouse('DuckDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-warehouse-'));
  const path = join(folder, 'warehouse.duckdb');
  return {
    open: async (options = {}) => {
      const warehouse = await openDuckDb({
        path,
        deletes: options.deletes ?? 'soft',
        columns: options.columns ?? {},
        log: silentLog,
      });
      await warehouse.migrate();
      return warehouse;
    },
    damage: async (...statements) => {
      await using database = await Database.open(path);
      await database.read((session) => session.runAll(statements.map((text) => ({ text, values: [] }))));
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
});
