/**
 * Many collections, few of them busy: how long a pass of the loader takes over a lake with so many ledger lines, in DuckDB:
 * the first pass (every collection is new), one in which the busy ones have files, one with nothing to do, and a start.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { systemClock } from '../src/core/clock.ts';
import type { SealedLine } from '../src/core/ledger.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { silentLog } from '../src/ops/log.ts';
import { newStats } from '../src/ops/stats.ts';
import { checkpointPath, encodeCheckpoint, ledgerFolder, newCheckpoint } from '../src/pipeline/checkpoint.ts';
import { Loader, type LoadTotals } from '../src/pipeline/loader.ts';
import { openDuckDb } from '../src/warehouse/duckdb/duckdb.ts';
import { SealedFiles, START_SECONDS, type TestEvent } from '../test/contracts/sealed-files.ts';
import { report, type Row } from './report.ts';

const COLLECTIONS = Number(process.env['BENCH_COLLECTIONS'] ?? 1000);
const BUSY = Number(process.env['BENCH_BUSY'] ?? 20);
const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 2000);
const PIPELINE = 'bench';
const never = new AbortController().signal;
const log = silentLog;
const root = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const files = new SealedFiles(join(root, 'lake'));
const ledger: SealedLine[] = [];

async function seal(collection: number, from: number, events: number): Promise<void> {
  const list = Array.from({ length: events }, (_, i): TestEvent => {
    const n = from + i;
    const doc = `{"_id":"k${n}","n":${n},"total":${n / 4},"address":{"city":"Berlin","zip":"10115"},"items":[{"sku":"a${n}","n":1}],"note":"${'x'.repeat(600)}"}`;
    return { n, op: 'insert', key: `"k${n}"`, doc };
  });
  ledger.push((await files.seal({ db: 'bench', coll: `c${collection}` }, list)).line);
}

async function publish(): Promise<void> {
  const put = async (path: string, bytes: string | Uint8Array): Promise<void> => {
    await mkdir(dirname(join(files.root, path)), { recursive: true });
    await writeFile(join(files.root, path), bytes);
  };
  await put(`${ledgerFolder(PIPELINE)}/20261121.jsonl`, ledger.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const checkpoint = { ...newCheckpoint(PIPELINE, 'hive'), epoch: 1, watermark: { t: START_SECONDS + ledger.length * 10, i: 1 } };
  await put(checkpointPath(PIPELINE), encodeCheckpoint(checkpoint));
}

const rows: Row[] = [];

async function timed(pass: string, work: () => Promise<LoadTotals | void>): Promise<void> {
  const began = performance.now();
  const result = await work();
  rows.push({ pass, seconds: (performance.now() - began) / 1000, files: result?.files ?? 0, 'rows merged': result?.merged ?? 0 });
}

try {
  for (let c = 0; c < COLLECTIONS; c += 1) await seal(c, 0, 5);
  await publish();
  const open = async () => {
    const warehouse = await openDuckDb({ path: join(root, 'w.duckdb'), deletes: 'soft', columns: {}, memoryLimitBytes: 512 * 2 ** 20, log });
    await warehouse.migrate();
    return warehouse;
  };
  const lake = await openLocalLake(files.root);
  let warehouse = await open();
  const options = { pipeline: PIPELINE, filesPerLoadMax: 1000, clock: systemClock, log, stats: newStats() };
  const loader = new Loader(lake, warehouse, options);
  await timed(`${COLLECTIONS} collections, all new`, () => loader.catchUp(never));
  for (let c = 0; c < BUSY; c += 1) for (let part = 0; part < 3; part += 1) await seal(c, 10 + part * EVENTS, EVENTS);
  await publish();
  await timed(`${BUSY} of ${COLLECTIONS} busy`, () => loader.catchUp(never, { retry: false }));
  await timed('nothing to do', () => loader.catchUp(never, { retry: false }));
  await warehouse[Symbol.asyncDispose]();
  await timed('open and migrate', async () => {
    warehouse = await open();
  });
  await timed('first pass of a start', () => new Loader(lake, warehouse, options).catchUp(never));
  await warehouse[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
  report('registry', rows);
} finally {
  await rm(root, { recursive: true, force: true });
}
