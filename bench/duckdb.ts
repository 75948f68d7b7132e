/**
 * The warehouse in DuckDB under a small memory limit: sealed files into bronze, bronze into silver, and then a day's worth of
 * changes into a silver that is full. The ceiling of the load is DuckDB taking the same lines into a table of one column.
 *
 * `npm run bench -- duckdb`; `BENCH_EVENTS` is the number of documents (a million), a tenth of it that of the
 * changes, `BENCH_MEMORY_MIB` the limit (512).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { asPosition, type Position } from '../src/core/event.ts';
import { hourName, hourOf } from '../src/core/time.ts';
import type { SealedFile } from '../src/core/warehouse.ts';
import { silentLog } from '../src/ops/log.ts';
import { openDuckDb } from '../src/warehouse/duckdb/duckdb.ts';
import { report, type Row } from './report.ts';

const DOCUMENTS = Number(process.env['BENCH_EVENTS'] ?? 1_000_000);
const CHANGES = DOCUMENTS / 10;
const FILE_ROWS = 100_000;
const MEMORY_LIMIT_BYTES = Number(process.env['BENCH_MEMORY_MIB'] ?? 512) * 1024 * 1024;
const START_SECONDS = 1_795_219_200;
const ns = { db: 'bench', coll: 'events' };
const { signal } = new AbortController();
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));

function positionOf(n: number): Position {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  return asPosition(`82${hex(START_SECONDS + Math.floor(n / 1000))}${hex(n)}2B0229296E04`);
}

/** About 1.3 KB, half of it text that does not repeat. After the inserts come updates, spread over all documents. */
function lineOf(n: number): string {
  const isUpdate = n >= DOCUMENTS;
  const id = (isUpdate ? ((n - DOCUMENTS) * 7919) % DOCUMENTS : n).toString(16).padStart(24, '0');
  const t = START_SECONDS + Math.floor(n / 1000);
  const at = new Date(t * 1000).toISOString();
  const words = createHash('shake128', { outputLength: 150 }).update(String(n)).digest('base64');
  return (
    `{"_meta":{"position":"${positionOf(n)}","operationType":"${isUpdate ? 'update' : 'insert'}","ns":{"db":"bench","coll":"events"},"at":"${at}","clusterTime":{"$timestamp":{"t":${t},"i":${n}}},` +
    `"wallTime":{"$date":"${at}"},"v":1},"documentKey":{"_id":{"$oid":"${id}"}},"fullDocument":{"_id":{"$oid":"${id}"},"n":${n},"name":"customer ${n}","amount":${(n * 1.37).toFixed(2)},` +
    `"tags":["new","web","promo"],"address":{"street":"Example Street 12","city":"Berlin","zip":"10115","country":"DE"},"words":"${words}","note":"${'x'.repeat(500)}"}}\n`
  );
}

async function seal(from: number, to: number): Promise<SealedFile & { readonly localPath: string }> {
  const path = `bench/events/events-${from}.jsonl`;
  const localPath = join(folder, `events-${from}.jsonl`);
  const hash = createHash('sha256');
  let bytes = 0;
  await using file = await open(localPath, 'w');
  for (let n = from; n < to; n += 1_000) {
    const chunk = Buffer.from(Array.from({ length: Math.min(1_000, to - n) }, (_, i) => lineOf(n + i)).join(''));
    await file.write(chunk);
    hash.update(chunk);
    bytes += chunk.length;
  }
  const time = (n: number): { t: number; i: number } => ({ t: START_SECONDS + Math.floor(n / 1000), i: n });
  const line = {
    path,
    ...ns,
    hour: hourName(hourOf(time(from).t)),
    bytes,
    rows: to - from,
    sha256: hash.digest('hex'),
    first: positionOf(from),
    last: positionOf(to - 1),
    firstAt: time(from),
    lastAt: time(to - 1),
    ops: {},
    epoch: 1,
  };
  return { line, localPath, read: () => createReadStream(localPath) };
}

const rows: Row[] = [];

async function timed(step: string, count: number, work: () => Promise<unknown>): Promise<void> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  rows.push({ step, rows: count, seconds, 'rows/s': count / seconds, 'µs CPU': (user + system) / count, 'RSS MB': process.memoryUsage.rss() / 1e6 });
}

/** The same lines as they are, compressed alike, in one table. */
async function ceiling(files: readonly string[]): Promise<void> {
  const instance = await DuckDBInstance.create(join(folder, 'ceiling.duckdb'), { storage_compatibility_version: 'v1.2.0', threads: '2' });
  const connection = await instance.connect();
  await connection.run(`set memory_limit = '${MEMORY_LIMIT_BYTES / 2 ** 20} MiB'`);
  await connection.run('create table lines (line varchar using compression zstd)');
  for (const file of files) await connection.run(`insert into lines select json from read_ndjson_objects('${file}')`);
  await connection.run('checkpoint');
  connection.closeSync();
  instance.closeSync();
}

try {
  const inserts: Awaited<ReturnType<typeof seal>>[] = [];
  for (let n = 0; n < DOCUMENTS; n += FILE_ROWS) inserts.push(await seal(n, Math.min(DOCUMENTS, n + FILE_ROWS)));
  const changes = await seal(DOCUMENTS, DOCUMENTS + CHANGES);
  await timed('ceiling: lines into a table', DOCUMENTS, () => ceiling(inserts.map(({ localPath }) => localPath)));
  const path = join(folder, 'warehouse.duckdb');
  const warehouse = await openDuckDb({
    path,
    deletes: 'soft',
    columns: { 'bench.events': { amount: 'fullDocument.amount DECIMAL(18,2)' } },
    log: silentLog,
    memoryLimitBytes: MEMORY_LIMIT_BYTES,
  });
  await warehouse.migrate();
  await timed('load into bronze', DOCUMENTS, () => warehouse.load(inserts, signal));
  await timed('merge into an empty silver', DOCUMENTS, () => warehouse.merge(ns, { rebuild: false }, signal));
  await timed('load of changes', CHANGES, () => warehouse.load([changes], signal));
  await timed('merge of changes into a full silver', CHANGES, () => warehouse.merge(ns, { rebuild: false }, signal));
  await timed('silver read in order of keys', DOCUMENTS, async () => {
    for await (const _row of warehouse.silver(ns, signal));
  });
  await warehouse[Symbol.asyncDispose]();
  report('duckdb', rows);
  const lakeBytes = [...inserts, changes].reduce((sum, file) => sum + file.line.bytes, 0);
  console.log(`lake ${Math.round(lakeBytes / 1e6)} MB, warehouse ${Math.round((await stat(path)).size / 1e6)} MB (bronze and silver)`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
