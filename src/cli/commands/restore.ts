import { Option, type Command } from 'commander';
import type { RestoreArgs, RestoreSummary } from '../../app/types.ts';
import type { Config } from '../../config/config.ts';
import { moment } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr, streamOwnerOr } from '../owner.ts';
import { countOf } from '../table.ts';

interface RestoreFlags {
  readonly asOf: RestoreArgs['asOf'];
  readonly to: string;
  readonly into?: string;
  readonly from: RestoreArgs['from'];
}

export function restoreCommand(program: Command, io: Io): void {
  program
    .command('restore')
    .summary('give back a collection as it was at a moment')
    .description(
      'Reads the sealed files of the lake, or bronze, and writes the collection as it was at the end of that second, into a file of JSON lines, into a MongoDB, or into a new table of the warehouse. Changes neither of them, nor the source; what is there already at the target is never touched. Exit 1 if the content of a document is not known.',
    )
    .argument('<collection>', 'database.collection')
    .requiredOption('--as-of <time>', 'moment: 2026-11-21T07:45:00Z, or a cluster time such as 1795247100.3', moment)
    .requiredOption(
      '--to <target>',
      'file:./orders.ndjson; mongodb://host/ with the user and password that may write there; or table:restored.orders in the warehouse of the configuration',
    )
    .option('--into <collection>', 'with mongodb://: another name, such as shop.orders_before')
    .addOption(
      new Option('--from <source>', 'what is read: the files of the lake, or bronze, which may reach back further')
        .choices(['lake', 'warehouse'])
        .default('lake'),
    )
    .addHelpText('after', '\nExample:\n  sluice restore shop.orders --as-of 2026-11-21T07:45:00Z --to file:./orders.ndjson\n')
    .action(async (collection: string, flags: RestoreFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      io.secrets.addUri(flags.to);
      const log = await logFor(io, command, 'warn');
      const args: RestoreArgs = { collection, asOf: flags.asOf, to: flags.to, into: flags.into ?? null, from: flags.from };
      const result = await restored(io, config, args, async () => {
        const { restoreCollection } = await import('../../app/restore.ts');
        return await restoreCollection(config, args, io.cwd, { log }, io.signal);
      });
      if (result.unknown.length > 0) io.exitCode = 1;
      if (globalsOf(command).json) return printJson(io, result);
      io.stdout.write(
        `${result.collection} as of ${new Date(result.asOf.t * 1000).toISOString()}: ${countOf(result.documents, 'document')}, from ${countOf(result.events, 'line')}.\n`,
      );
      if (result.table !== null) io.stdout.write(tableLine(result.collection, result.table));
      if (result.erased !== 0)
        io.stdout.write(
          `${result.erased === null ? 'Lines' : countOf(result.erased, 'line')} of it were erased since (\`sluice erase --list\`): the documents that they were of are not there.\n`,
        );
      for (const key of result.unknown) io.stdout.write(`✗ ${key}: the ${result.from} does not hold its content at that moment\n`);
    });
}

/** Who has the warehouse open makes the table, or gives the documents; what is written elsewhere is written by the user who asks. */
async function restored(io: Io, config: Config, args: RestoreArgs, here: () => Promise<RestoreSummary>): Promise<RestoreSummary> {
  if (args.to.startsWith('table:')) return await askOwnerOr<RestoreSummary>(io, config, '/api/restore', args, here);
  if (args.from === 'lake') return await here();
  const { collection, asOf } = args;
  const there = await streamOwnerOr(io, config, '/api/restore-documents', { collection, asOf }, async (lines) => {
    const { writeRestored } = await import('../../app/restore.ts');
    return await writeRestored(args, io.cwd, lines, io.signal);
  });
  return there ?? (await here());
}

function tableLine(collection: string, { name, columns }: NonNullable<RestoreSummary['table']>): string {
  if (columns.length > 0) return `The table ${name} has _key, _doc and ${countOf(columns.length, 'typed column')}.\n`;
  return `The table ${name} has _key and _doc, and no typed columns: the warehouse has not loaded ${collection} yet.\n`;
}
