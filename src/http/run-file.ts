/**
 * How another command on this machine finds the owner of a pipeline: a small file with its address and token.
 *
 * A power cut leaves the file behind, and its pid and port may be somebody else's afterwards: the owner is asked by the name of its
 * server, `instance`, and who does not answer to that is not the owner.
 *
 * Invariant: the file and its folder are readable by this user alone, and a file that is anybody else's is not believed:
 * the token in it gives the right to seal, pause and query.
 */
import { createHash, randomBytes } from 'node:crypto';
import { lstat, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { Config } from '../config/config.ts';
import { systemCode } from '../core/error.ts';
import { makeFolders } from '../core/folders.ts';

export interface RunFile {
  readonly pid: number;
  /** `http://127.0.0.1:8080`, without a slash at the end. */
  readonly url: string;
  readonly token: string;
  /** Of one server and no other ({@link INSTANCE_HEADER}). */
  readonly instance: string;
  readonly pipeline: string;
  /** `lake.root`, or the URL without its query. */
  readonly lake: string;
}

/** With a request: who is asked. With an answer: it is. Requests without it are answered by whoever is there. */
export const INSTANCE_HEADER = 'sluice-instance';

type Env = Readonly<Record<string, string | undefined>>;

/** A token of 256 random bits. */
export function makeToken(): string {
  return randomBytes(32).toString('base64url');
}

/** What a run file says about the lake: never a SAS signature. */
export function lakeName(config: Config): string {
  return config.lake.kind === 'local' ? config.lake.root : (config.lake.url.split('?')[0] ?? '');
}

/** Best folder first. The second one is for users without a home that can be written. */
function stateFolders(env: Env): string[] {
  const xdg = env['XDG_STATE_HOME'];
  const home = env['HOME'] ?? homedir();
  const state = xdg !== undefined && isAbsolute(xdg) ? xdg : join(home, '.local', 'state');
  const user = typeof process.getuid === 'function' ? process.getuid() : 'user';
  return [join(state, 'sluice'), join(tmpdir(), `sluice-${user}`)];
}

/** What a process holds: who captures has the lake, who loads has the warehouse, and one process may have both. */
export type Seat = 'lake' | 'warehouse';

function fileName(config: Config, seat: Seat): string {
  const digest = createHash('sha256')
    .update(`${lakeName(config)}\n${config.pipeline}`)
    .digest('hex');
  return `${digest.slice(0, 24)}.${seat}.json`;
}

/** @param others what nobody else may have of it */
function isOurs(stat: { readonly uid: number; readonly mode: number }, others: number): boolean {
  if (typeof process.getuid !== 'function') return true;
  return stat.uid === process.getuid() && (stat.mode & others) === 0;
}

/** The folder for run files below `state`, made when missing; `null` when it cannot be ours alone. */
async function privateFolder(state: string): Promise<string | null> {
  const folder = join(state, 'run');
  try {
    await makeFolders(folder, 0o700);
    // Who may write to the folder around it could put another in its place.
    const outer = await lstat(state);
    const stat = await lstat(folder);
    return outer.isDirectory() && stat.isDirectory() && isOurs(outer, 0o022) && isOurs(stat, 0o077) ? folder : null;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'EEXIST'].includes(systemCode(error) ?? '')) return null;
    throw error;
  }
}

/**
 * Puts the run file in place, for good or as a whole.
 * @returns its path, or `null` when there is no place for it that is this user's alone
 */
export async function writeRunFile(config: Config, seat: Seat, content: RunFile, env: Env): Promise<string | null> {
  for (const state of stateFolders(env)) {
    const folder = await privateFolder(state);
    if (folder === null) continue;
    const path = join(folder, fileName(config, seat));
    // Each that fails, somebody else has succeeded.
    while (!(await moveInPlace(path, content)));
    await removeDrafts(path);
    return path;
  }
  return null;
}

/** @returns `false`: somebody else has written his meanwhile, and taken our draft for that of a process that was killed */
async function moveInPlace(path: string, content: RunFile): Promise<boolean> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(content)}\n`);
  } finally {
    await file.close();
  }
  try {
    await rename(draft, path);
    return true;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return false;
  }
}

/** A token of the configuration is good for longer than the process that was killed with it in a draft. */
async function removeDrafts(path: string): Promise<void> {
  const folder = dirname(path);
  const drafts = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`));
  for (const name of drafts) await rm(join(folder, name), { force: true });
}

/** The run file of whoever has the seat on this machine; `null` when there is none or its process has gone. */
export async function readRunFile(config: Config, seat: Seat, env: Env): Promise<RunFile | null> {
  for (const state of stateFolders(env)) {
    const path = join(state, 'run', fileName(config, seat));
    const content = await readOurs(path);
    if (content !== null && content.pipeline === config.pipeline && content.lake === lakeName(config) && isAlive(content.pid)) return content;
  }
  return null;
}

async function readOurs(path: string): Promise<RunFile | null> {
  try {
    const stat = await lstat(path);
    if (!stat.isFile() || !isOurs(stat, 0o077)) return null;
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<RunFile>;
    const isWhole = typeof value.pid === 'number' && [value.url, value.token, value.instance].every((each) => typeof each === 'string');
    return isWhole ? (value as RunFile) : null;
  } catch (error) {
    // Missing, or half of something else: then there is nobody to talk to.
    if (systemCode(error) !== undefined || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    return systemCode(error) === 'EPERM';
  }
}

/** Removes the run file if it is still the one that `content` describes: a new owner's is left alone. */
export async function removeRunFile(config: Config, seat: Seat, content: RunFile, env: Env): Promise<void> {
  for (const state of stateFolders(env)) {
    const path = join(state, 'run', fileName(config, seat));
    const found = await readOurs(path);
    if (found?.instance === content.instance) await rm(path, { force: true });
  }
}
