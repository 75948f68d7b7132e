/**
 * MongoDB → Kafka → files, with mongod and the broker beside it: how many events a second one producer and one consumer carry,
 * each as `sluice run` starts it, and what each of the four processes does for an event. In the same run: a plain program of two
 * processes that does the same with the clients' own means, two that carry the bytes of MongoDB's replies without looking at them, and a loop that only sends (bus-plain.ts).
 *
 * All have carried some events before, so that what is measured is neither the start nor the compiling. The producer is frozen
 * while the backlog is written, and carries it when it may go on.
 *
 * `npm run bench -- bus [collection|document]`; `BENCH_EVENTS` sets how many events of 1.2 KB. Needs Java, and Maven the first time.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MongoClient } from 'mongodb';
import type { ReplicaSet } from '../src/app/demo/replica-set.ts';
import { KafkaBus } from '../src/bus/kafka/kafka.ts';
import { systemClock } from '../src/core/clock.ts';
import { silentLog } from '../src/ops/log.ts';
import { RunProcess } from '../test/crash/run-process.ts';
import { until } from '../test/e2e/until.ts';
import { Workspace } from '../test/e2e/workspace.ts';
import { KafkaBroker } from '../test/kafka.ts';
import { cpuMs, documentOf, insertDocuments, startServer, tokenOf } from './backlog.ts';
import type { PlainTask } from './bus-plain.ts';
import { percentile, report, type Row } from './report.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 300_000);
/** Enough for the broker, whose compilers are at work until it has carried some hundred thousand. */
const WARM_EVENTS = Math.ceil((EVENTS * 2) / 3);
const BYTES_EVENTS = Math.min(EVENTS, 100_000);
const PARTITIONS = 4;
const COLLECTIONS = 8;
const BYTES = 1_200;
const POLL_MS = 50;
const LIVE_RATES = [100, 1_000];
const LIVE_MS = 5_000;
const LIVE_POLL_MS = 2;
const MARK = Buffer.from('"sentAt":');
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const MS_MAX = 120_000;
const never = new AbortController().signal;
/** As one runs a broker, and not as one starts it for a test: compiled by both compilers, with a heap that it does not fill. */
const JAVA = ['-Xms1g', '-Xmx1g', '-XX:+UseParallelGC', '-Dlog4j2.level=WARN'];

interface Measure {
  readonly who: string;
  readonly what: string;
  readonly pids: Readonly<Partial<Record<'producer' | 'consumer', number>>>;
  /** How many it has carried altogether. */
  readonly carried: () => Promise<number>;
  readonly from: number;
  readonly events?: number;
}

interface Topic extends AsyncDisposable {
  readonly name: string;
  /** Messages in it. */
  readonly sent: () => Promise<number>;
}

class Bench {
  readonly #set: ReplicaSet;
  readonly #client: MongoClient;
  readonly #broker: KafkaBroker;
  readonly #partitionBy: string;
  #topics = 0;
  readonly rows: Row[] = [];
  readonly live: Row[] = [];

  constructor(set: ReplicaSet, client: MongoClient, broker: KafkaBroker, partitionBy: string) {
    this.#set = set;
    this.#client = client;
    this.#broker = broker;
    this.#partitionBy = partitionBy;
  }

  async sluice(): Promise<void> {
    await using topic = await this.#topic();
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({
      source: { uri: this.#set.uri, include: ['bench.*'], startAt: 'now' },
      bus: { url: `kafka://${this.#broker.plain}/${topic.name}`, auth: { kind: 'none' }, partitionBy: this.#partitionBy },
    });
    const lake = join(work.lake, 'bench');
    const lines = new Lines(lake);
    const written = async (): Promise<number> => await lines.count();
    const start = (role: 'produce' | 'consume'): RunProcess => RunProcess.start(configFile, { args: ['--role', role] });
    await using producer = start('produce');
    await producer.said('reading changes');
    {
      await using consumer = start('consume');
      await this.#warmUp(written);
      await this.#backlog(producer.pid);
      const pids = { producer: producer.pid, consumer: consumer.pid };
      await this.#measure({ who: 'sluice', what: 'MongoDB → Kafka → files', pids, carried: written, from: WARM_EVENTS });
      for (const perSecond of LIVE_RATES) await this.#live(lake, perSecond);
      await consumer.kill('SIGTERM');
    }
    const sentBefore = await topic.sent();
    await this.#backlog(producer.pid);
    await this.#measure({ who: 'sluice', what: 'MongoDB → Kafka', pids: { producer: producer.pid }, carried: topic.sent, from: sentBefore });
    await producer.kill('SIGTERM');
    const from = await written();
    await using consumer = start('consume');
    await consumer.said('reading changes');
    const pids = { consumer: consumer.pid };
    await this.#measure({ who: 'sluice', what: 'Kafka → files, its start included', pids, carried: written, from });
  }

  /** How long a change is on its way while nothing else waits: from the moment before it is sent to the one in which it is seen in its file. */
  async #live(folder: string, perSecond: number): Promise<void> {
    const lags: number[] = [];
    const lines = new Lines(folder, (bytes) => {
      const now = performance.now();
      for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 1)) {
        const end = bytes.indexOf(COMMA, at);
        // What a read has cut in two is left out.
        if (end > 0) lags.push(now - Number.parseFloat(bytes.toString('latin1', at + MARK.length, end)));
      }
    });
    const from = await lines.count();
    lags.length = 0;
    const collection = this.#client.db('bench').collection('events_0');
    const begun = performance.now();
    for (let sent = 0; sent < (perSecond * LIVE_MS) / 1000;) {
      const due = Math.floor(((performance.now() - begun) * perSecond) / 1000) - sent;
      if (due > 0) {
        const sentAt = performance.now();
        void collection.insertMany(Array.from({ length: due }, (_, i) => ({ sentAt, ...documentOf(sent + i, BYTES) })));
        sent += due;
      }
      await systemClock.sleep(LIVE_POLL_MS);
      await lines.count();
    }
    const all = from + (perSecond * LIVE_MS) / 1000;
    await until('all of it is there', async () => (await lines.count()) >= all, MS_MAX);
    lags.sort((a, b) => a - b);
    this.live.push({
      'shared out by': this.#partitionBy,
      'inserts/s': perSecond,
      'p50, ms': percentile(lags, 0.5),
      'p99, ms': percentile(lags, 0.99),
      'max, ms': lags.at(-1)!,
    });
  }

  async plain(): Promise<void> {
    await using topic = await this.#topic();
    await using work = await Workspace.make();
    const token = await tokenOf(this.#client);
    const task = { broker: this.#broker.plain, topic: topic.name, uri: this.#set.uri, token, folder: work.folder, events: BYTES_EVENTS };
    await this.#pair('plain program', task, ['produce', 'consume']);
    {
      await using raw = await this.#topic();
      const ofNow = { ...task, topic: raw.name, token: await tokenOf(this.#client) };
      await this.#pair('the bytes of MongoDB', ofNow, ['produceRaw', 'consumeRaw']);
    }
    for (const time of ['warm-up', 'measured']) {
      await using bare = await this.#topic();
      await using mover = Plain.start({ ...task, side: 'bytes', topic: bare.name, from: topic.name });
      await mover.ready();
      const pids = { producer: mover.pid };
      await this.#measure({ who: 'bytes only', what: 'the same records → Kafka', pids, carried: bare.sent, from: 0, events: BYTES_EVENTS });
      if (time === 'warm-up') this.rows.pop();
    }
  }

  async #pair(who: string, task: Omit<PlainTask, 'side'>, [produce, consume]: readonly [PlainTask['side'], PlainTask['side']]): Promise<void> {
    await using consumer = Plain.start({ ...task, side: consume });
    await using producer = Plain.start({ ...task, side: produce });
    const carried = async (): Promise<number> => consumer.carried;
    await this.#warmUp(carried);
    await this.#backlog(producer.pid);
    const pids = { producer: producer.pid, consumer: consumer.pid };
    await this.#measure({ who, what: 'MongoDB → Kafka → files', pids, carried, from: WARM_EVENTS });
  }

  async #topic(): Promise<Topic> {
    this.#topics += 1;
    const name = `${this.#partitionBy}-${this.#topics}`;
    await this.#broker.createTopic(name, PARTITIONS);
    const bus = new KafkaBus(
      { url: `kafka://${this.#broker.plain}/${name}`, login: { kind: 'none' }, token: async () => '' },
      systemClock,
      silentLog,
    );
    const sent = async (): Promise<number> => (await bus.ranges(never)).reduce((sum, { first, next }) => sum + Number(next - first), 0);
    return { name, sent, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
  }

  async #warmUp(carried: () => Promise<number>): Promise<void> {
    await insertDocuments(this.#client, WARM_EVENTS, BYTES, COLLECTIONS);
    await until('the first events are through', async () => (await carried()) >= WARM_EVENTS, MS_MAX);
  }

  /** Written while the producer stands still. */
  async #backlog(producer: number): Promise<void> {
    process.kill(producer, 'SIGSTOP');
    await insertDocuments(this.#client, EVENTS, BYTES, COLLECTIONS);
    // What the server still has to do for that is not part of it.
    await this.#client.db('admin').command({ fsync: 1 });
    process.kill(producer, 'SIGCONT');
  }

  async #measure({ who, what, pids, carried, from, events = EVENTS }: Measure): Promise<void> {
    const all = { mongod: this.#set.pids, broker: [this.#broker.pid], producer: ids(pids.producer), consumer: ids(pids.consumer) };
    const names = Object.keys(all) as (keyof typeof all)[];
    const before = names.map((name) => cpuMs(all[name]));
    const begun = performance.now();
    const spent = [...before];
    await until(`${who}: ${what}`, async () => {
      for (const [n, name] of names.entries()) spent[n] = Math.max(spent[n]!, cpuMs(all[name]));
      await systemClock.sleep(POLL_MS);
      return (await carried()) >= from + events;
    }, MS_MAX); // prettier-ignore
    const ms = performance.now() - begun;
    const perEvent = names.map((_, n) => ((spent[n]! - before[n]!) * 1000) / events);
    const columns = Object.fromEntries(names.map((name, n) => [`${name}, µs`, perEvent[n]!]));
    const memory = { 'producer, MiB': rssMaxMiB(pids.producer), 'consumer, MiB': rssMaxMiB(pids.consumer) };
    const total = perEvent.reduce((sum, each) => sum + each, 0);
    this.rows.push({ 'shared out by': this.#partitionBy, what, who, 'events/s': (events / ms) * 1000, ...columns, 'all, µs': total, ...memory });
  }
}

/** A process of {@link PlainTask}. */
class Plain implements AsyncDisposable {
  readonly #child: ChildProcess;
  #carried = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (said) => {
      if (typeof said === 'number') this.#carried = said;
    });
  }

  static start(task: PlainTask): Plain {
    return new Plain(fork(fileURLToPath(new URL('bus-plain.ts', import.meta.url)), [JSON.stringify(task)]));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** How many are in its file, durably. */
  get carried(): number {
    return this.#carried;
  }

  /** It has said that it could begin, and is told to. */
  async ready(): Promise<void> {
    await once(this.#child, 'message');
    this.#child.send('go');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** The highest so far; of a process that has ended nobody knows it any more. */
function rssMaxMiB(pid: number | undefined): number | string {
  const file = `/proc/${pid}/status`;
  if (pid === undefined || !existsSync(file)) return '';
  const kiB = /^VmHWM:\s+(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1];
  return kiB === undefined ? '' : Number(kiB) / 1024;
}

function ids(pid: number | undefined): readonly number[] {
  return pid === undefined ? [] : [pid];
}

/** Lines of the files of events in a folder, of which only what is new is read. */
class Lines {
  readonly #folder: string;
  readonly #seen = new Map<string, number>();
  readonly #buffer = Buffer.alloc(1 << 20);
  readonly #onNew: (bytes: Buffer) => void;
  #count = 0;

  constructor(folder: string, onNew: (bytes: Buffer) => void = () => {}) {
    this.#folder = folder;
    this.#onNew = onNew;
  }

  async count(): Promise<number> {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) if (entry.isFile() && entry.name.endsWith('.jsonl')) await this.#read(join(entry.parentPath, entry.name));
    return this.#count;
  }

  async #read(path: string): Promise<void> {
    await using file = await open(path);
    for (let at = this.#seen.get(path) ?? 0; ;) {
      const { bytesRead } = await file.read(this.#buffer, 0, this.#buffer.length, at);
      if (bytesRead === 0) return;
      const bytes = this.#buffer.subarray(0, bytesRead);
      this.#onNew(bytes);
      for (let from = bytes.indexOf(NEWLINE); from >= 0; from = bytes.indexOf(NEWLINE, from + 1)) this.#count += 1;
      at += bytesRead;
      this.#seen.set(path, at);
    }
  }
}

async function main(): Promise<void> {
  await using set = await startServer();
  const client = await set.connect();
  for (let n = 0; n < COLLECTIONS; n += 1) await client.db('bench').createCollection(`events_${n}`);
  await using broker = await KafkaBroker.start({ java: JAVA });
  const wanted = process.argv.slice(2);
  const [rows, live]: [Row[], Row[]] = [[], []];
  for (const partitionBy of wanted.length > 0 ? wanted : ['collection', 'document']) {
    const bench = new Bench(set, client, broker, partitionBy);
    await bench.plain();
    await bench.sluice();
    rows.push(...bench.rows.toReversed());
    live.push(...bench.live);
  }
  report('bus', rows);
  console.log('');
  report('bus, live', live);
}

await main();
