import { Option, type Command } from 'commander';
import { USAGE } from '../../core/errors.ts';
import { SluiceError } from '../../core/error.ts';
import { STARTS, type Start } from '../init/answers.ts';
import { LOGINS, type LoginKind } from '../init/lake.ts';
import { globalsOf, printJson, type Io } from '../io.ts';

export interface InitFlags {
  readonly pipeline?: string;
  readonly uri?: string;
  readonly include?: readonly string[];
  readonly startAt?: Start;
  readonly lake?: string;
  readonly lakeAuth?: LoginKind;
  readonly warehouse?: string;
  readonly yes: boolean;
  readonly force: boolean;
}

export function initCommand(program: Command, io: Io): void {
  program
    .command('init')
    .summary('make a sluice.yaml')
    .description(
      'Asks a few questions, tests each answer at once, and writes the configuration. A password goes into `.env`, which only you can read, not into the file.',
    )
    .option('--pipeline <name>', 'name of the pipeline')
    .option('--uri <uri>', 'connection string, or ${NAME} for one in the environment')
    .option('--include <glob...>', 'collections, such as "shop.*"; more than one may follow')
    .addOption(new Option('--start-at <when>', 'begin with what changes from now on, or with what is there').choices(STARTS))
    .option('--lake <place>', 'folder for the files, or the URL of a container on Azure')
    .addOption(new Option('--lake-auth <kind>', 'how to log in there; a secret is taken from LAKE_SECRET in the environment').choices(LOGINS))
    .option('--warehouse <file>', 'DuckDB file, or none')
    .option('-y, --yes', 'do not ask: take defaults for what is not given', false)
    .option('--force', 'write over a file that exists', false)
    .action(async (flags: InitFlags, command: Command) => {
      const { json, config = io.env['SLUICE_CONFIG'] ?? 'sluice.yaml' } = globalsOf(command);
      const { prepare, writeConfiguration } = await import('../init/write.ts');
      const target = await prepare(io, config, flags.force);
      const interactive = !flags.yes && io.stdin.isTTY && io.stdout.isTTY;
      if (!flags.yes && !interactive)
        throw new SluiceError(USAGE, 'there is no terminal to ask at', {
          next: 'Add --yes, with --uri and what else should differ from the defaults.',
        });
      const { askAnswers } = await import('../init/ask.ts');
      const { takeAnswers } = await import('../init/answers.ts');
      const answers = interactive ? await askAnswers(io, flags, target) : await takeAnswers(io, flags, target);
      const files = await writeConfiguration(io, target, answers);
      if (json) printJson(io, { files });
      else {
        // As it was called: in a checkout it is not on PATH.
        const sluice = io.env['npm_command'] === 'exec' ? 'npx sluice' : 'sluice';
        io.stdout.write(`✓ Wrote ${files.join(' and ')}.\n\nNext:\n  ${sluice} doctor    check everything\n  ${sluice} run       start\n`);
      }
    });
}
