/**
 * What a command has around it: the process, seen through one object, so that nothing below reads globals.
 */
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { Secrets } from '../config/redact.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { USAGE } from '../core/errors.ts';
import type { LogLevel } from '../ops/log-levels.ts';
import type { Logger } from '../ops/log.ts';

export interface Terminal {
  write(text: string): void;
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
}

export interface Io {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly stdin: { readonly isTTY: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  /** Filled as soon as a configuration is read; every output of errors and logs goes through it. */
  readonly secrets: Secrets;
  /** On every line of the log; the pipeline, as soon as a configuration is read. */
  readonly logFields: Record<string, string>;
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** The exit code when the command ends without an error; 0 unless it is set. */
  exitCode: number;
}

export interface Globals {
  readonly config?: string;
  readonly json: boolean;
  readonly logLevel?: LogLevel;
  readonly logFile?: string;
}

export function globalsOf(command: Command): Globals {
  return command.optsWithGlobals<Globals>();
}

/** The SDK is loaded when a configuration asks for it. */
export async function readVaultSecret(reference: string): Promise<string> {
  const { readVaultSecret: read } = await import('../app/vault.ts');
  return await read(reference);
}

/** The configuration that the command line names. @throws SluiceError with every problem of it */
export async function loadConfigFor(io: Io, command: Command): Promise<Config> {
  const { loadConfig } = await import('../config/load.ts');
  const { config: file } = globalsOf(command);
  const config = await loadConfig({ ...(file === undefined ? {} : { file }), env: io.env, cwd: io.cwd, secrets: io.secrets, readVaultSecret });
  io.logFields['pipeline'] = config.pipeline;
  return config;
}

/** @param defaultLevel what is worth saying when nobody has chosen */
export async function logFor(io: Io, command: Command, defaultLevel: LogLevel, stream?: { write(line: string): void }): Promise<Logger> {
  const { makeLog } = await import('../ops/log.ts');
  const { logLevel, logFile } = globalsOf(command);
  try {
    return makeLog({
      level: logLevel ?? defaultLevel,
      destination: logFile === undefined ? (stream ?? 'stderr') : { file: logFile },
      pretty: logFile === undefined && io.stderr.isTTY,
      scrub: (text) => io.secrets.scrub(text),
      fields: io.logFields,
    });
  } catch (error) {
    throw new SluiceError(USAGE, `--log-file ${logFile ?? ''}: ${reasonOf(error)}`, { cause: error, next: 'Name a file that can be written.' });
  }
}

/** One JSON value, a line of its own. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value)}\n`);
}
