/**
 * Every metric of sluice, one entry each: the registry, docs/specs/metrics.md and the check of the dashboards are made from
 * this table. A new metric is a new entry here, and, when nothing counts it yet, a number in {@link PipelineStats}.
 *
 * Values are read when they are scraped; the hot path only adds to plain numbers.
 */
import { CHECK_NAMES, FAULT_NAMES } from '../app/verification.ts';
import type { Timestamp } from '../core/time.ts';
import type { Histogram } from '../ops/histogram.ts';
import { writesPerMillion, type PipelineState, type PipelineStats } from '../ops/stats.ts';

interface Named {
  readonly name: string;
  readonly help: string;
}

interface Plain extends Named {
  readonly kind: 'counter' | 'gauge';
  /** `null`: not known yet, the metric is left out. */
  readonly read: (stats: Readonly<PipelineStats>, nowMs: number) => number | null;
}

interface Labelled extends Named {
  readonly kind: 'counter' | 'gauge';
  /** A closed set: what grows with the data is no label. */
  readonly label: { readonly name: string; readonly values: readonly string[] };
  /** What it does not name is 0. */
  readonly read: (stats: Readonly<PipelineStats>, nowMs: number) => ReadonlyMap<string, number>;
}

interface Timed extends Named {
  readonly kind: 'histogram';
  readonly read: (stats: Readonly<PipelineStats>) => Readonly<Histogram>;
}

export type Metric = Plain | Labelled | Timed;

const STATES: readonly PipelineState[] = ['starting', 'standby', 'recovering', 'running', 'reconnecting', 'stopping', 'stopped', 'failed'];

const seconds = (at: Timestamp | null): number | null => (at === null ? null : at.t);

export const METRICS: readonly Metric[] = [
  { name: 'sluice_events_total', kind: 'counter', help: 'Events that are durable in the lake.', read: (s) => s.events },
  { name: 'sluice_event_bytes_total', kind: 'counter', help: 'Bytes of their lines, before compression.', read: (s) => s.eventBytes },
  {
    name: 'sluice_events_replayed_total',
    kind: 'counter',
    help: 'Events that came again after a restart and were dropped: the lake held them.',
    read: (s) => s.eventsReplayed,
  },
  { name: 'sluice_batches_total', kind: 'counter', help: 'Batches read from the change stream.', read: (s) => s.batches },
  { name: 'sluice_appends_total', kind: 'counter', help: 'Durable appends to the lake.', read: (s) => s.appends },
  { name: 'sluice_checkpoint_saves_total', kind: 'counter', help: 'Times the checkpoint was saved.', read: (s) => s.checkpointSaves },
  { name: 'sluice_parts_open', kind: 'gauge', help: 'Files that are being written.', read: (s) => s.partsOpen },
  { name: 'sluice_parts_sealed_total', kind: 'counter', help: 'Files that were sealed.', read: (s) => s.partsSealed },
  { name: 'sluice_hours_complete_total', kind: 'counter', help: 'Hours that were published as complete.', read: (s) => s.hoursComplete },
  {
    name: 'sluice_snapshots_open',
    kind: 'gauge',
    help: 'Collections that are being read whole, or wait for it.',
    read: (s) => s.snapshotsOpen,
  },
  {
    name: 'sluice_snapshots_failed',
    kind: 'gauge',
    help: 'Those of them that could not be read; the others go on.',
    read: (s) => s.snapshotsFailed,
  },
  { name: 'sluice_snapshot_rows_total', kind: 'counter', help: 'Documents read for snapshots.', read: (s) => s.snapshotRows },
  { name: 'sluice_reconnects_total', kind: 'counter', help: 'Times the change stream was opened again.', read: (s) => s.reconnects },
  {
    name: 'sluice_lines_lossy_total',
    kind: 'counter',
    help: 'Lines marked lossy: JSON cannot carry all that the document holds.',
    read: (s) => s.linesLossy,
  },
  {
    name: 'sluice_lines_oversize_total',
    kind: 'counter',
    help: 'Stub lines in place of events over lake.maxLineBytes.',
    read: (s) => s.linesOversize,
  },
  {
    name: 'sluice_dead_letters_total',
    kind: 'counter',
    help: 'Messages of the bus that could not be read and were put aside on the lake.',
    read: (s) => s.deadLetters,
  },
  {
    name: 'sluice_last_event_timestamp_seconds',
    kind: 'gauge',
    help: 'When the last events became durable.',
    read: (s) => (s.lastEventAtMs === null ? null : s.lastEventAtMs / 1000),
  },
  {
    name: 'sluice_watermark_timestamp_seconds',
    kind: 'gauge',
    help: 'Cluster time before which everything is durable.',
    read: (s) => seconds(s.watermark),
  },
  {
    name: 'sluice_lag_seconds',
    kind: 'gauge',
    help: 'Age of the watermark. It moves on while nothing happens, so a rising lag means that something is wrong.',
    read: (s, nowMs) => (s.watermark === null ? null : Math.max(0, nowMs / 1000 - s.watermark.t)),
  },
  { name: 'sluice_owner_epoch', kind: 'gauge', help: 'Number of this owner of the pipeline; 0 while standing by.', read: (s) => s.epoch },
  { name: 'sluice_files_loaded_total', kind: 'counter', help: 'Sealed files that were loaded into bronze.', read: (s) => s.filesLoaded },
  { name: 'sluice_rows_loaded_total', kind: 'counter', help: 'Rows that were loaded into bronze.', read: (s) => s.rowsLoaded },
  { name: 'sluice_rows_merged_total', kind: 'counter', help: 'Bronze rows that were merged into silver.', read: (s) => s.rowsMerged },
  { name: 'sluice_load_errors_total', kind: 'counter', help: 'Loads and merges that failed.', read: (s) => s.loadErrors },
  {
    name: 'sluice_lake_writes_total',
    kind: 'counter',
    help: 'Requests to a lake on Azure that write: creates, appends, flushes, puts, deletes, leases.',
    read: (s) => s.lake.writes,
  },
  { name: 'sluice_lake_reads_total', kind: 'counter', help: 'Requests to a lake on Azure that read.', read: (s) => s.lake.reads },
  { name: 'sluice_lake_lists_total', kind: 'counter', help: 'Requests to a lake on Azure that list.', read: (s) => s.lake.lists },
  {
    name: 'sluice_lake_writes_per_million_events',
    kind: 'gauge',
    help: 'Requests that write for each million events, since this process began.',
    read: (s) => writesPerMillion(s),
  },
  {
    name: 'sluice_lake_retries_total',
    kind: 'counter',
    help: 'Requests to a lake on Azure that were sent again: it did not answer, or was busy.',
    read: (s) => s.lake.retries,
  },
  {
    name: 'sluice_lake_away_seconds',
    kind: 'gauge',
    help: 'How long the storage of the lake has not answered; 0 while it does.',
    read: (s, nowMs) => (s.lake.awaySinceMs === null ? 0 : Math.max(0, (nowMs - s.lake.awaySinceMs) / 1000)),
  },
  {
    name: 'sluice_last_load_timestamp_seconds',
    kind: 'gauge',
    help: 'When files were last committed to bronze.',
    read: (s) => (s.lastLoadAtMs === null ? null : s.lastLoadAtMs / 1000),
  },
  {
    name: 'sluice_flush_seconds',
    kind: 'histogram',
    help: 'How long the events of one flush take to be durable in the lake.',
    read: (s) => s.flushSeconds,
  },
  { name: 'sluice_load_seconds', kind: 'histogram', help: 'How long one load of files into bronze takes.', read: (s) => s.loadSeconds },
  { name: 'sluice_merge_seconds', kind: 'histogram', help: 'How long merging one collection into silver takes.', read: (s) => s.mergeSeconds },
  {
    name: 'sluice_oplog_headroom_seconds',
    kind: 'gauge',
    help: 'How long the oplog still has the history that is needed, at the rate of the last minutes, if the position stays where it is.',
    read: (s) => s.oplogHeadroomSeconds,
  },
  { name: 'sluice_gaps', kind: 'gauge', help: 'Gaps in the history that the checkpoint records.', read: (s) => s.gaps },
  {
    name: 'sluice_gaps_mended',
    kind: 'gauge',
    help: 'Gaps of which everything was read whole since: silver is as the source is.',
    read: (s) => s.gapsMended,
  },
  {
    name: 'sluice_gaps_open',
    kind: 'gauge',
    help: 'Gaps after which nothing is captured until somebody decides (`--accept-gap`).',
    read: (s) => s.gapsOpen,
  },
  {
    name: 'sluice_last_verification_timestamp_seconds',
    kind: 'gauge',
    help: 'When the last verification ended, in this process or a former one.',
    read: (s) => (s.verification === null ? null : s.verification.endedAtMs / 1000),
  },
  {
    name: 'sluice_verification_ok',
    kind: 'gauge',
    help: '1 when the last verification has found everything in order; 0 when something is off, or when it could not be done.',
    read: (s) => (s.verification === null ? null : Number(s.verification.ok)),
  },
  {
    name: 'sluice_verification_seconds',
    kind: 'gauge',
    help: 'How long the last verification took.',
    read: (s) => s.verification?.seconds ?? null,
  },
  {
    name: 'sluice_verification_faults',
    kind: 'gauge',
    help: 'What the last verification has found, by kind (docs/guarantees.md says what each means).',
    label: { name: 'kind', values: FAULT_NAMES },
    read: (s) => s.verification?.faults ?? new Map(),
  },
  {
    name: 'sluice_verification_checked',
    kind: 'gauge',
    help: 'How much the last verification has compared: rows of the lake and of the warehouse, events of the change stream, documents.',
    label: { name: 'check', values: CHECK_NAMES },
    read: (s) => s.verification?.checked ?? new Map(),
  },
  {
    name: 'sluice_retention_held_collections',
    kind: 'gauge',
    help: 'Collections that keep hours which are old enough to go, as retention last found: `sluice status` says which and why.',
    read: (s) => s.held?.collections ?? null,
  },
  {
    name: 'sluice_retention_held_seconds',
    kind: 'gauge',
    help: 'How long the first of them has been held; 0 while none is.',
    read: (s, nowMs) => (s.held === null ? null : s.held.sinceMs === null ? 0 : Math.max(0, (nowMs - s.held.sinceMs) / 1000)),
  },
  {
    name: 'sluice_state',
    kind: 'gauge',
    help: '1 for the state that the pipeline is in, 0 for the others.',
    label: { name: 'state', values: STATES },
    read: (s) => new Map([[s.state, 1]]),
  },
];
