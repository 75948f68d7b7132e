/**
 * Events as messages, and back: through the bytes that a broker takes.
 */
import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { decodeBatches, sealBatch } from '../bus/kafka/record-batch.ts';
import type { BusRecord } from '../core/bus.ts';
import { BUS_FORMAT, BUS_MESSAGE } from '../core/errors.ts';
import { EventBatchBuilder } from '../core/event-batch.ts';
import { OPERATIONS, asPosition } from '../core/event.ts';
import { BATCH_HEAD_BYTES, MessageBatch } from '../core/message-batch.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { MessageEncoder, receive, streamName } from './bus-message.ts';
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

/** As a source gives it, and what the producer puts behind it. */
const FINGERPRINT = `6b0147bd1f3c5a0012345678 6.0 ${'d'.repeat(64)} whole collection/4`;
const HEADERS = { v: '1', fingerprint: 'f', clusterTime: '1795248000.1', operationType: 'insert', ns: 'd.c' };

function recordOf(headers: Readonly<Record<string, string>>, line = '{"_meta":{"position":"p"}}'): BusRecord {
  return decodeBatches(sealBatch(MessageBatch.of([{ key: 'k', value: Buffer.from(line), headers }]), SENDER, 0)).records[0]!;
}

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
            fingerprint: FINGERPRINT,
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
            expect(received).toMatchObject({
              kind: 'event',
              fingerprint: streamName(FINGERPRINT),
              position: asPosition(position),
              at,
              op,
              ns: { db: 'd', coll },
            });
            if (received.kind !== 'event') return;
            const there = received.claim === null ? received.line : (await readFile(lake, received.claim, never)).subarray(0, -1);
            expect(there.toString()).toBe(line.slice(0, -1));
            // What a message takes beside its line is kept short, whatever the stream is called.
            const own = record!.headers().filter(([name]) => !['ns', 'claim', 'position'].includes(name));
            expect(own.reduce((sum, [name, value]) => sum + name.length + value!.length, 0)).toBeLessThan(120);
          }
        }),
        { numRuns: 60 },
      );
    },
  );

  it.each(['1795248000', '1795248000.', '.1', '1795248000.1x', '-1.1', ''])('is refused with the cluster time %j', (clusterTime) => {
    expect(() => receive(recordOf({ ...HEADERS, clusterTime }), 'here')).toThrow(expect.objectContaining({ kind: BUS_MESSAGE }) as Error);
  });

  it.each(['{"_meta":{"position":""}}', '{"_meta":{"position":"p', '{"_meta":{"Position":"p"}}', '', 'no line'])(
    'is refused with the line %j',
    (line) => {
      expect(() => receive(recordOf(HEADERS, line), 'here')).toThrow(expect.objectContaining({ kind: BUS_MESSAGE }) as Error);
    },
  );

  it('is put aside without a version, and ends the reading with one that is not known', () => {
    expect(receive(recordOf(HEADERS), 'here')).toMatchObject({ kind: 'event', position: 'p' });
    const { v: _, ...others } = HEADERS;
    expect(() => receive(recordOf(others), 'here')).toThrow(expect.objectContaining({ kind: BUS_MESSAGE }) as Error);
    expect(() => receive(recordOf({ ...HEADERS, v: '2' }), 'here')).toThrow(expect.objectContaining({ kind: BUS_FORMAT }) as Error);
  });
});

describe('the name of a stream', () => {
  it('is short, the same for the same, and says how the topic is shared out', () => {
    const name = streamName(FINGERPRINT);
    expect(name).toMatch(/^[0-9a-f]{16} collection\/4$/);
    expect(streamName(name)).toBe(name);
    expect(streamName(FINGERPRINT.replace('6.0', '7.0'))).not.toBe(name);
    expect(streamName(FINGERPRINT.replace('/4', '/5'))).toBe(name.replace('/4', '/5'));
    expect(streamName('A document/2')).toBe('A document/2');
  });
});
