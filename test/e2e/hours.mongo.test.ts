/**
 * Hours that pass while the pipeline runs. The clock of the cluster is moved, not the one on the wall: it is cluster time
 * that decides.
 */
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { ledgerFaults, placeFaults, SealedGuard, unpublished } from './lake-faults.ts';
import { byPosition, linesOf, listLake, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

function nameOf(hour: number): string {
  const iso = new Date(hour * 3_600_000).toISOString();
  return `${iso.slice(0, 10).replaceAll('-', '')}-${iso.slice(11, 13)}`;
}

function folderOf(ns: string, hour: number): string {
  const [date = '', HH] = nameOf(hour).split('-');
  return `${ns}/year=${date.slice(0, 4)}/month=${date.slice(4, 6)}/day=${date.slice(6)}/hour=${HH}`;
}

describe('hours that pass', () => {
  it('are sealed and published while nothing happens, each event in the hour of its cluster time', async () => {
    await using work = await Workspace.make();
    await using run = await new PipelineRun(work.config({ source: { uri: set.uri, include: ['hours.*'] }, lake: { json: 'canonical' } })).running();
    const from = await clusterTime(client);
    const first = Math.floor(from.t / 3600);
    const guard = new SealedGuard(work.lake);
    const db = client.db('hours');
    const published = async (hour: number): Promise<void> => {
      await until(`hour ${hour - first} is published`, async () =>
        (await listLake(work.lake)).includes(`_sluice/${PIPELINE}/hours/${nameOf(hour)}.json`),
      );
      await guard.look();
    };

    await db.collection('a').insertMany([{ n: 1 }, { n: 2 }]);
    await db.collection('b').insertOne({ n: 3 });
    await jumpTo(client, (first + 1) * 3600);
    await published(first);
    let paths = await listLake(work.lake);
    for (const ns of ['hours/a', 'hours/b']) {
      const folder = folderOf(ns, first);
      const inFolder = paths.filter((path) => path.startsWith(`${folder}/`));
      expect(inFolder).toEqual([`${folder}/_SUCCESS`, `${folder}/_manifest.json`, `${folder}/events-${nameOf(first)}.jsonl`]);
    }
    // The manifest is there before it is counted.
    await until('it is counted', () => run.stats.hoursComplete === 1 && run.stats.partsOpen === 0);
    expect(run.stats).toMatchObject({ partsSealed: 2 });

    // In one go into the second second of the next hour, with a write on each side: two parts are open at once.
    await db.collection('a').insertOne({ n: 4 });
    await jumpTo(client, (first + 2) * 3600 + 1);
    await db.collection('a').insertOne({ n: 5 });
    await published(first + 1);
    // An hour without events, then one more.
    await jumpTo(client, (first + 4) * 3600);
    await published(first + 3);
    await db.collection('a').insertOne({ n: 6 });
    const to = await mark(client, 'hours', 'a');
    await jumpTo(client, (first + 5) * 3600);
    await published(first + 4);
    await run.stop();

    const files = await readLake(work.lake);
    const lines = linesOf(files);
    const hourOf = (n: number): string | undefined => lines.find(({ event }) => event['fullDocument']?.['n']?.['$numberInt'] === String(n))?.path;
    for (const [n, hour] of [[1, 0], [2, 0], [4, 1], [5, 2], [6, 4]] as const) expect(hourOf(n)).toBe(`${folderOf('hours/a', first + hour)}/events-${nameOf(first + hour)}.jsonl`); // prettier-ignore
    expect(placeFaults(lines)).toEqual([]);
    expect(differences(lines.toSorted(byPosition), await readStream(client, { db: 'hours', from, to }))).toEqual([]);
    expect(ledgerFaults(files)).toEqual([]);
    expect(unpublished(files, PIPELINE, first * 3600, (first + 4) * 3600)).toEqual([]);
    expect(guard.changed(files)).toEqual([]);
    const hourFiles = [0, 1, 2, 3, 4].map(
      (n) => JSON.parse(files.get(`_sluice/${PIPELINE}/hours/${nameOf(first + n)}.json`)?.toString() ?? '') as object,
    );
    expect(hourFiles).toEqual([
      { v: 1, hour: nameOf(first), complete: true, from: expect.stringMatching(/Z$/), collections: ['hours.a', 'hours.b'] },
      { v: 1, hour: nameOf(first + 1), complete: true, collections: ['hours.a'] },
      { v: 1, hour: nameOf(first + 2), complete: true, collections: ['hours.a'] },
      { v: 1, hour: nameOf(first + 3), complete: true, collections: [] },
      { v: 1, hour: nameOf(first + 4), complete: true, collections: ['hours.a'] },
    ]);
    paths = await listLake(work.lake);
    expect(paths.filter((path) => path.includes(folderOf('', first + 3)))).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });

  it('of a layout without a folder for the hour have their manifests apart', async () => {
    await using work = await Workspace.make();
    const layout = '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}-{HH}{part}.jsonl';
    const settings = { source: { uri: set.uri, include: ['days.*'] }, lake: { layout, compression: 'zstd' } };
    await using run = await new PipelineRun(work.config(settings)).running();
    const first = Math.floor((await clusterTime(client)).t / 3600);
    await client.db('days').collection('a').insertOne({});
    await jumpTo(client, (first + 1) * 3600);
    const day = nameOf(first).slice(0, 8);
    const manifest = `_sluice/${PIPELINE}/manifests/days/a/${nameOf(first)}.json`;
    await until('the manifest is there', async () => (await listLake(work.lake)).includes(manifest));
    await run.stop();
    const files = await readLake(work.lake);
    const path = `days/a/${day.slice(0, 4)}/${day.slice(4, 6)}/${day.slice(6)}/events-${nameOf(first)}.jsonl.zst`;
    expect(JSON.parse(files.get(manifest)?.toString() ?? '')).toMatchObject({ v: 1, revision: 1, hour: nameOf(first), files: [{ path, rows: 2 }] });
    expect([...files.keys()].filter((name) => name.endsWith('_SUCCESS'))).toEqual([]);
    expect(linesOf(files)).toHaveLength(2);
    expect(await work.verify()).toEqual([]);
  });

  it('that pass while no pipeline runs are published by the next one', async () => {
    await using work = await Workspace.make();
    const settings = { source: { uri: set.uri, include: ['away.*'] }, lake: { json: 'canonical' } };
    const from = await clusterTime(client);
    const first = Math.floor(from.t / 3600);
    const a = client.db('away').collection('a');
    await using run = await new PipelineRun(work.config(settings)).running();
    await a.insertOne({ n: 1 });
    await run.reaches(await mark(client, 'away', 'a'));
    await run.stop();
    await jumpTo(client, (first + 1) * 3600);
    await a.insertOne({ n: 2 });
    await jumpTo(client, (first + 2) * 3600);
    await using next = await new PipelineRun(work.config(settings)).running();
    const to = await mark(client, 'away', 'a');
    await next.reaches(to);
    await next.stop();
    const files = await readLake(work.lake);
    expect(unpublished(files, PIPELINE, first * 3600, (first + 1) * 3600)).toEqual([]);
    expect(differences(linesOf(files).toSorted(byPosition), await readStream(client, { db: 'away', from, to }))).toEqual([]);
    expect(placeFaults(linesOf(files))).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });
});
