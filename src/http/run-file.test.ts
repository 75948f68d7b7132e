import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseConfig } from '../config/load.ts';
import { lakeName, makeToken, readRunFile, removeRunFile, writeRunFile, type RunFile } from './run-file.ts';

let folder: string;
let env: Record<string, string>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-run-'));
  env = { XDG_STATE_HOME: folder, HOME: folder };
  // Where the second choice goes.
  vi.stubEnv('TMPDIR', join(folder, 'tmp'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const configOf = (pipeline: string, lake: string) =>
  parseConfig(JSON.stringify({ pipeline, source: { uri: 'mongodb://h' }, lake: { url: `file:${lake}` } }), { folder: '/' });
const config = configOf('shop', '/data/lake');
const content: RunFile = {
  pid: process.pid,
  url: 'http://127.0.0.1:8080',
  token: makeToken(),
  instance: 'i1',
  pipeline: 'shop',
  lake: lakeName(config),
};

describe('a run file', () => {
  it('is found by the same pipeline of the same lake alone', async () => {
    await writeRunFile(config, 'lake', content, env);
    expect(await readRunFile(config, 'lake', env)).toEqual(content);
    expect(await readRunFile(config, 'warehouse', env)).toBeNull();
    expect(await readRunFile(configOf('other', '/data/lake'), 'lake', env)).toBeNull();
    expect(await readRunFile(configOf('shop', '/data/lake2'), 'lake', env)).toBeNull();
  });

  it('can be read by its user alone', async () => {
    const path = (await writeRunFile(config, 'lake', content, env)) ?? '';
    expect(path).toContain(join(folder, 'sluice', 'run'));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'sluice', 'run'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(folder, 'sluice', 'run'))).toHaveLength(1);
  });

  it('is all that is left of one that was killed while it wrote it, once the next has written its own', async () => {
    const killed = `
      import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      fs.promises.rename = () => process.kill(process.pid, 'SIGKILL');
      syncBuiltinESMExports();
      const { writeRunFile } = await import(${JSON.stringify(new URL('./run-file.ts', import.meta.url).href)});
      await writeRunFile(...JSON.parse(process.argv[1]));`;
    spawnSync(process.execPath, ['--input-type=module', '--eval', killed, JSON.stringify([config, 'lake', content, env])], { stdio: 'inherit' });
    const run = join(folder, 'sluice', 'run');
    expect(await readFile(join(run, (await readdir(run))[0]!), 'utf8')).toContain(content.token);
    await writeRunFile(config, 'warehouse', content, env);
    expect(await readdir(run)).toHaveLength(2);
    const path = await writeRunFile(config, 'lake', content, env);
    expect((await readdir(run)).filter((name) => name.includes('.lake.'))).toEqual([basename(path!)]);
  });

  it('is written by many at one time, of whom each takes the drafts of others for leftovers', async () => {
    const all = Array.from({ length: 20 }, (_, n) => writeRunFile(config, 'lake', { ...content, instance: `i${n}` }, env));
    expect(new Set(await Promise.all(all)).size).toBe(1);
    expect(await readRunFile(config, 'lake', env)).toMatchObject({ token: content.token });
    expect(await readdir(join(folder, 'sluice', 'run'))).toHaveLength(1);
  });

  it('of a process that has gone counts for nothing', async () => {
    // Larger than any pid that Linux gives.
    await writeRunFile(config, 'lake', { ...content, pid: 2 ** 22 + 1 }, env);
    expect(await readRunFile(config, 'lake', env)).toBeNull();
  });

  it('that others could have written counts for nothing', async () => {
    const path = (await writeRunFile(config, 'lake', content, env)) ?? '';
    await chmod(path, 0o644);
    expect(await readRunFile(config, 'lake', env)).toBeNull();
  });

  it('is not put where others could replace it', async () => {
    const open = join(folder, 'sluice');
    await mkdir(join(open, 'run'), { recursive: true, mode: 0o700 });
    await chmod(open, 0o777);
    const path = await writeRunFile(config, 'lake', content, env);
    expect(path).toContain(join(folder, 'tmp', 'sluice-'));
    await removeRunFile(config, 'lake', content, env);
  });

  it('that is broken counts for nothing', async () => {
    const path = (await writeRunFile(config, 'lake', content, env)) ?? '';
    await writeFile(path, '{"pid":');
    expect(await readRunFile(config, 'lake', env)).toBeNull();
    await writeFile(path, '{"pid":1}');
    expect(await readRunFile(config, 'lake', env)).toBeNull();
    const { instance: _, ...nameless } = content;
    await writeFile(path, JSON.stringify(nameless));
    expect(await readRunFile(config, 'lake', env)).toBeNull();
  });

  it('is removed by who wrote it, and not by who was there before', async () => {
    await writeRunFile(config, 'lake', content, env);
    await removeRunFile(config, 'lake', { ...content, instance: 'i0' }, env);
    expect(await readRunFile(config, 'lake', env)).toEqual(content);
    await removeRunFile(config, 'lake', content, env);
    expect(await readRunFile(config, 'lake', env)).toBeNull();
  });

  it('goes to the temporary folder when there is no home that can be written', async () => {
    await writeFile(join(folder, 'file'), '');
    const homeless = { HOME: join(folder, 'file') };
    const path = await writeRunFile(config, 'lake', content, homeless);
    expect(path).toContain(join(folder, 'tmp', 'sluice-'));
    expect(await readRunFile(config, 'lake', homeless)).toEqual(content);
    await removeRunFile(config, 'lake', content, homeless);
    expect(await readRunFile(config, 'lake', homeless)).toBeNull();
  });
});
