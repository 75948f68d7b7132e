/** A DuckDB file that another process has open while a run wants it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestClock } from '../../test/fakes/capture-bench.ts';
import { Workspace } from '../../test/e2e/workspace.ts';
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { WAREHOUSE_BUSY } from '../core/errors.ts';
import { silentLog } from '../ops/log.ts';
import { awaitWarehouse } from './compose.ts';

let work: Workspace;
let config: Config;
let other: ChildProcess;

beforeEach(async () => {
  work = await Workspace.make();
  config = work.config({ source: { uri: 'mongodb://127.0.0.1/?replicaSet=rs0' }, warehouse: { url: 'duckdb:./warehouse.duckdb' } });
  const script = `
    import { DuckDBInstance } from ${JSON.stringify(import.meta.resolve('@duckdb/node-api'))};
    globalThis.held = await DuckDBInstance.create(${JSON.stringify(join(work.folder, 'warehouse.duckdb'))});
    console.log('open');
    process.stdin.resume();`;
  other = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(other.stdout!, 'data');
});
afterEach(async () => {
  other.kill('SIGKILL');
  await work[Symbol.asyncDispose]();
});

it('is waited for', async () => {
  const opening = awaitWarehouse(config, silentLog, systemClock, new AbortController().signal);
  await systemClock.sleep(300);
  other.kill('SIGKILL');
  await using warehouse = await opening;
  expect(await warehouse?.collections()).toEqual([]);
});

it('is not waited for when it takes too long', async () => {
  const clock = new TestClock();
  const opening = awaitWarehouse(config, silentLog, clock, new AbortController().signal);
  const refused = expect(opening).rejects.toMatchObject({ kind: WAREHOUSE_BUSY, message: expect.stringContaining(`process ${other.pid}`) as string });
  while (clock.sleeps.length === 0) await systemClock.sleep(10);
  clock.move(30_000);
  await refused;
});

it('is not waited for after a stop', async () => {
  const stop = new AbortController();
  const opening = awaitWarehouse(config, silentLog, systemClock, stop.signal);
  const stopped = expect(opening).rejects.toThrow('enough');
  stop.abort(new Error('enough'));
  await stopped;
});
