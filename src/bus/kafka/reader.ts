/**
 * One partition, read from an offset that the caller knows: the lake keeps the offsets, not the broker.
 *
 * Fetches of our own instead of the client's stream, which begins anew at every rebalance. A fetch may return records
 * before the offset that was asked for (the batch that holds it is sent whole): they are left out here.
 */
import { Base, type BaseOptions } from '@platformatic/kafka';
import type { BusRead, BusReader } from '../../core/bus.ts';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import type { Logger } from '../../ops/log.ts';
import { busError } from './broker-errors.ts';
import { watchConnections } from './frames.ts';
import { leaderOf } from './leader.ts';
import { fetchBatches } from './requests.ts';
import { within } from './within.ts';

const FETCH_BYTES_MAX = 2 * 1024 * 1024;
const WAIT_MS = 1_000;
const BACKOFF_MS = 500;

export interface ReaderOptions {
  readonly topic: string;
  readonly partition: number;
  readonly client: BaseOptions;
  /** For one try. */
  readonly msMax: number;
  /** Of a broker that owes an answer. */
  readonly silenceMsMax: number;
}

export class KafkaReader implements BusReader {
  readonly #options: ReaderOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  #client: Base | null = null;
  #isAway = false;

  constructor(options: ReaderOptions, clock: Clock, log: Logger) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
  }

  async read(offset: bigint, signal: AbortSignal): Promise<BusRead> {
    for (;;) {
      signal.throwIfAborted();
      try {
        const read = await unlessAborted(within(this.#options.msMax, this.#fetch(offset), this.#clock), signal);
        this.#isAway = false;
        return read;
      } catch (error) {
        signal.throwIfAborted();
        const { topic, partition } = this.#options;
        const told = busError(error, `reading ${topic}, partition ${partition}`);
        if (!SluiceError.is(told, BUS_UNAVAILABLE)) throw told;
        if (!this.#isAway) this.#log.warn({ err: told }, 'the broker does not answer, trying again');
        this.#isAway = true;
        // A client whose connection was lost in silence would wait for its time-out again and again.
        await this.#close();
        await this.#clock.sleep(BACKOFF_MS, signal);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.close().catch(() => {});
  }

  async #fetch(offset: bigint): Promise<BusRead> {
    const { topic, partition, client } = this.#options;
    this.#client ??= this.#newClient(client);
    const leader = await leaderOf(this.#client, topic, partition);
    const { records, next, ...memory } = await fetchBatches(leader, { topic, partition, offset, waitMs: WAIT_MS, bytesMax: FETCH_BYTES_MAX });
    const before = records.findIndex((record) => record.offset >= offset);
    return { records: before > 0 ? records.slice(before) : before < 0 ? [] : records, next: next ?? offset, ...memory };
  }

  #newClient(options: BaseOptions): Base {
    const client = new Base(options);
    watchConnections(client, this.#options.silenceMsMax);
    return client;
  }
}
