/**
 * Record batches, held against what the client itself writes and reads.
 */
import { Reader, createRecordsBatch, readRecordsBatches } from '@platformatic/kafka';
import fc from '../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import type { BusMessage } from '../../core/bus.ts';
import { MessageBatch } from '../../core/message-batch.ts';
import { decodeBatches, sealBatch } from './record-batch.ts';

const SENDER = { id: 77n, epoch: 3, sequence: 12 };
const NOW_MS = 1_795_247_101_000;

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.string({ minLength: 60, maxLength: 70 }), fc.constant('é'.repeat(5_000)));
const messages = fc.array(
  fc.record({ key: text, value: fc.uint8Array({ maxLength: 300 }), headers: fc.dictionary(fc.string({ minLength: 1, maxLength: 80 }), text, { maxKeys: 4 }) }),
  { minLength: 1, maxLength: 20 },
); // prettier-ignore

function ofClient(batch: readonly BusMessage[], compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd' = 'none'): Buffer {
  const records = batch.map(({ key, value, headers }) => ({
    topic: 't',
    partition: 0,
    key: Buffer.from(key),
    value: Buffer.from(value),
    headers: new Map(Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)])),
    timestamp: BigInt(NOW_MS),
  }));
  return createRecordsBatch(records, { compression }).buffer;
}

describe('a batch of messages', () => {
  it('is read by the client as what it was', () => {
    fc.assert(
      fc.property(messages, (batch) => {
        const [read] = readRecordsBatches(Reader.from(sealBatch(MessageBatch.of(batch), SENDER, NOW_MS)));
        expect(read).toMatchObject({ producerId: 77n, producerEpoch: 3, firstSequence: 12, lastOffsetDelta: batch.length - 1, magic: 2 });
        const seen = read!.records.map(({ key, value, headers }) => ({
          key: String(key),
          value: Uint8Array.from(value ?? []),
          headers: Object.fromEntries(headers.map(([name, value]) => [String(name), String(value)])),
        }));
        // A lone half of a character has no bytes of its own.
        const told = batch.map(({ key, value, headers }) => ({
          key: Buffer.from(key).toString(),
          value,
          headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text).toString()])),
        }));
        expect(seen).toEqual(told);
      }),
      { numRuns: 200 },
    );
  });

  it.each([40, 50, 64, 8_140, 8_180, 8_192, 1_048_500, 1_048_560, 1_048_576, 3_000_000])(
    'is read as what it was where the number before a message has one byte more: about %i bytes',
    (bytes) => {
      const batch = Array.from({ length: 40 }, (_, n) => ({
        key: 'k',
        value: Buffer.alloc(Math.max(0, bytes - 30 + n), n),
        headers: { h: 'x'.repeat(n) },
      }));
      for (const message of batch) {
        const [record, ...more] = decodeBatches(sealBatch(MessageBatch.of([message, message]), SENDER, NOW_MS)).records;
        for (const each of [record!, ...more]) expect([each.value!.equals(message.value), each.header('h')]).toEqual([true, message.headers.h]);
        expect(more).toHaveLength(1);
      }
    },
  );

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('that the client wrote is read as what it was: %s', (compression) => {
    fc.assert(
      fc.property(messages, (batch) => {
        const { records, next } = decodeBatches(Buffer.concat([ofClient(batch, compression), ofClient(batch).subarray(0, -1)]));
        expect(next).toBe(BigInt(batch.length));
        expect(records.map(({ offset }) => Number(offset))).toEqual(batch.map((_, index) => index));
        for (const [index, { value, headers }] of batch.entries()) {
          expect(Uint8Array.from(records[index]!.value!)).toEqual(value);
          for (const name in headers) expect(records[index]!.header(name)).toBe(Buffer.from(headers[name]!).toString());
          expect(records[index]!.header('another')).toBeNull();
        }
      }),
      { numRuns: 50 },
    );
  });

  it('that was damaged is told', () => {
    const bytes = ofClient([{ key: 'k', value: Buffer.from('value'), headers: {} }]);
    bytes[bytes.length - 2]! ^= 1;
    expect(() => decodeBatches(bytes)).toThrow('the sum of a batch');
  });
});
