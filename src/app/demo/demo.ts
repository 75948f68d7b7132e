/**
 * `sluice demo`: a MongoDB, a small shop that writes to it, the pipeline, and at the end the proof.
 *
 * The shop opens only when the pipeline reads, so that every event of it is captured; it closes after the given time,
 * the pipeline then runs dry, seals, loads and merges, and proof.ts compares what everybody has.
 */
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { MongoClient } from 'mongodb';
import { systemClock } from '../../core/clock.ts';
import { endsWithin } from '../../core/ends-within.ts';
import { SluiceError } from '../../core/error.ts';
import { CONFIG_CONFLICT, DEMO_BROKER_FAILED, DEMO_RUNNING, INTERRUPTED } from '../../core/errors.ts';
import { makeFolders, removeMarkedFolder } from '../../core/folders.ts';
import { loadConfig } from '../../config/load.ts';
import type { Serve } from '../control.ts';
import type { Config } from '../../config/config.ts';
import { takeLock } from '../../lake/local/lock.ts';
import type { Logger } from '../../ops/log.ts';
import { runPipeline } from '../run.ts';
import type { Progress, VerifyReport } from '../types.ts';
import { startFakeAccount, type FakeAccount } from './fake-account.ts';
import { startTestBroker, type TestBroker } from './test-broker.ts';
import { findMongod } from './mongod.ts';
import { dropOwnDatabase } from './own-database.ts';
import { prove } from './proof.ts';
import { startReplicaSet } from './replica-set.ts';
import { startShop, type ShopSummary, type ShopWrite } from './shop.ts';

export interface DemoOptions {
  /** How long the shop is open. */
  readonly durationMs: number;
  /** Leaves MongoDB's data in place, too. */
  readonly keep: boolean;
  /** The lake is in the storage account of the tests instead of on disk. */
  readonly azureFake: boolean;
  /** MongoDB's changes go through a Kafka broker of the tests. */
  readonly bus: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** Told each step, in a sentence. */
  readonly say: (text: string) => void;
  readonly progress: ((progress: Progress) => void) | null;
  /** The dashboard of the demo's pipeline. */
  readonly serve: (config: Config) => Serve;
  readonly log: Logger;
}

export interface DemoResult {
  readonly report: VerifyReport;
  /** Lines that say where to look next. */
  readonly look: readonly string[];
}

const FOLDER = 'sluice-demo';
/** Beside the folder, which another demo would take away. */
const LOCK = '.sluice-demo.lock';
/** In the folder: it is ours and may be replaced. */
const MARK = '.sluice-demo';
const IDLE_MS = 3_000;
const TOPIC = 'demo';
const PARTITIONS = 4;
const START_MS_MAX = 60_000;
const STEPS_PER_SECOND = 150;
/** A machine that has much to do takes its time to tell of a child that has ended. */
const DEATH_MS_MAX = 5_000;
const OWN_SERVER_MS_MAX = 3_000;

/** @throws DEMO_RUNNING; INTERRUPTED when the signal aborts; then nothing of the demo is left behind but an empty file */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<DemoResult> {
  const folder = resolve(FOLDER);
  // Until the folder is as it is to stay, or gone. The file stays, for whoever has just opened it: without a lock on it it means nothing.
  const lock = takeLock(resolve(LOCK));
  if (lock === null) throw new SluiceError(DEMO_RUNNING, `it has ${folder}`);
  await using _lock = lock;
  await freshFolder(folder);
  try {
    const result = await inFolder(folder, options, signal);
    if (signal.aborted) throw new SluiceError(INTERRUPTED, 'the demo has been cleaned up');
    return result;
  } catch (error) {
    await removeMarkedFolder(folder, MARK);
    if (signal.aborted && !SluiceError.is(error)) throw new SluiceError(INTERRUPTED, 'the demo has been cleaned up', { cause: error });
    throw error;
  }
}

/** Runs the servers, and ends with the error that says so when one of them dies. */
async function inFolder(folder: string, options: DemoOptions, signal: AbortSignal): Promise<DemoResult> {
  const { say } = options;
  await using account = options.azureFake ? await startFakeAccount() : null;
  await using broker = options.bus ? await startBroker(say) : null;
  await using server = await startServer(folder, options, signal);
  const died = new AbortController();
  void server.death?.then((error) => died.abort(error));
  void broker?.death.then((how) => died.abort(new SluiceError(DEMO_BROKER_FAILED, how)));
  try {
    return await withServers(folder, { account, broker, server }, options, AbortSignal.any([signal, died.signal]));
  } catch (error) {
    if (signal.aborted || (server.death === null && broker === null)) throw error;
    // A connection breaks a moment before it is known why.
    await timeout(DEATH_MS_MAX, died.signal);
    died.signal.throwIfAborted();
    throw error;
  }
}

interface Servers {
  /** `null`: the lake is a folder. */
  readonly account: FakeAccount | null;
  readonly broker: TestBroker | null;
  readonly server: DemoServer;
}

async function withServers(folder: string, servers: Servers, options: DemoOptions, signal: AbortSignal): Promise<DemoResult> {
  const { account, broker, server } = servers;
  const { say, env } = options;
  const db = server.isOurs ? 'shop' : `sluice_demo_${Date.now().toString(36)}`;
  const config = await writeConfig(folder, { db, uri: server.uri, account, broker, env });
  // One of ours that has died does not come back: neither the shop nor the end of its transactions need wait for that.
  await using client = new MongoClient(server.uri, server.isOurs ? { serverSelectionTimeoutMS: OWN_SERVER_MS_MAX } : {});
  void server.death?.then(async () => await client.close()).catch(() => {});
  await client.connect();
  const files = account === null ? 'hour files' : 'hour files in a fake of ADLS Gen2, in memory';
  const through = broker === null ? '' : `Kafka, ${PARTITIONS} partitions → `;
  say(`Starting the pipeline: MongoDB → ${through}${files} → DuckDB bronze and silver.`);
  let isClosed = false;
  const ended = new AbortController();
  const leaving = new AbortController();
  const started = Promise.withResolvers<void>();
  const pipeline = runPipeline(
    config,
    {
      role: 'all',
      untilIdleMs: IDLE_MS,
      // The shop opens when all is ready, however long that takes.
      mayEnd: () => isClosed,
      wait: false,
      takeOver: false,
      acceptGap: false,
      serve: options.serve(config),
      log: options.log,
      progress: (progress) => {
        if (progress.state === 'running') started.resolve();
        options.progress?.(progress);
      },
    },
    AbortSignal.any([signal, leaving.signal]),
  ).finally(() => ended.abort());
  // It is awaited below; until then a failure must not count as unhandled.
  pipeline.catch(() => {});
  // Whatever ends the demo ends the pipeline, before its folder goes.
  await using _pipeline = {
    [Symbol.asyncDispose]: async () => {
      leaving.abort();
      await pipeline.catch(() => {});
    },
  };
  await Promise.race([started.promise, pipeline, timeout(START_MS_MAX, ended.signal)]);
  signal.throwIfAborted();
  await using _database = server.isOurs ? null : { [Symbol.asyncDispose]: () => dropOwnDatabase(server.uri, db, say) };
  const writes: ShopWrite[] = [];
  const shop = await openAndClose(client, db, writes, options, AbortSignal.any([signal, ended.signal])).finally(() => (isClosed = true));
  signal.throwIfAborted();
  say(`The shop is closed after ${shop.writes.toLocaleString('en')} writes. Sealing, loading and merging the rest.`);
  await pipeline;
  signal.throwIfAborted();
  say('Proving it: every event against the lake, every document against silver.');
  const report = await prove({ config, client, db, writes, shop, log: options.log }, signal);
  return { report, look: whereToLook(folder, { lake: account === null, bus: broker !== null, mongodb: options.keep && server.isOurs }) };
}

async function openAndClose(client: MongoClient, db: string, writes: ShopWrite[], options: DemoOptions, signal: AbortSignal): Promise<ShopSummary> {
  const seconds = Math.round(options.durationMs / 1000);
  options.say(`The shop is open for ${seconds} seconds: orders, customers and stock, with updates, replaces, deletes and transactions.`);
  await using shop = await startShop(client, { db, opsPerSecond: STEPS_PER_SECOND, ledger: (write) => writes.push(write), signal });
  await endsWithin(options.durationMs, shop.closed, systemClock, signal);
  return await shop.stop();
}

async function startBroker(say: DemoOptions['say']): Promise<TestBroker> {
  say('Starting a Kafka broker.');
  const broker = await startTestBroker();
  await broker.createTopic(TOPIC, PARTITIONS);
  return broker;
}

interface DemoServer extends AsyncDisposable {
  readonly uri: string;
  readonly isOurs: boolean;
  /** Resolves when one of ours ends although nobody has told it to. */
  readonly death: Promise<SluiceError> | null;
}

async function startServer(folder: string, options: DemoOptions, signal: AbortSignal): Promise<DemoServer> {
  const { say, env, log, keep } = options;
  const given = env['SLUICE_DEMO_MONGODB_URI'];
  if (given !== undefined && given !== '') {
    say('Using the MongoDB of SLUICE_DEMO_MONGODB_URI, in a database of its own.');
    return { uri: given, isOurs: false, death: null, [Symbol.asyncDispose]: async () => {} };
  }
  const mongod = await findMongod({ onProgress: say, signal, log, env });
  say(`Starting a MongoDB ${mongod.version} replica set.`);
  const set = await startReplicaSet(keep ? { mongod, signal, dir: join(folder, 'mongodb') } : { mongod, signal });
  return { uri: set.uri, isOurs: true, death: set.death, [Symbol.asyncDispose]: () => set.stop() };
}

/**
 * The folder of the last demo is replaced; a folder of that name that is not ours is left alone. An empty one can be taken:
 * a demo that is killed before it has marked its folder, or as it takes it away, leaves such a one.
 */
async function freshFolder(folder: string): Promise<void> {
  const mayTake = existsSync(join(folder, MARK)) || !existsSync(folder) || (await readdir(folder).catch(() => null))?.length === 0;
  if (!mayTake) {
    throw new SluiceError(CONFIG_CONFLICT, `${folder} exists and was not made by the demo`, { next: 'Run the demo in another folder.' });
  }
  await removeMarkedFolder(folder, MARK);
  await makeFolders(folder);
  await writeFile(join(folder, MARK), 'Made by `sluice demo`, which replaces this folder each time.\n');
}

interface DemoPlaces extends Pick<Servers, 'account' | 'broker'> {
  readonly db: string;
  readonly uri: string;
  readonly env: NodeJS.ProcessEnv;
}

async function writeConfig(folder: string, { db, uri, account, broker, env }: DemoPlaces): Promise<Config> {
  const file = join(folder, 'sluice.yaml');
  const isLocal = account === null;
  // Its key is no secret: every checkout has it.
  const lake = isLocal
    ? '  url: file:./lake'
    : `  url: ${account.url}/demo/lake\n  writer: dfs\n  auth: { kind: accountKey, account: ${account.account.name}, key: "${account.account.key}" }`;
  const bus = broker === null ? '' : `bus:\n  url: kafka://${broker.plain}/${TOPIC}\n  auth: { kind: none }\n`;
  const text = `# Made by \`sluice demo\`. ${isLocal ? 'The MongoDB of the demo is' : 'MongoDB and the storage account of the demo are'} gone when it has ended; ${isLocal ? 'lake and warehouse stay' : 'the warehouse stays'}.
pipeline: demo
source:
  uri: \${SLUICE_DEMO_URI:-mongodb://127.0.0.1:27017/?replicaSet=rs0}
  include: ["${db}.*"]
  fullDocument: updateLookup
lake:
${lake}
  roll: { maxBytes: 1MiB, maxAge: 5s }
${bus}warehouse:
  url: duckdb:./warehouse.duckdb
  columns:
    ${db}.orders: { status: "fullDocument.status VARCHAR", total: "fullDocument.total DECIMAL(18,2)", placed_at: "fullDocument.placedAt TIMESTAMP" }
`;
  await writeFile(file, text);
  return await loadConfig({ file, env: { ...env, SLUICE_DEMO_URI: uri }, cwd: folder });
}

/** @param stays what is still there when the demo has ended */
function whereToLook(folder: string, stays: { readonly lake: boolean; readonly bus: boolean; readonly mongodb: boolean }): string[] {
  const here = relative(process.cwd(), folder) || '.';
  const config = `--config ${join(here, 'sluice.yaml')}`;
  const command = process.env['npm_lifecycle_event'] === undefined ? 'sluice' : 'npx sluice';
  return [
    'Worth trying next:',
    `  ${command} query ${config} "select status, count(*) as orders, sum(total) as total from silver.shop__orders where is_current group by all order by all"`,
    ...(stays.lake ? [`  ${command} verify ${config}`, `  find ${join(here, 'lake')} -name '*.jsonl' | head`] : []),
    ...(stays.bus ? ['', 'The broker is gone. docs/event-hubs.md says how a pipeline over one of your own is run.'] : []),
    ...(stays.mongodb ? ['', `MongoDB's data is in ${join(here, 'mongodb')}.`] : []),
  ];
}

async function timeout(ms: number, signal: AbortSignal): Promise<void> {
  await systemClock.sleep(ms, signal).catch(() => {});
}
