import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe } from 'vitest';
import { describeWarehouse } from '../../../test/contracts/warehouse.ts';
import { standInMissing, startStandIn, type StandIn } from '../../../test/fakes/snowflake/stand-in.ts';
import { silentLog } from '../../ops/log.ts';
import { never, ready, type WarehouseOptions } from '../../../test/contracts/warehouse-bench.ts';
import type { Warehouse } from '../../core/warehouse.ts';
import { SnowflakeConnection } from './connection.ts';
import { openSnowflake } from './snowflake.ts';
import { parseTarget } from './target.ts';

/** Each planted fault takes a second there, and each order of files: `npm run test:nightly` tries them all. */
const NIGHTLY = process.env['SLUICE_SNOWFLAKE_RUNS'] !== undefined;

describe.skipIf(standInMissing !== null)('on the stand-in', () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await startStandIn();
  });
  afterAll(async () => {
    await standIn[Symbol.asyncDispose]();
  });
  describeWarehouse(
    'Snowflake',
    async () => {
      const url = standIn.url(`W${randomUUID().replaceAll('-', '')}`);
      const auth = { kind: 'keyPair', user: 'SLUICE', privateKeyFile: standIn.privateKeyFile } as const;
      const opened = ({ deletes = 'soft', columns = {} }: WarehouseOptions = {}): Warehouse =>
        openSnowflake({ url, auth, pipeline: 'shop', deletes, columns, log: silentLog });
      return {
        open: (options) => ready(opened(options), 'migrate'),
        look: (options) => ready(opened(options), 'assertMigrated'),
        damage: async (...statements) => {
          const connection = await SnowflakeConnection.open(parseTarget(url), auth, 'damage', never);
          // A backslash in a literal of Snowflake begins an escape.
          for (const text of statements)
            await connection.run({ text: text.replaceAll('\\', '\\\\'), values: [] }, { limitMs: 60_000, tag: 'damage', signal: never });
          await connection.close();
        },
        [Symbol.asyncDispose]: async () => {},
      };
    },
    { thorough: NIGHTLY },
  );
});
