/**
 * MongoDB → Kafka → files, with the broker beside it: how many events a second one producer and one consumer carry, each as
 * `sluice run` starts it, against a bare loop of the client that sends the same records, all replicas acknowledging.
 *
 * `npm run bench -- bus`; `BENCH_EVENTS` sets how many events of 1.2 KB. Needs Java, and Maven the first time.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Producer, type MessageToProduce } from '@platformatic/kafka';
import type { MongoClient } from 'mongodb';
import { systemClock } from '../src/core/clock.ts';
import { compareTimestamps, type Timestamp } from '../src/core/time.ts';
import { silentLog } from '../src/ops/log.ts';
import { KafkaBus } from '../src/bus/kafka/kafka.ts';
import { checkpointPath, decodeCheckpoint, type Checkpoint, type Scope } from '../src/pipeline/checkpoint.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { readFile } from '../src/pipeline/read-file.ts';
import { readWhole } from '../src/pipeline/whole.ts';
import { RunProcess } from '../test/crash/run-process.ts';
import { mark } from '../test/e2e/pipeline-run.ts';
import { until } from '../test/e2e/until.ts';
import { Workspace } from '../test/e2e/workspace.ts';
import { KafkaBroker } from '../test/kafka.ts';
import { insertDocuments, startServer } from './backlog.ts';
import { report, type Row } from './report.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 300_000);
const PARTITIONS = 4;
const COLLECTIONS = 8;
const POLL_MS_MAX = 120_000;
/** What a request of the bare loop takes: as those of sluice. */
const REQUEST_BYTES = 850_000;
const BARE_RECORDS = 100_000;
const never = new AbortController().signal;

type Process = 'produce' | 'consume';

async function carry(client: MongoClient, uri: string, broker: KafkaBroker, partitionBy: string, how: 'together' | 'in turn'): Promise<Row[]> {
  const topic = `${partitionBy}-${how.replace(' ', '-')}`;
  await broker.createTopic(topic, PARTITIONS);
  await using work = await Workspace.make();
  const { operationTime } = await client.db('admin').command({ ping: 1 });
  const from = new Date(((operationTime as { t: number }).t + 1) * 1000);
  while (Date.now() < from.getTime()) await systemClock.sleep(20);
  const configFile = await work.writeConfig({
    source: { uri, include: ['bench.*'], startAt: from.toISOString() },
    bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' }, partitionBy },
  });
  await client.db('bench').dropDatabase();
  await insertDocuments(client, EVENTS, 1_200, COLLECTIONS);
  const to = await mark(client, 'bench', 'events_0');
  const lake = await openLocalLake(work.lake);
  const saved = async (scope: Scope): Promise<Checkpoint | null> => {
    const path = checkpointPath('shop', scope);
    return (await lake.stat(path)) === null ? null : decodeCheckpoint(await readFile(lake, path, never), path);
  };
  const reached = async (side: Process): Promise<boolean> => {
    const watermark: Timestamp | undefined = (side === 'produce' ? await saved('producer') : await readWhole(lake, 'shop', never))?.watermark;
    return watermark !== undefined && compareTimestamps(watermark, to) >= 0;
  };
  const start = async (side: Process): Promise<RunProcess> => {
    const process = RunProcess.start(configFile, { args: ['--role', side] });
    if (side === 'produce') await until('it reads', () => process.stderr.includes('reading changes'));
    return process;
  };
  const rows: Row[] = [];
  const tell = (what: string, ms: number): void => void rows.push({ 'shared out by': partitionBy, what, 'events/s': (EVENTS / ms) * 1000 });
  if (how === 'together') {
    await using consume = await start('consume');
    await until('it waits', () => consume.stderr.includes('waiting for'));
    await using _produce = await start('produce');
    const begun = performance.now();
    await until('all is in the lake', () => reached('consume'), POLL_MS_MAX);
    tell('MongoDB → Kafka → files', performance.now() - begun);
  } else {
    for (const side of ['produce', 'consume'] as const) {
      const begun = performance.now();
      await using _process = await start(side);
      const ready = side === 'produce' ? performance.now() : begun;
      await until(`all is through`, () => reached(side), POLL_MS_MAX);
      tell(side === 'produce' ? 'MongoDB → Kafka' : 'Kafka → files, with its start', performance.now() - ready);
    }
    rows.push({ 'shared out by': partitionBy, what: 'bare loop, MongoDB left out', 'events/s': await bareLoop(broker, topic) });
  }
  await lake[Symbol.asyncDispose]();
  return rows;
}

/** In a process of its own, as sluice is. @returns records a second */
async function bareLoop(broker: KafkaBroker, topic: string): Promise<number> {
  await broker.createTopic(`${topic}-bare`, PARTITIONS);
  const child = fork(fileURLToPath(import.meta.url), ['bare', broker.plain, topic]);
  const result = Promise.withResolvers<number>();
  child.on('message', (rate) => result.resolve(rate as number));
  child.on('exit', (code) => result.reject(new Error(`the bare loop ended with ${code}`)));
  return await result.promise;
}

async function bare(broker: string, topic: string): Promise<void> {
  const bus = new KafkaBus({ url: `kafka://${broker}/${topic}`, login: { kind: 'none' }, token: async () => '' }, systemClock, silentLog);
  const requests: MessageToProduce<Buffer, Buffer, Buffer, Buffer>[][][] = [];
  let count = 0;
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    requests.push([]);
    await using reader = bus.reader(partition);
    let bytes = Infinity;
    for (let next = 0n, taken = 0; taken < BARE_RECORDS / PARTITIONS;) {
      const read = await reader.read(next, never);
      if (read.records.length === 0) break;
      for (const record of read.records) {
        if (record.value === null || record.value.length === 0) continue;
        const headers = new Map<Buffer, Buffer>();
        for (const name of ['position', 'operationType', 'ns', 'at', 'clusterTime', 'fingerprint'])
          headers.set(Buffer.from(name), Buffer.from(record.header(name)!));
        if (bytes + record.value.length + 300 > REQUEST_BYTES) {
          requests[partition]!.push([]);
          bytes = 0;
        }
        bytes += record.value.length + 300;
        requests[partition]!.at(-1)!.push({
          topic: `${topic}-bare`,
          partition,
          key: Buffer.from(record.header('ns')!),
          value: record.value,
          headers,
        });
        count += 1;
        taken += 1;
      }
      next = read.next;
    }
  }
  await bus[Symbol.asyncDispose]();
  const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
    clientId: 'bare',
    bootstrapBrokers: [broker],
    maxInflights: PARTITIONS,
    strict: true,
  });
  await producer.metadata({ topics: [`${topic}-bare`] });
  const begun = performance.now();
  await Promise.all(
    requests.map(async (of) => {
      for (const messages of of) await producer.send({ messages, acks: -1 });
    }),
  );
  process.send?.((count / (performance.now() - begun)) * 1000);
  await producer.close();
  process.disconnect?.();
}

async function main(): Promise<void> {
  await using set = await startServer();
  const client = await set.connect();
  await using broker = await KafkaBroker.start();
  const rows: Row[] = [];
  for (const partitionBy of ['collection', 'document']) {
    const inTurn = await carry(client, set.uri, broker, partitionBy, 'in turn');
    const loop = inTurn.at(-1)!['events/s'] as number;
    for (const row of [...(await carry(client, set.uri, broker, partitionBy, 'together')), ...inTurn])
      rows.push({ ...row, 'of the bare loop': (row['events/s'] as number) / loop });
  }
  report('bus', rows);
}

const [mode, at, topic] = process.argv.slice(2);
if (mode === 'bare') await bare(at!, topic!);
else await main();
