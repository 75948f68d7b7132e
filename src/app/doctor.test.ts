import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import { makeFolders } from '../core/folders.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { runDoctor, tryLake } from './doctor.ts';
import { probeFile, probeFolder } from './probe.ts';
import type { Check } from './types.ts';

const never = new AbortController().signal;
let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'sluice-doctor-'))));
afterEach(() => rm(folder, { recursive: true }));

async function doctor(url = 'duckdb:w.duckdb'): Promise<Check[]> {
  const uri = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50';
  const text = JSON.stringify({ pipeline: 'shop', source: { uri }, lake: { url: 'file:lake' }, warehouse: { url } });
  return await runDoctor(parseConfig(text, { folder }), { log: silentLog }, never);
}

const failures = (checks: readonly Check[]): string[] =>
  checks.filter((check) => check.outcome === 'failed').map((check) => `${check.area} ${check.name}`);

describe('doctor', () => {
  it('looks at the lake and the warehouse also when the source does not answer, and leaves no scratch file', async () => {
    const checks = await doctor();
    expect(failures(checks)).toEqual(['source connection']);
    expect(checks.map((check) => check.name)).toEqual(['connection', 'folder', 'create and append', 'conflict', 'lock', 'read', 'delete', 'tables']);
    expect(checks.at(-1)).toMatchObject({ outcome: 'ok', detail: expect.stringContaining('not made yet') as string });
    expect(await readdir(folder)).toEqual(['lake']);
    expect(await readdir(join(folder, 'lake', '_sluice', 'shop', 'doctor'))).toEqual(['lock']);
  });

  it('may be run twice at once', async () => {
    const [one, two] = await Promise.all([doctor(), doctor()]);
    expect([failures(one).filter((name) => name.startsWith('lake')), failures(two).filter((name) => name.startsWith('lake'))]).toEqual([[], []]);
  });

  it('that is interrupted takes its scratch file along', async () => {
    const store = new MemoryStore();
    const interrupt = new AbortController();
    let scratch: readonly string[] = [];
    store.onOperation = ({ kind }) => {
      if (kind !== 'append') return;
      scratch = [...store.files.keys()];
      interrupt.abort(new Error('interrupted'));
      interrupt.signal.throwIfAborted();
    };
    await expect(tryLake(await openMemoryLake(store), 'shop', interrupt.signal)).rejects.toThrow('interrupted');
    expect(scratch).toEqual([expect.stringMatching(/^_sluice\/shop\/doctor\/.*\.jsonl$/)]);
    expect([...store.files.keys()]).toEqual([]);
  });

  it('says what to do when the lake or the warehouse cannot be used', async () => {
    await writeFile(join(folder, 'lake'), 'a file, not a folder');
    await writeFile(join(folder, 'w.duckdb'), 'not a database'.repeat(1000));
    const checks = await doctor();
    expect(failures(checks)).toEqual(['source connection', 'lake folder', 'warehouse open']);
    for (const check of checks) expect((check.fix ?? '').length).toBeGreaterThan(20);
  });

  it('says that a warehouse that is not there yet could not be made', async () => {
    await writeFile(join(folder, 'file'), '');
    const checks = await doctor('duckdb:file/w.duckdb');
    expect(failures(checks)).toEqual(['source connection', 'warehouse tables']);
    expect(checks.at(-1)).toMatchObject({ fix: expect.stringContaining('write access') as string });
  });
});

describe('an answer of init', () => {
  it('that names a folder is tried and leaves nothing behind', async () => {
    await probeFolder(join(folder, 'a', 'b'));
    expect(await readdir(folder)).toEqual([]);
    await writeFile(join(folder, 'file'), '');
    await expect(probeFolder(join(folder, 'file'))).rejects.toMatchObject({ code: 'SLC-1103' });
    await expect(probeFolder(join(folder, 'file', 'below'))).rejects.toMatchObject({ code: 'SLC-1103' });
    await symlink(join(folder, 'nowhere'), join(folder, 'link'));
    for (const path of ['link', 'link/below']) await expect(probeFolder(join(folder, path))).rejects.toMatchObject({ code: 'SLC-1103' });
  });

  it('that names a folder takes nothing from whoever makes it at that moment', async () => {
    for (let round = 0; round < 50; round++) {
      const path = join(folder, `${round}`, 'b');
      const other = async (): Promise<void> => {
        for (let turn = 0; turn < round % 10; turn++) await stat(folder);
        await makeFolders(path);
        await writeFile(join(path, 'w.duckdb'), 'mine');
      };
      await Promise.all([probeFolder(path), other(), probeFolder(path)]);
      expect(await readdir(path)).toEqual(['w.duckdb']);
    }
    expect(await readdir(folder)).toHaveLength(50);
  });

  it('that names a file is tried, whether it is there or not', async () => {
    await writeFile(join(folder, 'file'), 'content');
    await mkdir(join(folder, 'folder'));
    await probeFile(join(folder, 'file'));
    await probeFile(join(folder, 'new'));
    await expect(probeFile(join(folder, 'folder'))).rejects.toMatchObject({ code: 'SLC-1103' });
    expect((await readdir(folder)).toSorted((a, b) => a.localeCompare(b))).toEqual(['file', 'folder']);
  });
});
