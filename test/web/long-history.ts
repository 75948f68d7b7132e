/**
 * A pipeline that has run for long, without the wait: its checkpoint and ledger are written as the product writes them, and the
 * product's own overview reads them. The files that the ledger names are not there: nothing here reads them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openWarehouse } from '../../src/app/compose.ts';
import { RunControl } from '../../src/app/run-control.ts';
import type { Running } from '../../src/app/run.ts';
import type { SealedLine } from '../../src/core/ledger.ts';
import { dayName, hourName, hourOf } from '../../src/core/time.ts';
import type { BusRecord } from '../../src/core/bus.ts';
import { SluiceError } from '../../src/core/error.ts';
import { BUS_MESSAGE } from '../../src/core/errors.ts';
import { asPosition } from '../../src/core/event.ts';
import type { Lake } from '../../src/core/lake.ts';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats, recordLoad, type PipelineStats } from '../../src/ops/stats.ts';
import { checkpointPath, encodeCheckpoint, ledgerPath, newCheckpoint, type Checkpoint, type PartRecord } from '../../src/pipeline/checkpoint.ts';
import { putDeadLetter } from '../../src/pipeline/dead-letters.ts';
import { PIPELINE, Workspace, type Settings } from '../e2e/workspace.ts';

export interface HistoryOptions {
  readonly collections: number;
  readonly hours: number;
  readonly warehouse: boolean;
  /** Something of everything that can be wrong. */
  readonly troubles: boolean;
  /** Messages of a bus that could not be read; without this there is no bus. Nobody listens at its address. */
  readonly letters?: number;
}

const WORDS = ['orders', 'customers', 'invoices', 'stock_levels', 'sessions', 'payments', 'audit_log', 'shipments', 'carts', 'product_reviews'];

export function nameOf(n: number): string {
  const word = WORDS[n % WORDS.length] ?? '';
  const round = Math.floor(n / WORDS.length);
  return round === 0 ? `shop.${word}` : `tenant_${String(round).padStart(3, '0')}.${word}`;
}

export class LongHistory implements AsyncDisposable {
  readonly control: RunControl;
  readonly stats: PipelineStats;
  readonly #work: Workspace;
  readonly #running: Running;

  private constructor(work: Workspace, running: Running) {
    this.#work = work;
    this.#running = running;
    this.stats = running.stats;
    this.control = new RunControl(running, silentLog);
  }

  static async make(options: HistoryOptions): Promise<LongHistory> {
    const work = await Workspace.make();
    const nowSeconds = Date.now() / 1000;
    await writeLedger(work, options, nowSeconds);
    const checkpoint = checkpointOf(options, nowSeconds);
    await mkdir(join(work.lake, '_sluice', PIPELINE), { recursive: true });
    await writeFile(join(work.lake, checkpointPath(PIPELINE)), encodeCheckpoint(checkpoint));
    const settings: Settings = {
      // Nobody listens there: the oplog is not known.
      source: { uri: 'mongodb://127.0.0.1:1/', include: ['shop', 'tenant_*'] },
      ...(options.letters === undefined ? {} : { bus: { url: 'kafka://127.0.0.1:1/shop' } }),
      ...(options.warehouse ? { warehouse: { url: 'duckdb:./warehouse.duckdb' } } : {}),
    };
    const config = work.config(settings);
    const warehouse = await openWarehouse(config, silentLog, 'fold');
    if (warehouse !== null) await register(warehouse, options, checkpoint);
    const lake = await openLocalLake(work.lake);
    for (let n = 0; n < (options.letters ?? 0); n += 1) await putLetter(lake, n, nowSeconds);
    const stats = newStats();
    Object.assign(stats, {
      state: 'running',
      epoch: 12,
      watermark: checkpoint.watermark,
      events: 48_201_113,
      eventBytes: 51e9,
      oplogHeadroomSeconds: 187_000,
    });
    if (options.troubles) troubled(stats);
    return new LongHistory(work, { config, role: 'all', stats, lake, warehouse, opening: null, loads: null, capture: null, counts: null });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.warehouse?.[Symbol.asyncDispose]();
    await this.#running.lake[Symbol.asyncDispose]();
    await this.#work[Symbol.asyncDispose]();
  }
}

async function writeLedger(work: Workspace, { collections, hours }: HistoryOptions, nowSeconds: number): Promise<void> {
  const folder = join(work.lake, '_sluice', PIPELINE, 'ledger');
  await mkdir(folder, { recursive: true });
  const last = hourOf(nowSeconds) - 1;
  const days = new Map<string, string[]>();
  for (let hour = last - hours + 1; hour <= last; hour += 1) {
    for (let n = 0; n < collections; n += 1) {
      // Every seventh collection has nothing to say at night.
      if (n % 7 === 3 && hour % 24 < 5) continue;
      const sealedAt = new Date((hour + 1) * 3_600_000);
      const path = ledgerPath(PIPELINE, null, dayName(sealedAt), 0);
      const lines = days.get(path) ?? [{ epoch: 12, at: sealedAt.toISOString() }].map((line) => JSON.stringify(line));
      lines.push(JSON.stringify(lineOf(n, hour)));
      days.set(path, lines);
    }
  }
  for (const [path, lines] of days) await writeFile(join(work.lake, path), `${lines.join('\n')}\n`);
}

function lineOf(n: number, hour: number): SealedLine {
  const [db = '', coll = ''] = nameOf(n).split('.');
  const rows = 40 + ((n * 7919 + hour * 104_729) % 5_000) * (n % 5 === 0 ? 20 : 1);
  const iso = new Date(hour * 3_600_000).toISOString();
  return {
    path: `${db}/${coll}/year=${iso.slice(0, 4)}/month=${iso.slice(5, 7)}/day=${iso.slice(8, 10)}/hour=${iso.slice(11, 13)}/events-${hourName(hour)}.jsonl`,
    db,
    coll,
    hour: hourName(hour),
    bytes: rows * 1043,
    rows,
    sha256: 'ab12'.repeat(16),
    first: null,
    last: null,
    firstAt: { t: hour * 3600 + 4, i: 1 },
    lastAt: { t: hour * 3600 + 3571, i: 1 },
    ops: { insert: Math.ceil(rows * 0.6), update: Math.floor(rows * 0.35), delete: rows - Math.ceil(rows * 0.6) - Math.floor(rows * 0.35) },
    epoch: 12,
  };
}

function checkpointOf({ collections, hours, troubles }: HistoryOptions, nowSeconds: number): Checkpoint {
  const checkpoint = newCheckpoint(PIPELINE, 'hive');
  const now = hourOf(nowSeconds);
  const at = { t: Math.floor(nowSeconds) - 1, i: 1 };
  checkpoint.epoch = hours === 0 ? 0 : 12;
  checkpoint.startedAt = { t: (now - hours) * 3600 + 600, i: 0 };
  checkpoint.watermark = at;
  checkpoint.nextHour = now;
  checkpoint.savedAt = new Date(nowSeconds * 1000).toISOString();
  checkpoint.resume = { position: asPosition('8269208D4C000000012B0229296E04'), clusterTime: at, token: Buffer.from('x') };
  if (troubles) {
    const from = { t: (now - 61) * 3600 + 900, i: 1 };
    checkpoint.gaps = [
      {
        from,
        to: { t: from.t + 7000, i: 1 },
        detectedAt: checkpoint.savedAt,
        collections: ['shop.*'],
        cause: 'the oplog no longer reaches back to the saved position (286)',
      },
    ];
    const begun = {
      cause: 'asked',
      at: { position: asPosition('82'), clusterTime: at },
      begunAt: new Date((at.t - 600) * 1000).toISOString(),
    } as const;
    const record = { since: '20261121', ranges: null, nextPart: 1, parts: [], files: 3, bytesRead: 1e9 };
    checkpoint.snapshots = [
      { ...begun, ...record, id: 'a', ns: { db: 'shop', coll: 'orders' }, estimate: { documents: 4_200_000, bytes: 4e9 }, rows: 1_310_000 },
      { ...begun, ...record, id: 'b', ns: { db: 'shop', coll: 'carts' }, estimate: null, rows: 0, failed: 'not authorized on shop to execute find' },
    ];
  }
  for (let n = 0; n < collections; n += 1) {
    if (n % 3 === 0) checkpoint.parts.push(partOf(n, now));
  }
  return checkpoint;
}

function partOf(n: number, hour: number): PartRecord {
  const { path, db, coll, ops } = lineOf(n, hour);
  const record = { path, ns: { db, coll }, hour: hourName(hour), number: 0, length: 1000, rows: 5, first: null, firstAt: null, last: null };
  return { ...record, lastAt: { t: hour * 3600 + 30, i: 1 }, ops, fingerprint: 'f', epoch: 12, rolled: false, state: 'open' };
}

async function register(warehouse: Warehouse, { collections, troubles }: HistoryOptions, { nextHour }: Checkpoint): Promise<void> {
  const namespaces = Array.from({ length: collections }, (_, n) => {
    const [db = '', coll = ''] = nameOf(n).split('.');
    return { db, coll };
  });
  await warehouse.discover(namespaces);
  const late = (n: number): boolean => troubles && (n === 4 || n === 8 || n === 5);
  await warehouse.markComplete(namespaces.map((namespace, n) => ({ namespace, through: { t: (nextHour - (late(n) ? 9 : 0)) * 3600, i: 0 } })));
  for (const [n, namespace] of namespaces.entries()) {
    if (!troubles) break;
    if (n === 4) await warehouse.setStatus(namespace, 'ERROR', 'Conversion Error: could not cast "12,50" to DECIMAL(18,2) in column total');
    if (n === 8) await warehouse.setStatus(namespace, 'PAUSED', null);
  }
}

/** Every third is text that is no JSON, the others are bytes that are no text. */
async function putLetter(lake: Lake, n: number, nowSeconds: number): Promise<void> {
  const text = `{"order": ${n}, "total": 12,50, "customer": "Ada & <b>Grace</b>"`;
  const record: BusRecord = {
    offset: BigInt(1000 + n),
    timeMs: (nowSeconds - 60 * n) * 1000,
    key: Buffer.from(`customer-${n}`),
    value: n % 3 === 0 ? Buffer.from(text) : Buffer.from([0x1f, 0x8b, 0x08, 0x00, n, 0xff]),
    header: () => null,
    headers: () => [['content-type', Buffer.from('application/json')]],
  };
  const error = new SluiceError(BUS_MESSAGE, `offset ${1000 + n}: the value is not JSON`);
  await putDeadLetter(lake, PIPELINE, { topic: 'shop', partition: n % 4, record, error });
}

function troubled(stats: PipelineStats): void {
  Object.assign(stats, { loadErrors: 2, linesLossy: 14, linesOversize: 1, reconnects: 3, gaps: 1 });
  const atMs = Date.now();
  for (let n = 30; n >= 0; n -= 1) {
    const error = n === 6 ? 'Conversion Error: could not cast "12,50" to DECIMAL(18,2)' : null;
    const of = error === null ? nameOf(n) : 'shop.sessions';
    recordLoad(stats, { atMs: atMs - n * 61_000, seconds: 0.2 + n / 10, files: 1 + (n % 4), rows: 1200 * (n + 1), rejected: 0, of, error });
  }
}
