/**
 * `sluice snapshot`: collections read whole, now; by a running owner beside its stream, else here.
 */
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, NOT_BUILT } from '../core/errors.ts';
import { formatNamespace, NamespaceFilter, type Namespace } from '../core/namespace.ts';
import type { SnapshotsAsked } from '../core/snapshot.ts';
import { newStats } from '../ops/stats.ts';
import { Capture } from '../pipeline/capture.ts';
import { captureOptions, makeSnapshots, makeSource, openLake } from './compose.ts';
import type { CollectionsArgs, CommandOptions, SnapshotSummary } from './types.ts';

/** @throws LAKE_OWNED while a process that could not be asked owns the pipeline */
export async function snapshotPipeline(
  config: Config,
  args: CollectionsArgs,
  options: CommandOptions,
  signal: AbortSignal,
): Promise<SnapshotSummary> {
  const { log } = options;
  assertSnapshots(config);
  const stats = newStats();
  await using lake = await openLake(config, { log });
  await using source = await makeSource(config, systemClock, stats, log);
  await using snapshots = await makeSnapshots(config, systemClock, stats, log);
  const how = { untilIdleMs: null, wait: false, takeOver: false, acceptGap: false };
  const capture = new Capture(await captureOptions(config, how), { source, snapshots, lake, clock: systemClock, stats, log });
  return summaryOf(await capture.snapshotStopped(chosenBy(args), signal), false);
}

/** @throws CONFIG_CONFLICT, NOT_BUILT */
export function assertSnapshots(config: Config): void {
  if (config.bus !== null) throw new SluiceError(NOT_BUILT, '`sluice snapshot` of a pipeline with a bus');
  if (canSnapshot(config)) return;
  const next = 'Leave `source.match` out, and take a snapshot again.';
  throw new SluiceError(CONFIG_CONFLICT, '`source.match` is about change events, and a snapshot has none', { next });
}

/** Whether {@link assertSnapshots} lets it. */
export function canSnapshot({ bus, source }: Config): boolean {
  return bus === null && Object.keys(source.match).length === 0;
}

/** By globs; all when there are none. */
export function chosenBy({ collections }: CollectionsArgs): (ns: Namespace) => boolean {
  const filter = new NamespaceFilter(collections.length === 0 ? ['*.*'] : collections, []);
  return (ns) => filter.matches(ns);
}

export function summaryOf({ begun, underWay, refused }: SnapshotsAsked, goesOn: boolean): SnapshotSummary {
  return {
    collections: begun.map(({ namespace, documents, caveat }) => ({ namespace: formatNamespace(namespace), documents, caveat })),
    underWay: underWay.map(({ namespace }) => formatNamespace(namespace)),
    refused: refused.map(({ namespace, refused: reason }) => ({ namespace: formatNamespace(namespace), reason: reason ?? '' })),
    goesOn,
  };
}
