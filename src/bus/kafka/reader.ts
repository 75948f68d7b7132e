/**
 * One partition, read from an offset that the caller knows: the lake keeps the offsets, not the broker.
 *
 * Fetches of our own instead of the client's stream, which begins anew at every rebalance. A fetch may return records
 * before the offset that was asked for (the batch that holds it is sent whole): they are left out here.
 */
import type { Consumer, ConsumerOptions, KafkaRecord } from '@platformatic/kafka';
import type { BusRead, BusReader, BusRecord } from '../../core/bus.ts';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';
import { busError } from './broker-errors.ts';

export type KafkaConsumer = Consumer<Buffer, Buffer, Buffer, Buffer>;
export type MakeConsumer = (how: Partial<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>>) => KafkaConsumer;

export const FETCH_BYTES_MAX = 8 * 1024 * 1024;
export const PARTITION_BYTES_MAX = 1024 * 1024;
const WAIT_MS = 1_000;
const BACKOFF_MS = 500;
/** Bit of a batch's attributes: markers of transactions, not messages. */
const IS_CONTROL = 0x20;

export class KafkaReader implements BusReader {
  readonly #make: MakeConsumer;
  readonly #topic: string;
  readonly #partition: number;
  readonly #clock: Clock;
  #consumer: KafkaConsumer | null = null;

  constructor(make: MakeConsumer, topic: string, partition: number, clock: Clock) {
    this.#make = make;
    this.#topic = topic;
    this.#partition = partition;
    this.#clock = clock;
  }

  async read(offset: bigint, signal: AbortSignal): Promise<BusRead> {
    signal.throwIfAborted();
    try {
      return await this.#fetch(offset);
    } catch (error) {
      signal.throwIfAborted();
      const told = busError(error, `${this.#topic}, partition ${this.#partition}`);
      if (!SluiceError.is(told, BUS_UNAVAILABLE)) throw told;
      // A client whose connection was lost in silence would wait for its time-out again and again.
      await this.#close();
      await this.#clock.sleep(BACKOFF_MS, signal);
      return { records: [], next: offset };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = null;
    await consumer?.close(true).catch(() => {});
  }

  async #fetch(offset: bigint): Promise<BusRead> {
    this.#consumer ??= this.#newConsumer();
    const { topics } = await this.#consumer.metadata({ topics: [this.#topic] });
    const { id, partitions } = topics.get(this.#topic)!;
    const leader = partitions[this.#partition]?.leader ?? -1;
    if (leader < 0) throw new SluiceError(BUS_UNAVAILABLE, `${this.#topic}, partition ${this.#partition} has no leader`);
    const wanted = {
      partition: this.#partition,
      fetchOffset: offset,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      partitionMaxBytes: PARTITION_BYTES_MAX,
    };
    const response = await this.#consumer.fetch({
      node: leader,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      maxWaitTime: WAIT_MS,
      topics: [{ topicId: id, partitions: [wanted] }],
    });
    const records: BusRecord[] = [];
    let next = offset;
    for (const { partitions: read } of response.responses) {
      for (const { partitionIndex, records: batches } of read) {
        if (partitionIndex !== this.#partition) continue;
        for (const batch of batches ?? []) {
          next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
          if ((batch.attributes & IS_CONTROL) !== 0) continue;
          for (const record of batch.records) {
            const at = batch.firstOffset + BigInt(record.offsetDelta);
            if (at >= offset) records.push(new ReadRecord(at, record));
          }
        }
      }
    }
    return { records, next };
  }

  #newConsumer(): KafkaConsumer {
    const consumer = this.#make({});
    consumer.topics.track(this.#topic);
    return consumer;
  }
}

class ReadRecord implements BusRecord {
  readonly offset: bigint;
  readonly value: Buffer | null;
  readonly #headers: KafkaRecord['headers'];

  constructor(offset: bigint, record: KafkaRecord) {
    this.offset = offset;
    this.value = record.value;
    this.#headers = record.headers;
  }

  header(name: string): string | null {
    for (const [key, value] of this.#headers) {
      if (key !== null && key.length === name.length && key.toString('latin1') === name) return value?.toString('utf8') ?? null;
    }
    return null;
  }
}
