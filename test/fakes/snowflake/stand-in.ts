/**
 * Snowflake's stand-in for tests: fakesnow with server.py, in a Python of its own.
 *
 * The packages come through pip into a virtual environment in the cache folder, once. Invariant of the cache, as for mongod: a
 * folder with its final name is complete. Where there is no Python the tests are skipped and say why; in CI they fail.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { reasonOf } from '../../../src/core/error.ts';
import { makeFolders } from '../../../src/core/folders.ts';

const run = promisify(execFile);
const here = import.meta.dirname;

export interface StandIn extends AsyncDisposable {
  /** `snowflake://stand-in/<database>?…`, for a configuration. */
  url(database: string, parameters?: Readonly<Record<string, string>>): string;
  /** A key that it lets in, for the user SLUICE. */
  readonly privateKeyFile: string;
  /** A key that it does not. */
  readonly wrongKeyFile: string;
  readonly port: number;
}

/** The Python to run it with, or why there is none. */
async function findPython(): Promise<{ readonly python: string } | { readonly reason: string }> {
  const requirements = join(here, 'requirements.txt');
  const digest = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const own = process.env['SLUICE_CACHE'];
  const cache = own !== undefined && own !== '' ? own : join(homedir(), '.cache', 'sluice');
  const folder = join(cache, `fakesnow-${digest}`);
  const python = join(folder, 'bin', 'python');
  const there = async (): Promise<boolean> =>
    access(join(folder, '.complete')).then(
      () => true,
      () => false,
    );
  if (await there()) return { python };
  try {
    await makeFolders(cache);
    // A virtual environment knows its own path, so it is made where it stays; the mark is what makes it complete.
    const claim = await mkdtemp(join(cache, '.fetch-fakesnow-'));
    process.stderr.write('fetching the stand-in for Snowflake through pip (120 MB, once)\n');
    try {
      await run('python3', ['-m', 'venv', '--copies', claim]);
      await run(join(claim, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements], {
        maxBuffer: 16 * 1024 ** 2,
      });
      await writeFile(join(claim, '.complete'), '');
      // Only `bin/python` is used, and that finds its packages beside itself wherever it lies.
      await rename(claim, folder).catch(async (error: unknown) => {
        if (!(await there())) throw error;
      });
    } finally {
      await rm(claim, { recursive: true, force: true });
    }
    return { python };
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim().split('\n').at(-1) : undefined;
    return {
      reason: `no stand-in for Snowflake: ${said === undefined || said === '' ? reasonOf(error) : said} (python3 with venv and pip is needed)`,
    };
  }
}

const found = await findPython();

/** Why the tests on the stand-in cannot run here, or `null`. In CI that is a failure and not a reason to skip. */
export const standInMissing: string | null = 'reason' in found ? found.reason : null;
if (standInMissing !== null) {
  if (process.env['CI'] === 'true') throw new Error(standInMissing);
  process.stderr.write(`SKIPPED: ${standInMissing}\n`);
}

export async function startStandIn(): Promise<StandIn> {
  if ('reason' in found) throw new Error(found.reason);
  const folder = await mkdtemp(join(tmpdir(), 'sluice-stand-in-'));
  const keys = { right: join(folder, 'right.p8'), wrong: join(folder, 'wrong.p8'), public: join(folder, 'right.pub') };
  for (const name of ['right', 'wrong'] as const) {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(keys[name], pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    if (name === 'right') await writeFile(keys.public, pair.publicKey.export({ type: 'spki', format: 'pem' }));
  }
  const child = spawn(found.python, [join(here, 'server.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, SLUICE_FAKE_PUBLIC_KEY: keys.public, PYTHONWARNINGS: 'ignore' },
  });
  const port = await portOf(child);
  return {
    port,
    privateKeyFile: keys.right,
    wrongKeyFile: keys.wrong,
    url: (database, parameters = {}) => {
      const query = new URLSearchParams({ accessUrl: `http://127.0.0.1:${port}`, ...parameters });
      return `snowflake://stand-in/${database}?${query.toString()}`;
    },
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function portOf(child: ChildProcess): Promise<number> {
  if (child.stdout === null) throw new Error('its output is not read');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) return (JSON.parse(line) as { port: number }).port;
  }
  throw new Error('the stand-in for Snowflake ended before it listened');
}
