import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Scratch, sweepScratch } from './scratch.ts';

const KIND = 'sluice-try';
let folder: string;
const before = process.env['TMPDIR'];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-scratch-test-'));
  process.env['TMPDIR'] = folder;
});
afterAll(async () => {
  if (before === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = before;
  await rm(folder, { recursive: true, force: true });
});

/** A process of its own that has a folder; resolves once it has. */
async function other(): Promise<{ readonly path: string; kill(): Promise<void> }> {
  const script = `import { Scratch } from ${JSON.stringify(join(import.meta.dirname, 'scratch.ts'))};
    const scratch = await Scratch.make(${JSON.stringify(KIND)});
    console.log(scratch.folder);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [path] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'close');
  };
  return { path: path.trim(), kill };
}

describe('a folder for temporary files', () => {
  it('goes when it is given back, and that of a killed process with the next of its kind, which spares the living', async () => {
    const dead = await other();
    const alive = await other();
    await writeFile(join(dead.path, 'lines.jsonl'), 'x'.repeat(1_000));
    await dead.kill();
    const mine = await Scratch.make(KIND);
    expect((await readdir(folder)).toSorted()).toEqual([mine.folder, alive.path].map((path) => path.slice(folder.length + 1)).toSorted());
    // Neither does this process take its own for a leftover.
    await sweepScratch(KIND);
    await using second = await Scratch.make(KIND);
    expect(await readdir(folder)).toHaveLength(3);
    expect(second.folder).not.toBe(mine.folder);
    await mine[Symbol.asyncDispose]();
    expect(await readdir(folder)).toHaveLength(2);
    await alive.kill();
    await sweepScratch(KIND);
    expect(await readdir(folder)).toEqual([second.folder.slice(folder.length + 1)]);
  });

  it('is made and given back by many processes at once without one being in the way of another', async () => {
    const script = `import { Scratch } from ${JSON.stringify(join(import.meta.dirname, 'scratch.ts'))};
      for (let n = 0; n < 250; n += 1) await (await Scratch.make(${JSON.stringify(KIND)}))[Symbol.asyncDispose]();`;
    const some = [1, 2, 3].map(() => spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'ignore', 'inherit'] }));
    expect(await Promise.all(some.map((child) => once(child, 'close')))).toEqual(some.map(() => [0, null]));
  });

  it('is left alone when it is of another kind, or not as we make it', async () => {
    await mkdir(join(folder, 'sluice-other-1'));
    await writeFile(join(folder, 'sluice-other-1/lock'), '');
    await mkdir(join(folder, `${KIND}-without-lock`));
    await mkdir(join(folder, `${KIND}-linked`));
    await symlink(join(folder, 'sluice-other-1/lock'), join(folder, `${KIND}-linked/lock`));
    await writeFile(join(folder, `${KIND}-file`), '');
    const there = (await readdir(folder)).toSorted();
    await sweepScratch(KIND);
    expect((await readdir(folder)).toSorted()).toEqual(there);
  });
});
