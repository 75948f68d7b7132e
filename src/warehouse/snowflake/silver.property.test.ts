import { afterAll, beforeAll, describe } from 'vitest';
import { describeSilverProperty } from '../../../test/contracts/silver-property.ts';
import { standInMissing, startStandIn, type StandIn } from '../../../test/fakes/snowflake/stand-in.ts';
import { silentLog } from '../../ops/log.ts';
import { openSnowflake } from './snowflake.ts';

/** `npm run test:nightly` takes more. */
const RUNS = Number(process.env['SLUICE_SNOWFLAKE_RUNS'] ?? 4);

describe.skipIf(standInMissing !== null)('on the stand-in', () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await startStandIn();
  });
  afterAll(async () => {
    await standIn[Symbol.asyncDispose]();
  });
  describeSilverProperty(
    'Snowflake',
    async () => {
      const warehouse = openSnowflake({
        url: standIn.url('PROPERTY'),
        auth: { kind: 'pat', user: 'SLUICE', token: 'good-token' },
        pipeline: 'shop',
        deletes: 'soft',
        columns: {},
        log: silentLog,
      });
      await warehouse.migrate();
      return warehouse;
    },
    { runs: RUNS, timeLimitMs: RUNS * 15_000 },
  );
});
