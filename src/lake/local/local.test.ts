import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, truncate, unlink, utimes, writeFile, appendFile, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeLake } from '../../../test/contracts/lake.ts';
import { kindOf, listOf, textOf } from '../../../test/contracts/lake-under-test.ts';
import { LAKE_BROKEN, LAKE_CONFLICT, LAKE_DAMAGED, LAKE_FULL, LAKE_NOT_WRITABLE } from '../../core/errors.ts';
import { openLocalLake } from './local.ts';

const never = new AbortController().signal;
const CHECKPOINT = '_sluice/shop/checkpoint.json';
const how = { takeOver: false };

describeLake('a lake on the local disk', async () => {
  const root = await mkdtemp(join(tmpdir(), 'sluice-lake-'));
  return {
    lake: await openLocalLake(root),
    reopen: () => openLocalLake(root),
    cutsAtFence: true,
    breaksLeases: false,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
});

/** Runs TypeScript in a process of its own, with `lake` open over `root`; `say(x)` gives a line to the test. */
class Child {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(root: string, body: string, limits = '') {
    const source = `
      import { openLocalLake } from ${JSON.stringify(new URL('./local.ts', import.meta.url).href)};
      const never = new AbortController().signal;
      const say = (x: unknown) => console.log(JSON.stringify(x));
      const codeOf = (work: Promise<unknown>) => work.then(() => 'done', (error) => error.code);
      ${body}`;
    const argv = [process.execPath, '--input-type=module-typescript', '-e', source];
    this.process = spawn('sh', ['-c', `${limits} exec "$@"`, 'sh', ...argv], {
      env: { ...process.env, LAKE_ROOT: root },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.process.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async hears(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the child has ended without a word');
    return JSON.parse(value);
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}

describe('a lake on the local disk', () => {
  let root: string;
  const children: Child[] = [];
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'sluice-lake-'));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await child.end();
    await rm(root, { recursive: true, force: true });
  });
  const child = (body: string, limits?: string): Child => {
    const made = new Child(root, `const root = process.env.LAKE_ROOT!; ${body}`, limits);
    children.push(made);
    return made;
  };

  describe('root', () => {
    it('is made with all that is missing above it', async () => {
      const lake = await openLocalLake(join(root, 'x/y/z'));
      await lake.put('a', Buffer.from('1'), 'absent');
      expect(await readdir(join(root, 'x/y/z'))).toEqual(['a']);
    });

    it('may be a symbolic link, and is one lake under both names', async () => {
      await mkdir(join(root, 'real'));
      await symlink(join(root, 'real'), join(root, 'link'));
      const [real, link] = [await openLocalLake(join(root, 'real')), await openLocalLake(join(root, 'link'))];
      await using mine = await link.own(CHECKPOINT, how, never);
      expect(mine).not.toBeNull();
      expect(await real.own(CHECKPOINT, how, never)).toBeNull();
      await using former = await link.open('part', { epoch: 1, expect: 'absent' }, never);
      await using _part = await real.open('part', { epoch: 2, expect: 'any' }, never);
      expect(await kindOf(former.append([Buffer.from('x')], never))).toBe(LAKE_CONFLICT);
    });

    it('that is a file is refused', async () => {
      await writeFile(join(root, 'file'), '');
      expect(await kindOf(openLocalLake(join(root, 'file')))).toBe(LAKE_NOT_WRITABLE);
      expect(await kindOf(openLocalLake(join(root, 'file/below')))).toBe(LAKE_NOT_WRITABLE);
    });

    it.runIf(process.platform === 'linux')('that nobody can make is refused', async () => {
      expect(await kindOf(openLocalLake('/proc/nope/lake'))).toBe(LAKE_NOT_WRITABLE);
    });
  });

  describe('lock', () => {
    const OWN = `
      const lake = await openLocalLake(root);
      const owner = await lake.own('${CHECKPOINT}', { takeOver: false }, never);
      say(owner !== null);
      setInterval(() => {}, 1000);`;

    it('keeps other processes out, until its holder lets go', async () => {
      const lake = await openLocalLake(root);
      const mine = await lake.own(CHECKPOINT, how, never);
      expect(await child(OWN).hears()).toBe(false);
      await mine?.[Symbol.asyncDispose]();
      expect(await child(OWN).hears()).toBe(true);
      expect(await lake.own(CHECKPOINT, { takeOver: true }, never)).toBeNull();
    });

    it('stays with a process that is stopped, and ends with one that is killed', async () => {
      const lake = await openLocalLake(root);
      const holder = child(OWN);
      expect(await holder.hears()).toBe(true);
      holder.process.kill('SIGSTOP');
      expect(await lake.own(CHECKPOINT, how, never)).toBeNull();
      await holder.end();
      await using mine = await lake.own(CHECKPOINT, how, never);
      expect(mine).not.toBeNull();
    });

    it('goes to one of those who ask at one moment', async () => {
      const lake = await openLocalLake(root);
      await (await lake.own(CHECKPOINT, how, never))?.[Symbol.asyncDispose]();
      // On its way to the lock, as far as everybody comes; it steps back when it sees somebody else on the way.
      const other = child(`
        const { DatabaseSync } = await import('node:sqlite');
        const [mine, another] = [1, 2].map(() => new DatabaseSync(root + '/_sluice/shop/lock', { timeout: 0 }));
        mine.exec('BEGIN');
        mine.prepare('SELECT count(*) FROM sqlite_schema').all();
        say('on its way');
        for (let isAlone = true; isAlone; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5))
          try {
            another.exec('BEGIN IMMEDIATE');
            another.exec('ROLLBACK');
          } catch {
            isAlone = false;
          }
        mine.exec('ROLLBACK');
        say('stepped back');`);
      expect(await other.hears()).toBe('on its way');
      await using mine = await lake.own(CHECKPOINT, how, never);
      expect(mine).not.toBeNull();
      expect(await other.hears()).toBe('stepped back');
    });

    it('survives whatever else this process does with the lake', async () => {
      const lake = await openLocalLake(root);
      await using mine = await lake.own(CHECKPOINT, how, never);
      expect(mine).not.toBeNull();
      expect(await lake.own(CHECKPOINT, how, never)).toBeNull();
      expect(await (await openLocalLake(root)).own(CHECKPOINT, how, never)).toBeNull();
      await lake.put(CHECKPOINT, Buffer.from('{}'), 'absent');
      for (const file of await listOf(lake, '')) await textOf(lake, file.path);
      expect(await child(OWN).hears()).toBe(false);
    });

    it('cannot be reached as a file', async () => {
      const lake = await openLocalLake(root);
      await using mine = await lake.own(CHECKPOINT, how, never);
      expect(mine).not.toBeNull();
      const lock = '_sluice/shop/lock';
      await expect(textOf(lake, lock)).rejects.toThrow('lock');
      await expect(lake.remove(lock)).rejects.toThrow('lock');
      await expect(lake.put(lock, Buffer.from(''), 'absent')).rejects.toThrow('lock');
      await expect(lake.open(lock, { epoch: 1, expect: 'any' }, never)).rejects.toThrow('lock');
      expect(() => lake.localPath(lock)).toThrow('lock');
      expect(await child(OWN).hears()).toBe(false);
    });
  });

  describe('appends', () => {
    it('say that the disk is full, and refuse to go on', async () => {
      const full = child(
        `
        const lake = await openLocalLake(root);
        const part = await lake.open('part', { epoch: 1, expect: 'absent' }, never);
        await part.append([Buffer.alloc(100_000, 'a')], never);
        say([await codeOf(part.append([Buffer.alloc(300_000, 'b')], never)), part.length]);
        say(await codeOf(part.append([Buffer.from('c')], never)));
        say(await codeOf(lake.put('whole', Buffer.alloc(300_000), 'absent')));`,
        // Blocks of 512 bytes in sh: files end at 256 KiB, as if the disk did. The signal would end the process.
        `trap '' XFSZ; ulimit -f 512;`,
      );
      expect(await full.hears()).toEqual([LAKE_FULL.code, 100_000]);
      expect(await full.hears()).toBe(LAKE_BROKEN.code);
      expect(await full.hears()).toBe(LAKE_FULL.code);
      // What the failed append left behind is cut away by the next owner.
      const lake = await openLocalLake(root);
      expect((await lake.stat('part'))?.size).toBeGreaterThan(100_000);
      await using part = await lake.open('part', { epoch: 2, expect: 'any', length: 100_000 }, never);
      expect(part.length).toBe(100_000);
      expect((await listOf(lake, '')).map((file) => file.path)).toEqual(['part']);
    });

    // Mounting takes rights that not every machine gives; the limit above shows the same everywhere.
    if (canMount()) {
      it('say the same of a real disk that is full', async () => {
        execFileSync('mount', [...MOUNT, root]);
        try {
          const lake = await openLocalLake(root);
          await using part = await lake.open('part', { epoch: 1, expect: 'absent' }, never);
          await part.append([Buffer.alloc(100_000, 'a')], never);
          expect(await kindOf(part.append([Buffer.alloc(2_000_000, 'b')], never))).toBe(LAKE_FULL);
          expect(part.length).toBe(100_000);
          expect(await kindOf(lake.put('whole', Buffer.alloc(2_000_000), 'absent'))).toBe(LAKE_FULL);
          expect((await readdir(root)).toSorted()).toEqual(['part']);
        } finally {
          execFileSync('umount', [root]);
        }
      });
    }

    it('are refused when somebody has removed, lengthened or cut the part', async () => {
      const lake = await openLocalLake(root);
      for (const [meddle, kind] of [
        [(path: string) => unlink(path), LAKE_DAMAGED],
        [(path: string) => appendFile(path, 'foreign\n'), LAKE_CONFLICT],
        [(path: string) => truncate(path, 1), LAKE_CONFLICT],
      ] as const) {
        await using part = await lake.open('part', { epoch: 1, expect: 'any', length: 0 }, never);
        await part.append([Buffer.from('one\n')], never);
        await meddle(join(root, 'part'));
        expect(await kindOf(part.append([Buffer.from('two\n')], never))).toBe(kind);
        expect(await kindOf(part.close())).toBe(kind);
      }
    });
  });

  describe('without the right to write', () => {
    it('says so, whatever is tried', async () => {
      const lake = await openLocalLake(root);
      await lake.put('there', Buffer.from('1'), 'absent');
      await chmod(root, 0o555);
      await chmod(join(root, 'there'), 0o444);
      const user = child(`
        if (process.getuid!() === 0) { process.setgid!(65534); process.setuid!(65534); }
        const lake = await openLocalLake(root);
        say(await codeOf(lake.open('part', { epoch: 1, expect: 'absent' }, never)));
        say(await codeOf(lake.open('there', { epoch: 1, expect: 'any' }, never)));
        say(await codeOf(lake.put('a/b', Buffer.from('x'), 'absent')));
        say(await codeOf(lake.put('there', Buffer.from('x'), (await lake.stat('there'))!)));
        say(await codeOf(lake.own('${CHECKPOINT}', { takeOver: false }, never)));
        say(await codeOf(lake.remove('there')));
        say(await codeOf(openLocalLake(root + '/below')));`);
      for (let i = 0; i < 7; i++) expect(await user.hears()).toBe(LAKE_NOT_WRITABLE.code);
      await chmod(root, 0o755);
      expect(await textOf(lake, 'there')).toBe('1');
    });

    it('says so where a file is in place of a folder', async () => {
      const lake = await openLocalLake(root);
      await lake.put('file', Buffer.from(''), 'absent');
      expect(await kindOf(lake.open('file/part', { epoch: 1, expect: 'absent' }, never))).toBe(LAKE_NOT_WRITABLE);
      expect(await kindOf(lake.put('file/whole', Buffer.from(''), 'absent'))).toBe(LAKE_NOT_WRITABLE);
      await lake.put('folder/file', Buffer.from(''), 'absent');
      expect(await kindOf(lake.open('folder', { epoch: 1, expect: 'any' }, never))).toBe(LAKE_NOT_WRITABLE);
    });
  });

  describe('what a crash in the middle of a put leaves', () => {
    it('is never listed, and goes once it is a day old', async () => {
      const lake = await openLocalLake(root);
      await lake.put('a/file', Buffer.from('1'), 'absent');
      await writeFile(join(root, 'a/.tmp-1-fresh'), 'half');
      await writeFile(join(root, 'a/.tmp-1-stale'), 'half');
      const yesterday = Date.now() / 1000 - 25 * 3600;
      await utimes(join(root, 'a/.tmp-1-stale'), yesterday, yesterday);
      expect((await listOf(lake, '')).map((file) => file.path)).toEqual(['a/file']);
      expect((await readdir(join(root, 'a'))).toSorted()).toEqual(['.tmp-1-fresh', 'file']);
    });

    it('comes from a killed process, and the file is the old or the new one', async () => {
      const lake = await openLocalLake(root);
      await lake.put(CHECKPOINT, Buffer.from('0'.repeat(5000)), 'absent');
      const writer = child(`
        const lake = await openLocalLake(root);
        let file = (await lake.stat('${CHECKPOINT}'))!;
        for (let i = 1; ; i++) {
          file = await lake.put('${CHECKPOINT}', Buffer.from(String(i % 10).repeat(5000)), file);
          if (i === 20) say('going');
        }`);
      await writer.hears();
      await writer.end();
      expect(await textOf(lake, CHECKPOINT)).toMatch(/^(\d)\1{4999}$/);
      expect((await listOf(lake, '')).map((file) => file.path)).toEqual([CHECKPOINT]);
    });
  });

  it('makes a folder again that somebody has removed', async () => {
    const lake = await openLocalLake(root);
    await lake.put('a/b/one', Buffer.from('1'), 'absent');
    await rm(join(root, 'a'), { recursive: true });
    await lake.put('a/b/two', Buffer.from('2'), 'absent');
    await rm(join(root, 'a'), { recursive: true });
    await using part = await lake.open('a/b/part', { epoch: 1, expect: 'absent' }, never);
    expect(part.length).toBe(0);
  });
});

const MOUNT = ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs'];

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-mount-'));
  try {
    execFileSync('mount', [...MOUNT, folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(folder);
  }
}
