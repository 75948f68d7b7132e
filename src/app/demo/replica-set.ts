/**
 * A MongoDB replica set on the loopback, for the demo and for the tests: made in under a second, gone without a trace.
 *
 * Invariants: no server outlives this process (server-process.ts says how); a folder that we made is removed by `stop`,
 * one that was named by the caller never; `startReplicaSet` either gives a set that takes writes or leaves nothing running.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient, type Document, type MongoClientOptions } from 'mongodb';
import { systemClock } from '../../core/clock.ts';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { MONGOD_FAILED } from '../../core/errors.ts';
import { makeFolders } from '../../core/folders.ts';
import type { Mongod } from './mongod.ts';
import { freePorts, ServerProcess } from './server-process.ts';

const NAME_DEFAULT = 'rs0';
const OPLOG_MIB = 990;
/** With the server's default of 10 s a test that loses its primary would mostly wait. */
const ELECTION_TIMEOUT_MS = 1000;
const PRIMARY_MS_MAX = 60_000;
const STOP_MS_MAX = 10_000;
const POLL_MS = 25;
const PORT_TRIES_MAX = 5;

export interface ReplicaSetOptions {
  readonly mongod: Mongod;
  /** Default 1. */
  readonly members?: number;
  /** Of the set; default `rs0`. */
  readonly name?: string;
  /** Its part in a sharded cluster, for tests. */
  readonly role?: 'configsvr' | 'shardsvr';
  /** One mongod without a replica set: it has no change streams. `members` must then be left out. */
  readonly standalone?: boolean;
  /** Where the data goes; made when missing, kept after `stop`. Default: a temporary folder, removed by `stop`. */
  readonly dir?: string;
  /** Default 990, which is the server's own smallest. 16 together with `--syncdelay 1` loses history within 32 MB of writes. */
  readonly oplogSizeMiB?: number;
  /** Lets `failCommand` and the other server failpoints be used. Never for data that counts. */
  readonly enableTestCommands?: boolean;
  /** Access control with this user, who may do everything. Cluster time can then not be moved. */
  readonly auth?: { readonly user: string; readonly password: string };
  /** More options for each mongod. */
  readonly args?: readonly string[];
  /** For the start alone; afterwards the set lives until `stop`. */
  readonly signal: AbortSignal;
}

interface Member {
  port: number;
  readonly dbpath: string;
  readonly logPath: string;
  server: ServerProcess | null;
}

class ReplicaSet implements AsyncDisposable {
  /** Folder with the members' data and logs. */
  readonly dir: string;
  readonly #options: ReplicaSetOptions;
  readonly #temporary: boolean;
  readonly #members: readonly Member[];
  /** All that `connect` has given out; closing one twice does nothing. */
  readonly #clients: MongoClient[] = [];
  #stopped: Promise<void> | null = null;

  constructor(dir: string, options: ReplicaSetOptions) {
    this.dir = dir;
    this.#options = options;
    this.#temporary = options.dir === undefined;
    this.#members = Array.from({ length: options.members ?? 1 }, (_, index) => ({
      port: 0,
      dbpath: join(dir, `member-${index}`),
      logPath: join(dir, `member-${index}.log`),
      server: null,
    }));
  }

  /** From nothing to a set that takes writes. Called once, by {@link startReplicaSet}. */
  async start(): Promise<void> {
    const { standalone, auth } = this.#options;
    await this.#makeFolders();
    await this.#startMembers();
    if (standalone !== true) await this.#initiate();
    if (auth !== undefined) await this.#createFirstUser(auth);
  }

  /** With the credentials of `auth`, so not for a log. */
  get uri(): string {
    return this.uriFor(this.#options.auth ?? null);
  }

  /** As {@link uri}, for another user of the `admin` database, or for nobody. */
  uriFor(user: { readonly user: string; readonly password: string } | null): string {
    const login = user === null ? '' : `${encodeURIComponent(user.user)}:${encodeURIComponent(user.password)}@`;
    const hosts = this.ports.map((port) => `127.0.0.1:${port}`).join(',');
    const query = [
      this.#options.standalone === true ? 'directConnection=true' : `replicaSet=${this.#name}`,
      ...(user === null ? [] : ['authSource=admin']),
    ];
    return `mongodb://${login}${hosts}/?${query.join('&')}`;
  }

  get #name(): string {
    return this.#options.name ?? NAME_DEFAULT;
  }

  /** Per member; they stay the same over a restart. */
  get ports(): readonly number[] {
    return this.#members.map((member) => member.port);
  }

  /** Per member, of mongod itself; 0 while it is down. */
  get pids(): readonly number[] {
    return this.#members.map((member) => (member.server?.running === true ? member.server.pid : 0));
  }

  /** Resolves when one of the members that run now ends although nobody here has told it to. */
  get death(): Promise<SluiceError> {
    return Promise.race(this.#members.flatMap(({ server }) => server?.death ?? []));
  }

  /** Per member. */
  get logPaths(): readonly string[] {
    return this.#members.map((member) => member.logPath);
  }

  /** A client that is connected, with the rights of `auth`. Closed by `stop` if it is still open then. */
  async connect(options: MongoClientOptions = {}): Promise<MongoClient> {
    const client = new MongoClient(this.uri, options);
    this.#clients.push(client);
    return await client.connect();
  }

  /** Index of the member that is primary now, or `null`. */
  async primary(): Promise<number | null> {
    const answers = await Promise.all(this.#members.map((_, index) => this.#hello(index)));
    const index = answers.findIndex((hello) => hello?.['isWritablePrimary'] === true);
    return index < 0 ? null : index;
  }

  /** Waits for a member that takes writes. @throws MONGOD_FAILED after a minute */
  async waitForPrimary(signal: AbortSignal): Promise<number> {
    return await this.#until('it has no primary', signal, async () => await this.primary());
  }

  /** Sends a signal to a member; waits for its end, unless it is a signal that a process survives. */
  async kill(member: number, signal: NodeJS.Signals): Promise<void> {
    await this.#member(member).server?.kill(signal);
  }

  /**
   * Starts a member again, on its port and with its data; ends it in order first if it runs.
   * @param mongod another version, as an upgrade does it
   * @returns when it is primary or secondary
   */
  async restart(member: number, signal: AbortSignal, mongod: Mongod = this.#options.mongod): Promise<void> {
    const it = this.#member(member);
    await it.server?.kill('SIGTERM');
    it.server = await ServerProcess.start({ ...this.#startOf(it), mongod }, signal);
    if (it.server === null) throw new SluiceError(MONGOD_FAILED, `port ${it.port} has been taken by another program`);
    await this.#until(`member ${member} is neither primary nor secondary`, signal, async () => await this.#serves(member));
  }

  /** Makes a user of the `admin` database. @returns a URI with that login */
  async addUser(user: string, password: string, roles: readonly Document[]): Promise<string> {
    await using client = new MongoClient(this.uri);
    await client.db('admin').command({ createUser: user, pwd: password, roles });
    return this.uriFor({ user, password });
  }

  /** Closes our clients, ends all members, removes the folder if it was temporary. May be called more than once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.close()));
    // In order where the data is kept; where it is thrown away that would only take time.
    await Promise.all(this.#members.map(async (member) => await (this.#temporary ? member.server?.kill('SIGKILL') : endInOrder(member.server))));
    if (this.#temporary) await rm(this.dir, { recursive: true, force: true });
  }

  #member(index: number): Member {
    const member = this.#members[index];
    if (member === undefined) throw new SluiceError(MONGOD_FAILED, `there is no member ${index}`);
    return member;
  }

  async #makeFolders(): Promise<void> {
    await makeFolders(this.dir);
    for (const { dbpath } of this.#members) {
      try {
        await mkdir(dbpath);
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error;
        // The set inside knows its members by ports that others may have by now.
        throw new SluiceError(MONGOD_FAILED, `${this.dir} holds the data of an earlier set`, { next: 'Name a new folder, or remove that one.' });
      }
    }
    // Members prove to each other that they belong together by this file; without it access control is off.
    if (this.#options.auth !== undefined) await writeFile(this.#keyFile, randomBytes(96).toString('base64'), { mode: 0o400 });
  }

  get #keyFile(): string {
    return join(this.dir, 'key');
  }

  async #startMembers(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const ports = await freePorts(this.#members.length);
      const started = await Promise.allSettled(
        this.#members.map(async (member, index) => {
          member.port = ports[index] ?? 0;
          member.server = await ServerProcess.start(this.#startOf(member), this.#options.signal);
        }),
      );
      for (const result of started) if (result.status === 'rejected') throw result.reason;
      if (this.#members.every((member) => member.server !== null)) return;
      if (tries === PORT_TRIES_MAX) throw new SluiceError(MONGOD_FAILED, `each of ${tries} free ports was taken before mongod could listen`);
      await Promise.all(this.#members.map(async (member) => await member.server?.kill('SIGKILL')));
    }
  }

  #startOf(member: Member): Parameters<typeof ServerProcess.start>[0] {
    const { mongod, standalone, role, oplogSizeMiB, enableTestCommands, auth, args } = this.#options;
    // A limit, not a size. With the least one, 0.25, two writes of 9 MB with a pre-image can fill the cache with dirty
    // pages, and the server then rolls the second one back for ever.
    const flags = ['--dbpath', member.dbpath, '--wiredTigerCacheSizeGB', '1', '--noscripting', '--nounixsocket'];
    // Small journal files, no metrics files: 9 MB on the disk instead of 300.
    flags.push('--wiredTigerEngineConfigString', 'log=(file_max=8MB,prealloc=false)', '--setParameter', 'diagnosticDataCollectionEnabled=false');
    if (standalone !== true) flags.push('--replSet', this.#name, '--oplogSize', String(oplogSizeMiB ?? OPLOG_MIB));
    if (role !== undefined) flags.push(`--${role}`);
    if (enableTestCommands === true) flags.push('--setParameter', 'enableTestCommands=1');
    if (auth !== undefined) flags.push(...(standalone === true ? ['--auth'] : ['--keyFile', this.#keyFile]));
    flags.push(...(args ?? []));
    return { mongod, port: member.port, args: flags, logPath: member.logPath, removeOnDeath: this.#temporary ? this.dir : null };
  }

  async #initiate(): Promise<void> {
    const members = this.ports.map((port, index) => ({ _id: index, host: `127.0.0.1:${port}` }));
    await using client = new MongoClient(directUri(this.#member(0).port));
    const part = this.#options.role === 'configsvr' ? { configsvr: true } : {};
    await client
      .db('admin')
      .command({ replSetInitiate: { _id: this.#name, ...part, members, settings: { electionTimeoutMillis: ELECTION_TIMEOUT_MS } } });
    await this.waitForPrimary(this.#options.signal);
    // A member that still copies its data cannot vote a new primary in, nor acknowledge a majority write.
    for (const { _id } of members) {
      await this.#until(`member ${_id} is not ready`, this.#options.signal, async () => await this.#serves(_id));
    }
  }

  /** The first user is made without a login: a server that has none lets the loopback in for exactly that. */
  async #createFirstUser(auth: { readonly user: string; readonly password: string }): Promise<void> {
    const primary = this.#options.standalone === true ? 0 : await this.waitForPrimary(this.#options.signal);
    await using client = new MongoClient(directUri(this.#member(primary).port));
    await client.db('admin').command({ createUser: auth.user, pwd: auth.password, roles: ['root'] });
  }

  /** What the member says of itself, `null` while it is down. Needs no login. */
  async #hello(index: number): Promise<Document | null> {
    if (this.pids[index] === 0) return null;
    const client = new MongoClient(directUri(this.#member(index).port), { serverSelectionTimeoutMS: 1000, socketTimeoutMS: 1000 });
    try {
      return await client.db('admin').command({ hello: 1 });
    } catch {
      return null;
    } finally {
      // Not awaited: to a member that has frozen the driver says goodbye for many seconds.
      void client.close().catch(() => undefined);
    }
  }

  async #serves(index: number): Promise<true | null> {
    const hello = await this.#hello(index);
    return hello?.['isWritablePrimary'] === true || hello?.['secondary'] === true ? true : null;
  }

  async #until<T>(complaint: string, signal: AbortSignal, poll: () => Promise<T | null>): Promise<T> {
    const deadline = systemClock.now() + PRIMARY_MS_MAX;
    for (;;) {
      const value = await poll();
      if (value !== null) return value;
      if (systemClock.now() > deadline) throw new SluiceError(MONGOD_FAILED, `${complaint} after ${PRIMARY_MS_MAX / 1000} s (logs in ${this.dir})`);
      await systemClock.sleep(POLL_MS, signal);
    }
  }
}

export type { ReplicaSet };

/**
 * @throws MONGOD_FAILED with the end of the server's log
 * @throws the signal's reason when it aborts; nothing is left running then
 */
export async function startReplicaSet(options: ReplicaSetOptions): Promise<ReplicaSet> {
  if (options.standalone === true && options.members !== undefined) throw new SluiceError(MONGOD_FAILED, 'a standalone server has no members');
  options.signal.throwIfAborted();
  const set = new ReplicaSet(options.dir ?? (await mkdtemp(join(tmpdir(), 'sluice-mongod-'))), options);
  try {
    await set.start();
    return set;
  } catch (error) {
    await set.stop();
    options.signal.throwIfAborted();
    throw error instanceof SluiceError ? error : new SluiceError(MONGOD_FAILED, reasonOf(error), { cause: error });
  }
}

function directUri(port: number): string {
  return `mongodb://127.0.0.1:${port}/?directConnection=true`;
}

/** A primary may wait for its secondaries to catch up, and those may be gone: then it is ended the hard way, which costs nothing but a recovery. */
async function endInOrder(server: ServerProcess | null): Promise<void> {
  if (server === null) return;
  const enough = new AbortController();
  const ended = server.kill('SIGTERM').finally(() => enough.abort());
  await systemClock.sleep(STOP_MS_MAX, enough.signal).then(
    () => server.kill('SIGKILL'),
    () => undefined,
  );
  await ended;
}
