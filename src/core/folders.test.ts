import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolders, removeMarkedFolder } from './folders.ts';

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

  it('go with all that is in them, the mark last; one that is gone is no error', async () => {
    const path = join(folder, 'marked');
    await mkdir(join(path, 'b/c'), { recursive: true });
    for (const name of ['a', 'b/c/d', 'mark', 'z']) await writeFile(join(path, name), '');
    await removeMarkedFolder(path, 'mark');
    expect(await readdir(folder)).toEqual([]);
    await removeMarkedFolder(path, 'mark');
    await writeFile(join(folder, 'file'), '');
    await expect(removeMarkedFolder(join(folder, 'file'), 'mark')).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it('have their mark still when the process is killed as it takes them away', async () => {
    const path = join(folder, 'marked');
    await mkdir(path);
    for (const name of [...Array.from({ length: 200 }, (_, n) => `a${n}`), 'mark', 'z']) await writeFile(join(path, name), '');
    const script = `import { readdirSync } from 'node:fs';
      import { removeMarkedFolder } from ${JSON.stringify(join(import.meta.dirname, 'folders.ts'))};
      void removeMarkedFolder(${JSON.stringify(path)}, 'mark');
      for (;;) {
        if (readdirSync(${JSON.stringify(path)}).length < 100) process.kill(process.pid, 'SIGKILL');
        await new Promise(setImmediate);
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'ignore', 'inherit'] });
    expect(await once(child, 'close')).toEqual([null, 'SIGKILL']);
    expect(await readdir(path)).toContain('mark');
  });
});
