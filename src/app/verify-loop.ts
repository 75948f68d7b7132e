/**
 * Verifies at the times of `verify.cron`, beside the capture. What it finds is loud and stops nothing: history waits for nobody.
 */
import type { Clock } from '../core/clock.ts';
import type { Lake } from '../core/lake.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { atTimes } from './schedule.ts';
import type { VerifyArgs, VerifyReport } from './types.ts';
import { readVerification, statsOf, takeTime } from './verification.ts';

interface VerifyWith {
  readonly lake: Lake;
  /** This process holds the warehouse. */
  readonly hasWarehouse: boolean;
  readonly stats: PipelineStats;
  readonly clock: Clock;
  readonly log: Logger;
  readonly verify: (args: VerifyArgs, signal: AbortSignal) => Promise<VerifyReport>;
}

/** Until the signal aborts. */
export async function verifyLoop(config: Config, using: VerifyWith, signal: AbortSignal): Promise<void> {
  const { lake, stats, clock, log } = using;
  try {
    const last = await readVerification(lake, config.pipeline, signal);
    if (last !== null) stats.verification ??= statsOf(last);
  } catch (error) {
    if (signal.aborted) return;
    log.warn({ err: error }, 'what the last verification said could not be read');
  }
  if (config.verify === null) return;
  const { cron, checks } = config.verify;
  await atTimes(cron, 'verify.cron', clock, (due) => verifyAt(config, checks, due, using, signal), signal);
}

type Checks = NonNullable<Config['verify']>['checks'];

async function verifyAt(
  config: Config,
  checks: Checks,
  due: number,
  { lake, hasWarehouse, log, verify }: VerifyWith,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (!(await takeTime(lake, config.pipeline, new Date(due).toISOString(), signal))) return;
    const warehouse = checks.includes('warehouse') && hasWarehouse;
    const [inLake, source] = [checks.includes('lake'), checks.includes('source')];
    // Without one of them it would mean all that there is.
    if (inLake || warehouse || source) await verify({ lake: inLake, warehouse, source }, signal);
    if (checks.includes('warehouse') && !hasWarehouse)
      log.warn('this process does not hold the warehouse: it was not verified. `sluice run --role all` does both');
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, 'the verification of this time could not be done; the next time comes');
  }
}
