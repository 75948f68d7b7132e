/**
 * `sluice seal` on a pipeline that does not run.
 */
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import { newStats } from '../ops/stats.ts';
import { Capture } from '../pipeline/capture.ts';
import { captureOptions, makeSource, openLake } from './compose.ts';
import { sealedBy } from './sealed-since.ts';
import type { CommandOptions, SealSummary } from './types.ts';

/** @throws LAKE_OWNED while a process that could not be asked owns the pipeline */
export async function sealPipeline(config: Config, options: CommandOptions, signal: AbortSignal): Promise<SealSummary> {
  const { log } = options;
  if (config.bus !== null)
    throw new SluiceError(NOT_BUILT, '`sluice seal` of a pipeline with a bus that does not run; ask it while `sluice run --role consume` runs');
  const stats = newStats();
  await using lake = await openLake(config, { log });
  await using source = await makeSource(config, systemClock, stats, log);
  const how = { untilIdleMs: null, wait: false, takeOver: false, acceptGap: false };
  const capture = new Capture(await captureOptions(config, how), { source, lake, clock: systemClock, stats, log });
  return await sealedBy(lake, config.pipeline, () => capture.sealStopped(signal), signal);
}
