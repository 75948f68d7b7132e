/**
 * Batches on their way to partitions, several partitions at once over one connection to each broker.
 *
 * Invariant: a batch has the number that follows those which its partition has acknowledged, as the broker demands of a
 * producer that it knows. One whose fate is unknown is sent again with the same number, so that the broker tells the
 * repetition; given up, it ends the producer, because its number may be taken: the next batch comes from a new one.
 */
import { Producer, UnsupportedApiError, type BaseOptions } from '@platformatic/kafka';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';
import type { MessageBatch } from '../../core/message-batch.ts';
import { busError } from './broker-errors.ts';
import { leaderOf } from './leader.ts';
import { sealBatch } from './record-batch.ts';
import { produceBatch } from './requests.ts';
import { within } from './within.ts';

const TRIES = 3;
const RETRY_MS = 500;
/** What the broker may take to hear from all replicas. */
const REPLICAS_MS_MAX = 30_000;
/** As many as have partitions to send to; a partition has one. */
const REQUESTS_MAX = 256;
/** A broker that knows no producers takes batches of nobody. */
const NOBODY = { id: -1n, epoch: -1 };

interface Known {
  readonly id: bigint;
  readonly epoch: number;
  /** By partition: number of the next message. */
  readonly next: Map<number, number>;
}

type Client = Producer<Buffer, Buffer, Buffer, Buffer>;

export class KafkaSender implements AsyncDisposable {
  readonly #topic: string;
  readonly #options: BaseOptions;
  readonly #msMax: number;
  readonly #clock: Clock;
  #client: Client | null = null;
  #known: Promise<Known> | null = null;

  /** @param msMax for one try */
  constructor(topic: string, options: BaseOptions, msMax: number, clock: Clock) {
    this.#topic = topic;
    this.#options = options;
    this.#msMax = msMax;
    this.#clock = clock;
  }

  /** One call at a time per partition. @throws SluiceError */
  async send(partition: number, messages: MessageBatch): Promise<void> {
    const client = (this.#client ??= new Producer({ ...this.#options, maxInflights: REQUESTS_MAX, acks: -1 }));
    try {
      const known = await within(this.#msMax, (this.#known ??= this.#introduce(client)), this.#clock);
      const first = known.next.get(partition) ?? 0;
      const sequence = known.id === NOBODY.id ? -1 : first;
      const batch = sealBatch(messages, { id: known.id, epoch: known.epoch, sequence }, this.#clock.now());
      for (let tries = 1; ; tries += 1) {
        const error = await this.#try(client, partition, batch);
        if (error === null) break;
        if (tries === TRIES || this.#client !== client || !SluiceError.is(error, BUS_UNAVAILABLE)) throw error;
        client.clearMetadata();
        await this.#clock.sleep(RETRY_MS, new AbortController().signal);
      }
      // Numbers begin anew after the last that has 31 bits.
      known.next.set(partition, (first + messages.count) % 2 ** 31);
    } catch (error) {
      if (this.#client === client) await this.#close();
      throw busError(error, `sending to ${this.#topic}, partition ${partition}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #try(client: Client, partition: number, batch: Buffer): Promise<SluiceError | null> {
    try {
      const work = async (): Promise<void> => {
        const connection = await leaderOf(client, this.#topic, partition);
        await produceBatch.async(connection, this.#topic, partition, batch, REPLICAS_MS_MAX);
      };
      await within(this.#msMax, work(), this.#clock);
      return null;
    } catch (error) {
      return busError(error, `sending to ${this.#topic}, partition ${partition}`);
    }
  }

  async #introduce(client: Client): Promise<Known> {
    const next = new Map<number, number>();
    try {
      const { producerId, producerEpoch } = await client.initIdempotentProducer({});
      return { id: producerId, epoch: producerEpoch, next };
    } catch (error) {
      if (error instanceof UnsupportedApiError) return { ...NOBODY, next };
      throw error;
    }
  }

  async #close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    this.#known = null;
    await client?.close(true).catch(() => {});
  }
}
