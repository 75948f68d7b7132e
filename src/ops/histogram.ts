/**
 * How long something took, counted into buckets: plain numbers, so that the hot path pays an addition and a short search.
 */
export const SECONDS_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300] as const;

export class Histogram {
  /** Observations at or below each bound of {@link SECONDS_BUCKETS}, and above the last one; not cumulative. */
  readonly counts: number[] = Array.from({ length: SECONDS_BUCKETS.length + 1 }, () => 0);
  sum = 0;
  count = 0;

  observe(seconds: number): void {
    const at = SECONDS_BUCKETS.findIndex((bound) => seconds <= bound);
    const bucket = at < 0 ? SECONDS_BUCKETS.length : at;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += seconds;
    this.count += 1;
  }
}

/** Runs `work` and counts how long it took, however it ended. */
export async function timed<T>(histogram: Histogram, work: () => Promise<T>): Promise<T> {
  const begunMs = performance.now();
  try {
    return await work();
  } finally {
    histogram.observe((performance.now() - begunMs) / 1000);
  }
}
