import { mkdtemp, readdir, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolders } from './folders.ts';

let folder: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-folders-')));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('folders', () => {
  it('are made down to the last one, and the first that was made is told', async () => {
    expect(await makeFolders(join(folder, 'a/b/c'), 0o700)).toBe(join(folder, 'a'));
    expect((await stat(join(folder, 'a/b'))).mode & 0o777).toBe(0o700);
    expect(await makeFolders(join(folder, 'a/b/c/d'))).toBe(join(folder, 'a/b/c/d'));
    expect(await readdir(folder, { recursive: true })).toHaveLength(4);
  });

  it('that are there are left alone, the root and a link to a folder among them', async () => {
    await symlink(folder, join(folder, 'link'));
    for (const path of [folder, '/', '/proc', join(folder, 'link')]) expect(await makeFolders(path)).toBeUndefined();
  });

  it('that many make at once are there for all of them', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => makeFolders(join(folder, 'a/b/c'))));
    expect(made.filter((first) => first === join(folder, 'a'))).not.toEqual([]);
    expect((await stat(join(folder, 'a/b/c'))).isDirectory()).toBe(true);
  });

  it.runIf(process.platform === 'linux')('where none can be are an error and no endless search', async () => {
    await expect(makeFolders('/proc/nope/deeper')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('below a file are an error', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(makeFolders(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeFolders(join(folder, 'file/below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
