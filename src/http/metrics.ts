/**
 * Prometheus metrics: a registry and docs/specs/metrics.md from one table, so that neither can say more than the other.
 */
import { collectDefaultMetrics, Gauge, Counter, Registry, type Metric as PromMetric } from 'prom-client';
import { SECONDS_BUCKETS, type Histogram } from '../ops/histogram.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { METRICS, type Metric } from './metrics-table.ts';

/** A registry of its own for one pipeline: two in one process do not meet. */
export function makeRegistry(pipeline: string, stats: Readonly<PipelineStats>, now: () => number): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ pipeline });
  for (const metric of METRICS) register(registry, metric, stats, now);
  collectDefaultMetrics({ register: registry });
  return registry;
}

function register(registry: Registry, metric: Metric, stats: Readonly<PipelineStats>, now: () => number): void {
  const { name, kind, help } = metric;
  if (kind === 'histogram') return registry.registerMetric(histogramMetric(name, help, () => metric.read(stats)));
  const labels = 'label' in metric ? [metric.label.name] : [];
  const read = (): [Record<string, string>, number][] => {
    if ('label' in metric) {
      const values = metric.read(stats, now());
      return metric.label.values.map((value) => [{ [metric.label.name]: value }, values.get(value) ?? 0]);
    }
    const value = metric.read(stats, now());
    return value === null ? [] : [[{}, value]];
  };
  const options = { name, help, labelNames: labels, registers: [registry] };
  if (kind === 'gauge') {
    const gauge: Gauge = new Gauge({
      ...options,
      collect: () => {
        gauge.reset();
        // A gauge without labels is reset to 0: what is not known is to be left out.
        if (labels.length === 0) gauge.remove();
        for (const [of, value] of read()) gauge.set(of, value);
      },
    });
    return;
  }
  const counter: Counter = new Counter({
    ...options,
    collect: () => {
      counter.reset();
      for (const [of, value] of read()) counter.inc(of, value);
    },
  });
}

/** prom-client's own takes observations alone; ours are counted where no library is known. */
function histogramMetric(name: string, help: string, read: () => Readonly<Histogram>): PromMetric {
  const get = async (): Promise<unknown> => {
    const { counts, sum, count } = read();
    let total = 0;
    const buckets = SECONDS_BUCKETS.map((le, at) => {
      total += counts[at] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le }, value: total };
    });
    return {
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [
        ...buckets,
        { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: count },
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: count },
      ],
    };
  };
  return { name, help, get, reset: () => {} } as unknown as PromMetric;
}

const UNITS = ['seconds', 'bytes'] as const;

/** What is wrong with a name by the grammar of docs/specs/metrics.md, or `null`. */
export function misnamed({ name, kind }: Pick<Metric, 'name' | 'kind'>): string | null {
  if (!/^sluice(_[a-z]+)+$/.test(name)) return 'it must be sluice_ and words of small letters';
  if ((kind === 'counter') !== name.endsWith('_total')) return '_total is the end of counters and of nothing else';
  if (kind === 'histogram' && !UNITS.some((unit) => name.endsWith(`_${unit}`))) return 'a histogram ends in its unit';
  if (/_(?:ms|milliseconds|kb|mb|mib|percent)(?:_|$)|_(?:minutes|hours|days)(?:_total)?$/.test(name)) return 'units are base units: seconds, bytes';
  const words = name.split('_');
  const unitAt = words.findIndex((word) => UNITS.some((unit) => unit === word));
  const last = words.length - (kind === 'counter' ? 2 : 1);
  return unitAt >= 0 && unitAt !== last ? 'the unit is the last word before _total' : null;
}

/** docs/specs/metrics.md. */
export function metricsReference(): string {
  const rows = METRICS.map((metric) => {
    const { name, kind, help } = metric;
    const label = 'label' in metric ? ` Label \`${metric.label.name}\`: ${metric.label.values.join(', ')}.` : '';
    return `| \`${name}\` | ${kind} | ${help}${label} |`;
  });
  return `# Metrics

<!-- Written by scripts/docs.ts from src/http/metrics-table.ts. -->

\`GET /metrics\` on the address in \`http\` gives these in the Prometheus text format. Counters and histograms begin at 0 with each start of
the process. What is not known yet (the lag before the first read) is left out.

## Names
\`\`\`text
name    = "sluice_" subject [ "_" unit ] [ "_total" ]
subject = word { "_" word }            what is counted; small letters
unit    = "seconds" | "bytes"          base units, always the last word before "_total"
\`\`\`

A counter ends in \`_total\`, and nothing else does. A histogram ends in its unit, and has \`_bucket\`, \`_sum\` and \`_count\`. A moment is a gauge
that ends in \`_timestamp_seconds\` (seconds since 1970). Every metric has the label \`pipeline\`; a further label has a closed set of values, named
below: the number of series does not grow with the number of collections. What there is to know of a collection is in
\`sluice status\`, on the dashboard and in \`sluice.pipeline_health\`.

## Table
| metric | kind | meaning |
|---|---|---|
${rows.join('\n')}

## Of the process
The usual \`process_*\` and \`nodejs_*\` metrics are there too: \`process_resident_memory_bytes\`, \`process_cpu_seconds_total\`,
\`nodejs_eventloop_lag_p99_seconds\` (how long the event loop kept others waiting) and more.

## Dashboard and alerts
[deploy/grafana/sluice.json](../../deploy/grafana/sluice.json) is a Grafana dashboard, [deploy/prometheus/sluice-alerts.yaml](../../deploy/prometheus/sluice-alerts.yaml)
are alert rules; test/deploy/metrics.test.ts holds every expression in them against the metrics that are served.
`;
}
