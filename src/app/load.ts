/**
 * Loading, merging and pausing with an open warehouse: the same for a running pipeline and for a command of its own.
 */
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, USAGE } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { formatNamespace, NamespaceFilter, type Namespace } from '../core/namespace.ts';
import type { CollectionStatus, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { newStats, type PipelineStats } from '../ops/stats.ts';
import { Loader } from '../pipeline/loader.ts';
import { openLake, openWarehouse, type WarehouseUse } from './compose.ts';
import type { CollectionsArgs, CommandOptions, HourRange, LoadArgs, LoadSummary, MergeArgs, MergeSummary, PauseSummary } from './types.ts';

const FILES_PER_LOAD_MAX = 1_000;

export async function loadSealed(config: Config, args: LoadArgs, options: CommandOptions, signal: AbortSignal): Promise<LoadSummary> {
  await using lake = await openLake(config, options);
  await using warehouse = await needWarehouse(config, options.log, 'fold');
  return await loadWith(lake, warehouse, { pipeline: config.pipeline, hours: args.hours, log: options.log, stats: newStats() }, signal);
}

export async function mergeCollections(config: Config, args: MergeArgs, options: CommandOptions, signal: AbortSignal): Promise<MergeSummary> {
  await using warehouse = await needWarehouse(config, options.log, 'fold');
  return await mergeWith(warehouse, args, signal);
}

/** @throws CONFIG_CONFLICT without a warehouse in the configuration */
export async function needWarehouse(config: Config, log: Logger, use: WarehouseUse): Promise<Warehouse> {
  const warehouse = await openWarehouse(config, log, use);
  if (warehouse === null)
    throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no `warehouse`', { next: 'Add `warehouse: { url: duckdb:./warehouse.duckdb }`.' });
  return warehouse;
}

export interface LoadContext {
  readonly pipeline: string;
  readonly hours: HourRange | null;
  readonly log: Logger;
  readonly stats: PipelineStats;
}

export async function loadWith(lake: Lake, warehouse: Warehouse, context: LoadContext, signal: AbortSignal): Promise<LoadSummary> {
  const { pipeline, hours, log, stats } = context;
  const options = { pipeline, filesPerLoadMax: FILES_PER_LOAD_MAX, clock: systemClock, log, stats };
  return new Loader(lake, warehouse, hours === null ? options : { ...options, hour: hours }).catchUp(signal);
}

export async function mergeWith(warehouse: Warehouse, args: MergeArgs, signal: AbortSignal): Promise<MergeSummary> {
  const namespaces = args.collections.length > 0 || args.rebuild ? await choose(warehouse, args.collections) : await warehouse.unmerged();
  const collections: { namespace: string; rows: number }[] = [];
  for (const ns of namespaces) {
    const { rows } = await warehouse.merge(ns, { rebuild: args.rebuild }, signal);
    collections.push({ namespace: formatNamespace(ns), rows });
  }
  return { collections };
}

export async function setStatuses(warehouse: Warehouse, args: CollectionsArgs, status: CollectionStatus): Promise<PauseSummary> {
  const namespaces = await choose(warehouse, args.collections);
  const reason = status === 'PAUSED' ? 'paused by a person' : null;
  for (const ns of namespaces) await warehouse.setStatus(ns, status, reason);
  return { collections: namespaces.map(formatNamespace) };
}

/** Collections of the registry that the globs name; a glob that names none is a mistake. */
async function choose(warehouse: Warehouse, globs: readonly string[]): Promise<Namespace[]> {
  const known = (await warehouse.collections()).map((row) => row.namespace).filter((ns) => ns.coll !== null);
  if (globs.length === 0) return known;
  const chosen = new Set<Namespace>();
  for (const glob of globs) {
    const filter = new NamespaceFilter([glob], []);
    const hits = known.filter((ns) => filter.matches(ns));
    if (hits.length === 0)
      throw new SluiceError(USAGE, `no collection in the warehouse is called ${glob}`, {
        next: `Known are: ${known.map(formatNamespace).join(', ') || 'none yet'}.`,
      });
    for (const ns of hits) chosen.add(ns);
  }
  return [...chosen];
}
