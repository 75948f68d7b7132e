/**
 * An oplog that is too short: gaps as a user meets them, on the command line, one after another; and no gap where a
 * pipeline only had nothing to do.
 */
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PipelineStatus } from '../../src/app/types.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { compareTimestamps } from '../../src/core/time.ts';
import { RunProcess } from '../crash/run-process.ts';
import { FORGETFUL, forget, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { ledgerFaults, placeFaults } from './lake-faults.ts';
import { byPosition, linesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun, timeOf } from './pipeline-run.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  set = await startMongo(FORGETFUL);
  client = await set.connect();
  await nextHour();
});
afterAll(async () => await set.stop());

/** Moves the cluster's time to the next full hour. @returns the hour that is over */
async function nextHour(): Promise<number> {
  const hour = Math.floor((await clusterTime(client)).t / 3600);
  await jumpTo(client, (hour + 1) * 3600);
  return hour;
}

function hourFile(files: ReadonlyMap<string, Buffer>, hour: number): unknown {
  const name = new Date(hour * 3_600_000).toISOString().slice(0, 13).replaceAll('-', '').replace('T', '-');
  const text = files.get(`_sluice/${PIPELINE}/hours/${name}.json`)?.toString();
  return text === undefined ? 'not published' : (JSON.parse(text) as { complete: boolean }).complete;
}

describe('a gap', () => {
  it('and one more after it are on record, shown by `status`, and their hours are not complete; those between are', async () => {
    await using work = await Workspace.make();
    const settings: Settings = { source: { uri: set.uri, include: ['gaps.*'] }, lake: { json: 'canonical' } };
    const configFile = await work.writeConfig(settings);
    const a = client.db('gaps').collection('a');
    const hours = { gap: [] as number[], whole: [] as number[] };
    const idle = ['run', '--role', 'capture', '--until-idle', '0'];
    expect((await sluice(configFile, ...idle)).code).toBe(0);
    for (let round = 1; round <= 2; round += 1) {
      await a.insertOne({ lost: round });
      await forget(client, await clusterTime(client));
      hours.gap.push(await nextHour());

      const stopped = await sluice(configFile, ...idle);
      expect([stopped.code, /SLC-1286/.test(stopped.err)], stopped.err).toEqual([78, true]);
      const open = await sluice(configFile, 'status');
      expect(open.out).toMatch(/^gap {2}\S+Z to open: .*286/m);
      await nextHour();
      expect((await sluice(configFile, ...idle, '--accept-gap')).code).toBe(0);
      // An hour in which it runs from end to end, once the one has passed in which it came back.
      await nextHour();
      await using run = await new PipelineRun(work.config(settings)).running();
      await a.insertOne({ kept: round });
      hours.whole.push(await nextHour());
      await run.reaches(await mark(client, 'gaps', 'mark'));
      await run.stop();
    }
    const { gaps } = await work.checkpoint();
    expect(gaps).toHaveLength(2);
    expect(gaps.every(({ from, to }) => to !== null && to.t >= from.t)).toBe(true);
    const shown = JSON.parse((await sluice(configFile, 'status', '--json')).out) as PipelineStatus;
    const closed = {
      from: expect.stringMatching(/Z$/) as string,
      to: expect.stringMatching(/Z$/) as string,
      cause: expect.stringContaining('286') as string,
      repaired: null,
    };
    expect(shown.gaps).toEqual([closed, closed]);
    const files = await readLake(work.lake);
    expect(hours.gap.map((hour) => hourFile(files, hour))).toEqual([false, false]);
    expect(hours.whole.map((hour) => hourFile(files, hour))).toEqual([true, true]);
    const documents = linesOf(files).map(({ event }) => event['fullDocument'] as { lost?: object; kept?: object } | undefined);
    expect(documents.filter((document) => document?.lost !== undefined)).toEqual([]);
    expect(documents.filter((document) => document?.kept !== undefined)).toHaveLength(2);
    expect([...placeFaults(linesOf(files)), ...(await work.verify())]).toEqual([]);
  });
});

describe('a filter that matches nothing', () => {
  it('keeps its place in an oplog that is overwritten many times, also for a process that is killed', async () => {
    await using work = await Workspace.make();
    const settings: Settings = { source: { uri: set.uri, include: ['quiet.*'] }, lake: { json: 'canonical' }, checkpoint: { interval: '100ms' } };
    const configFile = await work.writeConfig(settings);
    await using process = await RunProcess.start(configFile).owner();
    await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    const from = await clusterTime(client);
    const began = (await work.checkpoint()).resume;
    const hasFollowed = async (): Promise<void> => {
      const now = timeOf(await clusterTime(client));
      const isThere = async (): Promise<boolean> => compareTimestamps((await work.checkpoint()).resume?.clusterTime ?? { t: 0, i: 0 }, now) >= 0;
      await until('the saved position has followed', isThere);
    };
    for (let times = 0; times < 2; times += 1) {
      await forget(client, await clusterTime(client), hasFollowed);
      await nextHour();
    }
    const now = await clusterTime(client);
    await hasFollowed();
    await process.kill('SIGKILL');
    expect((await work.checkpoint()).resume?.position).not.toBe(began?.position);

    await using run = await new PipelineRun(work.config(settings)).running();
    await client.db('quiet').collection('a').insertOne({});
    const start = await clusterTime(client);
    expect(start.greaterThan(from)).toBe(true);
    const to = await mark(client, 'quiet', 'mark');
    await run.reaches(to);
    await run.stop();
    const files = await readLake(work.lake);
    // The reader beside us cannot go back to the beginning, which is gone: nothing was there but what was written last.
    const told = await readStream(client, { db: 'quiet', from: now, to });
    expect(told.length).toBeGreaterThan(0);
    expect(differences(linesOf(files).toSorted(byPosition), told)).toEqual([]);
    expect((await work.checkpoint()).gaps).toEqual([]);
    expect([...placeFaults(linesOf(files)), ...(await work.verify())]).toEqual([]);
    expect(ledgerFaults(files).filter((fault) => !fault.endsWith('is not in the ledger'))).toEqual([]);
  });
});
