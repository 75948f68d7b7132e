/**
 * `sluice retain`, and the retention of a run: what is older than `lake.retention` says is removed.
 */
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, RETENTION_BUSY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import type { HeldStats, PipelineStats } from '../ops/stats.ts';
import { retain, type RetainSummary } from '../pipeline/retain.ts';
import { openLake, openWarehouse } from './compose.ts';
import type { CommandOptions, RetainArgs } from './types.ts';

/** What is to go is older than an hour: looking more often would find nothing. */
const EVERY_MS = 3_600_000;
const DAY_MS = 24 * EVERY_MS;
/** After a start there is other work to do first. */
const FIRST_MS = 60_000;

interface RetainWith {
  readonly lake: Lake;
  readonly warehouse: Warehouse | null;
  /** Of a run. */
  readonly stats?: PipelineStats;
  /** Bronze waits for another time. */
  readonly without?: 'bronze';
  readonly clock: Clock;
  readonly log: Logger;
}

export async function retainPipeline(config: Config, args: RetainArgs, { log }: CommandOptions, signal: AbortSignal): Promise<RetainSummary> {
  await using lake = await openLake(config, { log });
  await using warehouse = await openWarehouse(config, log, args.dryRun ? 'look' : 'note');
  return await retainWith(config, args, { lake, warehouse, clock: systemClock, log }, signal);
}

/** @throws CONFIG_CONFLICT, RETENTION_BUSY */
export async function retainWith(config: Config, { dryRun }: RetainArgs, using: RetainWith, signal: AbortSignal): Promise<RetainSummary> {
  const { lake, warehouse, clock, log, stats, without } = using;
  const { retention } = config.lake;
  if (retention === null) {
    throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no `lake.retention`: everything is kept', {
      next: 'Say how long files are kept, such as `retention: { hours: 90d, dumps: 30d }` below `lake`.',
    });
  }
  // Without its warehouse at hand nobody knows what is loaded: then no hour goes.
  if (config.warehouse !== null && warehouse === null)
    throw new SluiceError(CONFIG_CONFLICT, 'this process does not hold the warehouse, which knows what is loaded');
  const bronzeMs = without === undefined ? retention.bronzeMs : null;
  const summary = await retain({ pipeline: config.pipeline, ...retention, bronzeMs, dryRun }, { lake, clock, log, warehouse }, signal);
  if (stats !== undefined) stats.held = heldStats(summary);
  return summary;
}

function heldStats({ held }: RetainSummary): HeldStats {
  const sinces = held.map(({ since }) => Date.parse(since));
  return { collections: held.length, sinceMs: sinces.length === 0 ? null : Math.min(...sinces) };
}

/** Of a run: now and then, by who holds the lake and the warehouse. What fails is told, and tried the next time. */
export async function retainLoop(config: Config, using: RetainWith, signal: AbortSignal): Promise<void> {
  const { clock, log } = using;
  // A process that captures alone does not know what is loaded.
  if (config.lake.retention === null || (config.warehouse !== null && using.warehouse === null)) return;
  let bronzeDay: number | null = null;
  for (let waitMs = FIRST_MS; !signal.aborted; waitMs = EVERY_MS) {
    await clock.sleep(waitMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      // A warehouse that costs money while it is awake is asked once a day.
      const day = Math.floor(clock.now() / DAY_MS);
      await retainWith(config, { dryRun: false }, day === bronzeDay ? { ...using, without: 'bronze' } : using, signal);
      bronzeDay = day;
    } catch (error) {
      if (signal.aborted) return;
      if (SluiceError.is(error, RETENTION_BUSY)) log.info('files are being rewritten: old ones are removed the next time');
      else log.error({ err: error }, 'old files could not be removed; the next time comes');
    }
  }
}
