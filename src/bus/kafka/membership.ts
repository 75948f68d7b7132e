/**
 * A place in a consumer group: which partitions are ours. It says who should read, never who may write: a group does not
 * fence (a former owner's commit is accepted), the lake does.
 *
 * The client gives up for good when it cannot join again after the broker was away: then a new one takes its place. What was
 * ours stays ours meanwhile.
 */
import type { Consumer, ConsumerOptions } from '@platformatic/kafka';
import type { BusMembership } from '../../core/bus.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../ops/log.ts';
import { busError } from './broker-errors.ts';

export type KafkaConsumer = Consumer<Buffer, Buffer, Buffer, Buffer>;
export type MakeConsumer = (how: Partial<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>>) => KafkaConsumer;

/** A member that says nothing for so long is gone: its partitions move. */
const SESSION_MS = 10_000;
const HEARTBEAT_MS = 2_000;
const REBALANCE_MS = 20_000;
const BACKOFF_MS = 1_000;
const COMMIT_MS = 5_000;

export interface MembershipOptions {
  readonly topic: string;
  readonly group: string;
  readonly onAssigned: (partitions: readonly number[]) => void;
}

export class KafkaMembership implements BusMembership {
  readonly #make: MakeConsumer;
  readonly #options: MembershipOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #offsets = new Map<number, bigint>();
  #consumer: KafkaConsumer | null = null;
  #joining: Promise<void> = Promise.resolve();
  #committedAtMs = 0;

  constructor(make: MakeConsumer, options: MembershipOptions, clock: Clock, log: Logger) {
    this.#make = make;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
  }

  /** @throws BUS_UNAVAILABLE, BUS_DENIED the first time; later it is tried for ever */
  async join(): Promise<void> {
    const { topic, group, onAssigned } = this.#options;
    const consumer = this.#make({ groupId: group });
    consumer.topics.track(topic);
    consumer.on('consumer:group:join', ({ assignments }) => {
      if (this.#consumer === consumer) onAssigned(assignments?.find((each) => each.topic === topic)?.partitions ?? []);
    });
    consumer.on('error', (error: unknown) => this.#lost(consumer, error));
    consumer.on('consumer:heartbeat:stalled', ({ lastError }) => this.#lost(consumer, lastError));
    this.#consumer = consumer;
    try {
      await consumer.joinGroup({ sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS, rebalanceTimeout: REBALANCE_MS });
    } catch (error) {
      if (this.#consumer === consumer) this.#consumer = null;
      await consumer.close(true).catch(() => {});
      throw busError(error, `joining the group ${group}`);
    }
  }

  commit(partition: number, next: bigint): void {
    this.#offsets.set(partition, next);
    const consumer = this.#consumer;
    if (consumer === null || this.#clock.now() - this.#committedAtMs < COMMIT_MS) return;
    this.#committedAtMs = this.#clock.now();
    const offsets = [...this.#offsets].map(([partition, offset]) => ({ topic: this.#options.topic, partition, offset, leaderEpoch: -1 }));
    this.#offsets.clear();
    consumer.commit({ offsets }).catch((error: unknown) => this.#log.debug({ err: error }, 'the offsets were not committed to the broker'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#joining;
    const consumer = this.#consumer;
    this.#consumer = null;
    // Leaves the group, so that the others need not wait for its silence.
    await consumer?.close(true).catch(() => {});
  }

  #lost(consumer: KafkaConsumer, error: unknown): void {
    if (this.#consumer !== consumer || this.#stop.signal.aborted) return;
    this.#consumer = null;
    this.#log.warn({ err: error }, 'the place in the consumer group is lost: joining again');
    this.#joining = this.#rejoin(consumer);
  }

  async #rejoin(former: KafkaConsumer): Promise<void> {
    await former.close(true).catch(() => {});
    while (!this.#stop.signal.aborted) {
      try {
        await this.#clock.sleep(BACKOFF_MS, this.#stop.signal);
        return await this.join();
      } catch (error) {
        if (!this.#stop.signal.aborted) this.#log.debug({ err: error }, 'the group cannot be joined yet');
      }
    }
  }
}
