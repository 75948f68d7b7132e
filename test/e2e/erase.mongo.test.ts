/**
 * `sluice erase` beside a running owner, from a real MongoDB to silver: what was erased is nowhere, and the proof against the source
 * still holds.
 */
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import type { EraseSummary, PipelineStatus, VerifyReport } from '../../src/app/types.ts';
import { RunProcess } from '../crash/run-process.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { readLake } from './lake-files.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace } from './workspace.ts';

const MAIL = 'ann@example.org';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

describe('an erasure beside a running owner', () => {
  // Who only captures has no warehouse: `erase` opens it then, in a process of its own.
  it.each(['all', 'capture'])(
    '(--role %s) leaves nothing of a subject in lake and warehouse, and the pipeline goes on and stays proven',
    async (role) => {
      const db = `erased_${role}`;
      await using work = await Workspace.make();
      const configFile = await work.writeConfig({
        source: { uri: set.uri, include: [`${db}.*`], startAt: 'now' },
        warehouse: { url: 'duckdb:./warehouse.duckdb' },
      });
      const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await sluice(configFile, '--json', ...args)).out) as T;
      const people = client.db(db).collection<Document & { _id: string }>('people');
      await using run = RunProcess.start(configFile, { args: ['--role', role] });
      await until('the start is settled', async () => (await json<PipelineStatus>('status')).state === 'running');

      await people.insertMany([{ _id: 'ann', mail: MAIL }, ...Array.from({ length: 20 }, (_, n) => ({ _id: `p${n}`, mail: `p${n}@example.org` }))]);
      await people.updateOne({ _id: 'ann' }, { $set: { city: 'Berlin' } });
      await people.deleteOne({ _id: 'ann' });
      const hour = Math.floor((await clusterTime(client)).t / 3600);
      await jumpTo(client, (hour + 1) * 3600 + 1);
      await people.updateOne({ _id: 'p0' }, { $set: { city: 'Bonn' } });
      await until('the hour is over', async () =>
        [...(await readLake(work.lake)).keys()].some((path) => path.startsWith(`_sluice/${PIPELINE}/hours/`)),
      );
      expect([...(await readLake(work.lake)).values()].some((bytes) => bytes.includes(MAIL))).toBe(true);

      expect((await sluice(configFile, 'load')).code).toBe(0);

      // Of a former value: the delete, which does not show it, goes as well.
      const erased = await json<EraseSummary>('erase', `${db}.people`, '--where', `mail=${MAIL}`, '--reason', 'REQ-17', '--yes');
      // The owner has its ledger file open: positions in there, which contain the `_id`, wait for its stop.
      expect(erased.erasures).toMatchObject([{ rows: 3, files: 1, left: [expect.stringMatching(/\/ledger\/.* it is being written/)] }]);

      const files = await readLake(work.lake);
      expect([...files].filter(([, bytes]) => bytes.includes(MAIL)).map(([path]) => path)).toEqual([]);
      await sluice(configFile, 'seal');
      await sluice(configFile, 'load');
      await sluice(configFile, 'merge');
      for (const table of ['bronze', 'silver']) {
        const { out } = await sluice(
          configFile,
          'query',
          `select count(*) as n from ${table}.${db}__people where cast(doc as varchar) like '%${MAIL}%'`,
        );
        expect(out).toMatch(/\b0\b/);
      }
      // While the owner runs, whether it has the warehouse open or not.
      const report = await json<VerifyReport>('verify', '--lake', '--warehouse', '--source');
      expect(report.checks.flatMap(({ findings }) => findings)).toEqual([]);
      expect(report.ok).toBe(true);

      // And what comes after it is captured as before.
      await people.insertOne({ _id: 'zoe', mail: 'zoe@example.org' });
      await until('it goes on', async () => (await readLake(work.lake)).values().some((bytes) => bytes.includes('zoe@example.org')));
      expect((await run.kill('SIGTERM'))?.code, run.stderr).toBe(0);
      // As a key is written in a position.
      const key = `5F6964003C${Buffer.from('ann').toString('hex').toUpperCase()}`;
      const inLedger = async (): Promise<string[]> =>
        [...(await readLake(work.lake))].filter(([path, bytes]) => path.includes('/ledger/') && bytes.includes(key)).map(([path]) => path);
      expect(await inLedger()).toHaveLength(1);
      const finished = await json<EraseSummary>('erase', '--finish');
      expect(finished.erasures).toMatchObject([{ rows: 3, left: [] }]);
      expect(await inLedger()).toEqual([]);
      expect(await work.verify()).toEqual([]);
    },
  );
});
