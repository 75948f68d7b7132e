/**
 * What the warehouse knows of collections and of their documents, for `sluice collections` and `sluice schema`.
 */
import { SluiceError } from '../core/error.ts';
import { USAGE } from '../core/errors.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { needWarehouse } from './load.ts';
import type { CommandOptions, RegistryReport, SchemaArgs, SchemaReport } from './types.ts';

export async function readCollections(config: Config, options: CommandOptions): Promise<RegistryReport> {
  await using warehouse = await needWarehouse(config, options.log, 'look');
  return await collectionsOf(warehouse);
}

export async function collectionsOf(warehouse: Warehouse): Promise<RegistryReport> {
  const rows = await warehouse.collections();
  return { collections: rows.map(({ namespace, ...row }) => ({ namespace: formatNamespace(namespace), ...row })) };
}

export async function readSchemas(config: Config, args: SchemaArgs, options: CommandOptions, signal: AbortSignal): Promise<SchemaReport> {
  await using warehouse = await needWarehouse(config, options.log, 'look');
  return await schemasOf(warehouse, args, signal);
}

/** @throws USAGE for a collection that the warehouse does not know */
export async function schemasOf(warehouse: Warehouse, args: SchemaArgs, signal: AbortSignal): Promise<SchemaReport> {
  const known = (await warehouse.collections()).map((row) => row.namespace).filter((ns) => ns.coll !== null);
  const chosen = args.collection === null ? known : known.filter((ns) => formatNamespace(ns) === args.collection);
  if (args.collection !== null && chosen.length === 0) {
    throw new SluiceError(USAGE, `no collection in the warehouse is called ${args.collection}`, {
      next: `Known are: ${known.map(formatNamespace).join(', ') || 'none yet'}.`,
    });
  }
  const collections = [];
  for (const ns of chosen) {
    signal.throwIfAborted();
    const failedCasts = args.check ? await warehouse.failedCasts(ns, signal) : null;
    collections.push({ namespace: formatNamespace(ns), versions: await warehouse.schema(ns), failedCasts });
  }
  return { collections };
}
