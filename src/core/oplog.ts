/**
 * How long a pipeline may stand still before the server has cut the history that it still needs.
 *
 * The oplog is a ring of bytes: what lies before the position and what is still free is written over first. How soon depends on
 * how much is written, so the faster of two rates counts: that of all the oplog holds, and that of the last minutes.
 */

/** An oplog as it stood at one moment; seconds are of cluster time. */
export interface OplogState {
  readonly firstSeconds: number;
  readonly lastSeconds: number;
  readonly bytes: number;
  /** `null`: not known, and then it counts as full. */
  readonly bytesMax: number | null;
}

/**
 * Seconds until the entry at `positionSeconds` is cut, if the position stays where it is; 0: it is.
 * @param before an earlier look, which tells how much is written now
 */
export function headroomSeconds(now: OplogState, positionSeconds: number, before: OplogState | null): number {
  const window = Math.max(1, now.lastSeconds - now.firstSeconds);
  const density = now.bytes / window;
  if (positionSeconds < now.firstSeconds || density === 0) return density === 0 ? window : 0;
  const ahead = density * (Math.min(positionSeconds, now.lastSeconds) - now.firstSeconds);
  const free = now.bytesMax === null ? 0 : Math.max(0, now.bytesMax - now.bytes);
  return Math.floor((ahead + free) / Math.max(density, recentRate(now, before, density)));
}

/** Bytes a second between two looks: what the oplog has grown by, and what was cut meanwhile. */
function recentRate(now: OplogState, before: OplogState | null, density: number): number {
  const seconds = before === null ? 0 : now.lastSeconds - before.lastSeconds;
  if (before === null || seconds <= 0) return 0;
  return Math.max(0, now.bytes - before.bytes + density * (now.firstSeconds - before.firstSeconds)) / seconds;
}
