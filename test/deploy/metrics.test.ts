/**
 * The Grafana dashboard and the alert rules name only what is served: a renamed metric would leave a panel empty and an
 * alert silent for ever.
 */
import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { METRICS } from '../../src/http/metrics-table.ts';
import { makeRegistry } from '../../src/http/metrics.ts';
import { newStats } from '../../src/ops/stats.ts';

const ROOT = new URL('../../deploy/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

/** Grafana puts these in before Prometheus sees the expression. */
function substituted(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll('$pipeline', '.*');
}

interface Expression {
  readonly broken: boolean;
  readonly metrics: readonly string[];
  readonly labels: readonly string[];
}

function analysed(expr: string): Expression {
  const metrics: string[] = [];
  const labels: string[] = [];
  let broken = false;
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.type.isError) broken = true;
      if (node.name === 'VectorSelector') metrics.push(expr.slice(node.from, node.to).split(/[{\s[]/)[0] ?? '');
      if (node.name === 'LabelName') labels.push(expr.slice(node.from, node.to));
    },
  });
  return { broken, metrics, labels };
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string };
}

interface Dashboard {
  readonly panels: readonly { readonly id: number; readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

const dashboard = JSON.parse(read('grafana/sluice.json')) as Dashboard;
const rules = (parse(read('prometheus/sluice-alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const expressions = [
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [`panel ${title}`, expr] as const)),
  ...rules.map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
];

async function served(): Promise<ReadonlySet<string>> {
  const verification = { endedAtMs: 1, seconds: 1, ok: true, faults: new Map(), checked: new Map() };
  const stats = {
    ...newStats(),
    lastEventAtMs: 1,
    lastLoadAtMs: 1,
    events: 1,
    watermark: { t: 1, i: 1 },
    oplogHeadroomSeconds: 1,
    verification,
    held: { collections: 0, sinceMs: null },
  };
  const lake = { ...stats.lake, writes: 1 };
  const text = await makeRegistry('shop', { ...stats, lake }, () => 0).metrics();
  return new Set(text.split('\n').flatMap((line) => (line === '' || line.startsWith('#') ? [] : [line.split(/[{ ]/)[0] ?? ''])));
}

describe('deploy/', () => {
  it.each(expressions)('%s is PromQL over metrics and labels that are served: %s', async (_, expr) => {
    const { broken, metrics, labels } = analysed(substituted(expr));
    expect(broken).toBe(false);
    expect(metrics).not.toEqual([]);
    const names = await served();
    expect(metrics.filter((name) => !names.has(name))).toEqual([]);
    const known = ['pipeline', 'le', ...METRICS.flatMap((metric) => ('label' in metric ? [metric.label.name] : []))];
    expect(labels.filter((label) => !known.includes(label))).toEqual([]);
  });

  it('has a panel number and an alert name for each once', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  it('shows or watches every metric of a failure', () => {
    const used = new Set(expressions.flatMap(([, expr]) => analysed(substituted(expr)).metrics));
    const failures = ['sluice_gaps', 'sluice_gaps_open', 'sluice_lag_seconds', 'sluice_load_errors_total', 'sluice_lake_away_seconds'];
    expect(failures.filter((name) => !used.has(name))).toEqual([]);
  });

  it('would notice a metric that nobody serves, and an expression that is none', async () => {
    expect(analysed('sum by (pipeline) (sluice_lag_minutes)').metrics.filter((name) => name !== 'sluice_lag_minutes')).toEqual([]);
    expect((await served()).has('sluice_lag_minutes')).toBe(false);
    expect(analysed('sum by (pipeline (sluice_lag_seconds)').broken).toBe(true);
  });
});
