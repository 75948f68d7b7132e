/** Capture files that are cut short, or otherwise not what Capture writes: told with a code, and never read as fewer messages. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCHEMA, avroBytes, capturePath, writeCapture, type Captured, type CaptureHow } from '../../../test/fakes/capture-files.ts';
import { systemClock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { CAPTURE_BROKEN } from '../../core/errors.ts';
import type { Lake } from '../../core/lake.ts';
import { openLocalLake } from '../../lake/local/local.ts';
import { CaptureBus } from './capture-bus.ts';
import { DEFAULT_PATTERN } from './files.ts';

const never = new AbortController().signal;
const MESSAGES = Array.from({ length: 300 }, (_, sequence): Captured => ({
  sequence,
  message: { key: 'k', headers: { position: String(sequence) }, value: Buffer.alloc(200, 97 + (sequence % 26)) },
}));
const HOW: CaptureHow = { pattern: DEFAULT_PATTERN, codec: 'null', perFile: 1_000, headers: 'bytes', blockBytes: 4_096 };

let folder: string;
let lake: Lake;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-broken-'));
  lake = await openLocalLake(folder);
});
afterAll(async () => {
  await lake[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Numbers of the messages in the one file that there is, or the code of what is wrong with it. */
async function read(bytes: Uint8Array, kind: 'avro' | 'parquet'): Promise<bigint[] | string> {
  const path = join(folder, `${capturePath(HOW.pattern, 0, 0)}.${kind}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  const bus = new CaptureBus({ files: lake, pattern: HOW.pattern, claims: lake, pollMs: 1, cursor: () => Promise.resolve(0n), clock: systemClock });
  const numbers: bigint[] = [];
  try {
    for (const file of (await bus.list(never)).get(0) ?? [])
      for await (const records of bus.records(file, never)) numbers.push(...records.map(({ offset }) => offset));
    return numbers;
  } catch (error) {
    if (!SluiceError.is(error, CAPTURE_BROKEN)) throw error;
    return error.code;
  }
}

async function parquet(): Promise<Buffer> {
  await writeCapture(folder, 0, 0, MESSAGES, { ...HOW, codec: 'parquet' });
  return await readFile(join(folder, `${capturePath(HOW.pattern, 0, 0)}.parquet`));
}

describe('a Parquet file', () => {
  it('is told wherever it is cut: in its footer, in its data, after its first bytes', async () => {
    const bytes = await parquet();
    expect(await read(bytes, 'parquet')).toHaveLength(MESSAGES.length);
    const footer = bytes.readUInt32LE(bytes.length - 8) + 8;
    const cuts = [1, 3, 4, 8, 11, 12, 100, Math.floor((bytes.length - footer) / 2), bytes.length - footer - 1, bytes.length - footer];
    const inFooter = [bytes.length - footer + 1, bytes.length - Math.floor(footer / 2), ...[9, 8, 7, 5, 4, 3, 1].map((left) => bytes.length - left)];
    for (const length of [...cuts, ...inFooter])
      expect(await read(bytes.subarray(0, length), 'parquet'), `${length} of ${bytes.length} bytes`).toBe('SLC-1631');
  });

  it('is told when a piece of its data is missing, or its footer points beyond its end', async () => {
    const bytes = await parquet();
    const footer = bytes.readUInt32LE(bytes.length - 8) + 8;
    const data = bytes.length - footer;
    for (const gone of [1, 100, Math.floor(data / 2)])
      expect(await read(Buffer.concat([bytes.subarray(0, 4), bytes.subarray(4 + gone)]), 'parquet'), `${gone} bytes gone`).toBe('SLC-1631');
    const long = Buffer.from(bytes);
    long.writeUInt32LE(bytes.length * 2, bytes.length - 8);
    expect(await read(long, 'parquet')).toBe('SLC-1631');
  });

  it('is told when it is none at all, or has other columns', async () => {
    expect(await read(Buffer.from('PAR1 but no more PAR1'), 'parquet')).toBe('SLC-1631');
    expect(await read(Buffer.alloc(10_000), 'parquet')).toBe('SLC-1631');
    const bytes = await parquet();
    expect(await read(Buffer.from(bytes.toString('latin1').replaceAll('SequenceNumber', 'SequenceNumbeR'), 'latin1'), 'parquet')).toBe('SLC-1631');
  });

  it('without a byte is one that nothing happened in', async () => {
    expect(await read(Buffer.alloc(0), 'parquet')).toEqual([]);
  });
});

describe.each(['null', 'deflate'] as const)('an Avro container (%s)', (codec) => {
  it('is told wherever it is cut within a block, and holds a beginning where it is cut between two', async () => {
    const bytes = await avroBytes(MESSAGES, { ...HOW, codec });
    const all = (await read(bytes, 'avro')) as bigint[];
    expect(all).toHaveLength(MESSAGES.length);
    let told = 0;
    for (let length = 1; length < bytes.length; length += Math.ceil(bytes.length / 150)) {
      const found = await read(bytes.subarray(0, length), 'avro');
      if (found === 'SLC-1631') told += 1;
      else expect(found, `${length} bytes`).toEqual(all.slice(0, found.length));
    }
    expect(told).toBeGreaterThan(140);
  });

  it('is told when a byte between two blocks, or in the number of its records, is another one', async () => {
    const bytes = await avroBytes(MESSAGES, { ...HOW, codec });
    const sync = bytes.subarray(-16);
    const first = bytes.indexOf(sync) + 16;
    for (const at of [first, bytes.indexOf(sync, first), bytes.length - 1]) {
      const other = Buffer.from(bytes);
      other[at]! ^= 0x10;
      expect(await read(other, 'avro'), `byte ${at}`).toBe('SLC-1631');
    }
  });
});

describe('an Avro container that is not what Capture writes', () => {
  it('is told, and an empty one is not', async () => {
    const bytes = await avroBytes(MESSAGES.slice(0, 3), { ...HOW });
    const schema = JSON.stringify(SCHEMA);
    expect(bytes.toString('latin1')).toContain(schema);
    for (const [from, to] of [
      ['"Body"', '"body"'],
      ['avro.schema', 'avro.schemA'],
      ['\u0008null', '\u0008zstd'],
    ] as const)
      expect(await read(Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1'), 'avro'), from).toBe('SLC-1631');
    expect(await read(await avroBytes([], HOW), 'avro')).toEqual([]);
    expect(await read(Buffer.alloc(0), 'avro')).toEqual([]);
  });
});
