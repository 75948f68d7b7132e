/**
 * Collections read whole by a producer, while their changes go over a real broker: silver is as the source is.
 *
 * The processes are those that a user starts, `--role produce` and `--role consume`, and the proofs are the product's own:
 * `sluice verify`, the source included; the tests' own checker of silver agrees with it.
 */
import { join } from 'node:path';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { PRODUCER, type Checkpoint } from '../../src/pipeline/checkpoint.ts';
import { compareTimestamps, hourName, hourOf, type Timestamp } from '../../src/core/time.ts';
import { RunProcess } from '../crash/run-process.ts';
import { KafkaBroker, whyNoKafka } from '../kafka.ts';
import { FORGETFUL, jumpTo, startMongo } from '../mongo.ts';
import { readLake, snapshotLinesOf } from './lake-files.ts';
import { mark } from './pipeline-run.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const PARTITIONS = 2;
const WAIT_MS_MAX = 60_000;

const absent = await whyNoKafka();

describe.skipIf(absent !== null)('collections read whole beside a bus', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let broker: KafkaBroker;

  beforeAll(async () => {
    [set, broker] = await Promise.all([startMongo(FORGETFUL), KafkaBroker.start()]);
    client = await set.connect();
  });
  afterAll(async () => {
    await set.stop();
    await broker[Symbol.asyncDispose]();
  });

  function settings(db: string, source: Readonly<Record<string, unknown>> = {}, bus: Readonly<Record<string, unknown>> = {}): Settings {
    return {
      source: { uri: set.uri, include: [`${db}.*`], startAt: 'snapshot', ...source },
      lake: { json: 'canonical', roll: { maxBytes: '16KiB' } },
      checkpoint: { interval: '100ms' },
      bus: { url: `kafka://${broker.plain}/${db}`, auth: { kind: 'none' }, ...bus },
      warehouse: { url: 'duckdb:./warehouse.duckdb' },
    };
  }

  async function fill(db: string, coll: string, count: number): Promise<void> {
    await client.db(db).collection<Document>(coll).insertMany(Array.from({ length: count }, (_, n) => ({ n, text: 'x'.repeat(100) }))); // prettier-ignore
  }

  /** Every partition has all up to there, durable. */
  async function reach(work: Workspace, at: Timestamp): Promise<void> {
    for (let index = 0; index < PARTITIONS; index += 1) {
      await until(
        `partition ${index} has come so far`,
        async () => {
          const there = await checkpointOf(work, `p00${index}`);
          return there !== null && compareTimestamps(there.watermark, at) >= 0;
        },
        WAIT_MS_MAX,
      );
    }
  }

  async function checkpointOf(work: Workspace, scope: string): Promise<Checkpoint | null> {
    return await work.checkpoint(scope).catch(() => null);
  }

  async function nothingIsLeftToRead(work: Workspace): Promise<void> {
    await until('all that was to be read is read', async () => (await checkpointOf(work, PRODUCER!))?.snapshots.length === 0, WAIT_MS_MAX);
  }

  /** Nobody runs. Seals, loads and proves: everything agrees, the source included. */
  async function proven(work: Workspace, configFile: string, db: string, ...colls: readonly string[]): Promise<void> {
    for (const command of [['seal'], ['load'], ['verify', '--lake', '--warehouse', '--source']]) {
      const { code, out, err } = await sluice(configFile, ...command);
      expect(code, `${command.join(' ')}: ${out}${err}`).toBe(0);
    }
    await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
    for (const coll of colls) expect(await silverFaults(warehouse, client, db, coll)).toEqual([]);
  }

  async function stop(...processes: readonly RunProcess[]): Promise<void> {
    for (const process of processes) expect(await process.kill('SIGTERM'), process.stderr).toEqual({ code: 0, signal: null });
  }

  it.each(['collection', 'document'])('are in silver with all that has happened since, shared out by %s', async (partitionBy) => {
    const db = `whole_${partitionBy}`;
    await broker.createTopic(db, PARTITIONS);
    for (const [coll, count] of [
      ['a', 1_000],
      ['b', 40],
      ['c', 200],
    ] as const)
      await fill(db, coll, count);
    await using work = await Workspace.make();
    const configFile = await work.writeConfig(settings(db, { snapshot: { maxBytesPerSecond: '100KiB' } }, { partitionBy }));
    await using produce = RunProcess.start(configFile, { args: ['--role', 'produce'] });
    await using consume = RunProcess.start(configFile, { args: ['--role', 'consume'] });
    await produce.said('reading changes');
    const a = client.db(db).collection<Document>('a');
    for (let n = 0; n < 1_000; n += 10) {
      await a.updateOne({ n }, { $set: { changed: true } });
      if (n % 30 === 0) await a.deleteOne({ n: n + 1 });
      if (n % 50 === 0) await client.db(db).collection<Document>('c').insertOne({ later: n }); // prettier-ignore
    }
    await nothingIsLeftToRead(work);
    // The hour in which they were read is published without them.
    const to = await mark(client, db, 'b');
    await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
    await until(
      'the hour is published',
      async () => (await readLake(work.lake)).has(`_sluice/shop/hours/${hourName(hourOf(to.t))}.json`),
      WAIT_MS_MAX,
    );
    await reach(work, await mark(client, db, 'b'));
    await stop(produce, consume);
    await proven(work, configFile, db, 'a', 'b', 'c');
    const whole = snapshotLinesOf(await readLake(work.lake));
    const ends = whole.filter(({ event }) => event._meta.operationType === 'snapshotEnd').map(({ event }) => event._meta.ns.coll);
    expect(new Set(ends)).toEqual(new Set(['a', 'b', 'c']));
    expect(ends).toHaveLength(3);
  });
});
