/**
 * Looks at the oplog now and then while a pipeline runs: how long the history of its position lasts at the rate of the last
 * minutes (core/oplog.ts). Nothing depends on it; a user who may not read `local` has no figure.
 */
import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import { headroomSeconds, type OplogState } from '../core/oplog.ts';
import type { PipelineStats } from '../ops/stats.ts';

const LOOK_MS = 30_000;
/** The rate is that of so many looks. */
const LOOKS_MAX = 20;
const SOURCE_MS_MAX = 2_000;

/** `null` when the server is away or this user may not look. */
export async function readOplog(config: Config, signal: AbortSignal): Promise<OplogState | null> {
  const { oplogWindow, withClient } = await import('../source/mongo/inspect.ts');
  const options = { serverSelectionTimeoutMS: SOURCE_MS_MAX, connectTimeoutMS: SOURCE_MS_MAX };
  return await withClient(config.source.uri, signal, async (client) => (await oplogWindow(client)).state, options).catch(() => null);
}

/** Until the signal aborts; never throws. */
export async function watchOplog(config: Config, stats: PipelineStats, clock: Clock, signal: AbortSignal): Promise<void> {
  const looks: OplogState[] = [];
  while (!signal.aborted) {
    const state = await readOplog(config, signal);
    if (state !== null && stats.watermark !== null) {
      stats.oplogHeadroomSeconds = headroomSeconds(state, stats.watermark.t, looks[0] ?? null);
    } else stats.oplogHeadroomSeconds = null;
    if (state !== null) looks.push(state);
    if (looks.length > LOOKS_MAX) looks.shift();
    // Soon again as long as there is nothing to tell.
    await clock.sleep(stats.oplogHeadroomSeconds === null && state !== null ? 1000 : LOOK_MS, signal).catch(() => {});
  }
}
