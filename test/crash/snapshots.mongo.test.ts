/**
 * A process that dies while it reads collections whole, and while others write to them. Its successor goes on in the middle, and
 * then silver is as the source is, and each document was brought by the snapshot once.
 *
 * `SLUICE_SNAPSHOTS` sets how many histories there are, `SLUICE_SEED` repeats what a run did.
 */
import { join } from 'node:path';
import { Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import { systemClock } from '../../src/core/clock.ts';
import { startMongo } from '../mongo.ts';
import { SEED } from '../seed.ts';
import { SealedGuard } from '../e2e/lake-faults.ts';
import { snapshotLinesOf, readLake } from '../e2e/lake-files.ts';
import { mark, PipelineRun } from '../e2e/pipeline-run.ts';
import { openWarehouse, silverFaults } from '../e2e/silver-faults.ts';
import { Workspace, type Settings } from '../e2e/workspace.ts';
import { failpointNames } from './failpoint-names.ts';
import { RunProcess } from './run-process.ts';

const HISTORIES = Number(process.env['SLUICE_SNAPSHOTS'] ?? 20);
const KILLED = { code: null, signal: 'SIGKILL' };
const DOCUMENTS = 800;
const COLLECTIONS = ['a', 'b'] as const;
/** A step of a snapshot. */
const OF_A_SNAPSHOT = /^(?:snapshot\.|checkpoint\..*-snapshot)/;
/** Only who finds what another one left gets there. */
const OF_A_SUCCESSOR = /-fence$|-remove$|-snapshot-recovered$/;
const NAMES = (await failpointNames()).filter((name) => OF_A_SNAPSHOT.test(name));

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

/** Of types that stand next to each other in the index, and compare equal to none of the others. */
function keyOf(n: number): unknown {
  if (n < 2) return n === 0 ? new MinKey() : new MaxKey();
  switch (n % 8) {
    case 0:
      return new Int32(n);
    case 1:
      return new Double(n + 0.25);
    case 2:
      return Long.fromNumber(2 ** 40 + n);
    case 3:
      return Decimal128.fromString(`${n}.5`);
    case 4:
      return `key ${n}`;
    case 5:
      return { of: 'two', n };
    case 6:
      return new ObjectId(n.toString(16).padStart(24, '0'));
    default:
      return n % 16 === 7 ? new Date(n * 1e9) : new Timestamp({ t: n, i: 1 });
  }
}

/** One is not captured, until it is renamed to `moved`. */
async function fill(db: string, random: Random): Promise<void> {
  for (const coll of [...COLLECTIONS, 'outside']) {
    const documents = Array.from({ length: coll === 'outside' ? DOCUMENTS / 8 : DOCUMENTS }, (_, n) => ({
      _id: keyOf(n),
      n,
      text: 'x'.repeat(random.int(300)),
    }));
    await client
      .db(db)
      .collection<Document>(coll)
      .insertMany(documents as Document[]);
  }
}

/** Writes until it is told to stop: everywhere, so that it hits what is read and what is not, before and after. */
async function write(db: string, random: Random, signal: AbortSignal): Promise<void> {
  for (let step = 0; !signal.aborted; step += 1) {
    const coll = client.db(db).collection<Document>(random.pick(COLLECTIONS));
    const _id = keyOf(random.int(DOCUMENTS + 200)) as ObjectId;
    const what = random.int(10);
    if (what < 5) await coll.updateOne({ _id }, { $set: { step } }, { upsert: true });
    else if (what < 8) await coll.deleteOne({ _id });
    else await coll.replaceOne({ _id }, { step, replaced: true }, { upsert: true });
    if (step === 60) await client.db(db).renameCollection('outside', 'moved');
    if (step % 20 === 0) await systemClock.sleep(1);
  }
}

function settings(db: string, roll = '8KiB'): Settings {
  return {
    source: { uri: set.uri, include: [`${db}.*`], exclude: [`${db}.outside`], startAt: 'snapshot', snapshot: { parallel: 3 } },
    lake: { json: 'canonical', roll: { maxBytes: roll }, flush: { maxBytes: '2KiB' } },
    checkpoint: { interval: '0s' },
    warehouse: { url: 'duckdb:./warehouse.duckdb' },
  };
}

/** The last one does its work to the end. */
async function finishAndCheck(work: Workspace, db: string, guard: SealedGuard, how: Settings): Promise<void> {
  const moved = (await client.db(db).listCollections({ name: 'moved' }).toArray()).length;
  const to = await mark(client, db, 'a');
  const run = new PipelineRun(work.config(how), { role: 'all', untilIdleMs: 100 });
  await run.reaches(to);
  await run.done;
  const files = await readLake(work.lake);
  expect(guard.changed(files)).toEqual([]);
  expect(await work.verify()).toEqual([]);
  const lines = snapshotLinesOf(files);
  for (const coll of COLLECTIONS) {
    const rows = lines.filter(({ event }) => event._meta.ns.coll === coll && event._meta.operationType === 'snapshot');
    const keys = new Set(rows.map(({ text }) => /"documentKey":(.*),"fullDocument"/.exec(text)?.[1]));
    expect(keys.size).toBe(rows.length);
    // Most of what was there in the beginning was there when its range was read.
    expect(rows.length).toBeGreaterThan(DOCUMENTS / 2);
    const ends = lines.filter(({ event }) => event._meta.ns.coll === coll && event._meta.operationType === 'snapshotEnd');
    expect(ends.map(({ event }) => (event as unknown as { snapshot: { rows: number } }).snapshot.rows)).toEqual([rows.length]);
  }
  await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
  const all = moved === 0 ? COLLECTIONS : [...COLLECTIONS, 'moved'];
  for (const coll of all) expect(await silverFaults(warehouse, client, db, coll)).toEqual([]);
}

describe('a process that dies while it reads collections whole', () => {
  it('has failpoints around every durable step of it', () => {
    expect(NAMES.length).toBeGreaterThan(10);
  });

  it.each(NAMES)('at %s has a successor that goes on in the middle', async (name) => {
    const db = `point_${NAMES.indexOf(name)}`;
    const random = new Random(SEED);
    await fill(db, random);
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings(db));
    const guard = new SealedGuard(work.lake);
    const deaths = OF_A_SUCCESSOR.test(name) ? ['snapshot.after-append:5', name] : [name.startsWith('snapshot.') ? `${name}:4` : name];
    const stop = new AbortController();
    const writing = write(db, random, stop.signal);
    for (const failpoint of deaths) {
      await using process = RunProcess.start(configFile, { args: ['--until-idle', '0.1'], env: { SLUICE_FAILPOINT: failpoint } });
      expect(await process.ended, `${failpoint} was not reached:\n${process.stderr}`).toEqual(KILLED);
      await guard.look();
    }
    stop.abort();
    await writing;
    await finishAndCheck(work, db, guard, settings(db));
  });

  it.each(Array.from({ length: HISTORIES }, (_, n) => SEED + n))(
    'at any moment has one, too (SLUICE_SEED=%i)',
    { timeout: 120_000 },
    async (seed) => {
      const random = new Random(seed);
      const db = `random_${seed}`;
      await fill(db, random);
      await using work = await Workspace.make();
      const how = settings(db, random.pick(['8KiB', '64KiB', '1MiB']));
      const configFile = await work.writeConfig(how);
      const guard = new SealedGuard(work.lake);
      const stop = new AbortController();
      const writing = write(db, random, stop.signal);
      for (let kills = 1 + random.int(2); kills > 0; kills -= 1) {
        await using process = RunProcess.start(configFile, { args: ['--role', random.pick(['all', 'capture'])] });
        await process.owner();
        await systemClock.sleep(random.int(400));
        expect(await process.kill('SIGKILL'), process.stderr).toEqual(KILLED);
        await guard.look();
      }
      stop.abort();
      await writing;
      await finishAndCheck(work, db, guard, how);
    },
  );
});
