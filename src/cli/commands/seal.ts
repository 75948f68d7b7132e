import type { Command } from 'commander';
import type { PauseSummary, SealSummary } from '../../app/types.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf } from '../table.ts';

export function sealCommand(program: Command, io: Io): void {
  program
    .command('seal')
    .summary('close the open files now, so that they can be loaded')
    .description('Seals every open file, of a running pipeline or of one that was stopped. Later events of the same hour go to a new part.')
    .action(async (_flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const result = await askOwnerOr<SealSummary>(io, config, '/api/seal', {}, async () => {
        const { sealPipeline } = await import('../../app/seal.ts');
        return await sealPipeline(config, { log }, io.signal);
      });
      if (globalsOf(command).json) return printJson(io, result);
      io.stdout.write(`${countOf(result.files.length, 'file')} sealed, ${countOf(result.rows, 'row')}.\n`);
      for (const file of result.files) io.stdout.write(`  ${file}\n`);
    });
}

export function pauseCommands(program: Command, io: Io): void {
  for (const verb of ['pause', 'resume'] as const) {
    program
      .command(verb)
      .summary(verb === 'pause' ? 'stop loading collections; capture goes on' : 'load paused collections again')
      .description(
        verb === 'pause'
          ? 'Stops loading these collections into the warehouse. Their changes are still captured into the lake, so that no history is lost.'
          : 'Loads these collections again, beginning with what has come together meanwhile. Also takes a collection out of status ERROR.',
      )
      .argument('[collections...]', 'collections, as globs over database.collection; all when left out')
      .action(async (collections: string[], _flags: unknown, command: Command) => {
        const config = await loadConfigFor(io, command);
        const log = await logFor(io, command, 'warn');
        const args = { collections };
        const result = await askOwnerOr<PauseSummary>(io, config, `/api/${verb}`, args, async () => {
          const { pauseCollections, resumeCollections } = await import('../../app/pause.ts');
          return await (verb === 'pause' ? pauseCollections : resumeCollections)(config, args, { log });
        });
        if (globalsOf(command).json) return printJson(io, result);
        const names = result.collections.length === 0 ? 'no collection' : result.collections.join(', ');
        io.stdout.write(`${verb === 'pause' ? 'Paused' : 'Resumed'}: ${names}.\n`);
      });
  }
}
