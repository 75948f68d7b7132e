import fc from '../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { avroBytes, type Captured } from '../../../test/fakes/capture-files.ts';
import { patternRegex } from './files.ts';
import { readAvro, type CaptureRecord } from './avro.ts';

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Buffer, size = 1_000): Promise<CaptureRecord[]> {
  const records: CaptureRecord[] = [];
  for await (const block of readAvro(inPieces(bytes, size)))
    records.push(...block.map((record) => ({ ...record, body: record.body && Buffer.from(record.body) })));
  return records;
}

const message = fc.record({
  key: fc.string(),
  headers: fc.dictionary(
    fc.string({ minLength: 1 }).filter((name) => name !== '__proto__'),
    fc.string({ unit: 'grapheme' }),
  ),
  value: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(null)),
});
const log = fc
  .array(message, { maxLength: 12 })
  .chain((messages) => fc.nat(2 ** 45).map((first): Captured[] => messages.map((each, n) => ({ sequence: first + n, message: each }))));
const NONE = { number: '7', share: '0.5' };

describe('a container that the library has written', () => {
  it.each(['null', 'deflate'] as const)('is read to the same records, whatever pieces it comes in (%s)', async (codec) => {
    await fc.assert(
      fc.asyncProperty(
        log,
        fc.constantFrom('bytes' as const, 'string' as const),
        fc.integer({ min: 1, max: 400 }),
        async (records, headers, size) => {
          const read = await readAll(await avroBytes(records, { codec, headers, blockBytes: 256 }), size);
          expect(read.map(({ sequence, body }) => [sequence, body])).toEqual(
            records.map(({ sequence, message: { value } }) => [BigInt(sequence), value === null ? null : Buffer.from(value)]),
          );
          expect(read.map(({ properties }) => Object.fromEntries(properties))).toEqual(records.map(({ message: m }) => ({ ...m.headers, ...NONE })));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('what is no whole container of Capture', () => {
  it('is told, and never read as fewer records', async () => {
    const records = Array.from({ length: 20 }, (_, sequence): Captured => ({
      sequence,
      message: { key: 'k', headers: { a: 'b' }, value: Buffer.alloc(100, 120) },
    }));
    const bytes = await avroBytes(records, { codec: 'null', headers: 'bytes', blockBytes: 500 });
    const whole = (await readAll(bytes)).length;
    expect(whole).toBe(20);
    // Cut anywhere but between two blocks.
    let clean = 0;
    for (let length = 1; length < bytes.length; length += 7)
      clean += await readAll(bytes.subarray(0, length)).then(
        () => 1,
        () => 0,
      );
    expect(clean).toBeLessThan(10);
    await expect(readAll(Buffer.from('Objx'))).rejects.toThrow('no Avro container');
    const other = Buffer.from(bytes.toString('latin1').replace('SequenceNumber', 'SequenceNumbeR'), 'latin1');
    await expect(readAll(other)).rejects.toThrow('those of Event Hubs Capture are');
    const snappy = Buffer.from(bytes.toString('latin1').replace('\u0008null', '\u0008zstd'), 'latin1');
    await expect(readAll(snappy)).rejects.toThrow('compressed with zstd');
  });
});

describe('a pattern of file names', () => {
  it('has its parts in any order, and a partition and a whole time', () => {
    const groups = patternRegex('{Year}{Month}{Day}/{PartitionId}_{EventHub}/{Hour}-{Minute}-{Second}').exec(
      'some/where/20261121/17_hub/07-01-59.avro',
    )?.groups;
    expect(groups).toMatchObject({ PartitionId: '17', Year: '2026', Month: '11', Day: '21', Hour: '07', Minute: '01', Second: '59' });
    expect(() => patternRegex('{PartitionId}/{Year}')).toThrow('lacks {Month}');
    expect(() => patternRegex('{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}/{What}')).toThrow('{What}');
  });
});
