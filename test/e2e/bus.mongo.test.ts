/**
 * MongoDB → Kafka → lake, on a real broker.
 */
import type { MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { KafkaBroker, whyNoKafka } from '../kafka.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { ledgerFaults, placeFaults } from './lake-faults.ts';
import { byPosition, linesOf, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const absent = await whyNoKafka();

describe.skipIf(absent !== null)('events over a bus', () => {
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

  function settings(db: string, topic: string, from: BsonTimestamp, more: Partial<Settings> = {}): Settings {
    return {
      source: { uri: set.uri, include: [`${db}.*`], startAt: new Date(from.t * 1000).toISOString() },
      lake: { json: 'canonical', roll: { maxBytes: '16KiB' } },
      bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' } },
      ...more,
    };
  }

  async function provenLake(work: Workspace, db: string, from: BsonTimestamp, to: { t: number; i: number }): Promise<void> {
    const files = await readLake(work.lake);
    const lines = linesOf(files).filter(({ event }) => event._meta.ns.db === db);
    expect(placeFaults(lines)).toEqual([]);
    expect(differences(lines.toSorted(byPosition), await readStream(client, { db, from, to }))).toEqual([]);
    expect(ledgerFaults(files)).toEqual([]);
  }

  it.each(['collection', 'document'])('reach the lake once and in order, shared out by %s', async (partitionBy) => {
    const topic = `by-${partitionBy}`;
    const db = `by_${partitionBy}`;
    await broker.createTopic(topic, 4);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const config = work.config(settings(db, topic, from, { bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' }, partitionBy } }));
    await using produce = new PipelineRun(config, { role: 'produce' });
    await using consume = new PipelineRun(config, { role: 'consume' });
    await produce.running();
    for (let n = 0; n < 3; n += 1) {
      for (const coll of ['a', 'b', 'c', 'd', 'e']) {
        await client.db(db).collection(coll).insertMany(Array.from({ length: 50 }, (_, i) => ({ n, i, text: 'x'.repeat(200) }))); // prettier-ignore
        await client
          .db(db)
          .collection(coll)
          .updateMany({ n, i: { $lt: 10 } }, { $set: { done: true } });
      }
      await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 1) * 3600);
    }
    const to = await mark(client, db, 'a');
    await consume.reaches(to);
    await until('the hours before it are published', async () => {
      const files = await readLake(work.lake);
      return [...files.keys()].filter((path) => path.includes('/hours/')).length >= 3;
    });
    await produce.stop();
    await consume.control.seal(new AbortController().signal);
    await consume.stop();
    await provenLake(work, db, from, to);
    expect(await work.verify()).toEqual([]);
  });
});
