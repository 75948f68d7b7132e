/**
 * What touches one file takes turns, over all lakes of this process: two puts with the same condition must not both
 * find it true, two fences of one part must not both believe that they came last.
 */
const last = new Map<string, Promise<unknown>>();

/** Runs `work` once everything that was asked for `key` before has ended. */
export async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const before = last.get(key);
  const turn = before === undefined ? work() : before.then(work);
  const settled = turn.catch(() => {});
  last.set(key, settled);
  try {
    return await turn;
  } finally {
    if (last.get(key) === settled) last.delete(key);
  }
}
