/**
 * What `sluice status` may say of a pipeline: only who writes the lake knows how it is, and only a checkpoint that says so has been
 * stopped. A lake on disk, a server and run files as a run makes them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeSpec, ORDERS, write } from '../../test/fakes/small-lake.ts';
import { openLake, openWarehouse } from '../app/compose.ts';
import type { Serving } from '../app/control.ts';
import { RunControl } from '../app/run-control.ts';
import type { PipelineStatus, Role } from '../app/types.ts';
import { parseConfig } from '../config/load.ts';
import { lakeName, writeRunFile } from '../http/run-file.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { runCommandLine } from './main.ts';
import { serveRun } from './serve.ts';
import { testIo } from './test-io.ts';

/** A source that cannot be asked, and says so at once: the oplog is not known. */
const SETTINGS = {
  pipeline: 'shop',
  source: { uri: 'mongodb://127.0.0.1:1/?tls=true&tlsCAFile=none.pem' },
  lake: { url: 'file:./lake' },
  warehouse: { url: 'duckdb:./warehouse.duckdb' },
  http: { port: 0 },
};

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-status-'));
  await writeFile(join(cwd, 'sluice.yaml'), JSON.stringify(SETTINGS));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cwd, { recursive: true });
});

const config = () => parseConfig(JSON.stringify(SETTINGS), { folder: cwd });
const io = (tty = false) => testIo({ cwd, tty, env: { XDG_STATE_HOME: join(cwd, 'state'), HOME: cwd } });

async function status(...args: string[]): Promise<string> {
  const to = io(args.length === 0);
  expect([await runCommandLine(to, ['status', ...args]), to.err()]).toEqual([0, '']);
  return to.out();
}

const json = async (): Promise<PipelineStatus> => JSON.parse(await status('--json')) as PipelineStatus;

/** The lake of an owner that has stopped, or has not said so. */
async function leave(cleanStop: boolean): Promise<void> {
  await using lake = await openLake(config(), { log: silentLog });
  const spec = makeSpec();
  spec.checkpoint.cleanStop = cleanStop;
  await write(lake, spec);
}

/** What a run of this role answers with, found as a run is found. */
async function running(role: Role, work: () => Promise<void>): Promise<void> {
  await using lake = await openLake(config(), { log: silentLog });
  await using warehouse = role === 'capture' ? null : await openWarehouse(config(), silentLog, 'fold');
  await warehouse?.setStatus(ORDERS, 'PAUSED', null);
  const stats = Object.assign(newStats(), { state: 'running' });
  const control = new RunControl(
    { config: config(), role, stats, lake, warehouse, opening: null, loads: null, counts: null, capture: null },
    silentLog,
  );
  await using serving: Serving = await serveRun(io(), config(), role, silentLog)(control);
  await serving.owned();
  if (warehouse !== null) await serving.opened();
  await work();
}

describe('sluice status', () => {
  it('says stopped of a pipeline that has never begun', async () => {
    expect(await json()).toMatchObject({ state: 'stopped', pid: null, loader: null, epoch: 0 });
  });

  it('says stopped of one whose owner has said so', async () => {
    await leave(true);
    expect(await json()).toMatchObject({ state: 'stopped', pid: null, loader: null, epoch: 3 });
  });

  it('does not say stopped of one whose owner may run elsewhere, or was killed', async () => {
    await leave(false);
    expect(await json()).toMatchObject({ state: 'unknown', pid: null, loader: null, epoch: 3 });
    vi.stubEnv('FORCE_COLOR', '1');
    expect(await status()).toContain('state          \u001b[33munknown\u001b[39m, owner 3: it runs elsewhere, or has not ended in good order\n');
  });

  it('says running of one whose owner answers', async () => {
    await leave(false);
    await running('all', async () => expect(await json()).toMatchObject({ state: 'running', pid: process.pid, loader: null }));
  });

  it('takes the columns of a process that only loads, and does not take it for the owner', async () => {
    await leave(false);
    // Captured until it was killed: its run file is still there.
    const killed = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
    await once(killed, 'close');
    const runFile = { pid: killed.pid ?? 0, url: 'http://127.0.0.1:1', token: 'gone', instance: 'gone', pipeline: 'shop', lake: lakeName(config()) };
    await writeRunFile(config(), 'lake', runFile, io().env);
    await running('load', async () => {
      const { collections, ...others } = await json();
      expect(others).toMatchObject({ state: 'unknown', pid: null, loader: { pid: process.pid }, epoch: 3, storage: null });
      expect(collections.find(({ namespace }) => namespace === 'shop.orders')).toMatchObject({ status: 'PAUSED', partsOpen: 1 });
      expect(await status()).toContain(`loader         process ${process.pid}, which loads alone\n`);
    });
  });
});
