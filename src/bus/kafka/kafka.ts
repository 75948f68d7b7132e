/**
 * Apache Kafka and Azure Event Hubs behind the contract of a bus, over @platformatic/kafka.
 *
 * The client's defaults are for small, close clusters (5 s for everything, metadata asked for every 5 s); Event Hubs is
 * neither. Nothing of it splits a request, so that whoever sends keeps each below the broker's limit.
 */
import { Consumer, murmur2, type ConsumerOptions } from '@platformatic/kafka';
import type { Bus, BusMembership, BusReader, OffsetRange } from '../../core/bus.ts';
import type { Clock } from '../../core/clock.ts';
import type { MessageBatch } from '../../core/message-batch.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import type { Logger } from '../../ops/log.ts';
import { busError, topicError } from './broker-errors.ts';
import { targetOf, type BusLogin, type KafkaTarget, type TokenProvider } from './connection.ts';
import { KafkaMembership, type KafkaConsumer } from './membership.ts';
import { KafkaReader } from './reader.ts';
import { KafkaSender } from './sender.ts';
import { within } from './within.ts';

const EARLIEST = -2n;
const LATEST = -1n;
/** Of a request, by the client's own count; beyond it the caller tries again, and says so. */
const RETRIES = 2;
/** Event Hubs may take its time; more than this is a connection that was lost in silence. */
const REQUEST_MS_MAX = 30_000;
const CONNECT_MS_MAX = 10_000;
/** What a stop leaves to a place in a group that is just being taken, so that it can be given back. */
const LEAVE_MS_MAX = 3_000;
/**
 * Of a connection a broker takes one request after another, and reads the next only when it has answered: with one connection
 * for all partitions they would wait for each other.
 */
const SENDERS = 4;

export interface KafkaBusOptions {
  readonly url: string;
  readonly login: BusLogin;
  readonly token: TokenProvider;
  readonly requestMsMax?: number;
}

export class KafkaBus implements Bus {
  readonly description: string;
  readonly #target: KafkaTarget;
  readonly #requestMsMax: number;
  /** A connection may have to be made first. */
  readonly #tryMsMax: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #senders: (KafkaSender | undefined)[] = [];
  #admin: KafkaConsumer | null = null;

  constructor({ url, login, token, requestMsMax = REQUEST_MS_MAX }: KafkaBusOptions, clock: Clock, log: Logger) {
    this.#requestMsMax = requestMsMax;
    this.#tryMsMax = requestMsMax + CONNECT_MS_MAX;
    this.#target = targetOf(url, login, token);
    this.description = `${this.#target.topic} on ${this.#target.brokers.join(',')}`;
    this.#clock = clock;
    this.#log = log;
  }

  async partitions(signal: AbortSignal): Promise<number> {
    return await this.#ask(async (consumer) => {
      const { topics } = await consumer.metadata({ topics: [this.#target.topic], forceUpdate: true }).catch((error: unknown) => {
        throw topicError(error, this.description);
      });
      return topics.get(this.#target.topic)!.partitionsCount;
    }, signal);
  }

  async ranges(signal: AbortSignal): Promise<readonly OffsetRange[]> {
    return await this.#ask(async (consumer) => {
      const { topic } = this.#target;
      const first = (await consumer.listOffsets({ topics: [topic], timestamp: EARLIEST })).get(topic) ?? [];
      const next = (await consumer.listOffsets({ topics: [topic], timestamp: LATEST })).get(topic) ?? [];
      return first.map((offset, partition) => ({ first: offset, next: next[partition]! }));
    }, signal);
  }

  /** As other clients of Kafka do it; over AMQP, Event Hubs does it otherwise. */
  partitionOf(key: string, partitions: number): number {
    return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions;
  }

  async send(partition: number, messages: MessageBatch, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const sender = (this.#senders[partition % SENDERS] ??= this.#newSender());
    await unlessAborted(sender.send(partition, messages), signal);
  }

  reader(partition: number): BusReader {
    return new KafkaReader(
      { topic: this.#target.topic, partition, client: this.#options('consumer'), msMax: this.#tryMsMax, silenceMsMax: this.#requestMsMax },
      this.#clock,
      this.#log,
    );
  }

  async join(group: string, onAssigned: (partitions: readonly number[]) => void, signal: AbortSignal): Promise<BusMembership> {
    let isWanted = true;
    const onJoined = (partitions: readonly number[]): void => {
      if (isWanted) onAssigned(partitions);
    };
    const options = { topic: this.#target.topic, group, onAssigned: onJoined };
    const membership = new KafkaMembership((how) => this.#consumer(how), options, this.#clock, this.#log);
    const joining = membership.join();
    try {
      await unlessAborted(joining, signal);
      return membership;
    } catch (error) {
      // A member that nobody knows of would keep its partitions from the others until its silence is noticed.
      isWanted = false;
      await within(LEAVE_MS_MAX, joining, this.#clock).catch(() => {});
      await membership[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const [senders, admin] = [this.#senders.splice(0), this.#admin];
    this.#admin = null;
    await Promise.all([...senders.map((sender) => sender?.[Symbol.asyncDispose]()), admin?.close(true).catch(() => {})]);
  }

  #newSender(): KafkaSender {
    return new KafkaSender(
      { topic: this.#target.topic, client: this.#options('producer'), msMax: this.#tryMsMax, silenceMsMax: this.#requestMsMax },
      this.#clock,
    );
  }

  async #ask<T>(question: (consumer: KafkaConsumer) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#admin ??= this.#consumer({});
    try {
      return await unlessAborted(question(this.#admin), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw busError(error, this.description);
    }
  }

  #consumer(how: Partial<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>>): KafkaConsumer {
    return new Consumer({
      ...this.#options('consumer'),
      // A client needs a group to be made, not to read.
      groupId: 'sluice-no-group',
      autocommit: false,
      ...how,
    });
  }

  #options(role: string) {
    return {
      clientId: `sluice-${role}`,
      bootstrapBrokers: this.#target.brokers,
      ...this.#target.options,
      timeout: 30_000,
      connectTimeout: CONNECT_MS_MAX,
      requestTimeout: this.#requestMsMax,
      metadataMaxAge: 180_000,
      retries: RETRIES,
      retryDelay: 500,
      autocreateTopics: false,
      strict: true,
    };
  }
}
