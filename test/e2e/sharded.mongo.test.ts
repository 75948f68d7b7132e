/**
 * A pipeline whose source is a sharded cluster: what is there, what changes meanwhile and afterwards, on two shards, comes into
 * silver as it is at the source.
 *
 * Config server, shards and the sharding of data are MongoDB's own; the `mongos` is a stand-in (test/sharded/router.ts).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Decimal128, Int32, Long, MinKey, ObjectId, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { verifyPipeline } from '../../src/app/verify.ts';
import { documentKeyOf } from '../../src/core/line.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Timestamp } from '../../src/core/time.ts';
import { silentLog } from '../../src/ops/log.ts';
import { ShardedCluster } from '../sharded/cluster.ts';
import { eventsOf, readLake, snapshotLinesOf } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { sluice } from './sluice.ts';
import { Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
const REGIONS = ['asia', 'europe', 'north america', 'oceania', 'south america'];

let cluster: ShardedCluster;
let client: MongoClient;

beforeAll(async () => {
  cluster = await ShardedCluster.start();
  client = await cluster.connect();
});
afterAll(async () => await cluster.stop());

const settings = (db: string, source: Readonly<Record<string, unknown>> = {}): Settings => ({
  source: { uri: cluster.uri, include: [`${db}.*`], startAt: 'snapshot', ...source },
  lake: { json: 'canonical', roll: { maxBytes: '16KiB' } },
  warehouse: { url: 'duckdb:./warehouse.duckdb' },
});

function keyOf(n: number): unknown {
  const kinds = [new Int32(n), `key ${n}`, Long.fromNumber(2 ** 40 + n), { n }, new ObjectId(), Decimal128.fromString(`${n}.5`), new Date(n * 1e9)];
  return kinds[n % kinds.length];
}

function documentOf(n: number): Document {
  const region = REGIONS[n % REGIONS.length];
  return { _id: keyOf(n), n, text: 'x'.repeat(100), ...(n % 11 === 0 ? {} : { region }), address: { city: `c${n % 7}` } };
}

/** On both shards: what comes after `m`, in the alphabet, is on the second one. */
async function fill(db: string, coll: string, count: number): Promise<void> {
  await cluster.shardCollection(`${db}.${coll}`, { region: 1, 'address.city': 1 });
  await cluster.moveFrom(`${db}.${coll}`, { region: 'm', 'address.city': new MinKey() }, 1);
  await client
    .db(db)
    .collection(coll)
    .insertMany(Array.from({ length: count }, (_, n) => documentOf(n)));
}

async function faultsOf(work: Workspace, db: string, ...colls: readonly string[]): Promise<unknown[]> {
  await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
  const faults: unknown[] = [...(await work.verify())];
  for (const coll of colls) faults.push(...(await silverFaults(warehouse, client, db, coll)));
  return faults;
}

/** What `verify --source` says is off. */
async function sourceFaults(config: Config): Promise<unknown[]> {
  const { ok, checks } = await verifyPipeline(config, { lake: false, warehouse: false, source: true }, { log: silentLog }, never);
  return ok ? [] : [checks];
}

describe('startAt: snapshot', () => {
  it('brings what both shards have, with writes going on, and goes on with the stream', async () => {
    await fill('first', 'orders', 1000);
    await client
      .db('first')
      .collection('plain')
      .insertMany([{ n: 1 }, { n: 2 }]);
    await using work = await Workspace.make();
    const config = work.config(settings('first'));
    const orders = client.db('first').collection('orders');
    {
      await using run = await new PipelineRun(config, { role: 'all' }).running();
      await orders.insertMany(Array.from({ length: 200 }, (_, n) => documentOf(2000 + n)));
      await orders.updateMany({ n: { $lt: 300 } }, { $set: { changed: true } });
      await orders.deleteMany({ n: { $gte: 600, $lt: 700 } });
      await run.reaches(await mark(client, 'first', 'plain'));
      await run.stop();
    }
    await new PipelineRun(config, { role: 'all', untilIdleMs: 1500 }).done;
    expect(await faultsOf(work, 'first', 'orders', 'plain')).toEqual([]);
    expect(await sourceFaults(config)).toEqual([]);
    const rows = snapshotLinesOf(await readLake(work.lake)).filter(({ event }) => event._meta.operationType === 'snapshot');
    const keys = rows
      .filter(({ event }) => event._meta.ns.coll === 'orders')
      .map(({ text }) => Object.keys(JSON.parse(documentKeyOf(Buffer.from(text))!) as object));
    expect(new Set(keys.map(String))).toEqual(new Set(['region,address.city,_id', 'address.city,_id']));
  });
});

describe('--until-idle', () => {
  it('carries over all that there is, also while a shard with nothing to do says nothing', async () => {
    const ns = 'silent.orders';
    await cluster.shardCollection(ns, { region: 1 });
    await cluster.moveFrom(ns, { region: 'm' }, 1);
    await using work = await Workspace.make();
    const config = work.config(settings('silent'));
    await new PipelineRun(config, { role: 'all', untilIdleMs: 200 }).done;
    const admin = (await cluster.shard(1)).db('admin');
    await admin.command({ setParameter: 1, writePeriodicNoops: false });
    try {
      await (
        await cluster.shard(0)
      )
        .db('silent')
        .collection<Document>('orders')
        .insertOne({ _id: 'one' as never, region: 'asia' });
      const run = new PipelineRun(config, { role: 'all', untilIdleMs: 200 });
      await run.running();
      // Nothing has come from it, nor may it: the other shard could still bring something that is earlier.
      await systemClock.sleep(2000);
      expect([run.stats.state, run.stats.events]).toEqual(['running', 0]);
      await admin.command({ setParameter: 1, writePeriodicNoops: true });
      await run.done;
    } finally {
      await admin.command({ setParameter: 1, writePeriodicNoops: true });
    }
    expect(await faultsOf(work, 'silent', 'orders')).toEqual([]);
  });
});

describe('a document whose shard key changes', () => {
  it('is one document in silver, in a restored collection and to verify, wherever it goes', async () => {
    const ns = 'moves.orders';
    await cluster.shardCollection(ns, { region: 1 });
    await cluster.moveFrom(ns, { region: 'm' }, 1);
    const orders = client.db('moves').collection<{ _id: string; region: string; after?: number }>('orders');
    await orders.insertMany(['asia', 'europe', 'oceania', 'peru', 'south'].map((region) => ({ _id: `from ${region}`, region })));
    await using work = await Workspace.make();
    const config = work.config(settings('moves'));
    let end: Timestamp;
    {
      await using run = await new PipelineRun(config, { role: 'all' }).running();
      await cluster.changeKey(ns, 0, { _id: 'from asia', region: 'asia' }, { region: 'china' });
      await orders.updateOne({ _id: 'from asia' }, { $set: { after: 1 } });
      await cluster.moveDocument(ns, 0, 1, { _id: 'from europe', region: 'europe' }, { _id: 'from europe', region: 'zaire' }, false);
      await cluster.moveDocument(ns, 1, 0, { _id: 'from south', region: 'south' }, { _id: 'from south', region: 'bali' }, true);
      await cluster.refineShardKey(ns, { region: 1, _id: 1 });
      await orders.updateOne({ _id: 'from oceania' }, { $set: { after: 1 } });
      await orders.deleteOne({ _id: 'from peru' });
      end = await mark(client, 'moves', 'orders');
      await run.reaches(end);
      await run.stop();
    }
    await new PipelineRun(config, { role: 'all', untilIdleMs: 1500 }).done;
    expect(await faultsOf(work, 'moves', 'orders')).toEqual([]);
    expect(await sourceFaults(config)).toEqual([]);
    const halves = (await eventsOf(work.lake)).filter(({ event }) => (event['documentKey'] as Document | undefined)?.['_id'] === 'from south');
    expect(halves.map(({ event }) => event._meta.operationType)).toEqual(['insert', 'depart']);
    await sluice(await work.writeConfig(settings('moves')), 'seal');
    const file = join(work.folder, 'restored.jsonl');
    const { code, out, err } = await sluice(
      await work.writeConfig(settings('moves')),
      'restore',
      ns,
      '--as-of',
      `${end.t}.${end.i}`,
      '--to',
      `file:${file}`,
    );
    expect([code, out, err]).toEqual([0, expect.any(String), '']);
    expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(await orders.countDocuments());
  });
});

describe('what is asked for by hand', () => {
  it('is as with a replica set: doctor, discover, dump, snapshot, erase', async () => {
    await fill('hands', 'orders', 300);
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({ ...settings('hands'), dump: { cron: '0 3 * * *', collections: ['hands.*'] } });
    await new PipelineRun(work.config(settings('hands')), { role: 'all', untilIdleMs: 500 }).done;
    const ask = async (...args: readonly string[]): Promise<string> => {
      const { code, out, err } = await sluice(configFile, ...args);
      expect([args, code, err]).toEqual([args, 0, '']);
      return out;
    };
    expect(await ask('doctor')).toContain('sharded cluster');
    expect(await ask('discover')).toMatch(/hands\.orders.*300/);
    expect(await ask('dump')).toContain('300');
    expect(await ask('snapshot', 'hands.orders')).toContain('hands.orders');
    await client
      .db('hands')
      .collection<Document>('orders')
      .deleteOne({ _id: 'key 1' as never });
    await new PipelineRun(work.config(settings('hands')), { role: 'all', untilIdleMs: 500 }).done;
    expect(await faultsOf(work, 'hands', 'orders')).toEqual([]);
    const erased = JSON.parse(await ask('--json', 'erase', 'hands.orders', '--key', 'key 1', '--dry-run')) as { would: { documents: number }[] };
    expect(erased.would).toMatchObject([{ documents: 1 }]);
  });
});
