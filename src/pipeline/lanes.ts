/**
 * Messages on their way to the partitions of a bus: each partition has a lane, in which one request is under way at a time
 * and takes along all that has come meanwhile, up to what a broker takes.
 *
 * Invariants: within a lane messages go out in order, and none before the request that is ahead of it was acknowledged;
 * a group of messages is done only when every one of them was. What is not acknowledged yet is bounded in bytes.
 */
import type { BusMessage } from '../core/bus.ts';

/** Messages that are acknowledged together as far as the caller is concerned. */
export interface Group {
  /** Of its messages, not acknowledged yet. */
  pending: number;
}

interface Waiting {
  readonly message: BusMessage;
  readonly bytes: number;
  readonly group: Group;
}

export interface LanesOptions {
  readonly partitions: number;
  /** Of one request. */
  readonly requestBytesMax: number;
  readonly requestMessagesMax: number;
  /** Of all that is waiting or under way; the last group may cross it. */
  readonly bytesMax: number;
  /** Resolves when all replicas have them. One call at a time for each partition. */
  readonly send: (partition: number, messages: readonly BusMessage[]) => Promise<void>;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes: Waiting[][];
  readonly #isSending: boolean[];
  #bytes = 0;
  #failure: { readonly error: unknown } | null = null;
  #news = Promise.withResolvers<void>();

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.partitions }, () => []);
    this.#isSending = this.#lanes.map(() => false);
  }

  /** Puts a message at the end of a lane; it goes out after the next {@link Lanes.start}. */
  add(partition: number, message: BusMessage, bytes: number, group: Group): void {
    group.pending += 1;
    this.#bytes += bytes;
    this.#lanes[partition]!.push({ message, bytes, group });
  }

  /** Sets off what waits in lanes where nothing is under way. */
  start(): void {
    for (const [partition, lane] of this.#lanes.entries()) if (lane.length > 0 && !this.#isSending[partition]) void this.#run(partition);
  }

  /** Until there is room for more. @throws what sending failed with */
  async room(): Promise<void> {
    await this.#until(() => this.#bytes <= this.#options.bytesMax);
  }

  /** Until all of the group is acknowledged. @throws what sending failed with */
  async done(group: Group): Promise<void> {
    await this.#until(() => group.pending === 0);
  }

  /** Until nothing is under way any more, acknowledged or not. */
  async settled(): Promise<void> {
    while (this.#isSending.includes(true)) await this.#news.promise;
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      if (isSo()) return;
      await this.#news.promise;
    }
  }

  async #run(partition: number): Promise<void> {
    this.#isSending[partition] = true;
    const lane = this.#lanes[partition]!;
    try {
      while (lane.length > 0 && this.#failure === null) {
        const request = lane.splice(0, this.#fitting(lane));
        await this.#options.send(
          partition,
          request.map(({ message }) => message),
        );
        for (const { bytes, group } of request) {
          this.#bytes -= bytes;
          group.pending -= 1;
        }
        this.#tell();
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#isSending[partition] = false;
      this.#tell();
    }
  }

  /** How many of the first make one request. */
  #fitting(lane: readonly Waiting[]): number {
    const { requestBytesMax, requestMessagesMax } = this.#options;
    let bytes = lane[0]!.bytes;
    let count = 1;
    while (count < lane.length && count < requestMessagesMax && bytes + lane[count]!.bytes <= requestBytesMax) {
      bytes += lane[count]!.bytes;
      count += 1;
    }
    return count;
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    resolve();
  }
}
