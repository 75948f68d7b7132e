/**
 * Helm: `SLUICE_HELM`, or the one on PATH. Debian has none; `SLUICE_HELM=go` (each night) makes it from its module with the Go that is
 * there, once, into the cache. That takes minutes on two cores.
 */
import { execFile, spawnSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const VERSION = 'v3.17.3';
const FOLDER = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice', `helm-${VERSION}`);
const NAMED = process.env['SLUICE_HELM'] ?? 'helm';

/** How long it may take to make one. */
export const HELM_MS_MAX = 20 * 60_000;

/** Whether {@link helm} will give one. */
export function hasHelm(): boolean {
  return spawnSync(NAMED, ['version'], { stdio: 'ignore' }).error === undefined;
}

export async function helm(): Promise<string> {
  if (NAMED !== 'go') return NAMED;
  const path = join(FOLDER, 'helm');
  if ((await stat(path).catch(() => null)) !== null) return path;
  // The one that is linked takes its name at its end: half of one is never there.
  await promisify(execFile)('go', ['install', `helm.sh/helm/v3/cmd/helm@${VERSION}`], { env: { ...process.env, GOBIN: FOLDER } });
  return path;
}
