/** How a run is found, and how the next one is, while the one before is on its way out. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Control, Serving } from '../app/control.ts';
import type { Role } from '../app/types.ts';
import { parseConfig } from '../config/load.ts';
import { readRunFile, type Seat } from '../http/run-file.ts';
import { silentLog } from '../ops/log.ts';
import { serveRun } from './serve.ts';
import { testIo } from './test-io.ts';

let cwd: string;
beforeEach(async () => void (cwd = await mkdtemp(join(tmpdir(), 'sluice-serve-'))));
afterEach(async () => await rm(cwd, { recursive: true }));

const DUCKDB = { url: 'duckdb:./warehouse.duckdb' };
const SNOWFLAKE = { url: 'snowflake://account/db?warehouse=w', auth: { kind: 'pat', user: 'u', token: 't' } };
const configOf = (warehouse: object | null) => {
  const settings = { pipeline: 'shop', source: { uri: 'mongodb://h' }, lake: { url: 'file:./lake' }, http: { port: 0 } };
  return parseConfig(JSON.stringify(warehouse === null ? settings : { ...settings, warehouse }), { folder: cwd });
};
const io = () => testIo({ cwd, env: { XDG_STATE_HOME: join(cwd, 'state'), HOME: cwd } });

/** Nobody asks it anything. */
const control = { pipeline: 'shop' } as Control;

interface Served extends AsyncDisposable {
  readonly serving: Serving;
  readonly url: string;
}

async function serve(config: ReturnType<typeof configOf>, role: Role = 'all'): Promise<Served> {
  let url = '';
  const serving = await serveRun(io(), config, role, silentLog, (told) => void (url = told))(control);
  return { serving, url, [Symbol.asyncDispose]: () => serving[Symbol.asyncDispose]() };
}

const urlAt = async (config: ReturnType<typeof configOf>, seat: Seat): Promise<string | undefined> =>
  (await readRunFile(config, seat, io().env))?.url;

describe('the run file of a run that ends', () => {
  it.each(['all', 'capture', 'consume'] as const)(
    'of who writes the lake is gone before the next one has the lake, whose file stays (%s)',
    async (role) => {
      const config = configOf(null);
      await using first = await serve(config, role);
      await first.serving.owned();
      expect(await urlAt(config, 'lake')).toBe(first.url);
      await first.serving.leaving();
      expect(await urlAt(config, 'lake')).toBeUndefined();
      await using next = await serve(config, role);
      await next.serving.owned();
      await first.serving[Symbol.asyncDispose]();
      expect(await urlAt(config, 'lake')).toBe(next.url);
    },
  );

  it('is written again by who has left and begins anew', async () => {
    const config = configOf(null);
    await using run = await serve(config, 'all');
    for (let round = 0; round < 2; round += 1) {
      await run.serving.owned();
      expect(await urlAt(config, 'lake')).toBe(run.url);
      await run.serving.leaving();
      expect(await urlAt(config, 'lake')).toBeUndefined();
    }
  });

  it('of who has a DuckDB file open is there until the file is free', async () => {
    const config = configOf(DUCKDB);
    await using run = await serve(config);
    await Promise.all([run.serving.owned(), run.serving.opened()]);
    await run.serving.leaving();
    expect([await urlAt(config, 'lake'), await urlAt(config, 'warehouse')]).toEqual([undefined, run.url]);
    await run.serving[Symbol.asyncDispose]();
    expect(await urlAt(config, 'warehouse')).toBeUndefined();
  });

  it('of who loads into a warehouse without a lock goes with the lake, also one that is just being written', async () => {
    const config = configOf(SNOWFLAKE);
    await using run = await serve(config);
    await run.serving.owned();
    const opened = run.serving.opened();
    await run.serving.leaving();
    await opened;
    // One that is opened only now is not told of either.
    await run.serving.opened();
    expect([await urlAt(config, 'lake'), await urlAt(config, 'warehouse')]).toEqual([undefined, undefined]);
  });
});
