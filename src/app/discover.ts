/**
 * Finds collections by listing them: those that existed before the pipeline began, or that nobody has written to since.
 * (New ones are found by the stream: the loader tells the warehouse of every collection that the lake has a part of.)
 */
import { formatNamespace } from '../core/namespace.ts';
import type { CollectionStatus, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { maskOf } from './compose.ts';
import { needWarehouse } from './load.ts';
import { countAll } from './source-counts.ts';
import type { CommandOptions, DiscoverArgs, DiscoverSummary } from './types.ts';

export async function discoverCollections(
  config: Config,
  args: DiscoverArgs,
  options: CommandOptions,
  signal: AbortSignal,
): Promise<DiscoverSummary> {
  await using warehouse = await needWarehouse(config, options.log, 'note');
  return await discoverWith(config, warehouse, args, signal);
}

export async function discoverWith(config: Config, warehouse: Warehouse, args: DiscoverArgs, signal: AbortSignal): Promise<DiscoverSummary> {
  const { matchingCollections, withClient } = await import('../source/mongo/inspect.ts');
  const { sampleSchema } = await import('../source/mongo/sample.ts');
  const { uri, include, exclude } = config.source;
  return await withClient(uri, signal, async (client) => {
    const listed = await matchingCollections(client, include, exclude);
    // Views and time series have no change events.
    const found = listed.filter(({ type }) => type === 'collection').map(({ namespace }) => namespace);
    const before = new Set((await warehouse.collections()).map((row) => formatNamespace(row.namespace)));
    await warehouse.discover(found);
    const counts = await countAll(client, found, signal);
    await warehouse.noteSourceCounts(counts);
    const sampled = new Set<string>();
    if (args.sample > 0) {
      for (const ns of found) {
        // What is known already would be counted twice.
        if ((await warehouse.schema(ns)).length > 0) continue;
        const seen = await sampleSchema(
          client,
          ns,
          { documents: args.sample, relaxed: config.lake.json === 'relaxed', mask: maskOf(config) },
          signal,
        );
        if (seen.documents === 0) continue;
        await warehouse.learn(ns, seen);
        sampled.add(formatNamespace(ns));
      }
    }
    const statuses = new Map<string, CollectionStatus>();
    for (const row of await warehouse.collections()) statuses.set(formatNamespace(row.namespace), row.status);
    const byName = new Map(counts.map(({ namespace, count }) => [formatNamespace(namespace), count]));
    return {
      collections: found.map((ns) => {
        const namespace = formatNamespace(ns);
        return {
          namespace,
          isNew: !before.has(namespace),
          status: statuses.get(namespace) ?? 'DISCOVERED',
          sourceCount: byName.get(namespace) ?? null,
          sampled: sampled.has(namespace),
        };
      }),
      leftOut: listed.filter(({ type }) => type !== 'collection').map(({ namespace, type }) => ({ namespace: formatNamespace(namespace), type })),
    };
  });
}
