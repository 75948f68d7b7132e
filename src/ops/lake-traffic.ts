/**
 * What a lake that is paid by the request counts, for metrics, `status` and the bill. A lake on a disk leaves it at zero.
 */
export interface LakeTraffic {
  /** Creates, appends, flushes, puts, deletes, leases. */
  writes: number;
  reads: number;
  lists: number;
  /** Requests that were repeated, because the storage did not answer or was busy. */
  retries: number;
  /** Wall clock, ms, since when the storage has not answered; `null` while it does. */
  awaySinceMs: number | null;
}

export function newLakeTraffic(): LakeTraffic {
  return { writes: 0, reads: 0, lists: 0, retries: 0, awaySinceMs: null };
}
