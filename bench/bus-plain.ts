/**
 * What sluice is compared with on its way over a bus, each in a process of its own:
 *
 * - `produce` and `consume`: what a careful person writes with the two clients. `watch()` and `JSON.stringify`; records of about
 *   800 KB a request, sent with the acknowledgement of all replicas, one request at a time for each partition; the token of the last one is
 *   written down once a second. On the other side the client's stream, lines appended to a file, synced every 4 MiB, and the offsets
 *   committed after that. At least once: nothing tells what comes twice, and there are no hours, manifests or sums.
 * - `produceRaw` and `consumeRaw`: the leanest that still carries every change from MongoDB to a disk. Events are bytes from the server's
 *   reply to the file: nothing is decoded, so that there is no JSON, no key, no name of a collection; shared out in turn.
 * - `bytes`: a loop of the client that sends records which were made before; no MongoDB, no JSON, no files.
 */
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Consumer, Producer, type MessageToProduce } from '@platformatic/kafka';
import { BSON, MongoClient, type ResumeToken } from 'mongodb';
import { KafkaBus } from '../src/bus/kafka/kafka.ts';
import { systemClock } from '../src/core/clock.ts';
import { silentLog } from '../src/ops/log.ts';

export interface PlainTask {
  readonly side: 'produce' | 'consume' | 'produceRaw' | 'consumeRaw' | 'bytes';
  readonly broker: string;
  readonly topic: string;
  readonly uri: string;
  /** Where to begin: BSON, base64. */
  readonly token: string;
  readonly folder: string;
  /** Of `bytes`: how many. */
  readonly events: number;
  /** Of `bytes`: the topic that has the records. */
  readonly from?: string;
}

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>;

const REQUEST_BYTES = 800_000;
const RECORD_BYTES = 100;
const FLUSH_BYTES = 4 << 20;
const SAVE_MS = 1_000;
const PARTITIONS = 4;
const never = new AbortController().signal;

function producerOf(broker: string): Producer<Buffer, Buffer, Buffer, Buffer> {
  return new Producer<Buffer, Buffer, Buffer, Buffer>({ clientId: 'plain', bootstrapBrokers: [broker], maxInflights: PARTITIONS, strict: true });
}

interface Lane {
  messages: Message[];
  bytes: number;
  sending: Promise<void>;
}

/** On their way to the partitions, one request at a time for each; the token of the last is written down once a second. */
class Lanes {
  readonly #producer: ReturnType<typeof producerOf>;
  readonly #topic: string;
  readonly #lanes: Lane[] = Array.from({ length: PARTITIONS }, () => ({ messages: [], bytes: 0, sending: Promise.resolve() }));

  constructor({ broker, topic, folder }: PlainTask, tokenOfLast: () => unknown) {
    this.#producer = producerOf(broker);
    this.#topic = topic;
    const save = async (): Promise<void> => {
      const saved = JSON.stringify(tokenOfLast());
      for (const lane of this.#lanes) if (lane.messages.length > 0) void this.#send(lane);
      await Promise.all(this.#lanes.map(({ sending }) => sending));
      await writeFile(join(folder, 'token.json'), saved ?? '');
    };
    setInterval(() => void save(), SAVE_MS);
  }

  async ready(): Promise<void> {
    await this.#producer.metadata({ topics: [this.#topic] });
  }

  /** @returns what is to be waited for */
  add(partition: number, key: Buffer | undefined, value: Buffer): Promise<void> | null {
    const lane = this.#lanes[partition]!;
    lane.messages.push({ topic: this.#topic, partition, value, ...(key === undefined ? {} : { key }) });
    lane.bytes += value.length + RECORD_BYTES;
    return lane.bytes > REQUEST_BYTES ? this.#send(lane) : null;
  }

  /** @returns what was under way before */
  #send(lane: Lane): Promise<void> {
    const { messages, sending } = lane;
    const next = sending.then(async () => void (await this.#producer.send({ messages, acks: -1 })));
    Object.assign(lane, { messages: [], bytes: 0, sending: next });
    return sending;
  }
}

async function produce(task: PlainTask): Promise<void> {
  await using client = await new MongoClient(task.uri).connect();
  const resumeAfter = BSON.deserialize(Buffer.from(task.token, 'base64')) as ResumeToken;
  const changes = client.db('bench').watch([], { resumeAfter, batchSize: 1_000 });
  let last: unknown;
  const lanes = new Lanes(task, () => last);
  await lanes.ready();
  const places = new Map<string, { readonly key: Buffer; readonly partition: number }>();
  for await (const event of changes) {
    if (event.operationType !== 'insert') continue;
    const { coll } = event.ns;
    let place = places.get(coll);
    if (place === undefined) places.set(coll, (place = { partition: places.size % PARTITIONS, key: Buffer.from(`bench.${coll}`) }));
    const sending = lanes.add(place.partition, place.key, Buffer.from(JSON.stringify(event)));
    last = event._id;
    if (sending !== null) await sending;
  }
}

async function produceRaw(task: PlainTask): Promise<void> {
  await using client = await new MongoClient(task.uri).connect();
  const resumeAfter = BSON.deserialize(Buffer.from(task.token, 'base64')) as ResumeToken;
  const events = client.db('bench').aggregate([{ $changeStream: { resumeAfter } }], { raw: true, batchSize: 1_000 });
  let last: Buffer | null = null;
  const lanes = new Lanes(task, () => last && BSON.deserialize(last)['_id']);
  await lanes.ready();
  let count = 0;
  for await (const event of events as AsyncIterable<Uint8Array>) {
    last = Buffer.from(event.buffer, event.byteOffset, event.byteLength);
    const sending = lanes.add(count % PARTITIONS, undefined, last);
    count += 1;
    if (sending !== null) await sending;
  }
}

async function consume(
  { broker, topic, folder }: PlainTask,
  { file: name, between }: { readonly file: string; readonly between: Buffer },
): Promise<void> {
  const consumer = new Consumer({ clientId: 'plain', groupId: topic, bootstrapBrokers: [broker], autocommit: false, maxBytes: 8 << 20 });
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', fallbackMode: 'earliest' });
  await using file = await open(join(folder, name), 'w');
  let lines: Buffer[] = [];
  let bytes = 0;
  let count = 0;
  let last = new Map<number, bigint>();
  let writing = Promise.resolve();
  /** @returns what was under way before */
  const write = (): Promise<void> => {
    const offsets = [...last].map(([partition, offset]) => ({ topic, partition, offset: offset + 1n, leaderEpoch: -1 }));
    const [all, before, written] = [Buffer.concat(lines), writing, count];
    [lines, bytes, last] = [[], 0, new Map()];
    writing = before.then(async () => {
      await file.write(all);
      await file.datasync();
      await consumer.commit({ offsets });
      process.send!(written);
    });
    return before;
  };
  setInterval(() => {
    if (bytes > 0) void write();
  }, SAVE_MS);
  for await (const { value, partition, offset } of stream) {
    lines.push(value, between);
    bytes += value.length + between.length;
    count += 1;
    last.set(partition, offset);
    if (bytes >= FLUSH_BYTES) await write();
  }
}

/** As soon as it is told to: making the records is not part of it. */
async function bytes({ broker, topic, from, events }: PlainTask): Promise<void> {
  const requests = await recordsOf(broker, from!, topic, events);
  const producer = producerOf(broker);
  await producer.metadata({ topics: [topic] });
  await new Promise<void>((resolve) => {
    process.once('message', () => resolve());
    process.send!('ready');
  });
  await Promise.all(
    requests.map(async (of) => {
      for (const messages of of) await producer.send({ messages, acks: -1 });
    }),
  );
  await producer.close();
}

/** By partition, in requests. */
async function recordsOf(broker: string, from: string, to: string, events: number): Promise<Message[][][]> {
  const bus = new KafkaBus({ url: `kafka://${broker}/${from}`, login: { kind: 'none' }, token: async () => '' }, systemClock, silentLog);
  const requests: Message[][][] = [];
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    const of: Message[][] = [];
    await using reader = bus.reader(partition);
    let bytes = Infinity;
    for (let next = 0n, taken = 0; taken < events / PARTITIONS;) {
      const { records, next: after } = await reader.read(next, never);
      if (records.length === 0) break;
      for (const { key, value } of records) {
        if (bytes + value!.length + RECORD_BYTES > REQUEST_BYTES) {
          of.push([]);
          bytes = 0;
        }
        bytes += value!.length + RECORD_BYTES;
        of.at(-1)!.push({ topic: to, partition, key: key!, value: value! });
        taken += 1;
      }
      next = after;
    }
    requests.push(of);
  }
  await bus[Symbol.asyncDispose]();
  return requests;
}

const task = JSON.parse(process.argv[2]!) as PlainTask;
await {
  produce,
  consume: (of: PlainTask) => consume(of, { file: 'plain.jsonl', between: Buffer.from('\n') }),
  produceRaw,
  consumeRaw: (of: PlainTask) => consume(of, { file: 'plain.bson', between: Buffer.alloc(0) }),
  bytes,
}[task.side](task);
