/**
 * Networks between sluice and MongoDB that are cut, fall silent, crawl, or break in the middle of a reply.
 */
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { TcpProxy } from '../fakes/tcp-proxy.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { ledgerFaults, placeFaults } from './lake-faults.ts';
import { byPosition, linesOf, readLake } from './lake-files.ts';
import { inTransaction, mark, PipelineRun } from './pipeline-run.ts';
import { SLOWNESS, until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;
let proxy: TcpProxy;
beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());
beforeEach(async () => void (proxy = await TcpProxy.to({ port: set.ports[0]! })));
afterEach(async () => await proxy[Symbol.asyncDispose]());

/** All that a stop may take. */
const STOP_MS_MAX = 10_000;
/** The monitor of the driver asks often and waits for two seconds: what it takes ten for by default. */
const IMPATIENT = '&heartbeatFrequencyMS=500&minHeartbeatFrequencyMS=50&connectTimeoutMS=2000&serverSelectionTimeoutMS=10000';
/** The monitor finds nothing wrong. */
const SILENT = '&heartbeatFrequencyMS=600000&serverMonitoringMode=poll&socketTimeoutMS=1000';

const settings = (db: string, more: string): Settings => ({
  source: { uri: `${proxy.uri}${more}`, include: [`${db}.*`], fullDocument: 'off' },
  lake: { json: 'canonical' },
});

async function insert(db: string, count: number, bytes = 500): Promise<void> {
  const documents = Array.from({ length: count }, (_, n) => ({ n, x: 'x'.repeat(bytes) }));
  await client.db(db).collection('a').insertMany(documents);
}

/** The lake is what another reader, on another way, was told. */
async function expectWhole(work: Workspace, run: PipelineRun, db: string, from: Awaited<ReturnType<typeof clusterTime>>): Promise<void> {
  const to = await mark(client, db, 'mark');
  await run.reaches(to);
  await run.stop();
  const files = await readLake(work.lake);
  const lines = linesOf(files);
  expect(differences(lines.toSorted(byPosition), await readStream(client, { db, from, to }))).toEqual([]);
  expect([...placeFaults(lines), ...ledgerFaultsOfSealed(files), ...(await work.verify())]).toEqual([]);
}

/** Open parts are in no ledger yet. */
function ledgerFaultsOfSealed(files: ReadonlyMap<string, Buffer>): string[] {
  return ledgerFaults(files).filter((fault) => !fault.endsWith('is not in the ledger'));
}

describe('a network', () => {
  it('that is cut again and again, and is away for a while, costs nothing but time', async () => {
    await using work = await Workspace.make();
    await using run = await PipelineRun.patient(work.config(settings('cut', IMPATIENT)));
    const from = await clusterTime(client);
    for (let round = 0; round < 5; round += 1) {
      await until('the stream is open', () => run.stats.state === 'running');
      const before = run.stats.reconnects;
      await insert('cut', 200);
      const more = insert('cut', 200);
      // A cut between two commands costs nothing at all: the next one takes another socket.
      await until('a cut was noticed', () => {
        if (run.stats.reconnects > before) return true;
        proxy.cut();
        return false;
      });
      await more;
    }
    expect(run.stats.reconnects).toBeGreaterThanOrEqual(5);
    await expectWhole(work, run, 'cut', from);
  });

  it.each([
    ['all of them, is noticed by the monitor', IMPATIENT, () => proxy.swallow()],
    ['that of the cursor alone, is noticed by the limit of its own', SILENT, () => void proxy.swallowOpen(() => true)],
  ])('whose sockets are open at one end only, %s', async (_, more, silence) => {
    await using work = await Workspace.make();
    const db = more === SILENT ? 'half_one' : 'half_all';
    await using run = await PipelineRun.patient(work.config(settings(db, more)));
    const from = await clusterTime(client);
    await insert(db, 100);
    await run.reaches(await mark(client, db, 'mark'));
    const before = run.stats.reconnects;
    silence();
    await insert(db, 100);
    await until('the silence was noticed', () => run.stats.reconnects > before);
    proxy.heal();
    await expectWhole(work, run, db, from);
  });

  it('that says nothing at all does not hold up a stop', async () => {
    await using work = await Workspace.make();
    await using run = await new PipelineRun(work.config(settings('quiet', ''))).running();
    proxy.swallow();
    const begun = Date.now();
    await run.stop();
    expect(Date.now() - begun).toBeLessThan(STOP_MS_MAX * SLOWNESS);
    expect((await work.checkpoint()).cleanStop).toBe(true);
  });

  it('that carries a few bytes at a time carries all of them', async () => {
    await using work = await Workspace.make();
    // In pieces of 7 bytes even the handshake comes apart; a silence of the whole reply's length would be too long.
    proxy.inPiecesOf(7);
    await using run = await new PipelineRun(work.config(settings('slow', SILENT.replace('1000', '20000')))).running();
    const from = await clusterTime(client);
    await insert('slow', 300, 300);
    await inTransaction(client, async (session) => {
      for (let n = 0; n < 20; n += 1) await client.db('slow').collection('a').insertOne({ n }, { session });
    });
    await expectWhole(work, run, 'slow', from);
    expect(run.stats.reconnects).toBe(0);
  });

  it('that breaks in the middle of a reply, at any byte, leaves nothing out and repeats nothing', async () => {
    await using work = await Workspace.make();
    await using run = await PipelineRun.patient(work.config(settings('torn', IMPATIENT)));
    const from = await clusterTime(client);
    // In the header, in the envelope, in the first event, in the last one, and one byte before the end.
    const places: ((bytes: number) => number)[] = [
      () => 0,
      () => 3,
      () => 15,
      () => 16,
      () => 40,
      () => 300,
      (n) => n >> 1,
      (n) => n - 600,
      (n) => n - 1,
    ];
    for (const place of places) {
      await until('the stream is open', () => run.stats.state === 'running');
      const before = run.stats.reconnects;
      let torn = false;
      proxy.cutWhen((_, bytes) => {
        if (torn || bytes.length < 3_000) return null;
        torn = true;
        return place(bytes.length);
      });
      await insert('torn', 30);
      await until('a reply was torn', () => torn && run.stats.reconnects > before);
    }
    await expectWhole(work, run, 'torn', from);
  });
});

describe('a server that searches its oplog for longer than a silence may last', () => {
  it('is given more time each time, until it has found what it was asked for', async () => {
    await using work = await Workspace.make();
    const uri = `${set.uri}&socketTimeoutMS=1000&heartbeatFrequencyMS=600000&serverMonitoringMode=poll`;
    await using run = await PipelineRun.patient(work.config({ source: { uri, include: ['search.*'] }, lake: { json: 'canonical' } }));
    const from = await clusterTime(client);
    // Each answer takes longer than the limit that it has: no getMore would ever come back.
    const fail = { failCommands: ['getMore'], blockConnection: true, blockTimeMS: 4_500, appName: 'sluice' };
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'alwaysOn', data: fail });
    try {
      await until('it was given up on', () => run.stats.reconnects > 0);
      await insert('search', 10);
      const to = await mark(client, 'search', 'mark');
      await run.reaches(to);
    } finally {
      await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
    }
    await expectWhole(work, run, 'search', from);
  });
});
