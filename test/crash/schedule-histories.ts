/**
 * Histories for random schedules, small, and each with what makes trouble.
 */
import type { History, WorldEvent } from './schedule-world.ts';

const HOUR = 3600;
const T0 = 1_795_248_000; // a full hour

function history(end: number, batchEvents: number, seconds: readonly (readonly [number, string, Partial<WorldEvent>?])[]): History {
  const events = seconds.map(([s, coll, more], id): WorldEvent => ({ at: { t: T0 + s, i: 1 }, ns: `db.${coll}`, id, ...more }));
  return { events, batchEvents, end: { t: T0 + end, i: 1 } };
}

/** Transactions that straddle batches, one key twice in one of them, several collections, an hour without events. */
export const HISTORIES: readonly History[] = [
  history(3 * HOUR, 5, [
    [1, 'a'], [2, 'b'], [3, 'a'], [3, 'b'], [3, 'a'], [4, 'a'], [HOUR + 1, 'b'], [HOUR + 2, 'a'], [HOUR + 2, 'a'], [HOUR + 3, 'b'],
    [2 * HOUR + 1, 'b'], [2 * HOUR + 1, 'b'],
  ]),
  history(3 * HOUR, 2, [[1, 'a'], [2, 'a', { key: 1 }], [2, 'b'], [2, 'a', { key: 3 }], [2, 'a', { key: 1 }], [HOUR + 1, 'a']]),
  history(2 * HOUR, 3, [[1, 'a'], [2, 'b'], [3, 'a'], [3, 'a'], [4, 'b'], [5, 'a'], [HOUR + 1, 'a'], [HOUR + 2, 'b']]),
]; // prettier-ignore
