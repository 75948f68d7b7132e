/**
 * A sharded cluster on the loopback: a real config server and real shard servers, made one by the commands that a `mongos` would
 * relay, and a stand-in for the `mongos` (router.ts) before them.
 */
import type { Document } from 'bson';
import { MongoClient } from 'mongodb';
import { findMongod } from '../../src/app/demo/mongod.ts';
import { startReplicaSet, type ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { silentLog } from '../../src/ops/log.ts';
import { Router } from './router.ts';

const START_MS_MAX = 110_000;
const MAJORITY = { writeConcern: { w: 'majority' } } as const;

export class ShardedCluster implements AsyncDisposable {
  readonly router: Router;
  readonly #config: ReplicaSet;
  readonly #shards: readonly ReplicaSet[];
  readonly #clients: MongoClient[] = [];

  private constructor(router: Router, config: ReplicaSet, shards: readonly ReplicaSet[]) {
    this.router = router;
    this.#config = config;
    this.#shards = shards;
  }

  static async start({ shards: count = 2 }: { readonly shards?: number } = {}): Promise<ShardedCluster> {
    const signal = AbortSignal.timeout(START_MS_MAX);
    const mongod = await findMongod({ wanted: '6.0.27', onProgress: (text) => process.stderr.write(`${text}\n`), signal, log: silentLog });
    const startOne = async (name: string, role: 'configsvr' | 'shardsvr'): Promise<ReplicaSet> =>
      // An idle shard says where it is once a second, not every ten.
      await startReplicaSet({ mongod, name, role, enableTestCommands: true, args: ['--setParameter', 'periodicNoopIntervalSecs=1'], signal });
    const names = Array.from({ length: count }, (_, index) => `shard${index}`);
    const [config, ...shards] = await Promise.all([startOne('config', 'configsvr'), ...names.map(async (name) => await startOne(name, 'shardsvr'))]);
    const client = await config.connect();
    for (const [index, name] of names.entries())
      await client.db('admin').command({ _configsvrAddShard: `${name}/127.0.0.1:${shards[index]!.ports[0]!}`, name, ...MAJORITY });
    const targets = shards.map((shard, index) => ({ name: names[index]!, port: shard.ports[0]! }));
    const router = await Router.before({ config: config.ports[0]!, shards: targets });
    return new ShardedCluster(router, config, shards);
  }

  get uri(): string {
    return this.router.uri;
  }

  /** Through the router. */
  async connect(): Promise<MongoClient> {
    const client = new MongoClient(this.uri);
    this.#clients.push(client);
    return await client.connect();
  }

  /** One shard itself, past the router. */
  async shard(index: number): Promise<MongoClient> {
    return await this.#shards[index]!.connect();
  }

  async config(): Promise<MongoClient> {
    return await this.#config.connect();
  }

  /** Makes a sharded collection, in a database whose primary shard is the first one. @param chunks of a hashed key, spread over the shards */
  async shardCollection(ns: string, key: Document, chunks = 0): Promise<void> {
    const [db, coll] = parts(ns);
    const config = await this.config();
    await config.db('admin').command({ _configsvrCreateDatabase: db, primaryShardId: 'shard0', ...MAJORITY });
    const { version } = (await config
      .db('config')
      .collection<Document>('databases')
      .findOne({ _id: db } as object)) as Document;
    const options = { unique: false, presplitHashedZones: false, numInitialChunks: chunks };
    const shard = await this.shard(0);
    await shard.db(db).command({ _shardsvrCreateCollection: coll, shardKey: key, databaseVersion: version as unknown, ...options, ...MAJORITY });
  }

  /** Moves what lies at and above a value of the shard key (up to the end of its chunk), as the balancer does. */
  async moveFrom(ns: string, min: Document, toShard: number): Promise<void> {
    const { lastmodEpoch, timestamp } = await this.#collection(ns);
    const config = await this.config();
    await config
      .db('admin')
      .command({ _configsvrMoveRange: ns, toShard: `shard${toShard}`, min, epoch: lastmodEpoch, collectionTimestamp: timestamp, ...MAJORITY });
  }

  async refineShardKey(ns: string, key: Document): Promise<void> {
    const [db, coll] = parts(ns);
    const config = await this.config();
    const { version } = (await config
      .db('config')
      .collection<Document>('databases')
      .findOne({ _id: db } as object)) as Document;
    const shard = await this.shard(0);
    await shard.db(db).command({ _shardsvrRefineCollectionShardKey: coll, newShardKey: key, databaseVersion: version as unknown, ...MAJORITY });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.close()));
    await this.router[Symbol.asyncDispose]();
    await Promise.all([this.#config, ...this.#shards].map(async (set) => await set.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #collection(ns: string): Promise<Document> {
    const config = await this.config();
    return (await config
      .db('config')
      .collection<Document>('collections')
      .findOne({ _id: ns } as object)) as Document;
  }
}

function parts(ns: string): [db: string, coll: string] {
  const dot = ns.indexOf('.');
  return [ns.slice(0, dot), ns.slice(dot + 1)];
}
