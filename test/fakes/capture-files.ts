/**
 * Files as Event Hubs Capture writes them, to its documented schema, of what a producer has sent: written with the library for Avro, so
 * that our own decoder is not tested with itself.
 */
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import avsc from 'avsc';
import type { BusMessage } from '../../src/core/bus.ts';

interface Encoder extends NodeJS.ReadWriteStream {
  on(event: 'data', listener: (chunk: Buffer) => void): this;
}
const { BlockEncoder } = avsc.streams as unknown as {
  BlockEncoder: new (schema: unknown, options: { codec: string; blockSize: number; writeHeader: 'always' }) => Encoder;
};

export const SCHEMA = {
  type: 'record',
  name: 'EventData',
  namespace: 'Microsoft.ServiceBus.Messaging',
  fields: [
    { name: 'SequenceNumber', type: 'long' },
    { name: 'Offset', type: 'string' },
    { name: 'EnqueuedTimeUtc', type: 'string' },
    { name: 'SystemProperties', type: { type: 'map', values: ['long', 'double', 'string', 'bytes'] } },
    { name: 'Properties', type: { type: 'map', values: ['long', 'double', 'string', 'bytes', 'null'] } },
    { name: 'Body', type: ['null', 'bytes'] },
  ],
};

export interface CaptureHow {
  readonly pattern: string;
  readonly codec: 'null' | 'deflate' | 'parquet';
  /** Messages per file. */
  readonly perFile: number;
  /** Headers as AMQP has them (texts) or Kafka (bytes). */
  readonly headers: 'string' | 'bytes';
  /** `6/12/2018 1:22:38 AM` instead of ISO 8601. */
  readonly usDates?: boolean;
  readonly blockBytes?: number;
}

export interface Captured {
  readonly sequence: number;
  readonly message: Omit<BusMessage, 'value'> & { readonly value: Uint8Array | null };
}

/** Where a file of a partition lies that is the nth of its time. */
export function capturePath(pattern: string, partition: number, n: number): string {
  const at = new Date(Date.UTC(2026, 10, 21, 8, 0, 0) + n * 60_000).toISOString();
  const values: Record<string, string> = { Namespace: 'ns', EventHub: 'hub', PartitionId: String(partition), Year: at.slice(0, 4), Month: at.slice(5, 7), Day: at.slice(8, 10), Hour: at.slice(11, 13), Minute: at.slice(14, 16), Second: at.slice(17, 19) }; // prettier-ignore
  return pattern.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

export async function writeCapture(root: string, partition: number, n: number, records: readonly Captured[], how: CaptureHow): Promise<string> {
  const path = join(root, `${capturePath(how.pattern, partition, n)}.${how.codec === 'parquet' ? 'parquet' : 'avro'}`);
  await mkdir(dirname(path), { recursive: true });
  if (how.codec === 'parquet') await writeParquet(path, records);
  else await writeFile(path, await avroBytes(records, how));
  return path;
}

export async function avroBytes(
  records: readonly Captured[],
  how: Pick<CaptureHow, 'codec' | 'headers' | 'usDates' | 'blockBytes'>,
): Promise<Buffer> {
  const encoder = new BlockEncoder(SCHEMA, { codec: how.codec, blockSize: how.blockBytes ?? 4_096, writeHeader: 'always' });
  const chunks: Buffer[] = [];
  encoder.on('data', (chunk) => void chunks.push(chunk));
  const ended = once(encoder, 'end');
  for (const { sequence, message } of records) {
    const enqueued = new Date(Date.UTC(2026, 10, 21, 8) + sequence * 10);
    const properties = Object.entries(message.headers).map(([name, text]) => [
      name,
      how.headers === 'bytes' ? { bytes: Buffer.from(text) } : { string: text },
    ]);
    const record = {
      SequenceNumber: sequence,
      Offset: String(sequence * 400),
      EnqueuedTimeUtc: how.usDates === true ? enqueued.toLocaleString('en-US', { timeZone: 'UTC' }).replace(',', '') : enqueued.toISOString(),
      SystemProperties: { 'x-opt-kafka-key': { bytes: Buffer.from(message.key) }, 'x-opt-enqueued-time': { long: enqueued.getTime() } },
      Properties: Object.fromEntries([...properties, ['number', { long: 7 }], ['share', { double: 0.5 }], ['nothing', null]]) as object,
      Body: message.value === null ? null : Buffer.from(message.value),
    };
    if (!(encoder as unknown as { write(value: unknown): boolean }).write(record)) await once(encoder, 'drain');
  }
  encoder.end();
  await ended;
  return Buffer.concat(chunks);
}

async function writeParquet(path: string, records: readonly Captured[]): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows = records.map(({ sequence, message }) => ({ sequence, headers: message.headers, body: message.value === null ? null : Buffer.from(message.value).toString('base64') })); // prettier-ignore
  await writeFile(`${path}.json`, rows.map((row) => JSON.stringify(row)).join('\n'));
  const source = `read_ndjson('${path}.json', columns = {sequence: 'BIGINT', headers: 'MAP(VARCHAR, VARCHAR)', body: 'VARCHAR'})`;
  await connection.run(`COPY (
    SELECT sequence AS "SequenceNumber", CAST(sequence * 400 AS VARCHAR) AS "Offset", make_timestamp(sequence) AS "EnqueuedTimeUtc",
      MAP {'k': 'v'} AS "SystemProperties", headers AS "Properties", from_base64(body) AS "Body"
    FROM ${source}) TO '${path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)`);
  connection.closeSync();
  instance.closeSync();
}
