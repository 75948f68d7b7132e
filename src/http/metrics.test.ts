import { describe, expect, it } from 'vitest';
import { newStats } from '../ops/stats.ts';
import { makeRegistry, metricsReference } from './metrics.ts';

describe('docs/metrics.md', () => {
  it('names every metric of sluice that is served, and no other', async () => {
    const stats = { ...newStats(), lastEventAtMs: 1, watermark: { t: 1, i: 1 } };
    const served = (await makeRegistry('shop', stats, () => 0).getMetricsAsJSON())
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
