/**
 * What `status` shows: read from the lake's checkpoint and ledger, so that it works beside a running owner and without
 * one; the warehouse adds its rows when this process may open it.
 */
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_BUSY, WAREHOUSE_EMPTY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { dataBytes, isSealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { headroomSeconds, type OplogState } from '../core/oplog.ts';
import { hourName, type Timestamp } from '../core/time.ts';
import type { CollectionRow, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { newCheckpoint } from '../pipeline/checkpoint.ts';
import { listDeadLetters } from '../pipeline/dead-letters.ts';
import { readHorizon } from '../pipeline/horizon.ts';
import { readLedger } from '../pipeline/ledger.ts';
import { heldIn } from '../pipeline/retain.ts';
import type { SnapshotRecord } from '../pipeline/snapshot-record.ts';
import { readWhole } from '../pipeline/whole.ts';
import { openLake, openWarehouse } from './compose.ts';
import { readOplog } from './oplog-watch.ts';
import { readVerification } from './verification.ts';
import type { CollectionReport, CommandOptions, PipelineStatus, SnapshotReport } from './types.ts';

type Draft = { -readonly [K in keyof CollectionReport]: CollectionReport[K] };

/** What the one who answers knows of the pipeline beyond its files. */
interface Live extends Pick<PipelineStatus, 'loader' | 'storage' | 'oplogHeadroomSeconds'> {
  /** Of the process that writes the lake: nobody else can say how it is. */
  readonly owner: Pick<PipelineStatus, 'state' | 'pid'> | null;
}

export const NO_OWNER: Live = { owner: null, loader: null, storage: null, oplogHeadroomSeconds: null };

/** Of a pipeline that no process on this machine runs, as far as is known. */
export async function readStatus(config: Config, options: CommandOptions, signal: AbortSignal): Promise<PipelineStatus> {
  await using lake = await openLake(config, options);
  await using warehouse = await warehouseIfReadable(config, options);
  return await statusOf(config, lake, warehouse, NO_OWNER, { ...options, signal });
}

/** Status must not fail for a warehouse that is busy, away, of another version, or not for this login to read. */
async function warehouseIfReadable(config: Config, { log }: CommandOptions): Promise<Warehouse | null> {
  try {
    return await openWarehouse(config, log, 'look');
  } catch (error) {
    // Before anything is loaded there is nothing to leave out.
    if (!SluiceError.is(error, WAREHOUSE_EMPTY)) leftOut(error, log);
    return null;
  }
}

function leftOut(error: unknown, log: Logger): void {
  if (SluiceError.is(error, WAREHOUSE_BUSY)) log.warn('another process has the warehouse open: its columns are left out');
  else log.warn({ err: error }, 'the warehouse could not be read: its columns are left out');
}

async function rowsOf(warehouse: Warehouse | null, log: Logger): Promise<readonly CollectionRow[]> {
  try {
    return (await warehouse?.collections()) ?? [];
  } catch (error) {
    leftOut(error, log);
    return [];
  }
}

export async function statusOf(
  config: Config,
  lake: Lake,
  warehouse: Warehouse | null,
  { owner, loader, storage, oplogHeadroomSeconds }: Live,
  { log, signal }: CommandOptions & { readonly signal: AbortSignal },
): Promise<PipelineStatus> {
  const { pipeline } = config;
  // Beside the reading of files: a server that is away must not make the rest wait twice.
  const oplog = readOplog(config, signal);
  const checkpoint = (await readWhole(lake, pipeline, signal)) ?? { ...newCheckpoint(pipeline, ''), isStopped: true };
  const collections = new Map<string, Draft>();
  for await (const line of readLedger(lake, pipeline, '', signal)) {
    if (!isSealedLine(line)) continue;
    const row = draft(collections, line);
    row.filesSealed += 1;
    row.rowsSealed += line.rows;
    row.bytesSealed += dataBytes(line);
    if (line.lastAt !== null) row.lastEventAt = later(row.lastEventAt, iso(line.lastAt));
  }
  for (const part of checkpoint.parts) {
    const row = draft(collections, part.ns);
    row.partsOpen += 1;
    if (part.lastAt !== null) row.lastEventAt = later(row.lastEventAt, iso(part.lastAt));
  }
  for (const row of await rowsOf(warehouse, log)) addWarehouse(draft(collections, row.namespace), row);
  const { watermark } = checkpoint;
  return {
    pipeline,
    // It may run where this process cannot ask it; only one that has said so has stopped.
    ...(owner ?? { state: checkpoint.isStopped ? 'stopped' : 'unknown', pid: null }),
    loader,
    storage,
    epoch: checkpoint.epoch,
    position: checkpoint.resume?.position ?? null,
    watermark: watermark.t === 0 ? null : iso(watermark),
    lagSeconds: watermark.t === 0 ? null : Math.max(0, Math.round(Date.now() / 1000 - watermark.t)),
    checkpointSavedAt: checkpoint.epoch === 0 ? null : checkpoint.savedAt,
    collections: [...collections.values()].toSorted((a, b) => (a.namespace < b.namespace ? -1 : 1)),
    gaps: checkpoint.gaps.map(({ from, to, cause, repaired = null }) => ({ from: iso(from), to: to === null ? 'open' : iso(to), cause, repaired })),
    deadLetters: config.bus === null ? null : (await listDeadLetters(lake, pipeline, signal)).length,
    snapshots: checkpoint.snapshots.map((record) => snapshotReport(record, Date.parse(checkpoint.savedAt))),
    verification: await readVerification(lake, pipeline, signal),
    retention: await retentionOf(config, lake, signal),
    ...(await headroomOf(oplog, checkpoint.resume?.clusterTime.t ?? null, oplogHeadroomSeconds)),
  };
}

/** Nothing is held where nothing is to go. */
async function retentionOf({ pipeline, lake: { retention } }: Config, lake: Lake, signal: AbortSignal): Promise<PipelineStatus['retention']> {
  const horizon = await readHorizon(lake, pipeline, signal);
  return { hoursBefore: horizon.from === null ? null : hourName(horizon.from), held: (retention?.hoursMs ?? null) === null ? [] : heldIn(horizon) };
}

/** @param watched what a running owner has found, which knows how much was written in the last minutes */
async function headroomOf(
  asked: Promise<OplogState | null>,
  positionSeconds: number | null,
  watched: number | null,
): Promise<Pick<PipelineStatus, 'oplogHours' | 'oplogHeadroomSeconds'>> {
  const oplog = await asked;
  if (oplog === null) return { oplogHours: null, oplogHeadroomSeconds: null };
  const oplogHours = (oplog.lastSeconds - oplog.firstSeconds) / 3600;
  const now = positionSeconds === null ? null : headroomSeconds(oplog, positionSeconds, null);
  return { oplogHours, oplogHeadroomSeconds: now === null || watched === null ? now : Math.min(now, watched) };
}

/** @param savedAtMs when this was true */
export function snapshotReport(record: SnapshotRecord, savedAtMs: number): SnapshotReport {
  const { ns, cause, at, begunAt, estimate, ranges, parts, failed = null } = record;
  const rows = record.rows + parts.reduce((sum, part) => sum + part.rows, 0);
  const seconds = (savedAtMs - Date.parse(begunAt)) / 1000;
  const left = estimate === null || rows === 0 || seconds <= 0 ? null : Math.max(0, Math.round(((estimate.documents - rows) * seconds) / rows));
  return {
    namespace: formatNamespace(ns),
    cause,
    at: iso(at.clusterTime),
    begunAt,
    documents: estimate?.documents ?? null,
    rows,
    ranges: ranges === null ? null : { done: ranges.filter(({ done }) => done).length, total: ranges.length },
    secondsLeft: left,
    failed,
  };
}

function draft(collections: Map<string, Draft>, ns: Namespace): Draft {
  const namespace = formatNamespace({ db: ns.db, coll: ns.coll });
  let row = collections.get(namespace);
  if (row === undefined) {
    row = {
      namespace,
      status: null,
      reason: null,
      partsOpen: 0,
      filesSealed: 0,
      rowsSealed: 0,
      bytesSealed: 0,
      rowsLoaded: null,
      lastEventAt: null,
      completeThrough: null,
    };
    collections.set(namespace, row);
  }
  return row;
}

function addWarehouse(row: Draft, from: CollectionRow): void {
  row.status = from.status;
  row.reason = from.reason;
  row.rowsLoaded = from.rows;
  row.completeThrough = from.completeThrough;
}

function iso(at: Timestamp): string {
  return new Date(at.t * 1000).toISOString();
}

function later(a: string | null, b: string): string {
  return a !== null && a > b ? a : b;
}
