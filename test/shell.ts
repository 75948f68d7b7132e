/** Whether a POSIX shell can read a script; nothing of it is run. */
import { spawnSync } from 'node:child_process';

/** `null`: it can. */
export function shellProblem(script: string): string | null {
  const { status, stderr, error } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return status === 0 ? null : stderr;
}
