/**
 * Who may write: of several processes on one lake exactly one, and the next one at once when that one is gone.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { jumpAhead, startMongo } from '../mongo.ts';
import { RunProcess } from '../crash/run-process.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { eventsOf, eventsSoFar, listLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { sluice } from './sluice.ts';
import { SLOWNESS, until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

const settings = (db: string): Settings => ({
  source: { uri: set.uri, include: [`${db}.*`] },
  lake: { json: 'canonical' },
  checkpoint: { interval: '0s' },
});

/** An insert that the lake has. */
async function captured(work: Workspace, db: string, n: number): Promise<void> {
  await client.db(db).collection('a').insertOne({ n });
  const has = ({ event }: Awaited<ReturnType<typeof eventsOf>>[number]): boolean => event['fullDocument']?.['n']?.['$numberInt'] === String(n);
  await until(`event ${n} is in the lake`, async () => (await eventsSoFar(work.lake))?.some(has));
}

async function expectAll(work: Workspace, db: string, from: Awaited<ReturnType<typeof clusterTime>>): Promise<void> {
  const to = await mark(client, db, 'a');
  await using run = await new PipelineRun(work.config(settings(db))).running();
  await run.reaches(to);
  await run.stop();
  expect(differences(await eventsOf(work.lake), await readStream(client, { db, from, to }))).toEqual([]);
  expect(await work.verify()).toEqual([]);
}

describe('a second process', () => {
  it('stands by, and takes over within seconds when the first is killed', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('standby'));
    await using first = await RunProcess.start(configFile).owner();
    await until('the first runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    const from = await clusterTime(client);
    await captured(work, 'standby', 1);
    await using second = await RunProcess.start(configFile).standsBy();
    await captured(work, 'standby', 2);
    expect(second.stderr).not.toContain('owner of the pipeline');
    const killedAtMs = systemClock.now();
    await first.kill('SIGKILL');
    await client.db('standby').collection('a').insertOne({ n: 3 });
    await second.owner(5_000 * SLOWNESS);
    await captured(work, 'standby', 4);
    expect(systemClock.now() - killedAtMs).toBeLessThan(8_000 * SLOWNESS);
    expect((await work.checkpoint()).epoch).toBe(2);
    expect(await second.kill('SIGTERM')).toMatchObject({ signal: null });
    await expectAll(work, 'standby', from);
  });

  it('exits with 75 and says why when it may not wait', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('nowait'));
    await using _first = await RunProcess.start(configFile).owner();
    await using second = RunProcess.start(configFile, { args: ['--role', 'capture', '--no-wait'] });
    expect(await second.ended).toEqual({ code: 75, signal: null });
    expect(second.stderr).toContain('SLC-1106');
  });

  it('gets nothing while the first is only frozen, however long', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('frozen'));
    await using first = await RunProcess.start(configFile).owner();
    await until('the first runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    const from = await clusterTime(client);
    await captured(work, 'frozen', 1);
    await first.kill('SIGSTOP');
    await using second = await RunProcess.start(configFile).standsBy();
    await client.db('frozen').collection('a').insertOne({ n: 2 });
    await systemClock.sleep(2_500);
    expect(second.stderr).not.toContain('owner of the pipeline');
    await first.kill('SIGCONT');
    await captured(work, 'frozen', 3);
    expect((await work.checkpoint()).epoch).toBe(1);
    await first.kill('SIGTERM');
    await second.owner(5_000 * SLOWNESS);
    await captured(work, 'frozen', 4);
    await second.kill('SIGTERM');
    await expectAll(work, 'frozen', from);
  });
});

describe('a run whose DuckDB file another process has open', () => {
  it('captures meanwhile, loads once it is free, and only then answers for it', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({ ...settings('busy'), warehouse: { url: 'duckdb:./warehouse.duckdb' } });
    const script = `
      import { DuckDBInstance } from ${JSON.stringify(import.meta.resolve('@duckdb/node-api'))};
      globalThis.held = await DuckDBInstance.create(${JSON.stringify(join(work.folder, 'warehouse.duckdb'))});
      console.log('open');
      process.stdin.resume();`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(holder.stdout, 'data');
      await using run = await RunProcess.start(configFile, { args: ['--role', 'all'] }).said('waiting for the warehouse');
      await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
      await captured(work, 'busy', 1);
      const asked = await sluice(configFile, 'query', 'select 1');
      expect([asked.code, asked.err]).toEqual([75, expect.stringContaining(`process ${holder.pid}`)]);
      holder.kill('SIGKILL');
      await run.said('the warehouse is open');
      await until('it answers queries', async () => (await sluice(configFile, 'query', 'select 1')).code === 0);
      await sluice(configFile, 'seal');
      await sluice(configFile, 'load');
      expect((await sluice(configFile, '--json', 'query', 'select count(*) as n from silver.busy__a')).out).toMatch(/"n":"?1/);
      expect(await run.kill('SIGTERM'), run.stderr).toMatchObject({ code: 0 });
    } finally {
      holder.kill('SIGKILL');
    }
  });
});

describe('a process that is stopped with SIGTERM', () => {
  it('ends within ten seconds, in good order, and the next one goes on in the same file', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('term'));
    const from = await clusterTime(client);
    for (let round = 0; round < 3; round += 1) {
      await using process = await RunProcess.start(configFile).owner();
      await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
      await captured(work, 'term', round);
      const stoppedAtMs = systemClock.now();
      expect(await process.kill('SIGTERM'), process.stderr).toEqual({ code: 0, signal: null });
      expect(systemClock.now() - stoppedAtMs).toBeLessThan(10_000 * SLOWNESS);
      const { cleanStop, epoch, parts } = await work.checkpoint();
      expect({ cleanStop, epoch, parts: parts.length }).toEqual({ cleanStop: true, epoch: round + 1, parts: 1 });
    }
    expect((await listLake(work.lake)).filter((path) => path.startsWith('term/'))).toHaveLength(1);
    await expectAll(work, 'term', from);
  });

  it.each(['all', 'capture'] as const)('is not found any more before another one may have the pipeline (%s)', async (role) => {
    await using work = await Workspace.make();
    const seen: boolean[] = [];
    const onLeaving = async (): Promise<void> => void seen.push(await work.isOwned());
    const config = work.config(settings('leaving'));
    await using run = await new PipelineRun(config, { role, onLeaving }).running();
    await run.stop();
    await new PipelineRun(config, { role, onLeaving, untilIdleMs: 0 }).done;
    expect([seen, await work.isOwned()]).toEqual([[true, true], false]);
  });

  it('ends at once while it stands by', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings('term_standby'));
    await using _first = await RunProcess.start(configFile).owner();
    await using second = await RunProcess.start(configFile).standsBy();
    const stoppedAtMs = systemClock.now();
    expect(await second.kill('SIGTERM'), second.stderr).toEqual({ code: 0, signal: null });
    expect(systemClock.now() - stoppedAtMs).toBeLessThan(3_000 * SLOWNESS);
  });
});

describe('one lake', () => {
  it('belongs to one pipeline', async () => {
    await using work = await Workspace.make();
    await using run = await new PipelineRun(work.config(settings('one'))).running();
    await run.stop();
    const configFile = await work.writeConfig(settings('one'));
    await using other = RunProcess.start(configFile, { env: { SLUICE_PIPELINE: 'other' } });
    expect(await other.ended).toEqual({ code: 2, signal: null });
    expect(other.stderr).toContain('SLC-1107');
  });
});
