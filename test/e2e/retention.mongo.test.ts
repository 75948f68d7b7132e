/**
 * Retention from a real MongoDB to the warehouse, through the command line: what goes, what a collection that is not loaded holds, and that
 * everything that is left is proven.
 */
import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import type { PipelineStatus, RetainSummary, VerifyReport } from '../../src/app/types.ts';
import { Database } from '../../src/warehouse/duckdb/database.ts';
import { RunProcess } from '../crash/run-process.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { listLake } from './lake-files.ts';
import { clockAhead, sluice, sluiceWith } from './sluice.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace, type Settings } from './workspace.ts';

const HOUR_MS = 3_600_000;
const LATER = clockAhead(100 * HOUR_MS);

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

interface Numbered extends Document {
  readonly _id: number;
}

async function json<T>(configFile: string, ...args: string[]): Promise<T> {
  const { out, err } = await sluiceWith(LATER, configFile, '--json', ...args);
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
    const { out } = await sluiceWith(LATER, configFile, 'retain');
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

  it('takes superseded rows of bronze, wherever it is killed, and silver, a rebuild, the proof and later moments stay what they are', async () => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({
      source: { uri: set.uri, include: ['old.*'], startAt: 'now' },
      lake: { retention: { hours: '50h', bronze: '1h' } },
      warehouse: { url: 'duckdb:./warehouse.duckdb' },
    });
    const db = client.db('old');
    const [things, others] = [db.collection<Numbered>('things'), db.collection<Numbered>('others')];
    await using run = await RunProcess.start(configFile, { args: ['--role', 'all'] }).said('reading changes');
    await hourOf(work, async () => {
      await others.insertMany([{ _id: 1 }, { _id: 2 }]);
      await db.dropCollection('others');
      await things.insertMany(Array.from({ length: 20 }, (_, n) => ({ _id: n })));
      for (let n = 0; n < 5; n += 1) await things.updateMany({}, { $inc: { n: 1 } });
    });
    await hourOf(work, async () => {
      await things.deleteMany({ _id: { $lt: 5 } });
      await things.updateMany({}, { $inc: { n: 1 } });
      await others.insertOne({ _id: 3 });
    });
    await hourOf(work, () => things.updateOne({ _id: 7 }, { $inc: { n: 1 } }));
    const horizon = new Date(Math.floor((await clusterTime(client)).t / 3600) * HOUR_MS).toISOString();
    expect((await run.kill('SIGTERM'))?.code, run.stderr).toBe(0);
    await sluice(configFile, 'load');

    const select = async (sql: string): Promise<string> => (await sluice(configFile, '--json', 'query', sql)).out;
    const silver = (): Promise<string> => select('select * exclude (loaded_at) from silver.old__things order by key');
    const asOf = async (at: string): Promise<string> =>
      (await sluice(configFile, '--json', 'query', '--as-of', at, 'select key, doc, version_number, valid_from from old__things order by key')).out;
    const rows = async (): Promise<number> => (JSON.parse(await select('select count(*)::int as n from bronze.old__things')) as { n: number }).n;
    const before = { silver: await silver(), rows: await rows() };
    // The first is that of the collection itself.
    expect(before.rows).toBe(1 + 20 + 100 + 5 + 15 + 1);
    const planned = await json<RetainSummary>(configFile, 'retain', '--dry-run');
    expect(planned.bronze).toMatchObject({ held: [], collections: [{ collection: 'old.others', rows: 2 }, { collection: 'old.things' }] });

    for (const [at, left] of [
      ['warehouse.before-retain-commit', before.rows],
      ['warehouse.after-retain-commit:2', 1 + 15 + 5 + 5],
    ] as const) {
      await sluiceWith({ ...LATER, SLUICE_FAILPOINT: at }, configFile, 'retain');
      expect(await rows()).toBe(left);
    }
    expect(await findings(configFile)).toEqual([]);
    expect((await json<RetainSummary>(configFile, 'retain')).bronze).toMatchObject({ rows: 0, held: [] });
    await sluice(configFile, 'merge', '--rebuild');
    expect(await silver()).toBe(before.silver);
    expect((await asOf(horizon)).split('\n')).toHaveLength(15 + 1);
    const refused = await sluice(configFile, 'query', '--as-of', new Date(Date.parse(horizon) - HOUR_MS).toISOString(), 'select * from old__things');
    expect(refused.err).toContain('retention has removed the history of old.things before');
    // Also of what the lake has lost by now a fault is found.
    await using database = await Database.open(join(work.folder, 'warehouse.duckdb'));
    await database.read((session) => session.runAll([{ text: `delete from bronze.old__things where operation = 'delete'`, values: [] }]));
    await database[Symbol.asyncDispose]();
    expect((await findings(configFile)).join()).toContain('bronze-missing');
  });
});
