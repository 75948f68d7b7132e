/**
 * `sluice seal` on a pipeline that does not run.
 */
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { newStats } from '../ops/stats.ts';
import { Capture } from '../pipeline/capture.ts';
import { Consume } from '../pipeline/consume.ts';
import { captureOptions, consumeOptions, makeSource, openBus, openLake } from './compose.ts';
import { sealedBy } from './sealed-since.ts';
import type { CommandOptions, SealSummary } from './types.ts';

/** @throws LAKE_OWNED while a process that could not be asked owns the pipeline */
export async function sealPipeline(config: Config, options: CommandOptions, signal: AbortSignal): Promise<SealSummary> {
  const { log } = options;
  const stats = newStats();
  await using lake = await openLake(config, { log });
  const clock = systemClock;
  const how = { untilIdleMs: null, wait: false, takeOver: false, acceptGap: false };
  if (config.bus !== null) {
    await using bus = await openBus(config, clock, log);
    const consume = new Consume(await consumeOptions(config, how), { bus, lake, clock, stats, log });
    return await sealedBy(lake, config.pipeline, () => consume.sealStopped(signal), signal);
  }
  await using source = await makeSource(config, clock, stats, log);
  const capture = new Capture(await captureOptions(config, how), { source, lake, clock, stats, log });
  return await sealedBy(lake, config.pipeline, () => capture.sealStopped(signal), signal);
}
