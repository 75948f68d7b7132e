import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWarehouse } from '../../../test/contracts/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { openDuckDb } from './duckdb.ts';

describeWarehouse('DuckDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-warehouse-'));
  return {
    open: async (options = {}) => {
      const warehouse = await openDuckDb({
        path: join(folder, 'warehouse.duckdb'),
        deletes: options.deletes ?? 'soft',
        columns: options.columns ?? {},
        log: silentLog,
      });
      await warehouse.migrate();
      return warehouse;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
});
