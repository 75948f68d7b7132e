import type { Command } from 'commander';
import type { SnapshotSummary } from '../../app/types.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf } from '../table.ts';

export function snapshotCommand(program: Command, io: Io): void {
  program
    .command('snapshot')
    .summary('read collections whole, now')
    .description(
      'Reads collections whole into the lake: of a running pipeline beside its stream, of a stopped one here and to the end. What silver has and the source has not is gone afterwards. A read that was cut short goes on with the next start.',
    )
    .argument('[collections...]', 'collections, as globs over database.collection; all when left out')
    .addHelpText('after', '\nExample:\n  sluice snapshot shop.orders\n')
    .action(async (collections: string[], _flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const args = { collections };
      const result = await askOwnerOr<SnapshotSummary>(io, config, '/api/snapshot', args, async () => {
        const { snapshotPipeline } = await import('../../app/snapshot.ts');
        return await snapshotPipeline(config, args, { log }, io.signal);
      });
      if (globalsOf(command).json) return printJson(io, result);
      io.stdout.write(renderSnapshots(result));
    });
}

export function renderSnapshots({ collections, underWay, refused, goesOn }: SnapshotSummary): string {
  const lines = collections.map(({ namespace, documents, caveat }) => {
    const size = documents === null ? '' : `, about ${countOf(documents, 'document')}`;
    return `${namespace}: ${goesOn ? 'begun' : 'read whole'}${size}${caveat === null ? '' : `; ${caveat}`}\n`;
  });
  lines.push(...underWay.map((namespace) => `${namespace}: is being read already\n`));
  lines.push(...refused.map(({ namespace, reason }) => `${namespace}: left out, ${reason}\n`));
  if (goesOn) lines.push('`sluice status` shows how far it is.\n');
  else if (collections.length > 0) lines.push('`sluice load` brings it into the warehouse, as the next `sluice run` does.\n');
  return lines.join('');
}
