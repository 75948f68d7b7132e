import { describe, expect, it } from 'vitest';
import { newStats } from '../ops/stats.ts';
import { METRICS } from './metrics-table.ts';
import { makeRegistry, metricsReference, misnamed } from './metrics.ts';

describe('docs/specs/metrics.md', () => {
  it('names every metric of sluice that is served, and no other', async () => {
    const served = (await makeRegistry('shop', newStats(), () => 0).getMetricsAsJSON())
      .map((metric) => metric.name)
      .filter((name) => name.startsWith('sluice_'));
    const documented = [...metricsReference().matchAll(/^\| `(sluice_\w+)`/gm)].map((m) => m[1]);
    expect(new Set(documented)).toEqual(new Set(served));
    expect(documented).toHaveLength(served.length);
  });

  it('has a metric for every counter of a pipeline', () => {
    expect([...metricsReference().matchAll(/^\| `sluice_\w+`/gm)].length).toBeGreaterThanOrEqual(Object.keys(newStats()).length);
  });
});

describe('the name of a metric', () => {
  it.each(METRICS.map((metric) => [metric.name, metric] as const))('%s keeps the grammar', (_, metric) => {
    expect(misnamed(metric)).toBeNull();
  });

  it.each([
    ['events_total', 'counter'],
    ['sluice_Events_total', 'counter'],
    ['sluice_events', 'counter'],
    ['sluice_parts_total', 'gauge'],
    ['sluice_lag_ms', 'gauge'],
    ['sluice_seconds_lag', 'gauge'],
    ['sluice_flush', 'histogram'],
    ['sluice_p99_seconds', 'gauge'],
  ] as const)('%s as a %s does not', (name, kind) => {
    expect(misnamed({ name, kind })).not.toBeNull();
  });
});

describe('a histogram', () => {
  it('is served with cumulative buckets, sum and count', async () => {
    const stats = newStats();
    for (const seconds of [0.0005, 0.02, 0.02, 4, 1000]) stats.flushSeconds.observe(seconds);
    const text = await makeRegistry('shop', stats, () => 0).metrics();
    const value = (series: string): number =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(series))
          ?.split(' ')[1],
      );
    expect(text).toContain('# TYPE sluice_flush_seconds histogram');
    expect(value('sluice_flush_seconds_bucket{le="0.001"')).toBe(1);
    expect(value('sluice_flush_seconds_bucket{le="0.025"')).toBe(3);
    expect(value('sluice_flush_seconds_bucket{le="300"')).toBe(4);
    expect(value('sluice_flush_seconds_bucket{le="+Inf"')).toBe(5);
    expect(value('sluice_flush_seconds_count')).toBe(5);
    expect(value('sluice_flush_seconds_sum')).toBeCloseTo(1004.0405);
    expect(text).toContain('sluice_flush_seconds_count{pipeline="shop"} 5');
  });
});
