/**
 * The warehouse in DuckDB: sealed files into bronze, bronze into silver. Prints rows/s of each and the size of the file
 * beside that of the lake's.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { asPosition, type Position } from '../src/core/event.ts';
import { hourName, hourOf } from '../src/core/time.ts';
import type { SealedFile } from '../src/core/warehouse.ts';
import { openDuckDb } from '../src/warehouse/duckdb/duckdb.ts';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 200_000);
const FILES = Number(process.env['BENCH_FILES'] ?? 4);
/** One in so many events changes a document that is there already. */
const UPDATE_EVERY = 3;
const START_SECONDS = 1_795_219_200;
const ns = { db: 'bench', coll: 'events' };
const { signal } = new AbortController();
const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));

function positionOf(n: number): Position {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  return asPosition(`82${hex(START_SECONDS + Math.floor(n / 100))}${hex(n)}2B0229296E04`);
}

/** About 1.2 KB. */
function lineOf(n: number): string {
  const id = (n % UPDATE_EVERY === 0 ? Math.floor(n / 2) : n).toString(16).padStart(24, '0');
  const op = n % UPDATE_EVERY === 0 ? 'update' : 'insert';
  const t = START_SECONDS + Math.floor(n / 100);
  const at = new Date(t * 1000).toISOString();
  const words = randomBytes(150).toString('base64');
  return (
    `{"_meta":{"position":"${positionOf(n)}","operationType":"${op}","ns":{"db":"bench","coll":"events"},"at":"${at}","clusterTime":{"$timestamp":{"t":${t},"i":${n}}},` +
    `"wallTime":{"$date":"${at}"},"v":1},"documentKey":{"_id":{"$oid":"${id}"}},"fullDocument":{"_id":{"$oid":"${id}"},"n":${n},"name":"customer ${n}","amount":${(n * 1.37).toFixed(2)},` +
    `"tags":["new","web","promo"],"address":{"street":"Example Street 12","city":"Berlin","zip":"10115","country":"DE"},"words":"${words}","note":"${'x'.repeat(400)}"}}\n`
  );
}

async function seal(file: number): Promise<SealedFile> {
  const [from, to] = [(EVENTS / FILES) * file, (EVENTS / FILES) * (file + 1)].map(Math.floor) as [number, number];
  const bytes = Buffer.from(Array.from({ length: to - from }, (_, i) => lineOf(from + i)).join(''));
  const path = `bench/events/events-${file}.jsonl`;
  const localPath = join(folder, `events-${file}.jsonl`);
  await writeFile(localPath, bytes);
  const time = (n: number): { t: number; i: number } => ({ t: START_SECONDS + Math.floor(n / 100), i: n });
  const line = {
    path,
    ...ns,
    hour: hourName(hourOf(time(from).t)),
    bytes: bytes.length,
    rows: to - from,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    first: positionOf(from),
    last: positionOf(to - 1),
    firstAt: time(from),
    lastAt: time(to - 1),
    ops: {},
    epoch: 1,
  };
  return { line, localPath, read: () => Readable.from([bytes]) };
}

async function timed(name: string, rows: number, work: () => Promise<unknown>): Promise<void> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${name.padEnd(28)} ${Math.round(rows / seconds).toLocaleString('en')} rows/s   ${((user + system) / rows).toFixed(1)} µs CPU per row`);
}

try {
  const files = [];
  for (let file = 0; file < FILES; file += 1) files.push(await seal(file));
  const path = join(folder, 'warehouse.duckdb');
  const warehouse = await openDuckDb({
    path,
    deletes: 'soft',
    columns: { 'bench.events': { amount: 'fullDocument.amount DECIMAL(18,2)' } },
    log: pino({ level: 'silent' }),
    memoryLimitBytes: 512 * 2 ** 20,
  });
  await warehouse.migrate();
  const [last, ...first] = files.toReversed();
  await timed('load, all files but one', (EVENTS * (FILES - 1)) / FILES, () => warehouse.load(first, signal));
  await timed('merge into empty silver', (EVENTS * (FILES - 1)) / FILES, () => warehouse.merge(ns, { rebuild: false }, signal));
  if (last !== undefined) await timed('load, the last file', EVENTS / FILES, () => warehouse.load([last], signal));
  await timed('merge into full silver', EVENTS / FILES, () => warehouse.merge(ns, { rebuild: false }, signal));
  await timed('silver made again', EVENTS, () => warehouse.merge(ns, { rebuild: true }, signal));
  await timed('silver read in order of keys', EVENTS, async () => {
    for await (const _row of warehouse.silver(ns, signal));
  });
  await warehouse[Symbol.asyncDispose]();
  const lakeBytes = files.reduce((sum, file) => sum + file.line.bytes, 0);
  console.log(`lake ${Math.round(lakeBytes / 1e6)} MB, warehouse ${Math.round((await stat(path)).size / 1e6)} MB (bronze and silver)`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
