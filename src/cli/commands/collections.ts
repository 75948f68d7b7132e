import type { Command } from 'commander';
import type { DiscoverSummary, RegistryReport } from '../../app/types.ts';
import { wholeNumber } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, renderTable } from '../table.ts';

const SAMPLE_MAX = 10_000;

export function discoverCommand(program: Command, io: Io): void {
  program
    .command('discover')
    .summary('find collections by listing them, and count their documents')
    .description(
      'Lists the collections that `source.include` and `exclude` choose, tells the warehouse of those that it does not know, and notes how many documents each has. ' +
        'New collections are found without this as soon as they are written to.',
    )
    .option(
      '--sample <documents>',
      'also looks at so many documents of each collection of which nothing is known, for its schema',
      wholeNumber(1, SAMPLE_MAX),
    )
    .action(async (flags: { readonly sample?: number }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const args = { sample: flags.sample ?? 0 };
      const result = await askOwnerOr<DiscoverSummary>(io, config, '/api/discover', args, async () => {
        const { discoverCollections } = await import('../../app/discover.ts');
        return await discoverCollections(config, args, { log }, io.signal);
      });
      if (globalsOf(command).json) return printJson(io, result);
      const rows = result.collections.map((row) => [
        row.namespace,
        row.isNew ? 'new' : '',
        row.status,
        row.sourceCount,
        ...(args.sample > 0 ? [row.sampled ? 'sampled' : ''] : []),
      ]);
      if (rows.length > 0)
        io.stdout.write(renderTable(['collection', '', 'status', 'documents', ...(args.sample > 0 ? ['schema'] : [])], rows, io.stdout));
      io.stdout.write(`${countOf(rows.length, 'collection')}, ${result.collections.filter((row) => row.isNew).length} new.\n`);
      for (const { namespace, type } of result.leftOut) io.stdout.write(`  left out: ${namespace} (${type}: it has no change events)\n`);
    });
}

export function collectionsCommand(program: Command, io: Io): void {
  program
    .command('collections')
    .summary('the collections that the warehouse knows')
    .description(
      'The registry of the warehouse: status and why, rows loaded, documents at the source when they were last counted, and up to when each is complete.',
    )
    .action(async (_flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { collections } = await askOwnerOr<RegistryReport>(io, config, '/api/collections', {}, async () => {
        const { readCollections } = await import('../../app/schema.ts');
        return await readCollections(config, { log });
      });
      if (globalsOf(command).json) return printJson(io, { collections });
      if (collections.length === 0) return io.stdout.write('None yet. `sluice discover` lists those of the source.\n');
      const rows = collections.map((row) => [
        row.namespace,
        `${row.status}${row.reason === null ? '' : `: ${row.reason}`}`,
        row.rows,
        row.sourceCount,
        row.firstSeenAt,
        row.lastLoadAt,
        row.completeThrough,
      ]);
      io.stdout.write(renderTable(['collection', 'status', 'rows', 'at the source', 'first seen', 'last load', 'complete through'], rows, io.stdout));
    });
}
