/**
 * A sharded cluster on the loopback: a real config server and real shard servers, made one by the commands that a `mongos` would
 * relay, and a stand-in for the `mongos` (router.ts) before them.
 */
import type { Document } from 'bson';
import { Long, MongoClient, UUID, type ClientSession } from 'mongodb';
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
    for (const each of this.#shards.keys()) await (await this.shard(each)).db(db).collection(coll).createIndex(key);
    await shard.db(db).command({ _shardsvrRefineCollectionShardKey: coll, newShardKey: key, databaseVersion: version as unknown, ...MAJORITY });
  }

  /** Changes the value of a document's shard key where it stays on its shard, as a `mongos` has it done. */
  async changeKey(ns: string, shard: number, filter: Document, set: Document): Promise<void> {
    const [db, coll] = parts(ns);
    const client = await this.shard(shard);
    await inOneSession([client], async ([session]) => {
      const update = {
        update: coll,
        updates: [{ q: filter, u: { $set: set } }],
        txnNumber: Long.ONE,
        shardVersion: await this.#versionOn(ns, shard),
      };
      const { nModified } = await client.db(db).command(update, { session: session! });
      if (nModified !== 1) throw new Error('the document was not changed');
    });
  }

  /**
   * Changes the value of a document's shard key so that it goes to another shard: a delete and an insert in one transaction, which is
   * how a `mongos` does it. @param deleteLast the shard that it leaves commits some time after the other one
   */
  async moveDocument(ns: string, from: number, to: number, filter: Document, moved: Document, deleteLast: boolean): Promise<void> {
    const [db, coll] = parts(ns);
    const [source, target] = [await this.shard(from), await this.shard(to)];
    await inOneSession([source, target], async ([leaving, coming]) => {
      const transaction = { txnNumber: Long.ONE, autocommit: false, startTransaction: true };
      const remove = { delete: coll, deletes: [{ q: filter, limit: 1 }], shardVersion: await this.#versionOn(ns, from), ...transaction };
      const add = { insert: coll, documents: [moved], shardVersion: await this.#versionOn(ns, to), ...transaction, coordinator: true };
      const { n } = await source.db(db).command(remove, { session: leaving! });
      if (n !== 1) throw new Error('the document was not there');
      await target.db(db).command(add, { session: coming! });
      const late = { failCommands: ['commitTransaction'], failInternalCommands: true, blockConnection: true, blockTimeMS: 2_000 };
      const failpoint = { configureFailPoint: 'failCommand', mode: deleteLast ? { times: 1 } : 'off', ...(deleteLast ? { data: late } : {}) };
      await source.db('admin').command(failpoint);
      const participants = [{ shardId: `shard${to}` }, { shardId: `shard${from}` }];
      const commit = { coordinateCommitTransaction: 1, participants, txnNumber: Long.ONE, autocommit: false, ...MAJORITY };
      const done = target.db('admin').command(commit, { session: coming! });
      // Time goes on where the delete waits.
      const ticks = deleteLast ? 20 : 0;
      for (let n = 0; n < ticks; n += 1) await source.db('admin').command({ appendOplogNote: 1, data: {} });
      await done;
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.close()));
    await this.router[Symbol.asyncDispose]();
    await Promise.all([this.#config, ...this.#shards].map(async (set) => await set.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Of a shard's part of a collection: with it a command is done as one of a `mongos`, without it as if nothing were sharded. */
  async #versionOn(ns: string, shard: number): Promise<Document> {
    const { uuid, lastmodEpoch, timestamp } = await this.#collection(ns);
    const config = await this.config();
    const chunks = config.db('config').collection<Document>('chunks');
    const newest = await chunks.findOne({ uuid: uuid as unknown, shard: `shard${shard}` }, { sort: { lastmod: -1 } });
    return { e: lastmodEpoch as unknown, t: timestamp as unknown, v: newest!['lastmod'] as unknown };
  }

  async #collection(ns: string): Promise<Document> {
    const config = await this.config();
    return (await config
      .db('config')
      .collection<Document>('collections')
      .findOne({ _id: ns } as object)) as Document;
  }
}

/** The same session on several servers, as a router has it. */
async function inOneSession(clients: readonly MongoClient[], work: (sessions: readonly ClientSession[]) => Promise<void>): Promise<void> {
  const id = new UUID();
  const sessions = clients.map((client) => client.startSession({ causalConsistency: false }));
  for (const { id: own } of sessions) if (own !== undefined) own['id'] = id;
  try {
    await work(sessions);
  } finally {
    await Promise.all(sessions.map(async (session) => await session.endSession()));
  }
}

function parts(ns: string): [db: string, coll: string] {
  const dot = ns.indexOf('.');
  return [ns.slice(0, dot), ns.slice(dot + 1)];
}
