import type { Config } from '../config/config.ts';
import { needWarehouse, setStatuses } from './load.ts';
import type { CollectionsArgs, CommandOptions, PauseSummary } from './types.ts';

/** Loading of these collections stops; capture goes on, so that no history is lost. */
export async function pauseCollections(config: Config, args: CollectionsArgs, options: CommandOptions): Promise<PauseSummary> {
  await using warehouse = await needWarehouse(config, options.log, 'note');
  return await setStatuses(warehouse, args, 'PAUSED');
}

/** The next load brings what has come together meanwhile. */
export async function resumeCollections(config: Config, args: CollectionsArgs, options: CommandOptions): Promise<PauseSummary> {
  await using warehouse = await needWarehouse(config, options.log, 'note');
  return await setStatuses(warehouse, args, 'ACTIVE');
}
