/**
 * MongoDB to a storage account, as a user runs it: the command line, processes of their own, the account of the tests with its DFS
 * and Blob endpoints.
 */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoResult } from '../../src/app/demo/demo.ts';
import { runCommandLine } from '../../src/cli/main.ts';
import { testIo } from '../../src/cli/test-io.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { PipelineStatus } from '../../src/app/types.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { RunProcess } from '../crash/run-process.ts';
import { startDfsServer, type DfsServer } from '../fakes/dfs/server.ts';
import { startMongo } from '../mongo.ts';
import { until } from './until.ts';
import { Workspace } from './workspace.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

let set: ReplicaSet;
let client: MongoClient;
let account: DfsServer;
beforeAll(async () => {
  [set, account] = await Promise.all([startMongo(), startDfsServer()]);
  client = await set.connect();
});
afterAll(async () => {
  await set.stop();
  await account[Symbol.asyncDispose]();
});

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command beside the run. */
function sluice(configFile: string, ...args: readonly string[]): Promise<Said> {
  const env = { ...process.env, XDG_STATE_HOME: dirname(configFile) };
  return new Promise((resolve) => {
    execFile(process.execPath, [LAUNCHER, '--config', configFile, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

const config = (work: Workspace, container: string, key = account.account.key): Promise<string> =>
  work.writeConfig({
    source: { uri: set.uri, include: [`${container}.*`] },
    lake: {
      url: `${account.url}/${container}/shop`,
      writer: 'dfs',
      auth: { kind: 'accountKey', account: account.account.name, key },
      flush: { maxAge: '0s' },
    },
    checkpoint: { interval: '0s' },
    warehouse: { url: 'duckdb:./warehouse.duckdb' },
  });

const insertsIn = (container: string): number =>
  account
    .paths(container)
    .filter((path) => path.includes('/events-'))
    .reduce((sum, path) => sum + account.bytes(container, path).toString().split('"operationType":"insert"').length - 1, 0);

describe('a pipeline to a storage account', () => {
  it('captures, is taken over, and is proved; doctor and status tell about the account', async () => {
    await using work = await Workspace.make();
    const db = 'azuree2e';
    const configFile = await config(work, db);
    const doctor = await sluice(configFile, 'doctor');
    expect(doctor.stdout).toContain('accountKey');
    expect(doctor.stdout).toContain('hierarchical namespace');
    expect(doctor.code, doctor.stdout).toBe(0);

    await using first = await RunProcess.start(configFile).owner();
    await until('the first reads', () => first.stderr.includes('reading changes'));
    await client
      .db(db)
      .collection('a')
      .insertMany(Array.from({ length: 50 }, (_, n) => ({ n })));
    await until('they are in the account', () => insertsIn(db) === 50);
    const { stdout } = await sluice(configFile, '--json', 'status');
    const { storage } = JSON.parse(stdout) as PipelineStatus;
    expect(storage?.writes).toBeGreaterThan(5);
    expect(storage?.writesPerMillionEvents).toBeGreaterThan(0);

    await using second = await RunProcess.start(configFile, { args: ['--role', 'capture', '--take-over'] }).owner();
    expect((await sluice(configFile, 'run', '--no-wait')).code).toBe(75);
    await client.db(db).collection('a').insertOne({ n: 50 });
    await until('its successor has it', () => insertsIn(db) === 51);
    expect(await second.kill('SIGTERM')).toMatchObject({ code: 0 });
    // It renews its lease three times a minute, and meets its successor's whenever it writes.
    await client.db(db).collection('a').insertOne({ n: 51 });
    expect(await first.ended).toMatchObject({ code: 75 });

    await using third = RunProcess.start(configFile, { args: ['--until-idle', '2'] });
    expect(await third.ended, third.stderr).toMatchObject({ code: 0 });
    expect(insertsIn(db)).toBe(52);
    const verify = await sluice(configFile, 'verify', '--lake', '--warehouse');
    expect(verify.code, verify.stdout).toBe(0);
    const silver = await sluice(configFile, '--json', 'query', `select count(*) as n from silver.${db}__a`);
    expect(silver.stdout).toMatch(/^\{"n":"?52"?\}\s*$/);
  });

  it('is shown by the demo with a storage account of its own, and proved', async () => {
    await using work = await Workspace.make();
    const env = { ...process.env, XDG_STATE_HOME: work.folder, SLUICE_DEMO_MONGODB_URI: set.uri };
    const args = [LAUNCHER, 'demo', '--azure-fake', '--seconds', '1', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, cwd: work.folder });
    const { report, look } = JSON.parse(stdout) as DemoResult;
    expect(report.ok).toBe(true);
    expect(report.checks.map(({ name }) => name)).toContain('events');
    // The account is gone, so that nothing in it is worth a look.
    expect(look.join('\n')).not.toContain('verify');
    expect(await readdir(join(work.folder, 'sluice-demo'))).not.toContain('lake');
  });

  it('is set up by init, which asks the account at once', async () => {
    await using work = await Workspace.make();
    const init = async (key: string): Promise<Said> => {
      const url = `${account.url}/initiated/lake`;
      const io = testIo({ cwd: work.folder, env: { LAKE_SECRET: key } });
      const code = await runCommandLine(io, ['init', '--yes', '--uri', set.uri, '--lake', url, '--lake-auth', 'accountKey', '--warehouse', 'none']);
      return { code, stdout: io.out(), stderr: io.err() };
    };
    account.account.createContainer('initiated', 'dfs');
    const refused = await init(Buffer.alloc(64, 1).toString('base64'));
    expect([refused.code, refused.stderr.slice(0, 8)]).toEqual([69, 'SLC-1114']);
    expect(await readdir(work.folder)).toEqual([]);
    expect((await init(account.account.key)).code).toBe(0);
    const { lake } = await loadConfig({ env: { LAKE_SECRET: 'k' }, cwd: work.folder });
    expect(lake).toMatchObject({ kind: 'azure', url: `${account.url}/initiated/lake`, auth: { kind: 'accountKey', key: 'k' } });
  });

  it('tells a wrong key at once, with what to do', async () => {
    await using work = await Workspace.make();
    const configFile = await config(work, 'wrongkey', Buffer.alloc(64, 1).toString('base64'));
    const run = await sluice(configFile, 'run');
    expect(run.code).toBe(69);
    expect(run.stderr).toContain('SLC-1114');
    expect(run.stderr).toContain('lake.auth');
    const doctor = await sluice(configFile, 'doctor');
    expect(doctor.code).toBe(1);
    expect(doctor.stdout).toContain('does not accept the credentials');
  });
});
