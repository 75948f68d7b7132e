/**
 * Where a restored collection goes to: the file is there once it is whole, and what is there already stays.
 */
import type * as Fs from 'node:fs/promises';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RESTORE_TARGET } from '../core/errors.ts';
import { documentLines } from './restore-lines.ts';
import { writeRestored } from './restore.ts';

const never = new AbortController().signal;
const disk = vi.hoisted(() => ({ hasLinks: true }));
vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof Fs>();
  const link: typeof Fs.link = async (...args) => {
    if (!disk.hasLinks) throw Object.assign(new Error('EPERM: operation not permitted, link'), { code: 'EPERM' });
    await fs.link(...args);
  };
  return { ...fs, link };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-restore-test-'));
});
afterEach(async () => {
  disk.hasLinks = true;
  await rm(folder, { recursive: true, force: true });
});

/** @param meanwhile after the first document */
async function restored(doc: string, meanwhile: () => Promise<unknown> = async () => {}): Promise<unknown> {
  async function* documents(): AsyncGenerator<{ key: string; doc: string }> {
    yield { key: '1', doc };
    await meanwhile();
    yield { key: '2', doc };
  }
  const lines = documentLines(documents(), () => ({ events: 2, documents: 2, erased: 0, unknown: [] }));
  const args = { collection: 'shop.orders', asOf: { t: 1, i: 1 }, to: 'file:orders.ndjson', into: null, from: 'warehouse' } as const;
  return await writeRestored(args, folder, lines, never);
}

const files = async (): Promise<string[]> => await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')));

describe.each([
  ['a file', true],
  ['a file on a file system without links', false],
])('%s', (_what, hasLinks) => {
  beforeEach(() => {
    disk.hasLinks = hasLinks;
  });

  it('is there once it is whole', async () => {
    await restored('{"_id":1}', async () => expect((await readdir(folder)).includes('orders.ndjson')).toBe(false));
    expect(await files()).toEqual(['{"_id":1}\n{"_id":1}\n']);
  });

  it('that is there already is not touched', async () => {
    await writeFile(join(folder, 'orders.ndjson'), 'mine');
    await expect(restored('{}')).rejects.toMatchObject({ kind: RESTORE_TARGET });
    expect(await files()).toEqual(['mine']);
  });

  it('that somebody else has made meanwhile is not touched either', async () => {
    await expect(restored('{}', async () => await writeFile(join(folder, 'orders.ndjson'), 'mine'))).rejects.toMatchObject({ kind: RESTORE_TARGET });
    expect(await files()).toEqual(['mine']);
  });

  it('is the one of one restore, where many end at one time', async () => {
    let arrived = 0;
    const all = Promise.withResolvers<void>();
    const together = async (): Promise<void> => {
      arrived += 1;
      if (arrived === 8) all.resolve();
      await all.promise;
    };
    const ends = await Promise.allSettled(Array.from({ length: 8 }, (_, n) => restored(`{"_id":${n}}`, together)));
    const winner = ends.findIndex(({ status }) => status === 'fulfilled');
    expect(ends.filter(({ status }) => status === 'rejected').map((end) => (end as PromiseRejectedResult).reason)).toEqual(
      Array.from({ length: 7 }, () => expect.objectContaining({ kind: RESTORE_TARGET })),
    );
    expect(await files()).toEqual([`{"_id":${winner}}\n{"_id":${winner}}\n`]);
  });
});
