/**
 * Retention from a real MongoDB to the warehouse, through the command line: what goes, what a collection that is not loaded holds, and that
 * everything that is left is proven.
 */
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import type { PipelineStatus, RetainSummary, VerifyReport } from '../../src/app/types.ts';
import { RunProcess } from '../crash/run-process.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { listLake } from './lake-files.ts';
import { sluice, sluiceLater } from './sluice.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace, type Settings } from './workspace.ts';

const HOUR_MS = 3_600_000;
const LATER_MS = 100 * HOUR_MS;

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  // Ahead of the clock on the wall, cluster time stands still: no hour ends by itself in the middle of a test.
  await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 2) * 3600);
});
afterAll(async () => await set.stop());

interface Numbered extends Document {
  readonly _id: number;
}

async function json<T>(configFile: string, ...args: string[]): Promise<T> {
  const { out, err } = await sluiceLater(LATER_MS, configFile, '--json', ...args);
  if (out === '') throw new Error(err);
  return JSON.parse(out) as T;
}

async function findings(configFile: string, ...of: readonly string[]): Promise<readonly string[]> {
  const { checks } = await json<VerifyReport>(configFile, 'verify', ...(of.length === 0 ? ['--lake', '--warehouse'] : of));
  return checks.flatMap((check) => check.findings);
}

/** The hour ends after `act`, while the pipeline runs. */
async function hourOf(work: Workspace, act: () => Promise<unknown>): Promise<void> {
  const over = async (): Promise<number> => (await listLake(work.lake)).filter((path) => path.startsWith(`_sluice/${PIPELINE}/hours/`)).length;
  const before = await over();
  await act();
  await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 1) * 3600 + 1);
  await until('the hour is over', async () => (await over()) > before);
}

describe('retention', () => {
  it('takes the hours of every collection but one that is paused, which holds itself alone', async () => {
    await using work = await Workspace.make();
    const settings: Settings = {
      source: { uri: set.uri, include: ['kept.*'], startAt: 'now' },
      lake: { retention: { hours: '1h' } },
      warehouse: { url: 'duckdb:./warehouse.duckdb' },
    };
    const configFile = await work.writeConfig(settings);
    const db = client.db('kept');
    const [a, b] = [db.collection<Numbered>('a'), db.collection<Numbered>('b')];
    await using run = await RunProcess.start(configFile, { args: ['--role', 'all'] }).said('reading changes');
    await hourOf(work, async () => {
      await a.insertOne({ _id: 1 });
      await b.insertOne({ _id: 1 });
    });
    await until('it is loaded', async () => (await sluice(configFile, '--json', 'query', 'select * from silver.kept__b')).out.includes('_id'));
    await sluice(configFile, 'pause', 'kept.b');
    await hourOf(work, async () => {
      await a.insertOne({ _id: 2 });
      await b.insertOne({ _id: 2 });
    });
    expect((await run.kill('SIGTERM'))?.code, run.stderr).toBe(0);
    await sluice(configFile, 'load');
    const files = async (name: string): Promise<number> => (await listLake(work.lake)).filter((path) => path.startsWith(`kept/${name}/`) && path.endsWith('.jsonl')).length; // prettier-ignore
    expect([await files('a'), await files('b')]).toEqual([2, 2]);
    const planned = await json<RetainSummary>(configFile, 'retain', '--dry-run');
    expect(planned.held).toMatchObject([
      { collection: 'kept.b', reason: expect.stringMatching(/has not loaded kept\/b\/.*\(status PAUSED\)/) as string },
    ]);
    const { out } = await sluiceLater(LATER_MS, configFile, 'retain');
    expect(out).toContain('Removed: 9 files of hours');
    expect(out).toContain(`Held: kept.b keeps its hours from ${planned.held[0]!.hour} on: the warehouse has not loaded kept/b/`);
    // Its first hour is loaded.
    expect([await files('a'), await files('b')]).toEqual([0, 1]);
    expect(await findings(configFile, '--lake')).toEqual([]);
    const { retention } = await json<PipelineStatus>(configFile, 'status');
    expect(retention).toMatchObject({ hoursBefore: planned.hoursBefore, held: [{ collection: 'kept.b', hour: planned.held[0]!.hour }] });

    await sluice(configFile, 'resume', 'kept.b');
    await sluice(configFile, 'load');
    expect(await json<RetainSummary>(configFile, 'retain')).toMatchObject({ held: [], files: { hours: 3 } });
    expect([await files('a'), await files('b')]).toEqual([0, 0]);
    expect(await findings(configFile)).toEqual([]);
    const { out: rows } = await sluice(
      configFile,
      '--json',
      'query',
      'select (select count(*) from silver.kept__a) a, (select count(*) from silver.kept__b) b',
    );
    expect(JSON.parse(rows)).toEqual({ a: 2, b: 2 });
  });
});
