/**
 * Events as messages, and back: through the bytes that a broker takes.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBatches, sealBatch } from '../bus/kafka/record-batch.ts';
import { BUS_MESSAGE } from '../core/errors.ts';
import { EventBatchBuilder } from '../core/event-batch.ts';
import { OPERATIONS, asPosition } from '../core/event.ts';
import { BATCH_HEAD_BYTES, MessageBatch } from '../core/message-batch.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { SEED } from '../../test/seed.ts';
import { MessageEncoder, receive } from './bus-message.ts';
import { readFile } from './read-file.ts';

const MESSAGE_BYTES_MAX = 2_000;
const T0 = 1_795_248_000;
const SENDER = { id: -1n, epoch: -1, sequence: -1 };
const never = new AbortController().signal;

const name = fc.oneof(fc.constantFrom('a', 'b', 'größe', 'x'.repeat(200)), fc.string({ minLength: 1, maxLength: 12 }));
const event = fc.record({
  coll: name,
  op: fc.nat(OPERATIONS.length - 1),
  second: fc.nat(3),
  ordinal: fc.nat(100_000),
  id: fc.oneof(fc.string(), fc.constant('i'.repeat(1_500))),
  bytes: fc.oneof(fc.nat(300), fc.integer({ min: 1_000, max: 3_000 })),
});

describe('an event that goes over a bus', () => {
  it.each(['collection', 'document'] as const)(
    'comes out as what it was, its line by claim when it is too large, shared out by %s',
    async (partitionBy) => {
      await fc.assert(
        fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 30 }), async (events) => {
          const lake = await openMemoryLake(new MemoryStore());
          const builder = new EventBatchBuilder();
          const lines = events.map(({ coll, op, second, ordinal, id, bytes }, n) => {
            const position = `82${String(n).padStart(8, '0')}${'A'.repeat(bytes % 150)}`;
            const meta = { position, operationType: OPERATIONS[op], ns: { db: 'd', coll } };
            const line = `${JSON.stringify({ _meta: meta, documentKey: { _id: id }, fullDocument: 'é'.repeat(bytes / 2) })}\n`;
            builder.reserve(Buffer.byteLength(line));
            builder.length += builder.buffer.write(line, builder.length);
            builder.add(builder.namespace('d', coll), op, T0 + second, ordinal);
            return { position, line };
          });
          const batch = builder.build();
          const encoder = new MessageEncoder({
            pipeline: 'p',
            fingerprint: 'f 4',
            partitionBy,
            messageBytesMax: MESSAGE_BYTES_MAX,
            partitionOf: (key) => key.length % 4,
            lake,
          });
          const places: { readonly partition: number; readonly bytes: number; readonly messages: MessageBatch }[] = [];
          await encoder.encode(batch, (partition, bytes) => {
            places.push({ partition, bytes, messages: new MessageBatch() });
            return places.at(-1)!.messages;
          });
          // Whoever has encoded it may be told that its memory is used again.
          batch.lines.fill(0);
          for (const [n, { position, line }] of lines.entries()) {
            const { coll, op, second, ordinal, id } = events[n]!;
            const { partition, bytes, messages } = places[n]!;
            const sealed = sealBatch(messages, SENDER, 0);
            expect(sealed.length).toBeLessThanOrEqual(bytes + BATCH_HEAD_BYTES);
            expect(bytes).toBeLessThanOrEqual(MESSAGE_BYTES_MAX);
            const [record] = decodeBatches(sealed).records;
            const key = record!.key!.toString();
            expect(partition).toBe(key.length % 4);
            if (partitionBy === 'collection') expect(key).toBe(`d.${coll}`);
            else if (id.length > 1_000) expect(key).toMatch(/^[0-9a-f]{64}$/);
            else expect(key).toBe(JSON.stringify({ _id: id }));
            const received = receive(record!, 'here');
            const at = { t: T0 + second, i: ordinal };
            expect(received).toMatchObject({ kind: 'event', fingerprint: 'f 4', position: asPosition(position), at, op, ns: { db: 'd', coll } });
            if (received.kind !== 'event') return;
            const there = received.claim === null ? received.line : (await readFile(lake, received.claim, never)).subarray(0, -1);
            expect(there.toString()).toBe(line.slice(0, -1));
            expect(record!.header('at')).toBe(new Date((T0 + second) * 1000).toISOString());
          }
        }),
        { seed: SEED, numRuns: 60 },
      );
    },
  );

  it.each(['1795248000', '1795248000.', '.1', '1795248000.1x', '-1.1', ''])('is refused with the cluster time %j', (clusterTime) => {
    const headers = { fingerprint: 'f', position: 'p', clusterTime, operationType: 'insert', ns: 'd.c' };
    const value = Buffer.from('{"_meta":{"position":"p"}}');
    const [record] = decodeBatches(sealBatch(MessageBatch.of([{ key: 'k', value, headers }]), SENDER, 0)).records;
    expect(() => receive(record!, 'here')).toThrow(expect.objectContaining({ kind: BUS_MESSAGE }) as Error);
  });
});
