/**
 * `sluice snapshot`: collections read whole, now; by a running owner beside its stream, else here.
 *
 * Over a bus the owner is the producer, wherever it runs: who does not find it stopped asks it by a file on the lake.
 */
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, LAKE_OWNED, SNAPSHOT_REFUSED } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { SnapshotsAsked } from '../core/snapshot.ts';
import { newStats } from '../ops/stats.ts';
import { Capture } from '../pipeline/capture.ts';
import { PRODUCER } from '../pipeline/checkpoint.ts';
import { snapshotStopped } from '../pipeline/producer-snapshots.ts';
import { readCheckpoint } from '../pipeline/read-checkpoint.ts';
import { askProducer, chosenBy } from '../pipeline/snapshot-question.ts';
import { captureOptions, makeSnapshots, makeSource, openLake } from './compose.ts';
import { isOfReshape } from './reshape.ts';
import type { CollectionsArgs, CommandOptions, SnapshotSummary } from './types.ts';

/** @throws LAKE_OWNED while a process that could not be asked owns the pipeline */
export async function snapshotPipeline(
  config: Config,
  { collections }: CollectionsArgs,
  options: CommandOptions,
  signal: AbortSignal,
): Promise<SnapshotSummary> {
  const { log } = options;
  assertSnapshots(config);
  const stats = newStats();
  await using lake = await openLake(config, { log });
  await using source = await makeSource(config, systemClock, stats, log);
  await using snapshots = await makeSnapshots(config, systemClock, stats, log);
  const how = await captureOptions(config, { untilIdleMs: null, wait: false, takeOver: false, acceptGap: false });
  const parts = { source, snapshots, lake, clock: systemClock, stats, log };
  const choose = chosenBy(collections);
  if (config.bus === null) return summaryOf(await new Capture(how, parts).snapshotStopped(choose, signal), false);
  await assertOurProducer(lake, config.pipeline, signal);
  try {
    return summaryOf(await snapshotStopped(how, parts, choose, signal), false);
  } catch (error) {
    if (!SluiceError.is(error, LAKE_OWNED)) throw error;
    return await snapshotByProducer(config, { collections }, lake, signal);
  }
}

/** Of a producer that runs, here or elsewhere. @throws SNAPSHOT_REFUSED, SNAPSHOT_UNANSWERED */
export async function snapshotByProducer(
  config: Config,
  { collections }: CollectionsArgs,
  lake: Lake,
  signal: AbortSignal,
): Promise<SnapshotSummary> {
  assertSnapshots(config);
  await assertOurProducer(lake, config.pipeline, signal);
  return summaryOf(await askProducer(lake, config.pipeline, collections, systemClock, signal), true);
}

async function assertOurProducer(lake: Lake, pipeline: string, signal: AbortSignal): Promise<void> {
  const checkpoint = await readCheckpoint(lake, pipeline, PRODUCER, signal);
  if (checkpoint === null || !isOfReshape(checkpoint)) return;
  const next = 'Take the snapshot in the lake of the producer.';
  throw new SluiceError(SNAPSHOT_REFUSED, 'this lake is made of Capture files by `sluice reshape`, and nobody reads MongoDB for it', { next });
}

/** @throws CONFIG_CONFLICT */
export function assertSnapshots(config: Config): void {
  if (canSnapshot(config)) return;
  if (Object.keys(config.source.match).length > 0) {
    const next = 'Leave `source.match` out, and take a snapshot again.';
    throw new SluiceError(CONFIG_CONFLICT, '`source.match` is about change events, and a snapshot has none', { next });
  }
  const next = 'Read the collections with the program that sends the messages, or give sluice a pipeline of its own.';
  throw new SluiceError(CONFIG_CONFLICT, 'another program reads MongoDB (`bus.format`), and sluice has its messages alone', { next });
}

/** Whether {@link assertSnapshots} lets it. */
export function canSnapshot({ bus, source }: Config): boolean {
  return (bus === null || bus.format === 'sluice') && Object.keys(source.match).length === 0;
}

export function summaryOf({ begun, underWay, refused }: SnapshotsAsked, goesOn: boolean): SnapshotSummary {
  return {
    collections: begun.map(({ namespace, documents, caveat }) => ({ namespace: formatNamespace(namespace), documents, caveat })),
    underWay: underWay.map(({ namespace }) => formatNamespace(namespace)),
    refused: refused.map(({ namespace, refused: reason }) => ({ namespace: formatNamespace(namespace), reason: reason ?? '' })),
    goesOn,
  };
}
