/**
 * Sealed hours into Parquet: what the same lines weigh as JSON lines, gzip, zstd and Parquet, and how fast `sluice compact` and its
 * proof go through them. The plain way is DuckDB's own COPY of the lines, unchecked.
 *
 * `npm run bench -- compact`; `BENCH_EVENTS` is the number of lines of about 1.3 KB (200,000).
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { systemClock } from '../src/core/clock.ts';
import { asPosition } from '../src/core/event.ts';
import { LAYOUT_PRESETS, partPath } from '../src/core/layout.ts';
import type { SealedLine } from '../src/core/ledger.ts';
import { hourName } from '../src/core/time.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { silentLog } from '../src/ops/log.ts';
import { checkpointPath, encodeCheckpoint, ledgerFolder, newCheckpoint } from '../src/pipeline/checkpoint.ts';
import { compact } from '../src/pipeline/compaction.ts';
import { manifestPath } from '../src/pipeline/publish.ts';
import { verifyLake } from '../src/pipeline/verify-lake.ts';
import { openParquetWriter } from '../src/warehouse/duckdb/parquet.ts';
import { report, type Row } from './report.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 200_000);
const PARTS = 4;
const START_SECONDS = 1_795_219_200;
const HOUR = START_SECONDS / 3600;
const ns = { db: 'bench', coll: 'events' };
const { signal } = new AbortController();
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));

const position = (n: number) =>
  asPosition(`82${START_SECONDS.toString(16).toUpperCase()}${(n + 1).toString(16).toUpperCase().padStart(8, '0')}2B0229296E04`);

function lineOf(n: number): string {
  const id = n.toString(16).padStart(24, '0');
  const at = new Date(START_SECONDS * 1000).toISOString();
  const words = createHash('shake128', { outputLength: 150 }).update(String(n)).digest('base64');
  return (
    `{"_meta":{"position":"${position(n)}","operationType":"insert","ns":{"db":"bench","coll":"events"},"at":"${at}","clusterTime":{"$timestamp":{"t":${START_SECONDS},"i":${n + 1}}},` +
    `"wallTime":{"$date":"${at}"},"v":1},"documentKey":{"_id":{"$oid":"${id}"}},"fullDocument":{"_id":{"$oid":"${id}"},"n":${n},"name":"customer ${n}","amount":${(n * 1.37).toFixed(2)},` +
    `"tags":["new","web","promo"],"address":{"street":"Example Street 12","city":"Berlin","zip":"10115","country":"DE"},"words":"${words}","note":"${'x'.repeat(500)}"}}\n`
  );
}

const lake = await openLocalLake(join(folder, 'lake'));
const sealed: SealedLine[] = [];
const sizes = { plain: 0, gzip: 0, zstd: 0 };
for (let part = 0; part < PARTS; part += 1) {
  const [from, to] = [(EVENTS / PARTS) * part, (EVENTS / PARTS) * (part + 1)];
  const bytes = Buffer.from(Array.from({ length: to - from }, (_, i) => lineOf(from + i)).join(''));
  sizes.plain += bytes.length;
  sizes.gzip += gzipSync(bytes).length;
  sizes.zstd += zstdCompressSync(bytes).length;
  const path = partPath(LAYOUT_PRESETS.hive, ns, HOUR, part, '');
  await lake.put(path, bytes, 'absent');
  const time = (n: number) => ({ t: START_SECONDS, i: n + 1 });
  const ends = { first: position(from), last: position(to - 1), firstAt: time(from), lastAt: time(to - 1) };
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  sealed.push({ path, ...ns, hour: hourName(HOUR), bytes: bytes.length, rows: to - from, sha256, ...ends, ops: { insert: to - from }, epoch: 1 });
}
const end = { t: START_SECONDS + 7200, i: 0 };
const checkpoint = {
  ...newCheckpoint('bench', LAYOUT_PRESETS.hive),
  epoch: 1,
  watermark: end,
  startedAt: { t: START_SECONDS, i: 0 },
  nextHour: HOUR + 2,
};
const ledger = `${ledgerFolder('bench')}/20261121.jsonl`;
const text = [{ epoch: 1, at: '' }, ...sealed].map((line) => `${JSON.stringify(line)}\n`).join('');
await lake.put(ledger, Buffer.from(text), 'absent');
const manifest = { v: 1, revision: 1, ns, hour: hourName(HOUR), files: sealed };
await lake.put(manifestPath('bench', LAYOUT_PRESETS.hive, ns, hourName(HOUR)), Buffer.from(JSON.stringify(manifest)), 'absent');
const resume = { position: position(EVENTS), clusterTime: end, token: new Uint8Array() };
await lake.put(checkpointPath('bench'), encodeCheckpoint({ ...checkpoint, resume, ledger: { path: ledger, length: text.length } }), 'absent');

async function measure(what: string, work: () => Promise<number>, plainSeconds: number | null): Promise<{ row: Row; seconds: number }> {
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const bytes = await work();
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const rate = sizes.plain / 1e6 / seconds;
  const row = {
    step: what,
    'MB/s of lines': rate,
    'CPU s per GB': (user + system) / 1e6 / (sizes.plain / 1e9),
    'times plain': plainSeconds === null ? 1 : plainSeconds / seconds,
    'MB after': bytes / 1e6,
  };
  return { row, seconds };
}

const plain = await measure(
  'plain: COPY by DuckDB',
  async () => {
    const instance = await DuckDBInstance.create(':memory:', { threads: '2', memory_limit: '1GiB' });
    const connection = await instance.connect();
    const files = sealed.map(({ path }) => `'${lake.localPath(path)}'`).join(', ');
    const to = join(folder, 'plain.parquet');
    await connection.run(`COPY (SELECT json FROM read_ndjson_objects([${files}])) TO '${to}' (FORMAT parquet, COMPRESSION zstd)`);
    connection.closeSync();
    instance.closeSync();
    return (await stat(to)).size;
  },
  null,
);
const before = await measure('verify of JSON lines', async () => (await verifyLake(lake, 'bench', { signal })).bytes, plain.seconds);
const range = { collections: [], from: null, to: null };
const parts = { lake, clock: systemClock, log: silentLog, openWriter: openParquetWriter, loaded: null };
const compacted = await measure(
  'sluice compact',
  async () => (await compact({ pipeline: 'bench', takeOver: false, ...range }, parts, signal)).bytesAfter,
  plain.seconds,
);
const after = await measure('verify of Parquet', async () => (await verifyLake(lake, 'bench', { signal })).bytes, plain.seconds);
report('compact', [plain.row, compacted.row, before.row, after.row]);
const mb = (bytes: number): number => bytes / 1e6;
report('compact sizes', [
  { as: 'JSON lines', MB: mb(sizes.plain), share: 1 },
  { as: 'gzip', MB: mb(sizes.gzip), share: sizes.gzip / sizes.plain },
  { as: 'zstd', MB: mb(sizes.zstd), share: sizes.zstd / sizes.plain },
  { as: 'Parquet', MB: Number(compacted.row['MB after']), share: (Number(compacted.row['MB after']) * 1e6) / sizes.plain },
]);
await lake[Symbol.asyncDispose]();
await rm(folder, { recursive: true });
