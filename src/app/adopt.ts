/**
 * `sluice adopt`: what a Spark job has staged of Capture files becomes part of the lake, partition by partition.
 *
 * Any number of processes may do it at once: who owns a partition adopts it. The first partition comes last, because it publishes the
 * hours for all.
 */
import { existsSync } from 'node:fs';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { ADOPT_LAYOUT, STAGED_ELSEWHERE, STAGED_NOT_WHOLE } from '../core/errors.ts';
import { isPerEvent } from '../core/layout.ts';
import type { Config } from '../config/config.ts';
import { newStats } from '../ops/stats.ts';
import { adoptPartition } from '../pipeline/adoption.ts';
import { partitionScope } from '../pipeline/checkpoint.ts';
import { readStaged } from '../pipeline/staged.ts';
import { captureOptions, openLake } from './compose.ts';
import { begin, localFolder, withLake } from './reshape.ts';
import type { AdoptArgs, AdoptSummary, CommandOptions } from './types.ts';

/** @throws STAGED_NOT_WHOLE, STAGED_ELSEWHERE, STAGED_DIFFERS */
export async function adopt(config: Config, args: AdoptArgs, { log }: CommandOptions, signal: AbortSignal): Promise<AdoptSummary> {
  const { pipeline } = config;
  if (isPerEvent(config.lake.layout)) throw new SluiceError(ADOPT_LAYOUT, `lake.layout is per-event`);
  if (args.from.startsWith('file:') && !existsSync(localFolder(args.from))) throw new SluiceError(STAGED_NOT_WHOLE, `${args.from} is not there`);
  await using staging = await openLake(withLake(config, args.from), { log });
  const staged = await readStaged(staging, signal);
  await using lake = await openLake(config, { log });
  if (staged.pipeline !== pipeline) throw new SluiceError(STAGED_ELSEWHERE, `it is of the pipeline ${staged.pipeline}, this is ${pipeline}`);
  const first = staged.partitions.map(({ fingerprint, firstAt }) => ({ fingerprint, at: firstAt }));
  const producer = await begin(config, lake, () => Promise.resolve(first), signal);
  const { partitions: count, partitionBy } = producer.bus!;
  const strange = staged.partitions.find(({ partition }) => partition >= count);
  if (strange !== undefined) throw new SluiceError(STAGED_NOT_WHOLE, `it has a partition ${strange.partition}, the topic has ${count}`);
  const how = await captureOptions(config, { untilIdleMs: null, wait: false, takeOver: args.takeOver, acceptGap: false });
  const onBadMessage = config.bus?.onBadMessage ?? 'deadLetter';
  const stats = newStats();
  const parts = { lake, staging, clock: systemClock, stats, log };
  const left: number[] = [];
  for (let index = count - 1; index >= 0; index -= 1) {
    const layout = partitionBy === 'document' ? how.layout.replace('{part}', `.${partitionScope(index)}{part}`) : how.layout;
    const of = {
      index,
      count,
      startedAt: producer.startedAt,
      staged: staged.partitions.find(({ partition }) => partition === index) ?? null,
      files: staged.files.filter(({ partition }) => partition === index),
      bad: staged.bad.filter(({ partition }) => partition === index),
    };
    if (of.staged === null && index > 0) continue;
    const isDone = await adoptPartition({ ...how, layout, onBadMessage }, parts, of, signal);
    if (!isDone) left.push(index);
  }
  const { events, partsSealed, hoursComplete, deadLetters } = stats;
  return { events, partsSealed, hoursComplete, deadLetters, partitionsOwnedByOthers: left.toReversed() };
}
