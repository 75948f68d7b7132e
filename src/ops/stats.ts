/**
 * What a running pipeline counts. Plain numbers that the hot path adds to; `/metrics`, `status` and the progress line
 * read them when they are asked.
 */
import type { Timestamp } from '../core/time.ts';
import { Histogram } from './histogram.ts';
import { newLakeTraffic, type LakeTraffic } from './lake-traffic.ts';

export type PipelineState = 'starting' | 'standby' | 'recovering' | 'running' | 'reconnecting' | 'stopping' | 'stopped' | 'failed';

/** One load of files into bronze that brought something, or failed. */
export interface LoadRecord {
  readonly atMs: number;
  readonly seconds: number;
  readonly files: number;
  readonly rows: number;
  readonly rejected: number;
  /** The only collection, or how many. */
  readonly of: string;
  /** `null`: it went well. */
  readonly error: string | null;
}

const LOADS_KEPT = 100;

/** Newest first; the oldest are forgotten. */
export function recordLoad(stats: PipelineStats, record: LoadRecord): void {
  stats.loads.unshift(record);
  if (stats.loads.length > LOADS_KEPT) stats.loads.length = LOADS_KEPT;
}

/** What the last verification that ended has said. */
export interface VerificationStats {
  readonly endedAtMs: number;
  readonly seconds: number;
  /** False also when it could not be done. */
  readonly ok: boolean;
  /** How many of each kind; what is not there was not found. */
  readonly faults: ReadonlyMap<string, number>;
  /** Rows of lake and warehouse, events, documents. */
  readonly checked: ReadonlyMap<string, number>;
}

/** What retention keeps although it is old enough to go. */
export interface HeldStats {
  readonly collections: number;
  /** The longest; `null`: none is held. */
  readonly sinceMs: number | null;
}

export interface PipelineStats {
  state: PipelineState;
  /** Number of this owner; 0 before it owns the pipeline. */
  epoch: number;
  /** Durable in the lake since this process began. */
  events: number;
  eventBytes: number;
  /** Replayed events that the lake already held, dropped. */
  eventsReplayed: number;
  /** Messages that could not be read and were put aside. */
  deadLetters: number;
  batches: number;
  appends: number;
  checkpointSaves: number;
  partsOpen: number;
  partsSealed: number;
  hoursComplete: number;
  /** Times the change stream was opened again. */
  reconnects: number;
  linesLossy: number;
  linesOversize: number;
  /** Wall clock, ms, of the last batch with events that became durable; `null` before. */
  lastEventAtMs: number | null;
  /** Everything before this cluster time is durable. */
  watermark: Timestamp | null;
  /** Collections that are to be read whole, and how many of them cannot be. */
  snapshotsOpen: number;
  snapshotsFailed: number;
  /** Documents read for snapshots since this process began. */
  snapshotRows: number;
  /** How long the history of the position lasts if it stays where it is; `null`: not known. */
  oplogHeadroomSeconds: number | null;
  filesLoaded: number;
  rowsLoaded: number;
  rowsMerged: number;
  loadErrors: number;
  /** Wall clock, ms, of the last load that committed files; `null` before. */
  lastLoadAtMs: number | null;
  /** Gaps in the history that the checkpoint records, and those after which nobody has gone on yet. */
  gaps: number;
  gapsOpen: number;
  /** What they have left out was read whole since. */
  gapsMended: number;
  /** `null`: nobody has verified yet. */
  verification: VerificationStats | null;
  /** `null`: retention has not run yet. */
  held: HeldStats | null;
  /** From the first byte of a flush to the last durable one. */
  readonly flushSeconds: Histogram;
  /** Of one load of files into bronze. */
  readonly loadSeconds: Histogram;
  /** Of merging one collection. */
  readonly mergeSeconds: Histogram;
  /** The last hundred, newest first. */
  readonly loads: LoadRecord[];
  /** Requests to a lake that counts them. */
  readonly lake: LakeTraffic;
}

/** Requests to the lake that write, for each million events; `null` before the first, and on a lake that counts none. */
export function writesPerMillion({ lake, events }: Readonly<PipelineStats>): number | null {
  return events === 0 || lake.writes === 0 ? null : Math.round((lake.writes / events) * 1_000_000);
}

export function newStats(): PipelineStats {
  return {
    state: 'starting',
    epoch: 0,
    events: 0,
    eventBytes: 0,
    eventsReplayed: 0,
    deadLetters: 0,
    batches: 0,
    appends: 0,
    checkpointSaves: 0,
    partsOpen: 0,
    partsSealed: 0,
    hoursComplete: 0,
    reconnects: 0,
    linesLossy: 0,
    linesOversize: 0,
    lastEventAtMs: null,
    watermark: null,
    snapshotsOpen: 0,
    snapshotsFailed: 0,
    snapshotRows: 0,
    oplogHeadroomSeconds: null,
    filesLoaded: 0,
    rowsLoaded: 0,
    rowsMerged: 0,
    loadErrors: 0,
    lastLoadAtMs: null,
    gaps: 0,
    gapsOpen: 0,
    gapsMended: 0,
    verification: null,
    held: null,
    flushSeconds: new Histogram(),
    loadSeconds: new Histogram(),
    mergeSeconds: new Histogram(),
    loads: [],
    lake: newLakeTraffic(),
  };
}
