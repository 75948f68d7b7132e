/**
 * What every lake promises (src/core/lake.ts), sentence by sentence. Each implementation runs this suite from a test
 * file of its own; what may differ between them is a capability, not a skipped test.
 */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SluiceError } from '../../src/core/error.ts';
import { LAKE_LOST_OWNERSHIP } from '../../src/core/errors.ts';
import type { Lake } from '../../src/core/lake.ts';
import { describeFiles } from './lake-files.ts';
import { describeParts } from './lake-parts.ts';
import { CHECKPOINT, PART, bytes, listOf, never, textOf, writePart, type LakeUnderTest } from './lake-under-test.ts';

export function describeLake(name: string, make: () => Promise<LakeUnderTest>): void {
  describe(`${name}, as every lake`, () => {
    let under: LakeUnderTest;
    let lake: Lake;
    beforeEach(async () => {
      under = await make();
      lake = under.lake;
    });
    afterEach(async () => {
      await under[Symbol.asyncDispose]();
    });

    describeParts(() => under);
    describeFiles(() => under);

    describe('ownership', () => {
      const how = { takeOver: false };

      it('has one holder until it is released', async () => {
        const mine = await lake.own(CHECKPOINT, how, never);
        expect(mine?.lost.aborted).toBe(false);
        expect(await lake.own(CHECKPOINT, how, never)).toBeNull();
        const other = await under.reopen();
        expect(await other.own(CHECKPOINT, how, never)).toBeNull();
        await mine?.[Symbol.asyncDispose]();
        const theirs = await other.own(CHECKPOINT, how, never);
        expect(theirs).not.toBeNull();
        expect(await lake.own(CHECKPOINT, how, never)).toBeNull();
        // A former owner that lets go once more takes nothing from the new one.
        await mine?.[Symbol.asyncDispose]();
        expect(await lake.own(CHECKPOINT, how, never)).toBeNull();
        expect(theirs?.lost.aborted).toBe(false);
        await theirs?.[Symbol.asyncDispose]();
      });

      it('of one checkpoint says nothing about another', async () => {
        await using a = await lake.own('_sluice/a/checkpoint.json', how, never);
        await using b = await lake.own('_sluice/b/checkpoint.json', how, never);
        expect([a, b]).not.toContain(null);
      });

      it('is taken over where leases can be broken, and only there', async () => {
        await using mine = await lake.own(CHECKPOINT, how, never);
        await using theirs = await (await under.reopen()).own(CHECKPOINT, { takeOver: true }, never);
        expect(theirs !== null).toBe(under.breaksLeases);
        // Who has lost a lease learns it when it is renewed.
        await vi.waitFor(() => expect(mine?.lost.aborted).toBe(under.breaksLeases), { timeout: 10_000 });
        if (under.breaksLeases) expect(SluiceError.is(mine?.lost.reason, LAKE_LOST_OWNERSHIP)).toBe(true);
      });

      it('leaves no file that a listing shows', async () => {
        await using mine = await lake.own(CHECKPOINT, how, never);
        expect(mine).not.toBeNull();
        expect(await listOf(lake, '')).toEqual([]);
      });
    });

    it('refuses paths that are not inside it', async () => {
      for (const path of ['', '/etc/passwd', '../x', 'a/../../x', 'a//b', './a', 'a/.', 'a/', 'a\0b']) {
        await expect(lake.stat(path), path).rejects.toThrow('not a path inside the lake');
        await expect(lake.put(path, bytes('x'), 'absent'), path).rejects.toThrow('not a path inside the lake');
        await expect(lake.open(path, { epoch: 1, expect: 'any' }, never), path).rejects.toThrow('not a path inside the lake');
        await expect(lake.remove(path), path).rejects.toThrow('not a path inside the lake');
        await expect(textOf(lake, path), path).rejects.toThrow('not a path inside the lake');
      }
      await expect(listOf(lake, '../x')).rejects.toThrow('not a path inside the lake');
    });

    it('names a path that other programs can read, or none', async () => {
      await writePart(lake, PART, 'one\n');
      const local = lake.localPath(PART);
      if (local !== null) expect(await readFile(local, 'utf8')).toBe('one\n');
      expect(lake.description).not.toBe('');
    });
  });
}
