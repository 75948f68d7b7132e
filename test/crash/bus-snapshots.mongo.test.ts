/**
 * Producers that die while they read collections whole, and consumers beside them, while others write, a collection is renamed, and the
 * broker may forget what nobody has read yet. Their successors bring it to a good end: the gap is mended, and silver is as the source is.
 *
 * `SLUICE_BUS_SNAPSHOTS` sets how many histories there are, `SLUICE_SEED` repeats what a run did.
 */
import { join } from 'node:path';
import type { Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import { readStatus } from '../../src/app/status.ts';
import { KafkaBus } from '../../src/bus/kafka/kafka.ts';
import type { Config } from '../../src/config/config.ts';
import { systemClock } from '../../src/core/clock.ts';
import { SluiceError } from '../../src/core/error.ts';
import { BUS_OFFSET_GONE } from '../../src/core/errors.ts';
import { silentLog } from '../../src/ops/log.ts';
import { PRODUCER } from '../../src/pipeline/checkpoint.ts';
import { KafkaBroker, whyNoKafka } from '../kafka.ts';
import { startMongo } from '../mongo.ts';
import { SEED } from '../seed.ts';
import { SealedGuard } from '../e2e/lake-faults.ts';
import { readLake, snapshotLinesOf } from '../e2e/lake-files.ts';
import { mark, PipelineRun } from '../e2e/pipeline-run.ts';
import { openWarehouse, silverFaults } from '../e2e/silver-faults.ts';
import { Workspace, type Settings } from '../e2e/workspace.ts';
import { failpointNames } from './failpoint-names.ts';
import { RunProcess } from './run-process.ts';

const HISTORIES = Number(process.env['SLUICE_BUS_SNAPSHOTS'] ?? 2);
const KILLED = { code: null, signal: 'SIGKILL' };
const DOCUMENTS = 600;
const COLLECTIONS = ['a', 'b'] as const;
const PARTITIONS = 2;
/** A run that only ends may leave what it has mended to the next one: that needs every partition to be past it. */
const ROUNDS_MAX = 8;
interface Numbered extends Document {
  readonly _id: number;
}

const never = new AbortController().signal;

const absent = await whyNoKafka();
const NAMES = (await failpointNames()).filter((name) => /^(?:snapshot\.|ledger\.|checkpoint\..*-snapshot|checkpoint\..*-epoch)/.test(name));

describe.skipIf(absent !== null)('producers and consumers that die while collections are read whole', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let broker: KafkaBroker;

  beforeAll(async () => {
    [set, broker] = await Promise.all([startMongo(), KafkaBroker.start()]);
    client = await set.connect();
  });
  afterAll(async () => {
    await set.stop();
    await broker[Symbol.asyncDispose]();
  });

  const settings = (db: string, partitionBy: string): Settings => ({
    source: {
      uri: set.uri,
      include: [`${db}.*`],
      exclude: [`${db}.outside`],
      startAt: 'snapshot',
      onHistoryLost: 'repair',
      snapshot: { parallel: 3 },
    },
    lake: { json: 'canonical', roll: { maxBytes: '8KiB' }, flush: { maxBytes: '2KiB' } },
    checkpoint: { interval: '0s' },
    bus: { url: `kafka://${broker.plain}/${db}`, auth: { kind: 'none' }, partitionBy, group: 'last' },
    warehouse: { url: 'duckdb:./warehouse.duckdb' },
  });

  /** One is not captured, until it is renamed to `moved`. */
  async function fill(db: string, random: Random): Promise<void> {
    for (const coll of [...COLLECTIONS, 'outside']) {
      const count = coll === 'outside' ? 50 : DOCUMENTS;
      const documents = Array.from({ length: count }, (_, n) => ({ _id: n, n, text: 'x'.repeat(random.int(300)) }));
      await client.db(db).collection<Numbered>(coll).insertMany(documents); // prettier-ignore
    }
  }

  async function write(db: string, random: Random, signal: AbortSignal): Promise<void> {
    for (let step = 0; !signal.aborted; step += 1) {
      const coll = client.db(db).collection<Numbered>(random.pick(COLLECTIONS));
      const _id = random.int(DOCUMENTS + 100);
      const what = random.int(10);
      if (what < 5) await coll.updateOne({ _id }, { $set: { step } }, { upsert: true });
      else if (what < 8) await coll.deleteOne({ _id });
      else await coll.replaceOne({ _id }, { step, replaced: true }, { upsert: true });
      if (step === 60) await client.db(db).renameCollection('outside', 'moved');
      if (step % 20 === 0) await systemClock.sleep(1);
    }
  }

  /** As retention does it: what was sent so far is gone, whoever has not read it. */
  async function forgetTopic(topic: string): Promise<void> {
    const url = `kafka://${broker.plain}/${topic}`;
    await using bus = new KafkaBus({ url, login: { kind: 'none' }, token: () => Promise.reject(new Error('none')) }, systemClock, silentLog);
    const partitions = (await bus.ranges(never)).map(({ next }, partition) => ({ partition, offset: next }));
    await broker.withAdmin(async (admin) => await admin.deleteRecords({ topics: [{ name: topic, partitions }] }));
  }

  async function finish(config: Config, db: string): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      await mark(client, db, 'a');
      try {
        await new PipelineRun(config, { role: 'all', untilIdleMs: 200 }).done;
      } catch (error) {
        // Messages that were lost before the gap of those before them was mended end a run; the next one goes on after them.
        if (!SluiceError.is(error, BUS_OFFSET_GONE)) throw error;
      }
      const { gaps, snapshots } = await readStatus(config, { log: silentLog }, never);
      if (snapshots.length === 0 && gaps.every(({ repaired }) => repaired !== null)) return;
    }
    throw new Error(`not mended after ${ROUNDS_MAX} runs`);
  }

  it('is asked to die at the steps of a snapshot', () => expect(NAMES.length).toBeGreaterThan(15));

  it.each(Array.from({ length: HISTORIES }, (_, n) => SEED + n))(
    'have successors that end it (SLUICE_SEED=%i)',
    { timeout: 240_000 },
    async (seed) => {
      const random = new Random(seed);
      const db = `kills_${seed}`;
      await broker.createTopic(db, PARTITIONS);
      await fill(db, random);
      await using work = await Workspace.make();
      const how = settings(db, random.pick(['collection', 'document']));
      const configFile = await work.writeConfig(how);
      const guard = new SealedGuard(work.lake);
      const stop = new AbortController();
      // What it draws depends on how far it comes; the deaths must not.
      const writing = write(db, new Random(seed + 1_000), stop.signal);
      const live = new Map<'produce' | 'consume', RunProcess>();
      const start = (role: 'produce' | 'consume'): void => {
        // A member of a group that is killed holds its partitions for ten seconds: only the lake is to keep them apart here.
        const env: Record<string, string> = { SLUICE_BUS__GROUP: `own-${random.int(1e9)}` };
        if (random.int(2) === 0) env['SLUICE_FAILPOINT'] = `${NAMES[random.int(NAMES.length)]!}:${1 + random.int(5)}`;
        live.set(role, RunProcess.start(configFile, { args: ['--role', role], env }));
      };
      let forgotten = false;
      try {
        for (let kills = 0; kills < 4; kills += 1) {
          for (const role of ['produce', 'consume'] as const) if (live.get(role)?.running !== true) start(role);
          const role = random.pick(['produce', 'produce', 'consume'] as const);
          const process = live.get(role)!;
          if (random.int(4) > 0) await process.said(role === 'produce' ? 'reading changes' : 'these partitions are ours').catch(() => {});
          await systemClock.sleep(random.int(500));
          const end = await process.kill('SIGKILL');
          // Whoever ends by itself has met something that it should not have, a failpoint, or, as above, a second loss before
          // the gap of the first one is mended.
          const lostTwice = forgotten && role === 'consume' && end?.code === BUS_OFFSET_GONE.exit && process.stderr.includes(BUS_OFFSET_GONE.code);
          if (!lostTwice) expect(end, process.stderr).toEqual(KILLED);
          if (role === 'consume' && kills > 0 && (await work.checkpoint(PRODUCER).catch(() => null)) !== null) {
            await forgetTopic(db);
            forgotten = true;
          }
          await guard.look().catch(() => {});
        }
      } finally {
        for (const process of live.values()) await process.kill('SIGKILL');
        stop.abort();
        await writing;
      }
      if (!forgotten && random.int(2) === 0) await forgetTopic(db);
      const config = work.config(how);
      await finish(config, db);
      const files = await readLake(work.lake);
      expect(guard.changed(files)).toEqual([]);
      expect(await work.verify()).toEqual([]);
      // No document is there twice in one snapshot, however often its reading was cut short.
      const rows = snapshotLinesOf(files).filter(({ event }) => event._meta.operationType === 'snapshot');
      const keys = rows.map(({ path, text }) => `${path.slice(0, path.lastIndexOf('/'))} ${/"documentKey":(.*),"fullDocument"/.exec(text)?.[1]}`);
      expect(new Set(keys).size).toBe(keys.length);
      await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
      const moved = (await client.db(db).listCollections({ name: 'moved' }).toArray()).length;
      for (const coll of moved === 0 ? COLLECTIONS : [...COLLECTIONS, 'moved']) expect(await silverFaults(warehouse, client, db, coll)).toEqual([]);
    },
  );
});
