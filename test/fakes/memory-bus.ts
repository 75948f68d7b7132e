/**
 * A topic in memory, all of it this process's: for what a partition may hold in whatever order.
 */
import { decodeBatches, sealBatch } from '../../src/bus/kafka/record-batch.ts';
import type { Bus, BusMembership, BusMessage, BusReader, BusRecord, OffsetRange } from '../../src/core/bus.ts';
import { SluiceError } from '../../src/core/error.ts';
import { BUS_OFFSET_GONE } from '../../src/core/errors.ts';
import type { MessageBatch } from '../../src/core/message-batch.ts';

const WAIT_MS = 1;

export class MemoryBus implements Bus {
  readonly description = 'memory';
  readonly logs: BusMessage[][];
  /** Messages before it are forgotten. */
  first = 0n;

  constructor(partitions: number) {
    this.logs = Array.from({ length: partitions }, () => []);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async partitions(): Promise<number> {
    return this.logs.length;
  }

  async ranges(): Promise<readonly OffsetRange[]> {
    return this.logs.map((log) => ({ first: this.first, next: BigInt(log.length) }));
  }

  partitionOf(key: string, partitions: number): number {
    return key.length % partitions;
  }

  async send(partition: number, messages: MessageBatch): Promise<void> {
    this.logs[partition]!.push(...messagesIn(messages));
  }

  reader(partition: number): BusReader {
    return {
      read: async (offset) => {
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
        if (offset < this.first) throw new SluiceError(BUS_OFFSET_GONE, `partition ${partition}, offset ${offset}`);
        const log = this.logs[partition]!;
        const records = log.slice(Number(offset)).map((message, n) => recordOf(message, offset + BigInt(n)));
        return { records, next: BigInt(log.length) };
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async join(_group: string, onAssigned: (partitions: readonly number[]) => void): Promise<BusMembership> {
    onAssigned(this.logs.map((_, index) => index));
    return { commit: () => {}, [Symbol.asyncDispose]: async () => {} };
  }
}

function recordOf({ key, value, headers }: BusMessage, offset: bigint): BusRecord {
  const all = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)] as const);
  return { offset, timeMs: 0, key: Buffer.from(key), value: Buffer.from(value), header: (name) => headers[name] ?? null, headers: () => all };
}

/** As a broker would give them back: copies, because a batch's memory is used again. */
export function messagesIn(batch: MessageBatch): BusMessage[] {
  const { records } = decodeBatches(sealBatch(batch, { id: -1n, epoch: -1, sequence: -1 }, 0));
  return records.map((record) => ({
    key: String(record.key),
    value: Buffer.from(record.value!),
    headers: Object.fromEntries(record.headers().map(([name, value]) => [name, String(value)])),
  }));
}
