import type { Command } from 'commander';
import type { RetainSummary } from '../../app/types.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, formatSize } from '../table.ts';

export function retainCommand(program: Command, io: Io): void {
  program
    .command('retain')
    .summary('remove files that are older than lake.retention says')
    .description(
      'Removes hours, dumps, claims and dead letters that are older than `lake.retention` says. Hours of a collection of which the warehouse has not loaded everything stay, with all after them, and do not hold the other collections. What is removed is recorded, so that `sluice verify` does not miss it. A running pipeline does this by itself every hour.',
    )
    .option('--dry-run', 'say what would go, and remove nothing', false)
    .addHelpText('after', '\nExample:\n  sluice retain --dry-run\n')
    .action(async (flags: { readonly dryRun: boolean }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const args = { dryRun: flags.dryRun };
      const result = await askOwnerOr<RetainSummary>(io, config, '/api/retain', args, async () => {
        const { retainPipeline } = await import('../../app/retain.ts');
        return await retainPipeline(config, args, { log }, io.signal);
      });
      if (globalsOf(command).json) return printJson(io, result);
      const { hours, dumps, claims, deadLetters } = result.files;
      const what = `${countOf(hours, 'file')} of hours, ${countOf(dumps, 'file')} of dumps, ${countOf(claims, 'claim')}, ${countOf(deadLetters, 'dead letter')}, ${formatSize(result.bytes)}`;
      io.stdout.write(`${result.dryRun ? 'Would be removed' : 'Removed'}: ${what}.\n`);
      if (result.hoursBefore !== null)
        io.stdout.write(
          `The lake begins with the hour ${result.hoursBefore}${result.dryRun ? ' then' : ' now'}${result.held.length === 0 ? '' : ', but for what is held'}.\n`,
        );
      if (result.heldBy !== null) io.stdout.write(`Older hours stay: ${result.heldBy}.\n`);
      for (const held of result.held) io.stdout.write(`Held: ${heldText(held)}.\n`);
    });
}

export function heldText({ collection, hour, since, reason }: RetainSummary['held'][number]): string {
  return `${collection} keeps its hours from ${hour} on: ${reason}; first seen ${since.slice(0, 19)}Z`;
}
