/**
 * What a running pipeline counts. Plain numbers that the hot path adds to; `/metrics`, `status` and the progress line
 * read them when they are asked.
 */
import type { Timestamp } from '../core/time.ts';
import { Histogram } from './histogram.ts';
import { newLakeTraffic, type LakeTraffic } from './lake-traffic.ts';

export type PipelineState = 'starting' | 'standby' | 'recovering' | 'running' | 'reconnecting' | 'stopping' | 'stopped' | 'failed';

export interface PipelineStats {
  state: PipelineState;
  /** Number of this owner; 0 before it owns the pipeline. */
  epoch: number;
  /** Durable in the lake since this process began. */
  events: number;
  eventBytes: number;
  /** Replayed events that the lake already held, dropped. */
  eventsReplayed: number;
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
  filesLoaded: number;
  rowsLoaded: number;
  rowsMerged: number;
  loadErrors: number;
  /** Wall clock, ms, of the last load that committed files; `null` before. */
  lastLoadAtMs: number | null;
  /** Gaps in the history that the checkpoint records, and those after which nobody has gone on yet. */
  gaps: number;
  gapsOpen: number;
  /** From the first byte of a flush to the last durable one. */
  readonly flushSeconds: Histogram;
  /** Of one load of files into bronze. */
  readonly loadSeconds: Histogram;
  /** Of merging one collection. */
  readonly mergeSeconds: Histogram;
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
    filesLoaded: 0,
    rowsLoaded: 0,
    rowsMerged: 0,
    loadErrors: 0,
    lastLoadAtMs: null,
    gaps: 0,
    gapsOpen: 0,
    flushSeconds: new Histogram(),
    loadSeconds: new Histogram(),
    mergeSeconds: new Histogram(),
    lake: newLakeTraffic(),
  };
}
