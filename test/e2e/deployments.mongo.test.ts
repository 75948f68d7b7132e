/**
 * A checkpoint of one deployment, and a `source.uri` that leads to another one.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { byPosition, linesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

describe('another deployment', () => {
  let sets: ReplicaSet[];
  beforeAll(async () => void (sets = [await startMongo(), await startMongo()]));
  afterAll(async () => void (await Promise.all(sets.map(async (set) => await set.stop()))));

  it('of the same name is not gone on with by itself; what it is not asked for is a gap on record', async () => {
    await using work = await Workspace.make();
    const [first, second] = sets as [ReplicaSet, ReplicaSet];
    const settings = (set: ReplicaSet): Settings => ({ source: { uri: set.uri, include: ['two.*'] }, lake: { json: 'canonical' } });
    const [one, other] = [await first.connect(), await second.connect()];
    const from = await clusterTime(one);
    await using run = await new PipelineRun(work.config(settings(first))).running();
    const to = await mark(one, 'two', 'mark');
    await run.reaches(to);
    await run.stop();

    const refused = await new PipelineRun(work.config(settings(second))).done.catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: 'SLC-1286',
      message: expect.stringContaining('another deployment'),
      next: expect.stringContaining('--accept-gap'),
    });
    await expect(new PipelineRun(work.config(settings(second))).done).rejects.toMatchObject({ code: 'SLC-1403' });
    expect((await work.checkpoint()).gaps).toMatchObject([{ to: null }]);

    await using accepted = await new PipelineRun(work.config(settings(second)), { acceptGap: true }).running();
    const since = await clusterTime(other);
    const until = await mark(other, 'two', 'mark');
    await accepted.reaches(until);
    await accepted.stop();
    expect((await work.checkpoint()).gaps).toMatchObject([{ to: { t: expect.any(Number) as number } }]);
    const told = [...(await readStream(one, { db: 'two', from, to })), ...(await readStream(other, { db: 'two', from: since, to: until }))];
    expect(differences(linesOf(await readLake(work.lake)).toSorted(byPosition), told)).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });

  it('is taken for a mistake when the former one comes back: then nothing is missing', async () => {
    await using work = await Workspace.make();
    const [first, second] = sets as [ReplicaSet, ReplicaSet];
    const settings = (set: ReplicaSet): Settings => ({ source: { uri: set.uri, include: ['back.*'] }, lake: { json: 'canonical' } });
    const one = await first.connect();
    await using run = await new PipelineRun(work.config(settings(first))).running();
    const from = await clusterTime(one);
    await mark(one, 'back', 'mark');
    await run.stop();
    await expect(new PipelineRun(work.config(settings(second))).done).rejects.toMatchObject({ code: 'SLC-1286' });
    await mark(one, 'back', 'mark');
    await using again = await new PipelineRun(work.config(settings(first)), { acceptGap: true }).running();
    const to = await mark(one, 'back', 'mark');
    await again.reaches(to);
    await again.stop();
    expect((await work.checkpoint()).gaps).toEqual([]);
    expect(differences(linesOf(await readLake(work.lake)).toSorted(byPosition), await readStream(one, { db: 'back', from, to }))).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });
});
