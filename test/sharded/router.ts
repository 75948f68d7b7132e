/**
 * Stands in for a `mongos`, of which there is no program here, before real config and shard servers.
 *
 * Most of a router's work is done by MongoDB's own code: a shard server holds the router for its internal transactions, and answers
 * `clusterFind`, `clusterAggregate`, `clusterInsert`, `clusterUpdate`, `clusterDelete` and `clusterGetMore` as a `mongos` answers the
 * commands without `cluster` in their names (src/mongo/db/s/cluster_*_cmd_d.cpp). What is ours is this table:
 *
 * | command | what happens | stands on |
 * |---|---|---|
 * | `hello` | `msg: "isdbgrid"`, no `setName` | manual, "hello"; server_discovery_and_monitoring spec |
 * | find, aggregate, insert, update, delete, getMore | the router's code on the first shard | above |
 * | … of `config`, `admin` | the config server | manual, "Config Database" |
 * | … of `local` | 20, "Can't use 'local' database through mongos" | strategy.cpp |
 * | aggregate with `$changeStream` | every shard's stream, merged | merged-stream.ts |
 * | getMore with the flag for more than one reply | one reply | ClusterGetMoreCmd sets no next invocation |
 * | listCollections, listIndexes | the database's primary shard | manual, "Sharded Cluster Components" |
 * | listDatabases | every shard's, once each | cluster_list_databases_cmd.cpp |
 * | count | every shard's, added up | cluster_count_cmd.h |
 * | collMod, drop, dropDatabase, renameCollection | `_shardsvr…` on the primary shard | cluster_*_cmd.cpp |
 * | create | the database first, if it is new | cluster::createDatabase |
 * | appendOplogNote | every shard | cluster_oplog_note_cmd.cpp |
 * | ping | every server is told the cluster's time | VectorClock gossip, with each request |
 * | anything else of replica sets | 59, "no such command" | |
 *
 * Not as a `mongos` does it: writes lose their `txnNumber` (a shard server takes it for its own, and falls over), so none is
 * retried; no transactions; cursors of reads are left to end by themselves; nobody logs in; `hello` is asked, never awaited.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Timestamp, deserialize, serialize, type Document } from 'bson';
import { documentOf, element } from '../../src/source/mongo/encode/raw-bson.ts';
import { Backend } from './backend.ts';
import { MergedStream, ServerRefusal } from './merged-stream.ts';
import { Messages, commandOf, fieldsOf, renamed, replyTo, type Command } from './message.ts';

export interface RouterTargets {
  readonly config: number;
  /** The first one does the routing. */
  readonly shards: readonly { readonly name: string; readonly port: number }[];
}

const ROUTED = new Set(['find', 'aggregate', 'insert', 'update', 'delete', 'getMore']);
/** What a shard coordinates for the whole cluster. */
const COORDINATED = new Map([
  ['collMod', '_shardsvrCollMod'],
  ['drop', '_shardsvrDropCollection'],
  ['dropDatabase', '_shardsvrDropDatabase'],
  ['renameCollection', '_shardsvrRenameCollection'],
]);
const LOCAL = new Set(['buildInfo', 'connectionStatus', 'endSessions', 'configureFailPoint', 'getParameter', 'setParameter']);
const FIRST_STREAM = 7_000_000_000_000n;

export class Router implements AsyncDisposable {
  readonly #listener: Server;
  readonly #targets: RouterTargets;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Map<bigint, MergedStream>();
  readonly #configCursors = new Set<bigint>();
  readonly #commands: string[] = [];
  #nextStream = FIRST_STREAM;

  private constructor(listener: Server, targets: RouterTargets) {
    this.#listener = listener;
    this.#targets = targets;
  }

  static async before(targets: RouterTargets): Promise<Router> {
    const listener = createServer();
    const router = new Router(listener, targets);
    listener.on('connection', (socket) => router.#serve(socket));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return router;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get uri(): string {
    return `mongodb://127.0.0.1:${this.port}/`;
  }

  /** Names of the commands that came, in order. */
  get commands(): readonly string[] {
    return this.#commands;
  }

  /** As when a `mongos` goes away: its cursors are gone, the cluster is not. */
  async dropConnections(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    await Promise.all(streams.map(async (stream) => await stream.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.dropConnections();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay();
    const connection = new Connection(this.#targets);
    const messages = new Messages();
    let last: Promise<void> = Promise.resolve();
    socket.on('data', (chunk: Buffer) => {
      for (const message of messages.add(chunk)) {
        const command = commandOf(Buffer.from(message));
        last = last
          .then(async () => {
            this.#commands.push(command.name);
            const reply = await this.#answer(command, connection);
            if (!socket.destroyed) socket.write(replyTo(command, reply));
          })
          // A server went away, as it does to a `mongos`: who asked finds out by the socket.
          .catch(() => void socket.destroy());
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      connection.destroy();
    });
  }

  async #answer(command: Command, connection: Connection): Promise<Uint8Array> {
    try {
      return await this.#execute(command, connection);
    } catch (error) {
      if (error instanceof ServerRefusal) return error.reply;
      throw error;
    }
  }

  async #execute(command: Command, connection: Connection): Promise<Uint8Array> {
    const { name, db, body, sections } = command;
    const { config } = connection;
    const first = connection.shard(0);
    if (/^(?:hello|ismaster)$/i.test(name)) return serialize(await helloOf(first));
    if (db === 'local') return refusal(20, 'IllegalOperation', "Can't use 'local' database through mongos");
    if (name === 'aggregate' && isChangeStream(body)) return await this.#openStream(command, connection);
    if (name === 'killCursors') return await this.#killCursors(command, connection);
    if (name === 'getMore') {
      const id = cursorIdIn(body);
      const stream = this.#streams.get(id);
      if (stream !== undefined) return await nextOf(stream, body, connection);
      if (this.#configCursors.has(id)) return await config.relay(body, sections);
    }
    if (name === 'ping') {
      const $clusterTime = await connection.gossip();
      return serialize({ ok: 1, $clusterTime, operationTime: $clusterTime['clusterTime'] as Timestamp });
    }
    if (LOCAL.has(name)) return await first.relay(body, sections);
    if (db === 'config' || (db === 'admin' && ROUTED.has(name))) {
      const reply = await config.relay(body, sections);
      const cursor = fieldsOf(reply).get('cursor');
      if (cursor !== undefined) this.#configCursors.add(fieldsOf(cursor).get('id')!.readBigInt64LE());
      return reply;
    }
    if (ROUTED.has(name)) return await first.relay(renamed(body, `cluster${name[0]!.toUpperCase()}${name.slice(1)}`, ['txnNumber']), sections);
    if (name === 'appendOplogNote') return await lastOf(connection.all(), body);
    if (name === 'listDatabases') return await listDatabases(connection.all(), body);
    if (name === 'count') return await countOf(connection.all(), body);
    return await primaryOnly(command, connection);
  }

  async #openStream({ db, body }: Command, connection: Connection): Promise<Uint8Array> {
    const { cursor } = deserialize(body, { promoteValues: false }) as { cursor: { batchSize?: unknown } };
    const backends = this.#targets.shards.map(({ port }) => new Backend(port));
    const id = this.#nextStream++;
    try {
      const { t, i } = (await connection.gossip())['clusterTime'] as Timestamp;
      const stream = await MergedStream.open(id, db, body, backends, new Timestamp({ t, i: i + 1 }));
      this.#streams.set(id, stream);
      const batch = cursor.batchSize === undefined ? null : Number(cursor.batchSize);
      return await reply(await stream.next(true, 0, batch), connection);
    } catch (error) {
      for (const backend of backends) backend.destroy();
      throw error;
    }
  }

  async #killCursors({ db, body, sections }: Command, connection: Connection): Promise<Uint8Array> {
    const ids = (deserialize(body, { useBigInt64: true })['cursors'] as bigint[]).map(BigInt);
    const streams = ids.map((id) => this.#streams.get(id)).filter((stream) => stream !== undefined);
    for (const id of ids) this.#streams.delete(id);
    await Promise.all(streams.map(async (stream) => await stream.close()));
    if (db === 'config' || db === 'admin') await connection.config.relay(body, sections);
    return serialize({ cursorsKilled: ids, cursorsNotFound: [], cursorsAlive: [], cursorsUnknown: [], ok: 1 });
  }
}

/** The servers, as one client's connection sees them: what is asked on it is asked in order. */
class Connection {
  readonly #targets: RouterTargets;
  readonly #backends = new Map<number, Backend>();

  constructor(targets: RouterTargets) {
    this.#targets = targets;
  }

  get config(): Backend {
    return this.#to(this.#targets.config);
  }

  shard(index: number): Backend {
    return this.#to(this.#targets.shards[index]!.port);
  }

  named(name: string): Backend {
    return this.#to(this.#targets.shards.find((shard) => shard.name === name)!.port);
  }

  all(): Backend[] {
    return this.#targets.shards.map(({ port }) => this.#to(port));
  }

  /** The cluster's, and from now on every server's: a `mongos` tells each of them what time it knows, with every request. */
  async gossip(): Promise<Document> {
    const servers = [this.config, ...this.all()];
    const replies = await Promise.all(servers.map(async (backend) => await backend.command('admin', { ping: 1 })));
    const times = replies.map((said) => said['$clusterTime'] as { clusterTime: Timestamp });
    const latest = times.reduce((a, b) => (a.clusterTime.greaterThan(b.clusterTime) ? a : b));
    await Promise.all(servers.map(async (backend) => await backend.command('admin', { ping: 1, $clusterTime: latest })));
    return latest;
  }

  destroy(): void {
    for (const backend of this.#backends.values()) backend.destroy();
  }

  #to(port: number): Backend {
    const known = this.#backends.get(port);
    if (known !== undefined) return known;
    const backend = new Backend(port);
    this.#backends.set(port, backend);
    return backend;
  }
}

async function helloOf(shard: Backend): Promise<Document> {
  const hello = await shard.command('admin', { hello: 1 });
  const kept = ['maxBsonObjectSize', 'maxMessageSizeBytes', 'maxWriteBatchSize', 'localTime', 'logicalSessionTimeoutMinutes'];
  const versions = ['connectionId', 'minWireVersion', 'maxWireVersion', '$clusterTime', 'operationTime'];
  return {
    isWritablePrimary: true,
    ismaster: true,
    helloOk: true,
    msg: 'isdbgrid',
    ...Object.fromEntries([...kept, ...versions].map((key) => [key, hello[key] as unknown])),
    ok: 1,
  };
}

function isChangeStream(body: Buffer): boolean {
  const { pipeline } = deserialize(body, { promoteValues: false, bsonRegExp: true }) as { pipeline: readonly Document[] };
  return pipeline[0] !== undefined && '$changeStream' in pipeline[0];
}

function cursorIdIn(body: Buffer): bigint {
  return fieldsOf(body).get('getMore')!.readBigInt64LE();
}

async function nextOf(stream: MergedStream, body: Buffer, connection: Connection): Promise<Uint8Array> {
  const { maxTimeMS, batchSize } = deserialize(body) as { maxTimeMS?: number; batchSize?: number };
  return await reply(await stream.next(false, maxTimeMS ?? 1000, batchSize ?? null), connection);
}

async function reply(cursor: Buffer, connection: Connection): Promise<Uint8Array> {
  const $clusterTime = await connection.gossip();
  const rest = serialize({ ok: 1, $clusterTime, operationTime: $clusterTime['clusterTime'] as Timestamp });
  return documentOf(element(0x03, 'cursor', cursor), rest.subarray(4, rest.length - 1));
}

async function lastOf(backends: readonly Backend[], body: Buffer): Promise<Buffer> {
  const replies = await Promise.all(backends.map(async (backend) => await backend.relay(body)));
  return replies.at(-1)!;
}

async function listDatabases(backends: readonly Backend[], body: Buffer): Promise<Uint8Array> {
  const replies = await Promise.all(backends.map(async (backend) => deserialize(await backend.relay(body))));
  const names = new Set(replies.flatMap((said) => (said['databases'] as { name: string }[]).map(({ name }) => name)));
  return serialize({ databases: [...names].filter((name) => name !== 'local').map((name) => ({ name })), ok: 1 });
}

async function countOf(backends: readonly Backend[], body: Buffer): Promise<Uint8Array> {
  const replies = await Promise.all(backends.map(async (backend) => deserialize(await backend.relay(body))));
  return serialize({ n: replies.reduce((sum, { n }) => sum + Number(n), 0), ok: 1 });
}

/** Commands that one shard answers for its databases, and coordinates where others have a part of the collection. */
async function primaryOnly({ name, db, body, sections }: Command, connection: Connection): Promise<Uint8Array> {
  const coordinated = COORDINATED.get(name);
  const isKnown = coordinated !== undefined || ['create', 'createIndexes', 'listCollections', 'listIndexes'].includes(name);
  if (!isKnown) return refusal(59, 'CommandNotFound', `no such command: '${name}'`);
  const found = await connection.config.command('config', { find: 'databases', filter: { _id: db }, readConcern: { level: 'majority' } });
  let database = (found['cursor'] as { firstBatch: readonly Document[] }).firstBatch[0];
  if (database === undefined && name === 'listCollections')
    return serialize({ cursor: { id: 0n, ns: `${db}.$cmd.listCollections`, firstBatch: [] }, ok: 1 });
  if (database === undefined) {
    const made = await connection.config.command('admin', { _configsvrCreateDatabase: db, writeConcern: { w: 'majority' } });
    if (Number(made['ok']) !== 1) throw new ServerRefusal(Buffer.from(serialize(made)));
    return await primaryOnly({ name, db, body, sections } as Command, connection);
  }
  const primary = connection.named(String(database['primary']));
  if (coordinated === undefined) return await primary.relay(body, sections);
  const extra = serialize({ databaseVersion: database['version'] as unknown, writeConcern: { w: 'majority' } });
  const command = renamed(body, coordinated, ['writeConcern', 'txnNumber', 'lsid']);
  return await primary.relay(documentOf(command.subarray(4, command.length - 1), extra.subarray(4, extra.length - 1)), sections);
}

function refusal(code: number, codeName: string, errmsg: string): Uint8Array {
  return serialize({ ok: 0, errmsg, code, codeName });
}
