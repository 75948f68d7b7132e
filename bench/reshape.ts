/**
 * Capture files into a lake: how much Avro `sluice reshape` takes on one core, and what its decoder does beside the library for Avro.
 *
 * `npm run bench -- reshape`; `BENCH_EVENTS` is the number of messages of about 1.2 KB (100,000).
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import avsc from 'avsc';
import type { BusMessage } from '../src/core/bus.ts';
import { reshape } from '../src/app/reshape.ts';
import { readAvro } from '../src/bus/capture/avro.ts';
import { DEFAULT_PATTERN } from '../src/bus/capture/files.ts';
import { loadConfig } from '../src/config/load.ts';
import { Secrets } from '../src/config/redact.ts';
import { silentLog } from '../src/ops/log.ts';
import { writeCapture } from '../test/fakes/capture-files.ts';
import { report, type Row } from './report.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 100_000);
const PER_FILE = 50_000;
const START_SECONDS = 1_795_248_000;
const { signal } = new AbortController();
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const captured = join(folder, 'captured');

function messageOf(n: number): BusMessage {
  const second = START_SECONDS + Math.floor(n / 1_000);
  const position = `82${second.toString(16).toUpperCase()}${(n + 1).toString(16).toUpperCase().padStart(8, '0')}2B0229296E04`;
  const at = new Date(second * 1000).toISOString();
  const meta = {
    position,
    operationType: 'insert',
    ns: { db: 'bench', coll: 'events' },
    at,
    clusterTime: { $timestamp: { t: second, i: n + 1 } },
    v: 1,
  };
  const line = `{"_meta":${JSON.stringify(meta)},"documentKey":{"_id":${n}},"fullDocument":{"_id":${n},"name":"customer ${n}","note":"${'x'.repeat(850)}"}}`;
  const headers = { v: '1', fingerprint: 'bench collection/1', operationType: 'insert', ns: 'bench.events', clusterTime: `${second}.${n + 1}` };
  return { key: 'bench.events', value: Buffer.from(line), headers };
}

const paths: string[] = [];
for (let from = 0; from < EVENTS; from += PER_FILE) {
  const records = Array.from({ length: Math.min(PER_FILE, EVENTS - from) }, (_, i) => ({ sequence: from + i, message: messageOf(from + i) }));
  paths.push(
    await writeCapture(captured, 0, paths.length, records, {
      pattern: DEFAULT_PATTERN,
      codec: 'null',
      perFile: PER_FILE,
      headers: 'bytes',
      blockBytes: 1_000_000,
    }),
  );
}
let bytes = 0;
for (const path of paths) bytes += (await stat(path)).size;

async function measure(what: string, work: () => Promise<number>): Promise<Row> {
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const events = await work();
  if (events !== EVENTS) throw new Error(`${what}: ${events} of ${EVENTS} events`);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - began) / 1000;
  return { step: what, 'MB/s': bytes / 1e6 / seconds, 'MB per CPU s': bytes / 1e6 / ((user + system) / 1e6), 'events/s': events / seconds };
}

const { BlockDecoder } = avsc.streams as unknown as {
  BlockDecoder: new () => NodeJS.ReadWriteStream & AsyncIterable<{ Body: Buffer | null }>;
};
const library = await measure('Avro by the library, nothing else', async () => {
  let events = 0;
  for (const path of paths) {
    const decoder = new BlockDecoder();
    decoder.end(readFileSync(path));
    for await (const record of decoder) if (record.Body !== null) events += 1;
  }
  return events;
});
const own = await measure('Avro by our decoder, nothing else', async () => {
  let events = 0;
  const once = async function* (file: Buffer): AsyncGenerator<Uint8Array> {
    yield file;
  };
  for (const path of paths) for await (const block of readAvro(once(readFileSync(path)))) events += block.length;
  return events;
});
const file = join(folder, 'sluice.yaml');
await writeFile(
  file,
  `pipeline: bench\nsource: { uri: "mongodb://127.0.0.1:1", include: ["bench.*"] }\nlake: { url: "file:${join(folder, 'lake')}" }\n`,
);
const config = await loadConfig({ file, env: {}, cwd: folder, secrets: new Secrets(), readVaultSecret: async () => '' });
const args = {
  from: `file:${captured}`,
  pattern: DEFAULT_PATTERN,
  claims: null,
  readFiles: 'keep',
  moveTo: '',
  watchMs: null,
  takeOver: false,
  acceptGap: false,
} as const;
const whole = await measure('sluice reshape, durable and sealed', async () => (await reshape(config, args, { log: silentLog }, signal)).events);
report('reshape', [whole, own, library]);
await rm(folder, { recursive: true });
