/**
 * A set of three whose primary freezes, or that has no majority for a while.
 */
import { MongoClient, type Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { placeFaults } from './lake-faults.ts';
import { byPosition, linesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { ELECTIONS_MS_MAX, throughElections, until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
const TEST_MS_MAX = 300_000;
const FAST = { heartbeatFrequencyMS: 500, minHeartbeatFrequencyMS: 50, connectTimeoutMS: 2_000, serverSelectionTimeoutMS: 30_000 };
/** The driver's own patience with a member that has frozen is fifteen seconds. */
const FAST_URI = '&heartbeatFrequencyMS=500&minHeartbeatFrequencyMS=50&connectTimeoutMS=2000&serverSelectionTimeoutMS=10000';

let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  set = await startMongo({ members: 3 });
  client = await set.connect(FAST);
  // A new primary first waits for word from every member: from one that has frozen, ten seconds by default.
  const quick = { heartbeatTimeoutSecs: 1, catchUpTimeoutMillis: 1_000 };
  await throughElections(async () => {
    const { config } = (await client.db('admin').command({ replSetGetConfig: 1 })) as { config: { version: number; settings: object } };
    await client.db('admin').command({ replSetReconfig: { ...config, version: config.version + 1, settings: { ...config.settings, ...quick } } });
  });
});
afterAll(async () => await set.stop());

const settings = (db: string): Settings => ({ source: { uri: set.uri + FAST_URI, include: [`${db}.*`] }, lake: { json: 'canonical' } });

async function insert(db: string, n: number): Promise<void> {
  const a = client.db(db).collection('a', { writeConcern: { w: 'majority' } });
  await throughElections(async () => await a.insertMany([{ n }, { n }]));
}

async function expectWhole(work: Workspace, run: PipelineRun, db: string, from: Awaited<ReturnType<typeof clusterTime>>): Promise<void> {
  const to = await throughElections(async () => await mark(client, db, 'mark'));
  await run.reaches(to);
  await run.stop();
  const lines = linesOf(await readLake(work.lake));
  expect(differences(lines.toSorted(byPosition), await readStream(client, { db, from, to }))).toEqual([]);
  expect([...placeFaults(lines), ...(await work.verify())]).toEqual([]);
}

describe('a set of three', () => {
  it(
    'whose primary freezes goes on with another one, and so does the pipeline, also when the frozen one wakes up',
    { timeout: TEST_MS_MAX },
    async () => {
      await using work = await Workspace.make();
      await using run = await PipelineRun.patient(work.config(settings('frozen')));
      const from = await throughElections(async () => await clusterTime(client));
      await insert('frozen', 1);
      const frozen = await set.waitForPrimary(never);
      await set.kill(frozen, 'SIGSTOP');
      try {
        const another = [0, 1, 2].find((member) => member !== frozen)!;
        await stepUp(another);
        await insert('frozen', 2);
        await run.reaches(await throughElections(async () => await mark(client, 'frozen', 'mark')));
      } finally {
        await set.kill(frozen, 'SIGCONT');
      }
      await insert('frozen', 3);
      await expectWhole(work, run, 'frozen', from);
      expect(run.stats.reconnects).toBeGreaterThan(0);
    },
  );

  it(
    'that loses its majority gives nothing that could be taken back: what only one member had is not in the lake',
    { timeout: TEST_MS_MAX },
    async () => {
      await using work = await Workspace.make();
      await using run = await PipelineRun.patient(work.config(settings('alone')));
      const from = await throughElections(async () => await clusterTime(client));
      await insert('alone', 0);
      const { alone, others, acknowledged } = await until('one that writes has lost the others', loseOthers, ELECTIONS_MS_MAX);
      await until('the lonely one has stepped down', async () => (await set.primary()) === null, ELECTIONS_MS_MAX);
      await until('it was noticed', () => run.stats.state === 'reconnecting');
      await set.kill(alone, 'SIGKILL');
      await Promise.all(others.map(async (member) => await set.restart(member, never)));
      await set.waitForPrimary(never);
      await insert('alone', 1);
      await set.restart(alone, never);
      await expectWhole(work, run, 'alone', from);
      const left = await client.db('alone').collection<Document>('a').countDocuments({ lonely: true });
      expect(left).toBeLessThan(acknowledged);
      const lonely = linesOf(await readLake(work.lake)).filter(({ event }) => event['fullDocument']?.['lonely'] === true);
      expect(lonely).toHaveLength(left);
    },
  );
});

/** With one member frozen it is up to chance how many elections it takes. What they do to the pipeline is asked here, not that. */
async function stepUp(member: number): Promise<void> {
  await using direct = await new MongoClient(`mongodb://127.0.0.1:${set.ports[member]}/?directConnection=true`).connect();
  const tried = async (): Promise<boolean> => {
    if ((await direct.db('admin').command({ hello: 1 }))['isWritablePrimary'] === true) return true;
    await direct
      .db('admin')
      .command({ replSetStepUp: 1 })
      .catch(() => undefined);
    return false;
  };
  await until('the other one is primary', tried, ELECTIONS_MS_MAX);
}

/**
 * Writes to the primary alone, which may lose it, while and after the others are taken away. `null`: it was primary no more, and nobody
 * was taken away.
 */
async function loseOthers(): Promise<{ alone: number; others: readonly number[]; acknowledged: number } | null> {
  const alone = await set.waitForPrimary(never);
  const others = [0, 1, 2].filter((member) => member !== alone);
  await using direct = await new MongoClient(`mongodb://127.0.0.1:${set.ports[alone]}/?directConnection=true&retryWrites=false`).connect();
  const a = direct.db('alone').collection('a', { writeConcern: { w: 1 } });
  let acknowledged = 0;
  try {
    await a.insertOne({ lonely: true });
    acknowledged += 1;
  } catch {
    return null;
  }
  const gone = Promise.all(others.map(async (member) => await set.kill(member, 'SIGKILL')));
  try {
    for (;;) {
      await a.insertOne({ lonely: true });
      acknowledged += 1;
    }
  } catch {
    // It has stepped down.
  }
  await gone;
  return { alone, others, acknowledged };
}
