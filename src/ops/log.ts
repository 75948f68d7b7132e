/**
 * Structured logs, JSON lines on standard error. Standard output belongs to what a command prints.
 *
 * Invariant: every line has passed `scrub` before it reaches a file or a terminal, whatever was logged.
 */
import { styleText } from 'node:util';
import { destination, pino, type DestinationStream, type Logger } from 'pino';
import { SluiceError } from '../core/error.ts';
import type { LogLevel } from './log-levels.ts';
import { scrubJson } from './scrub-json.ts';

export type { Logger };

export const silentLog: Logger = pino({ level: 'silent' });

export interface LogOptions {
  readonly level: LogLevel;
  /** Standard error, a file that lines are added to (its folder is made), or whatever takes lines. */
  readonly destination: 'stderr' | { readonly file: string } | DestinationStream;
  /** For people at a terminal; else one JSON object a line. */
  readonly pretty: boolean;
  /** On every line, after the process. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Takes known secrets out of a text. */
  readonly scrub: (text: string) => string;
}

export function makeLog(options: LogOptions): Logger {
  const { level, scrub } = options;
  const verbose = level === 'debug' || level === 'trace';
  const stream = streamTo(options.destination);
  return pino(
    {
      level,
      base: { pid: process.pid, ...options.fields },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error, verbose) },
      hooks: { streamWrite: (line) => `${scrubJson(line.trimEnd(), scrub)}\n` },
    },
    options.pretty ? prettyStream(stream) : stream,
  );
}

function streamTo(to: LogOptions['destination']): DestinationStream {
  if (to === 'stderr') return destination({ dest: 2, sync: true });
  return 'write' in to ? to : destination({ dest: to.file, mkdir: true, append: true, sync: true });
}

/** What a log shows of an error: its code and words; the stack only for those who asked for it. */
function describeError(error: unknown, verbose: boolean): unknown {
  if (!(error instanceof Error)) return error;
  return {
    ...(error instanceof SluiceError ? { code: error.code, next: error.next } : { type: error.name }),
    message: error.message,
    ...(error.cause === undefined ? {} : { cause: error.cause instanceof Error ? error.cause.message : JSON.stringify(error.cause) }),
    ...(verbose ? { stack: error.stack } : {}),
  };
}

const COLOURS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  fatal: 'red',
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'blue',
  trace: 'gray',
};

function prettyStream(to: DestinationStream): DestinationStream {
  return { write: (line) => to.write(`${prettyLine(line)}\n`) };
}

function prettyLine(line: string): string {
  const { time, level, msg, pid: _pid, pipeline: _pipeline, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const label = String(level);
  const error = err as { code?: string; message?: string; next?: string; stack?: string } | undefined;
  const fields = Object.entries(rest).map(([key, value]) =>
    styleText('gray', ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`, { stream: process.stderr }),
  );
  const head = `${String(time).slice(11, 23)} ${styleText(COLOURS[label] ?? 'white', label.padEnd(5), { stream: process.stderr })} ${typeof msg === 'string' ? msg : ''}${fields.join('')}`;
  if (error === undefined) return head;
  return [
    head,
    `      ${error.code ?? ''} ${error.message ?? ''}`,
    ...(error.next === undefined ? [] : [`      → ${error.next}`]),
    ...(error.stack === undefined ? [] : [error.stack]),
  ].join('\n');
}
