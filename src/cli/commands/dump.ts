import { Option, type Command } from 'commander';
import type { DumpArgs, DumpSummary } from '../../app/types.ts';
import type { Hour } from '../../core/time.ts';
import { hour } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf } from '../table.ts';
import { mark } from './verify.ts';

interface DumpFlags {
  readonly hour?: Hour;
  readonly layout?: DumpArgs['layout'];
  readonly content?: DumpArgs['content'];
}

const MARKS = { dumped: 'ok', there: 'skipped', failed: 'failed' } as const;

export function dumpCommand(program: Command, io: Io): void {
  program
    .command('dump')
    .summary('write whole collections, or the changes of hours, as files')
    .description(
      'Dumps collections now, as `dump` in the configuration says, of a running pipeline or of one that was stopped. What was dumped in this hour already stays as it is. Of changes of an hour that is not over it writes a part. Exit 1 if a collection fails; the others are dumped.',
    )
    .argument('[collections...]', 'collections, as globs over database.collection; all that the configuration dumps when left out')
    .addOption(new Option('--content <content>', 'whole documents, or changes; as configured when left out').choices(['documents', 'changes']))
    .addOption(new Option('--layout <layout>', 'form of the files; as configured when left out').choices(['ndjson', 'document', 'array']))
    .option('--hour <hour>', 'changes of this hour alone: 20261121-07 or 2026-11-21T07 (UTC)', hour)
    .addHelpText('after', '\nExample:\n  sluice dump shop.orders --content changes --hour 2026-11-21T07\n')
    .action(async (collections: string[], flags: DumpFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const args: DumpArgs = { collections, hour: flags.hour ?? null, layout: flags.layout ?? null, content: flags.content ?? null };
      const result = await askOwnerOr<DumpSummary>(io, config, '/api/dump', args, async () => {
        const { dumpPipeline } = await import('../../app/dump.ts');
        return await dumpPipeline(config, args, { log }, io.signal);
      });
      io.exitCode = result.ok ? 0 : 1;
      if (globalsOf(command).json) return printJson(io, result);
      if (result.dumps.length === 0) io.stdout.write('Nothing to dump.\n');
      for (const { namespace, hour: of, outcome, files, rows, note } of result.dumps) {
        const what =
          outcome === 'failed'
            ? (note ?? '')
            : outcome === 'there'
              ? (note ?? 'was dumped before')
              : `${countOf(rows, 'line')}${note === null ? '' : ` (${note})`}`;
        io.stdout.write(`${mark(MARKS[outcome], io.stdout)} ${namespace} ${of}: ${what}\n`);
        for (const file of files) io.stdout.write(`    ${file}\n`);
      }
    });
}
