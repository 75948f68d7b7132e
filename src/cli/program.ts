/**
 * The commands and options of `sluice`. docs/cli.md and the shell completion are made from here.
 *
 * Only definitions: what a command needs is imported when it runs, so that `sluice --help` is instant.
 */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { collectionsCommand, discoverCommand } from './commands/collections.ts';
import { compactCommand } from './commands/compact.ts';
import { completionCommand } from './commands/completion.ts';
import { configCommand } from './commands/config.ts';
import { dashboardCommand } from './commands/dashboard.ts';
import { deadLettersCommand } from './commands/dead-letters.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { dumpCommand } from './commands/dump.ts';
import { enableImagesCommand } from './commands/enable-images.ts';
import { eraseCommand } from './commands/erase.ts';
import { initCommand } from './commands/init.ts';
import { loadCommand, mergeCommand } from './commands/load.ts';
import { queryCommand } from './commands/query.ts';
import { renderCommand } from './commands/render.ts';
import { adoptCommand } from './commands/adopt.ts';
import { reshapeCommand } from './commands/reshape.ts';
import { restoreCommand } from './commands/restore.ts';
import { retainCommand } from './commands/retain.ts';
import { runCommand } from './commands/run.ts';
import { pauseCommands, sealCommand } from './commands/seal.ts';
import { schemaCommand } from './commands/schema.ts';
import { snapshotCommand } from './commands/snapshot.ts';
import { statusCommand } from './commands/status.ts';
import { verifyCommand } from './commands/verify.ts';
import { exampleText } from './examples.ts';
import { LOG_LEVELS } from '../ops/log-levels.ts';
import type { Io } from './io.ts';

const HELP_COLUMNS_MAX = 100;

export const EXAMPLES = `Examples:
  sluice demo                          see it work, without a configuration
  sluice init                          a few questions, then sluice.yaml
  sluice doctor                        check everything that sluice.yaml names
  sluice run                           the main job
  sluice run --until-idle 5            carry over what there is, then exit
  sluice query "from silver.shop__orders limit 10"
  sluice verify                        prove that nothing is missing

Exit codes: 0 fine, 1 something is wrong with the data or a check failed, 2 bad usage or configuration,
69 a service is unavailable, 74 reading or writing failed for good, 75 another owner has the pipeline,
78 history lost, 130 interrupted.
`;

export function buildProgram(io: Io): Command {
  const program = new Command('sluice')
    .description('Carries every change in MongoDB exactly once into a data lake and on into a warehouse.')
    .version(version(), '--version', 'print the version')
    .addOption(new Option('--config <file>', 'configuration file; sluice.yaml when left out').env('SLUICE_CONFIG'))
    .option('--json', 'print JSON, for programs', false)
    .addOption(new Option('--log-level <level>', 'how much is logged; debug adds stack traces').env('SLUICE_LOG_LEVEL').choices(LOG_LEVELS))
    .option('--log-file <file>', 'add the log to this file instead of standard error')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      // Only help comes this way (`sluice` alone); errors are printed by main.ts.
      writeErr: (text) => io.stdout.write(text),
      outputError: () => undefined,
      // Beyond a hundred letters a line is hard to follow.
      getOutHelpWidth: () => Math.min(io.stdout.columns, HELP_COLUMNS_MAX),
      getErrHelpWidth: () => Math.min(io.stdout.columns, HELP_COLUMNS_MAX),
    })
    .addHelpText('after', `\n${EXAMPLES}`)
    .exitOverride();
  initCommand(program, io);
  demoCommand(program, io);
  doctorCommand(program, io);
  runCommand(program, io);
  statusCommand(program, io);
  dashboardCommand(program, io);
  pauseCommands(program, io);
  sealCommand(program, io);
  snapshotCommand(program, io);
  dumpCommand(program, io);
  restoreCommand(program, io);
  retainCommand(program, io);
  eraseCommand(program, io);
  loadCommand(program, io);
  mergeCommand(program, io);
  queryCommand(program, io);
  discoverCommand(program, io);
  collectionsCommand(program, io);
  schemaCommand(program, io);
  verifyCommand(program, io);
  compactCommand(program, io);
  reshapeCommand(program, io);
  adoptCommand(program, io);
  renderCommand(program, io);
  deadLettersCommand(program, io);
  enableImagesCommand(program, io);
  configCommand(program, io);
  completionCommand(program, io);
  for (const command of program.commands) addExamples(command, '');
  return program;
}

function addExamples(command: Command, path: string): void {
  const own = `${path} ${command.name()}`.trim();
  const text = exampleText(own);
  if (text !== null) command.addHelpText('after', text);
  for (const child of command.commands) addExamples(child, own);
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string };
  return manifest.version;
}
