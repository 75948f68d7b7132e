import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { describeSilverProperty } from '../../../test/contracts/silver-property.ts';
import { silentLog } from '../../ops/log.ts';
import { openDuckDb } from './duckdb.ts';

const folder = await mkdtemp(join(tmpdir(), 'sluice-silver-duckdb-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

describeSilverProperty(
  'DuckDB',
  async () => {
    const warehouse = await openDuckDb({ path: join(folder, 'warehouse.duckdb'), deletes: 'soft', columns: {}, log: silentLog });
    await warehouse.migrate();
    return warehouse;
  },
  { runs: 40, timeLimitMs: 15_000 },
);
