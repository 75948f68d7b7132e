/**
 * Messages on their way to the partitions of a bus: each partition has a lane, in which one request is under way at a time
 * and takes along all that has come meanwhile, up to what a broker takes.
 *
 * Invariants: within a lane messages go out in order, and none before the request that is ahead of it was acknowledged;
 * a group of messages is done only when every one of them was. What is not acknowledged yet is bounded in bytes.
 */
import { BufferPool } from '../core/buffer-pool.ts';
import { BATCH_HEAD_BYTES, MessageBatch } from '../core/message-batch.ts';

/** Messages that are acknowledged together as far as the caller is concerned. */
export interface Group {
  /** Of its messages, not acknowledged yet. */
  pending: number;
}

interface Request {
  readonly messages: MessageBatch;
  /** As far as limits go. */
  bytes: number;
  readonly groups: { readonly group: Group; count: number }[];
}

export interface LanesOptions {
  readonly partitions: number;
  /** Of one request. */
  readonly requestBytesMax: number;
  readonly requestMessagesMax: number;
  /** Of all that is waiting or under way; the last group may cross it. */
  readonly bytesMax: number;
  /** Resolves when all replicas have them. One call at a time for each partition. */
  readonly send: (partition: number, messages: MessageBatch) => Promise<void>;
}

export class Lanes {
  readonly #options: LanesOptions;
  /** What waits; the last of them takes more. */
  readonly #lanes: Request[][];
  /** Of the last request of each. */
  readonly #lastBytes: number[];
  readonly #isSending: boolean[];
  /** Of requests. */
  readonly #pool: BufferPool;
  #bytes = 0;
  #failure: { readonly error: unknown } | null = null;
  #news = Promise.withResolvers<void>();

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#pool = new BufferPool(options.bytesMax);
    this.#lanes = Array.from({ length: options.partitions }, () => []);
    this.#isSending = this.#lanes.map(() => false);
    this.#lastBytes = this.#lanes.map(() => 0);
  }

  /**
   * The end of a lane, to which the caller adds one message, now; it goes out after the next {@link Lanes.start}.
   * @param bytes an upper bound of what it takes in a request
   */
  add(partition: number, bytes: number, group: Group): MessageBatch {
    const { requestBytesMax, requestMessagesMax } = this.#options;
    const lane = this.#lanes[partition]!;
    let request = lane.at(-1);
    if (request === undefined || request.bytes + bytes > requestBytesMax || request.messages.count >= requestMessagesMax) {
      const bytesExpected = BATCH_HEAD_BYTES + Math.max(bytes, this.#lastBytes[partition]!);
      request = { messages: new MessageBatch(bytesExpected, this.#pool), bytes: 0, groups: [] };
      lane.push(request);
    }
    request.bytes += bytes;
    this.#bytes += bytes;
    group.pending += 1;
    const last = request.groups.at(-1);
    if (last?.group === group) last.count += 1;
    else request.groups.push({ group, count: 1 });
    return request.messages;
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
        const { messages, bytes, groups } = lane.shift()!;
        await this.#options.send(partition, messages);
        messages.release();
        this.#lastBytes[partition] = bytes;
        this.#bytes -= bytes;
        for (const { group, count } of groups) group.pending -= count;
        this.#tell();
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#isSending[partition] = false;
      this.#tell();
    }
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    resolve();
  }
}
