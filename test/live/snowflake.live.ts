/**
 * The suite of every warehouse on a real account of Snowflake: `npm run test:snowflake-live`.
 *
 * SLUICE_SNOWFLAKE_URL        snowflake://account/any?warehouse=…&role=…   the role must be allowed to create databases
 * SLUICE_SNOWFLAKE_USER       with SLUICE_SNOWFLAKE_KEY_FILE (a private key), or with SLUICE_SNOWFLAKE_TOKEN (an access token)
 *
 * Each test has a database of its own, named SLUICE_TEST_…, which is dropped behind it.
 */
import { randomUUID } from 'node:crypto';
import { describe, it } from 'vitest';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { silentLog } from '../../src/ops/log.ts';
import { SnowflakeConnection, type SnowflakeAuth } from '../../src/warehouse/snowflake/connection.ts';
import { openSnowflake } from '../../src/warehouse/snowflake/snowflake.ts';
import { parseTarget } from '../../src/warehouse/snowflake/target.ts';
import { never, ready, type WarehouseOptions } from '../contracts/warehouse-bench.ts';
import { describeWarehouse } from '../contracts/warehouse.ts';

const {
  SLUICE_SNOWFLAKE_URL: url,
  SLUICE_SNOWFLAKE_USER: user,
  SLUICE_SNOWFLAKE_KEY_FILE: privateKeyFile,
  SLUICE_SNOWFLAKE_TOKEN: token,
} = process.env;

function authFrom(): SnowflakeAuth | null {
  if (user === undefined) return null;
  if (privateKeyFile !== undefined) return { kind: 'keyPair', user, privateKeyFile };
  return token === undefined ? null : { kind: 'pat', user, token };
}

const auth = authFrom();
if (url === undefined || auth === null) {
  const missing =
    'SKIPPED: set SLUICE_SNOWFLAKE_URL, SLUICE_SNOWFLAKE_USER and SLUICE_SNOWFLAKE_KEY_FILE or SLUICE_SNOWFLAKE_TOKEN to run this on an account';
  process.stderr.write(`${missing}\n`);
  describe('Snowflake, live', () => it.skip(missing));
} else {
  const target = parseTarget(url);
  const run = async (...statements: readonly string[]): Promise<void> => {
    const connection = await SnowflakeConnection.open(target, auth, 'sluice:test', never);
    for (const text of statements) await connection.run({ text, values: [] }, { limitMs: 60_000, tag: 'sluice:test', signal: never });
    await connection.close();
  };
  describeWarehouse('Snowflake, live', async () => {
    const database = `SLUICE_TEST_${randomUUID().replaceAll('-', '').toUpperCase()}`;
    await run(`CREATE DATABASE ${database}`);
    const own = url.replace(/^(snowflake:\/\/[^/]+\/)[^?]+/, `$1${database}`);
    const opened = ({ deletes = 'soft', columns = {} }: WarehouseOptions = {}): Warehouse =>
      openSnowflake({ url: own, auth, pipeline: 'test', deletes, columns, log: silentLog });
    return {
      open: (options) => ready(opened(options), 'migrate'),
      look: (options) => ready(opened(options), 'assertMigrated'),
      // A backslash in a literal of Snowflake begins an escape.
      damage: (...statements) => run(`USE DATABASE ${database}`, ...statements.map((text) => text.replaceAll('\\', '\\\\'))),
      [Symbol.asyncDispose]: () => run(`DROP DATABASE IF EXISTS ${database}`),
    };
  });
}
