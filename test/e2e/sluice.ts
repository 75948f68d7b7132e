/**
 * The command line in a process of its own, to its end.
 */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** As somebody types it. */
export async function sluice(configFile: string, ...args: string[]): Promise<Said> {
  return await run({}, configFile, args);
}

/** As {@link sluice}, on a machine whose clock is ahead: for what depends on age. */
export async function sluiceLater(aheadMs: number, configFile: string, ...args: string[]): Promise<Said> {
  const clock = `const now = Date.now; Date.now = () => now() + ${aheadMs};`;
  return await run({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(clock)}` }, configFile, args);
}

async function run(more: Readonly<Record<string, string>>, configFile: string, args: readonly string[]): Promise<Said> {
  const env = { ...process.env, XDG_STATE_HOME: dirname(configFile), ...more };
  return await new Promise((resolve) => {
    execFile(process.execPath, [LAUNCHER, '--config', configFile, ...args], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}
