import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../config/load.ts';
import { USAGE } from '../../core/errors.ts';
import { testIo } from '../test-io.ts';
import type { Answers } from './answers.ts';
import { prepare, writeConfiguration } from './write.ts';

let cwd: string;
beforeEach(async () => void (cwd = await mkdtemp(join(tmpdir(), 'sluice-init-'))));
afterEach(() => rm(cwd, { recursive: true }));

const answers: Answers = {
  pipeline: 'shop',
  uri: 'mongodb://h',
  include: ['shop.*', 'crm."x"'.replaceAll('"', '')],
  startAt: 'now',
  lake: { is: 'folder', path: './my lake: #1' },
  warehouse: 'w.duckdb',
};

async function write(changes: Partial<Answers> = {}, force = false): Promise<string[]> {
  const io = testIo({ cwd });
  return writeConfiguration(io, await prepare(io, 'sluice.yaml', force), { ...answers, ...changes });
}

describe('a new configuration', () => {
  it('is what was answered', async () => {
    expect(await write()).toEqual(['sluice.yaml']);
    const config = await loadConfig({ env: {}, cwd });
    expect(config).toMatchObject({
      pipeline: 'shop',
      source: { uri: 'mongodb://h', include: answers.include, startAt: { kind: 'now' } },
      lake: { root: join(cwd, 'my lake: #1') },
      warehouse: { path: join(cwd, 'w.duckdb') },
    });
  });

  it('may begin with what is there', async () => {
    await write({ startAt: 'snapshot' });
    expect((await loadConfig({ env: {}, cwd })).source.startAt).toEqual({ kind: 'snapshot' });
  });

  it('may be without a warehouse', async () => {
    await write({ warehouse: null });
    expect((await loadConfig({ env: {}, cwd })).warehouse).toBeNull();
  });

  it('has no password in it: that is in .env, for its user alone', async () => {
    await writeFile(join(cwd, '.env'), 'OTHER=1');
    const uri = `mongodb://u:p$"#\\x@h/?a=b`;
    expect(await write({ uri })).toEqual(['sluice.yaml', '.env']);
    expect(await readFile(join(cwd, 'sluice.yaml'), 'utf8')).not.toContain('p$');
    expect((await readFile(join(cwd, '.env'), 'utf8')).startsWith('OTHER=1\n')).toBe(true);
    expect((await stat(join(cwd, '.env'))).mode & 0o777).toBe(0o600);
    expect((await loadConfig({ env: {}, cwd })).source.uri).toBe(uri);
  });

  it('has no secret of a storage account in it either', async () => {
    const auth = { kind: 'sas', token: '${LAKE_SECRET}' } as const;
    const lake = { is: 'azure', url: 'abfss://lake@shop.dfs.core.windows.net/p', auth, secretToKeep: 'sv=1&sig=a#b%3D' } as const;
    expect(await write({ lake, uri: 'mongodb://u:p@h' })).toEqual(['sluice.yaml', '.env']);
    expect(await readFile(join(cwd, 'sluice.yaml'), 'utf8')).not.toContain('sig=');
    const config = await loadConfig({ env: {}, cwd });
    expect(config.lake).toMatchObject({ url: lake.url, auth: { kind: 'sas', token: lake.secretToKeep } });
    expect(config.source.uri).toBe('mongodb://u:p@h');
  });

  it('never changes a line of a .env', async () => {
    await writeFile(join(cwd, '.env'), 'MONGODB_URI=mongodb://other\n');
    await expect(write({ uri: 'mongodb://u:p@h' })).rejects.toMatchObject({ kind: USAGE, next: expect.stringContaining("--uri '${MONGODB_URI}'") });
    await expect(stat(join(cwd, 'sluice.yaml'))).rejects.toThrow('ENOENT');
    expect(await readFile(join(cwd, '.env'), 'utf8')).toBe('MONGODB_URI=mongodb://other\n');
  });

  it('is not written when it would be refused later', async () => {
    await expect(write({ pipeline: 'a b' })).rejects.toThrow('pipeline must be 1 to 63 letters');
    await expect(stat(join(cwd, 'sluice.yaml'))).rejects.toThrow('ENOENT');
  });

  it('takes the place of one that exists with --force alone', async () => {
    await write();
    await expect(write()).rejects.toMatchObject({ kind: USAGE });
    expect(await write({ pipeline: 'other' }, true)).toEqual(['sluice.yaml']);
    expect((await loadConfig({ env: {}, cwd })).pipeline).toBe('other');
  });
});
