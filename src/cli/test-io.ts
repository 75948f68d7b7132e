/**
 * A terminal made of strings, for tests of commands without a process.
 */
import { Secrets } from '../config/redact.ts';
import type { Io, Terminal } from './io.ts';

export interface TestIo extends Io {
  /** What was printed so far. */
  readonly out: () => string;
  readonly err: () => string;
}

export function testIo(
  options: { env?: NodeJS.ProcessEnv; cwd?: string; tty?: boolean; columns?: number; rows?: number; signal?: AbortSignal } = {},
): TestIo {
  const { env = {}, cwd = '/nowhere', tty = false, columns = 120, rows = 50, signal = new AbortController().signal } = options;
  const printed = { out: '', err: '' };
  const terminal = (to: keyof typeof printed): Terminal => ({ write: (text) => void (printed[to] += text), isTTY: tty, columns, rows });
  return {
    env,
    cwd,
    stdin: { isTTY: tty },
    stdout: terminal('out'),
    stderr: terminal('err'),
    secrets: new Secrets(),
    logFields: {},
    signal,
    exitCode: 0,
    out: () => printed.out,
    err: () => printed.err,
  };
}
