/**
 * The command line in a process of its own, to its end.
 */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/** As somebody types it. */
export async function sluice(configFile: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { ...process.env, XDG_STATE_HOME: dirname(configFile) };
  return await new Promise((resolve) => {
    execFile(process.execPath, [LAUNCHER, '--config', configFile, ...args], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}
