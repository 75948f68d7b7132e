import { execFile } from 'node:child_process';
import { lstat, mkdtemp, mkdtempDisposable, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

/** In a process of its own that can write files up to this size: a disk that fills up. Gives the code of the error. */
async function writeWhereFull(maxBytes: number, changes: Partial<Answers> = {}, force = false): Promise<string> {
  const source = `
    import { prepare, writeConfiguration } from ${JSON.stringify(new URL('./write.ts', import.meta.url).href)};
    const io = { env: {}, cwd: ${JSON.stringify(cwd)} };
    const write = async () => await writeConfiguration(io, await prepare(io, 'sluice.yaml', ${force}), ${JSON.stringify({ ...answers, ...changes })});
    console.log(await write().then(() => 'written', (error) => error.code));`;
  const argv = [process.execPath, '--input-type=module', '-e', source];
  const { stdout } = await promisify(execFile)('sh', ['-c', `trap '' XFSZ; ulimit -f ${maxBytes / 512}; exec "$@"`, 'sh', ...argv]);
  return stdout.trim();
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

describe('a configuration that is written', () => {
  const uri = 'mongodb://u:p@h';

  it('never leaves a .env with less in it than before, nor a sluice.yaml without its .env', async () => {
    const before = Array.from({ length: 2000 }, (_, index) => `OTHER_${index}=secret\n`).join('');
    await writeFile(join(cwd, '.env'), before);
    expect(await writeWhereFull(8192, { uri })).toBe('SLC-1103');
    expect(await readdir(cwd)).toEqual(['.env']);
    expect(await readFile(join(cwd, '.env'), 'utf8')).toBe(before);
    // There is room again.
    expect(await write({ uri })).toEqual(['sluice.yaml', '.env']);
    expect(await readFile(join(cwd, '.env'), 'utf8')).toBe(`${before}MONGODB_URI='${uri}'\n`);
  });

  it('is whole or not there: the next init is not refused for one that was never finished', async () => {
    expect(await writeWhereFull(512)).toBe('SLC-1103');
    expect(await readdir(cwd)).toEqual([]);
    await write();
    const before = await readFile(join(cwd, 'sluice.yaml'), 'utf8');
    expect(await writeWhereFull(512, { pipeline: 'other' }, true)).toBe('SLC-1103');
    expect(await readFile(join(cwd, 'sluice.yaml'), 'utf8')).toBe(before);
    expect(await readdir(cwd)).toEqual(['sluice.yaml']);
  });

  it('shows its secret to nobody who may read the .env that was there, not for a moment', async () => {
    await writeFile(join(cwd, '.env'), 'OTHER=1\n', { mode: 0o644 });
    await using reader = await open(join(cwd, '.env'));
    await write({ uri });
    expect(await reader.readFile('utf8')).toBe('OTHER=1\n');
    expect((await stat(join(cwd, '.env'))).mode & 0o777).toBe(0o600);
  });

  it('takes nothing away from whoever made one meanwhile, be it empty', async () => {
    const io = testIo({ cwd });
    const target = await prepare(io, 'sluice.yaml', false);
    await writeFile(join(cwd, 'sluice.yaml'), '');
    await expect(writeConfiguration(io, target, { ...answers, uri })).rejects.toMatchObject({
      kind: USAGE,
      message: expect.stringContaining('exists already'),
    });
    expect(await readdir(cwd)).toEqual(['sluice.yaml']);
    expect(await readFile(join(cwd, 'sluice.yaml'), 'utf8')).toBe('');
  });

  it('is one person’s where two write it at one time, and has the secret that belongs to it', async () => {
    const uris = ['mongodb://u:one@h', 'mongodb://u:two@h'];
    const outcomes = await Promise.allSettled(uris.map((each) => write({ uri: each })));
    const winner = outcomes.findIndex((outcome) => outcome.status === 'fulfilled');
    expect(outcomes.toSorted((a, b) => a.status.localeCompare(b.status))).toEqual([
      { status: 'fulfilled', value: ['sluice.yaml', '.env'] },
      { status: 'rejected', reason: expect.objectContaining({ kind: USAGE }) as Error },
    ]);
    expect((await loadConfig({ env: {}, cwd })).source.uri).toBe(uris[winner]);
    expect((await readdir(cwd)).toSorted()).toEqual(['.env', 'sluice.yaml']);
  });

  it('leaves links what they are, and a file that was for its user alone as it is', async () => {
    await using kept = await mkdtempDisposable(join(tmpdir(), 'sluice-init-'));
    await writeFile(join(kept.path, 'env'), 'OTHER=1\n');
    await writeFile(join(kept.path, 'yaml'), '', { mode: 0o600 });
    await symlink(join(kept.path, 'env'), join(cwd, '.env'));
    await symlink(join(kept.path, 'yaml'), join(cwd, 'sluice.yaml'));
    await write({ uri }, true);
    for (const name of ['.env', 'sluice.yaml']) expect((await lstat(join(cwd, name))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(kept.path, 'env'), 'utf8')).toBe(`OTHER=1\nMONGODB_URI='${uri}'\n`);
    expect((await stat(join(kept.path, 'yaml'))).mode & 0o777).toBe(0o600);
    expect((await loadConfig({ env: {}, cwd })).source.uri).toBe(uri);
  });
});
