/**
 * Prometheus metrics. One table gives the registry and docs/metrics.md, so that neither can say more than the other.
 *
 * Names: `sluice_`, what is counted, its unit, `_total` for counters. Values are read when they are scraped; the hot path
 * only adds to plain numbers.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { writesPerMillion, type PipelineState, type PipelineStats } from '../ops/stats.ts';
import type { Timestamp } from '../core/time.ts';

interface Metric {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly help: string;
  /** `null`: not known yet, the metric is left out. */
  readonly read: (stats: Readonly<PipelineStats>, nowMs: number) => number | null;
}

const seconds = (at: Timestamp | null): number | null => (at === null ? null : at.t);

const METRICS: readonly Metric[] = [
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
];

const STATES: readonly PipelineState[] = ['starting', 'standby', 'recovering', 'running', 'reconnecting', 'stopping', 'stopped', 'failed'];
const STATE = { name: 'sluice_state', help: '1 for the state that the pipeline is in, 0 for the others; label `state`.' } as const;

/** A registry of its own for one pipeline: two in one process do not meet. */
export function makeRegistry(pipeline: string, stats: Readonly<PipelineStats>, now: () => number): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ pipeline });
  for (const { name, kind, help, read } of METRICS) {
    const options = { name, help, registers: [registry] };
    if (kind === 'gauge') {
      const gauge = new Gauge({
        ...options,
        collect: () => {
          gauge.reset();
          const value = read(stats, now());
          if (value === null) gauge.remove();
          else gauge.set(value);
        },
      });
    } else {
      const counter = new Counter({
        ...options,
        collect: () => {
          counter.reset();
          counter.inc(read(stats, now()) ?? 0);
        },
      });
    }
  }
  const state = new Gauge({
    ...STATE,
    labelNames: ['state'],
    registers: [registry],
    collect: () => {
      for (const name of STATES) state.set({ state: name }, stats.state === name ? 1 : 0);
    },
  });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** docs/metrics.md. */
export function metricsReference(): string {
  const rows = METRICS.map(({ name, kind, help }) => `| \`${name}\` | ${kind} | ${help} |`);
  return `# Metrics

<!-- Written by scripts/docs.ts from src/http/metrics.ts. -->

\`GET /metrics\` on the address in \`http\` gives these in the Prometheus text format, each with the label \`pipeline\`.
Counters begin at 0 with each start of the process. What is not known yet (the lag before the first read) is left out.

| metric | kind | meaning |
|---|---|---|
${rows.join('\n')}
| \`${STATE.name}\` | gauge | ${STATE.help} States: ${STATES.join(', ')}. |

The usual \`process_*\` and \`nodejs_*\` metrics (memory, CPU, event loop lag) are there too.

## Alerts to begin with

\`\`\`yaml
- alert: SluiceLag            # nothing has become durable for five minutes, though the watermark moves even when nothing happens
  expr: sluice_lag_seconds > 300
- alert: SluiceNoOwner        # no process has the pipeline
  expr: sum by (pipeline) (sluice_state{state=~"running|reconnecting"}) == 0
- alert: SluiceLakeAway       # the storage has not answered for a minute: MongoDB is held back, nothing is lost while its oplog reaches back
  expr: sluice_lake_away_seconds > 60
- alert: SluiceLakeThrottled
  expr: increase(sluice_lake_retries_total[15m]) > 100
- alert: SluiceLoadErrors
  expr: increase(sluice_load_errors_total[15m]) > 0
\`\`\`
`;
}
