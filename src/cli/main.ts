/**
 * Runs one command line. The only place that turns errors into exit codes.
 */
import { CommanderError, type Command } from 'commander';
import { nearest } from '../config/nearest.ts';
import { Secrets } from '../config/redact.ts';
import { SluiceError, systemCode } from '../core/error.ts';
import { INTERRUPTED, USAGE } from '../core/errors.ts';
import type { Io, Terminal } from './io.ts';
import { asSluiceError, printError } from './print-error.ts';
import { buildProgram } from './program.ts';
import { stopOnSignals } from './signals.ts';

/** @param args without the names of node and of the script */
export async function main(args: readonly string[]): Promise<never> {
  // `sluice query … | head` is no error.
  process.stdout.on('error', (error) => process.exit(systemCode(error) === 'EPIPE' ? 0 : 74));
  const stderr = terminal(process.stderr);
  const stop = stopOnSignals((text) => stderr.write(`${text}\n`));
  const io: Io = {
    env: process.env,
    cwd: process.cwd(),
    stdin: { isTTY: process.stdin.isTTY },
    stdout: terminal(process.stdout),
    stderr,
    secrets: new Secrets(),
    logFields: {},
    signal: stop.signal,
    exitCode: 0,
  };
  const code = await runCommandLine(io, args);
  stop.release();
  // Handles that a library left open must not keep a finished command alive.
  await new Promise<void>((resolve) => void process.stdout.write('', () => resolve()));
  process.exit(code);
}

function terminal(stream: NodeJS.WriteStream): Terminal {
  return {
    write: (text) => void stream.write(text),
    get isTTY() {
      return stream.isTTY;
    },
    get columns() {
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
  };
}

/** @returns the exit code */
export async function runCommandLine(io: Io, args: readonly string[]): Promise<number> {
  const program = buildProgram(io);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return io.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && isHelp(error)) return 0;
    const known = error instanceof CommanderError ? usageError(error, program, args) : asSluiceError(io.signal.aborted ? interrupted(error) : error);
    printError(io, known, { json: args.includes('--json'), debug: isDebug(args) });
    return known.kind.exit;
  }
}

/** What fails after the user has said stop fails because of that. */
function interrupted(error: unknown): unknown {
  return error instanceof SluiceError && error.kind !== INTERRUPTED ? error : new SluiceError(INTERRUPTED, undefined, { cause: error });
}

function isHelp(error: CommanderError): boolean {
  return ['commander.help', 'commander.helpDisplayed', 'commander.version'].includes(error.code);
}

/** Known before the command line is: an error in it must be told in the way that was asked for. */
function isDebug(args: readonly string[]): boolean {
  const at = args.indexOf('--log-level');
  const level = at >= 0 ? args[at + 1] : args.find((arg) => arg.startsWith('--log-level='))?.split('=')[1];
  return level === 'debug' || level === 'trace';
}

function usageError(error: CommanderError, program: Command, args: readonly string[]): SluiceError {
  const text = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
  if (error.code !== 'commander.unknownCommand') return new SluiceError(USAGE, text, { cause: error });
  const name = /unknown command '([^']*)'/.exec(text)?.[1] ?? '';
  // commander's own guess is left aside: it knows neither `-` nor case.
  const parent =
    program.commands.find((command) => command.name() === args.find((arg) => !arg.startsWith('-')) && command.commands.length > 0) ?? program;
  const close = nearest(
    name,
    parent.commands.map((command) => command.name()),
  );
  return new SluiceError(USAGE, `unknown command '${name}'${close === null ? '' : `; did you mean ${close}?`}`, { cause: error });
}
