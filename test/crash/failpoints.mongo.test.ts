/**
 * A process that dies at each named failpoint, and its successor. A short history over several hours lies in the oplog,
 * so that every step, the publishing of hours included, is taken within a moment of the start.
 *
 * The failpoints are read from the source: a new one is tested from the day it is written, and one that nothing reaches
 * fails here.
 */
import { join } from 'node:path';
import type { Document, MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from '../e2e/change-stream.ts';
import { ledgerFaults, placeFaults, SealedGuard, unpublished } from '../e2e/lake-faults.ts';
import { byPosition, isData, linesOf, readLake } from '../e2e/lake-files.ts';
import { mark, PipelineRun } from '../e2e/pipeline-run.ts';
import { PIPELINE, Workspace, type Settings } from '../e2e/workspace.ts';
import { bronzeFaults, openWarehouse, silverFaults } from '../e2e/silver-faults.ts';
import { failpointNames } from './failpoint-names.ts';
import { RunProcess } from './run-process.ts';
import { SEED } from '../seed.ts';

const DB = 'history';
const KILLED = { code: null, signal: 'SIGKILL' };
/** Needs a history that was lost: a test of its own. */
const OF_A_GAP = /-gap$/;
/** Reached only where each event has a file of its own. */
const OF_AN_EVENT = /^event\./;
/** Only who finds what another one left gets there. */
const OF_A_SUCCESSOR = /-fence$/;
const OF_THE_WAREHOUSE = /^warehouse\.(?!.*(?:erase|take-over|retain))/;
/** snapshots.mongo.test.ts */
const OF_A_SNAPSHOT = /^snapshot\.|-snapshot(?:-recovered)?$/;
/** bus.mongo.test.ts */
const OF_THE_BUS = /^(?:produce|claim|dead-letter)\./;
/** compaction-kills.test.ts */
const OF_A_SWAP = /[.-]swap[.-]|^swap\./;
/** erasure-kills.test.ts */
const OF_AN_ERASURE = /^erase\.|^warehouse\..*(?:erase|take-over)/;
/** test/e2e/retention.mongo.test.ts */
const OF_A_RETENTION = /^warehouse\..*retain/;
/** test/e2e/reshape.test.ts */
const OF_A_RESHAPING = /^reshape\./;
/** How many pairs of failpoints, picked by the seed; `all` of them take more than an hour. */
const PAIRS = process.env['SLUICE_PAIRS'] ?? '6';

const NAMES = await failpointNames();
const OTHERS = [OF_A_GAP, OF_THE_WAREHOUSE, OF_AN_EVENT, OF_THE_BUS, OF_A_SNAPSHOT, OF_A_SWAP, OF_AN_ERASURE, OF_A_RESHAPING, OF_A_RETENTION];
const OF_CAPTURE = NAMES.filter((name) => !OTHERS.some((of) => of.test(name)));
const SIMPLE = OF_CAPTURE.filter((name) => !OF_A_SUCCESSOR.test(name));

function somePairs(): (readonly [string, string])[] {
  const all = SIMPLE.flatMap((first) => OF_CAPTURE.map((second) => [first, second] as const));
  if (PAIRS === 'all') return all;
  const random = new Random(SEED);
  return Array.from({ length: Number(PAIRS) }, () => all[random.int(all.length)]!);
}

let set: ReplicaSet;
let client: MongoClient;
let from: BsonTimestamp;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
  from = await clusterTime(client);
  await makeHistory();
});
afterAll(async () => await set.stop());

/** Three hours and the beginning of a fourth: inserts, a transaction over two collections, updates, a drop. */
async function makeHistory(): Promise<void> {
  const db = client.db(DB);
  const hour = Math.floor(from.t / 3600);
  for (let n = 0; n < 3; n += 1) {
    await db.collection('a').insertMany(Array.from({ length: 40 }, (_, i) => ({ n, i, text: 'x'.repeat(300) })));
    await db.collection<Document>('b').insertMany([{ n }, { n }]);
    await client.withSession(async (session) => {
      await session.withTransaction(async () => {
        for (let i = 0; i < 10; i += 1) {
          await db.collection('a').insertOne({ n, i }, { session });
          await db.collection('b').insertOne({ n, i }, { session });
        }
      });
    });
    await db.collection('a').updateMany({ n, i: { $lt: 5 } }, { $set: { done: true } });
    await db.collection(`only_${n}`).insertOne({});
    if (n === 1) await db.dropCollection('only_1');
    await jumpTo(client, (hour + n + 1) * 3600);
  }
}

function settings(): Settings {
  return {
    source: { uri: set.uri, include: [`${DB}.*`], startAt: new Date(from.t * 1000).toISOString() },
    lake: { json: 'canonical', roll: { maxBytes: '8KiB' } },
    checkpoint: { interval: '0s' },
  };
}

/** Runs until it dies at the failpoint. @throws when it ends in another way, or does not get there and `mayPass` is not given */
async function dieAt(configFile: string, failpoint: string, how: { mayPass: boolean; role: 'capture' | 'all' }): Promise<void> {
  const args = ['--role', how.role, '--until-idle', '0.1'];
  await using process = RunProcess.start(configFile, { args, env: { SLUICE_FAILPOINT: failpoint } });
  const ended = await process.ended;
  if (how.mayPass && ended.code === 0) return;
  expect(ended, `${failpoint} was not reached:\n${process.stderr}`).toEqual(KILLED);
}

/** The last one does its work to the end, and then the lake must be what the server tells. */
async function finishAndCheck(work: Workspace, guard: SealedGuard): Promise<void> {
  const run = await new PipelineRun(work.config(settings())).running();
  const to = await mark(client, DB, 'a');
  await run.reaches(to);
  await run.stop();
  const files = await readLake(work.lake);
  const lines = linesOf(files);
  const hour = Math.floor(from.t / 3600);
  expect(placeFaults(lines)).toEqual([]);
  expect(differences(lines.toSorted(byPosition), await readStream(client, { db: DB, from, to }))).toEqual([]);
  expect(unpublished(files, PIPELINE, hour * 3600, (hour + 2) * 3600)).toEqual([]);
  expect(guard.changed(files)).toEqual([]);
  // What is open is named by the checkpoint; the proof of the product knows it.
  const open = new Set((await work.checkpoint()).parts.map((part) => part.path));
  expect(ledgerFaults(new Map([...files].filter(([path]) => !open.has(path))))).toEqual([]);
  expect(await work.verify()).toEqual([]);
}

async function survives(...deaths: readonly string[]): Promise<void> {
  await using work = await Workspace.make();
  const configFile = await work.writeConfig(settings());
  const guard = new SealedGuard(work.lake);
  for (const failpoint of deaths) {
    await dieAt(configFile, failpoint, { mayPass: false, role: 'capture' });
    await guard.look();
  }
  await finishAndCheck(work, guard);
}

describe('a process that dies', () => {
  it('has failpoints around every durable step', () => {
    expect(NAMES.length).toBeGreaterThan(50);
    for (const step of ['checkpoint.before-start', 'checkpoint.after-clean-stop', 'part.after-append', 'ledger.after-append', 'hour.after-success']) {
      expect(NAMES).toContain(step);
    }
    // Both sides: who stands before something has a counterpart behind it. The steps within one call of the disk follow each other.
    const alone = NAMES.filter((name) => name.includes('.before-') && !NAMES.includes(name.replace('.before-', '.after-')));
    expect(alone.filter((name) => !name.startsWith('lake.'))).toEqual([]);
  });

  it.each(SIMPLE)('at %s leaves a lake that its successor brings to a good end', async (name) => {
    await survives(name);
  });

  it.each(NAMES.filter((name) => OF_A_SUCCESSOR.test(name) && !OF_A_SNAPSHOT.test(name)))('at %s, while it takes over, does so too', async (name) => {
    await survives('ledger.after-append', name);
  });

  it.each(NAMES.filter((name) => OF_THE_WAREHOUSE.test(name)))('at %s leaves a warehouse that its successor brings to a good end', async (name) => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({ ...settings(), warehouse: { url: 'duckdb:./warehouse.duckdb' } });
    // The first time, and again once there is something in it.
    await dieAt(configFile, name, { mayPass: false, role: 'all' });
    await dieAt(configFile, `${name}:2`, { mayPass: true, role: 'all' });
    await using last = RunProcess.start(configFile, { args: ['--until-idle', '0.1'] });
    expect(await last.ended, last.stderr).toEqual({ code: 0, signal: null });
    const lines = linesOf(await readLake(work.lake));
    expect(await work.verify()).toEqual([]);
    await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
    for (const coll of ['a', 'b']) {
      const ofCollection = lines.filter(({ event }) => event._meta.ns.coll === coll);
      expect(await silverFaults(warehouse, client, DB, coll)).toEqual([]);
      expect(await bronzeFaults(warehouse, DB, coll, ofCollection)).toEqual([]);
    }
  });

  it.each([
    'part.before-append:4',
    'part.after-append:7',
    'lake.append.before-sync:5',
    'lake.put.before-rename:4',
    'ledger.after-append:2',
    'hour.after-manifest:3',
    'part.after-close:6',
  ])('at %s, later, does so too', async (name) => {
    await survives(name);
  });

  it.each([
    ['part.after-append:3', 'checkpoint.after-epoch'],
    ['part.after-append:3', 'lake.open.before-sync'],
    ['checkpoint.after-sealing', 'part.before-close'],
    ['checkpoint.after-sealing', 'ledger.before-append'],
    ['checkpoint.after-sealing', 'ledger.after-append'],
    ['ledger.after-append', 'lake.append.before-sync:2'],
    ['checkpoint.after-publishing', 'hour.after-manifest'],
    ['hour.after-manifest', 'hour.after-success'],
    ['hour.after-success', 'hour.before-hour-file'],
    ['checkpoint.after-clean-stop', 'checkpoint.after-epoch'],
  ])('at %s has a successor that dies at %s, and that one a successor', async (first, second) => {
    await survives(first, second);
  });

  it.each([...NAMES.filter((name) => OF_AN_EVENT.test(name)), 'event.after-put:40', 'part.after-append:3', 'lake.put.before-rename:60'])(
    'at %s, with one file per event, has a successor that takes in what was put and names each event once',
    async (name) => {
      await using work = await Workspace.make();
      const perEvent = { ...settings(), lake: { json: 'canonical', layout: 'per-event' } };
      const configFile = await work.writeConfig(perEvent);
      await dieAt(configFile, name, { mayPass: false, role: 'capture' });
      const before = await readLake(work.lake);
      const run = await new PipelineRun(work.config(perEvent)).running();
      const to = await mark(client, DB, 'a');
      await run.reaches(to);
      await run.stop();
      const files = await readLake(work.lake);
      const events = new Map([...files].filter(([path]) => isData(path)));
      const wanted = await readStream(client, { db: DB, from, to });
      expect(differences(linesOf(events).toSorted(byPosition), wanted)).toEqual([]);
      for (const [path, bytes] of before) if (events.has(path)) expect(files.get(path)).toEqual(bytes);
      // Each is named by one line of one index.
      const indexes = [...files].filter(([path]) => path.includes('/_index-')).flatMap(([, bytes]) => bytes.toString('utf8').split('\n').slice(0, -1)); // prettier-ignore
      const named = indexes.map((text) => (JSON.parse(text) as { file: { path: string } }).file.path);
      expect(named.toSorted()).toEqual([...events.keys()].toSorted());
      expect(await work.verify()).toEqual([]);
    },
  );

  it.each(somePairs())(`at %s has a successor that dies at %s, and so on (SLUICE_SEED=${SEED})`, async (first, second) => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings());
    const guard = new SealedGuard(work.lake);
    for (const failpoint of [first, second]) {
      // The second one may find the work done, or a step that is taken once in a pipeline's life behind it.
      await dieAt(configFile, failpoint, { mayPass: true, role: 'capture' });
      await guard.look();
    }
    await finishAndCheck(work, guard);
  });

  it.each(NAMES.filter((name) => OF_A_GAP.test(name)))('at %s has told of the lost history, or its successor tells', async (name) => {
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings());
    const process = RunProcess.start(configFile, { env: { SLUICE_FAILPOINT: name } });
    await process.owner();
    // The server says of an open cursor what it says when the oplog has overtaken it.
    const lose = async (mode: Document | string): Promise<void> => {
      await client
        .db('admin')
        .command({ configureFailPoint: 'failCommand', mode, data: { failCommands: ['getMore'], errorCode: 136, appName: 'sluice' } });
    };
    await lose('alwaysOn');
    expect(await process.ended).toEqual(KILLED);
    const isKnown = (await work.checkpoint()).gaps.length > 0;
    expect(isKnown).toBe(name.startsWith('checkpoint.after-'));
    if (!isKnown) await expect(new PipelineRun(work.config(settings())).done).rejects.toMatchObject({ code: 'SLC-1286' });
    await lose('off');
    await expect(new PipelineRun(work.config(settings())).done).rejects.toMatchObject({ code: 'SLC-1403' });
    expect((await work.checkpoint()).gaps).toMatchObject([{ to: null, collections: [`${DB}.*`] }]);
    expect(await work.verify()).toEqual([]);
  });
});
