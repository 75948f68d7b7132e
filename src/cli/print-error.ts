/**
 * How an error looks: its code, one sentence on what happened, one on what to do. A stack only for `--log-level debug`.
 */
import { styleText } from 'node:util';
import { reasonOf, SluiceError, systemCode } from '../core/error.ts';
import { PACKAGE_MISSING, UNEXPECTED } from '../core/errors.ts';
import type { Io } from './io.ts';

export interface PrintOptions {
  readonly json: boolean;
  readonly debug: boolean;
}

/** Whatever was thrown, as one of ours. */
export function asSluiceError(error: unknown): SluiceError {
  if (error instanceof SluiceError) return error;
  const missing = systemCode(error) === 'ERR_MODULE_NOT_FOUND' ? /^Cannot find package '([^']+)'/.exec(reasonOf(error)) : null;
  // SDKs are loaded when a configuration asks for them, and an image may be built without some.
  if (missing !== null) return new SluiceError(PACKAGE_MISSING, missing[1], { cause: error });
  return new SluiceError(UNEXPECTED, reasonOf(error), { cause: error });
}

/** To standard error: standard output belongs to results. */
export function printError(io: Io, error: SluiceError, options: PrintOptions): void {
  const message = io.secrets.scrub(error.message);
  const next = io.secrets.scrub(error.next);
  const stack = options.debug ? io.secrets.scrub(stacksOf(error)) : null;
  if (options.json) {
    io.stderr.write(`${JSON.stringify({ code: error.code, message, next, exit: error.kind.exit, ...(stack === null ? {} : { stack }) })}\n`);
    return;
  }
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    io.stderr.isTTY ? styleText(format, text, { stream: process.stderr }) : text;
  io.stderr.write(
    `${style(['bold', 'red'], error.code)}  ${message}\n${style('cyan', '→')} ${next}\n${stack === null ? '' : `${style('gray', stack)}\n`}`,
  );
}

function stacksOf(error: unknown): string {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) lines.push(at.stack ?? at.message);
  return lines.join('\ncaused by: ');
}
