/**
 * Batches on their way to partitions, several partitions at once over one connection to each broker.
 *
 * Invariant: a batch has the number that follows those which its partition has acknowledged, as the broker demands of a
 * producer that it knows. One whose fate is unknown is sent again with the same number, so that the broker tells the
 * repetition; given up, it ends the producer, because its number may be taken: the next batch comes from a new one.
 */
import { Producer, ResponseError, UnsupportedApiError, type BaseOptions } from '@platformatic/kafka';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';
import type { MessageBatch } from '../../core/message-batch.ts';
import { busError } from './broker-errors.ts';
import { watchConnections, type Frames } from './frames.ts';
import { leaderOf } from './leader.ts';
import { sealBatch } from './record-batch.ts';
import { produceBatch } from './requests.ts';
import { within } from './within.ts';

const TRIES = 3;
const RETRY_MS = 500;
/** What the broker may take to hear from all replicas. */
const REPLICAS_MS_MAX = 30_000;
/** A broker that knows no producers takes batches of nobody. */
const NOBODY = { id: -1n, epoch: -1 };

interface Known {
  readonly id: bigint;
  readonly epoch: number;
  /** By partition: number of the next message. */
  readonly next: Map<number, number>;
}

type Client = Producer<Buffer, Buffer, Buffer, Buffer>;

export interface SenderOptions {
  readonly topic: string;
  readonly client: BaseOptions;
  /** For one try. */
  readonly msMax: number;
  /** Of a broker that owes an answer. */
  readonly silenceMsMax: number;
}

export class KafkaSender implements AsyncDisposable {
  readonly #options: SenderOptions;
  readonly #clock: Clock;
  #client: Client | null = null;
  #known: Promise<Known> | null = null;

  constructor(options: SenderOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** One call at a time per partition. @throws SluiceError */
  async send(partition: number, messages: MessageBatch): Promise<void> {
    const client = (this.#client ??= this.#newClient());
    const { topic, msMax } = this.#options;
    try {
      const known = await within(msMax, (this.#known ??= this.#introduce(client)), this.#clock);
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
      throw busError(error, `sending to ${topic}, partition ${partition}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #try(client: Client, partition: number, batch: Buffer): Promise<SluiceError | null> {
    const { topic, msMax } = this.#options;
    const one: { leader: Frames | null; isOver: boolean } = { leader: null, isOver: false };
    const work = async (): Promise<void> => {
      const leader = await leaderOf(client, topic, partition);
      // Whoever has given up sends the same bytes on another way, or others in their place.
      if (one.isOver) return;
      one.leader = leader;
      await produceBatch(leader, topic, partition, batch, REPLICAS_MS_MAX);
    };
    try {
      await within(msMax, work(), this.#clock);
      return null;
    } catch (error) {
      one.isOver = true;
      if (!(error instanceof ResponseError)) one.leader?.destroy();
      return busError(error, `sending to ${topic}, partition ${partition}`);
    }
  }

  #newClient(): Client {
    const { client: options, silenceMsMax } = this.#options;
    const client = new Producer<Buffer, Buffer, Buffer, Buffer>({ ...options, acks: -1 });
    watchConnections(client, silenceMsMax);
    return client;
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
