import { Option, type Command } from 'commander';
import type { FunctionArgs, FunctionTemplate } from '../../app/render-function.ts';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import { wholeNumber } from '../args.ts';
import { loadConfigFor, type Io } from '../io.ts';
import { shellWords, unknownWord } from '../words.ts';
import { deliver, outOptions, type OutFlags } from './rendered.ts';

interface FunctionFlags extends OutFlags {
  readonly template: readonly FunctionTemplate[];
  readonly capture?: string;
  readonly timer: readonly string[];
  readonly eventHub?: string;
  readonly blob: readonly string[];
  readonly timeLimit: number;
}

const many = (one: string, all: readonly string[]): readonly string[] => [...all, one];

export function renderFunctionCommand(render: Command, io: Io): void {
  const command = render
    .command('function')
    .summary('an Azure Function app that runs commands of sluice on timers and triggers')
    .description(
      'Writes a Function app (Node, programming model v4). Each function runs one command: on a timer, when messages come to the hub of `bus.url`, or when a file comes to a container. A trigger only rings; what is read and how far is sluice’s own. docs/rendered.md.',
    );
  outOptions(command, 'rendered/function')
    .addOption(new Option('--template <name...>', 'functions as they are often wanted').choices(['dump', 'export', 'lake', 'capture']).default([]))
    .option('--capture <url>', 'where Event Hubs Capture writes to, for `--template capture`')
    .option('--timer <line>', 'six fields of a cron line (UTC), then a command: "0 10 * * * * load"; may be given more than once', many, [])
    .option('--event-hub <command>', 'command for messages of the hub of `bus.url`: "run --role consume --until-idle 20 --no-wait"')
    .option('--blob <line>', 'container, then a command, for each new file in it; may be given more than once', many, [])
    .option('--time-limit <seconds>', 'a command that still runs is stopped in good order', wholeNumber(10, 3600), 540)
    .addHelpText(
      'after',
      '\nExamples:\n  sluice render function --timer "0 10 * * * * load" --timer "0 0 4 * * * verify"\n  sluice render function --template dump --template export\n',
    )
    .action(async (flags: FunctionFlags, own: Command) => {
      const config = await loadConfigFor(io, own);
      const known = (line: string): readonly string[] => knownCommand(render.parent!, line);
      const args: FunctionArgs = {
        templates: flags.template,
        capture: flags.capture ?? null,
        timers: flags.timer.map((line) => timerOf(line, known)),
        eventHub: flags.eventHub === undefined ? null : known(flags.eventHub),
        blobs: flags.blob.map((line) => blobOf(line, known)),
        timeLimitSeconds: flags.timeLimit,
      };
      const { functionFiles } = await import('../../app/render-function.ts');
      const files = await functionFiles(config, args);
      const where = { folder: flags.out ?? 'rendered/function', ours: /^(host|package|functions)\.json$|^index\.js$|^package\.sh$|^\.funcignore$/ };
      await deliver(io, own, files, where, flags.diff, 'Read them, then run package.sh; its head says what it needs.');
    });
}

/** @throws USAGE when this version has no such command */
function knownCommand(program: Command, line: string): readonly string[] {
  const words = shellWords(line);
  const problem = words.length === 0 ? 'there is no command' : unknownWord(program, words);
  if (problem === null) return words;
  throw new SluiceError(USAGE, `${JSON.stringify(line)}: ${problem}`, { next: 'Give a command as behind `sluice`, such as "load --recent 6".' });
}

/** @throws USAGE */
function timerOf(line: string, known: (line: string) => readonly string[]): FunctionArgs['timers'][number] {
  const fields = line.trim().split(/\s+/);
  const schedule = fields.slice(0, 6);
  if (schedule.length < 6 || schedule.some((field) => !/^[\d*,/-]+$/.test(field))) {
    throw new SluiceError(USAGE, `--timer ${JSON.stringify(line)} does not begin with six fields of a cron line`, {
      next: 'Second, minute, hour, day, month, weekday, then the command: "0 10 * * * * load".',
    });
  }
  return { schedule: schedule.join(' '), command: known(fields.slice(6).join(' ')) };
}

/** @throws USAGE */
function blobOf(line: string, known: (line: string) => readonly string[]): FunctionArgs['blobs'][number] {
  const [, container, command] = /^\s*([a-z0-9-]{3,63})\s+(.+)$/.exec(line) ?? [];
  if (container === undefined || command === undefined)
    throw new SluiceError(USAGE, `--blob ${JSON.stringify(line)} is not a container and a command`, { next: 'Such as: --blob "capture load".' });
  return { container, command: known(command) };
}
