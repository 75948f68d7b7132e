/**
 * The contract of a lake's files: whole files, reading, listing, removing.
 */
import fc from '../fast-check.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { LAKE_CONFLICT, LAKE_DAMAGED } from '../../src/core/errors.ts';
import type { Lake, LakeFile } from '../../src/core/lake.ts';
import { CHECKPOINT, PART, bytes, kindOf, listOf, never, textOf, writePart, type LakeUnderTest } from './lake-under-test.ts';

export function describeFiles(make: () => LakeUnderTest): void {
  let under: LakeUnderTest;
  let lake: Lake;
  beforeEach(() => {
    under = make();
    lake = under.lake;
  });

  describe('put', () => {
    it('writes a whole file with its folders and says what it is', async () => {
      const file = await lake.put('a/b/c.json', bytes('{}'), 'absent');
      expect(file).toMatchObject({ path: 'a/b/c.json', size: 2 });
      expect(await lake.stat('a/b/c.json')).toEqual(file);
      expect(await textOf(lake, 'a/b/c.json')).toBe('{}');
    });

    it('writes an empty file', async () => {
      expect(await lake.put('a/_SUCCESS', bytes(''), 'absent')).toMatchObject({ size: 0 });
      expect(await lake.stat('a/_SUCCESS')).toMatchObject({ size: 0 });
    });

    it('replaces the file that was expected', async () => {
      const first = await lake.put(CHECKPOINT, bytes('1'), 'absent');
      const second = await lake.put(CHECKPOINT, bytes('2'), first);
      expect(second.etag).not.toBe(first.etag);
      expect(await textOf(lake, CHECKPOINT)).toBe('2');
    });

    it('is a conflict when the file is there, was replaced or is gone, and changes nothing', async () => {
      const first = await lake.put(CHECKPOINT, bytes('1'), 'absent');
      expect(await kindOf(lake.put(CHECKPOINT, bytes('x'), 'absent'))).toBe(LAKE_CONFLICT);
      const second = await lake.put(CHECKPOINT, bytes('2'), first);
      expect(await kindOf(lake.put(CHECKPOINT, bytes('x'), first))).toBe(LAKE_CONFLICT);
      expect(await lake.stat(CHECKPOINT)).toEqual(second);
      expect(await textOf(lake, CHECKPOINT)).toBe('2');
      await lake.remove(CHECKPOINT);
      expect(await kindOf(lake.put(CHECKPOINT, bytes('x'), second))).toBe(LAKE_CONFLICT);
      expect(await listOf(lake, '')).toEqual([]);
    });

    it('never gives an etag out twice', async () => {
      let file = await lake.put(CHECKPOINT, bytes('0'), 'absent');
      const etags = new Set([file.etag]);
      for (let i = 1; i < 60; i++) etags.add((file = await lake.put(CHECKPOINT, bytes(String(i % 10)), file)).etag);
      expect(etags.size).toBe(60);
    });

    it('lets one of many win', async () => {
      const other = await under.reopen();
      const race = (expected: 'absent' | LakeFile) =>
        Promise.all(Array.from({ length: 8 }, (_, i) => kindOf((i % 2 === 0 ? lake : other).put(CHECKPOINT, bytes(`by ${i}`), expected))));
      for (const kinds of [await race('absent'), await race((await lake.stat(CHECKPOINT)) as LakeFile)]) {
        expect(kinds.filter((kind) => kind === 'done')).toHaveLength(1);
        expect(kinds.filter((kind) => kind === LAKE_CONFLICT)).toHaveLength(7);
      }
      expect(await listOf(lake, '')).toHaveLength(1);
    });

    it('is never seen half by a reader', async () => {
      let file = await lake.put(CHECKPOINT, bytes('a'.repeat(10_000)), 'absent');
      const seen = new Set<string>();
      for (let i = 0; i < 20; i++) {
        const next = lake.put(CHECKPOINT, bytes((i % 2 === 0 ? 'b' : 'a').repeat(10_000)), file);
        seen.add(await textOf(lake, CHECKPOINT));
        file = await next;
      }
      for (const text of seen) expect(['a'.repeat(10_000), 'b'.repeat(10_000)]).toContain(text);
    });
  });

  describe('read', () => {
    it('gives the bytes from an offset to the end', async () => {
      await writePart(lake, PART, 'one\ntwo\n');
      expect(await textOf(lake, PART)).toBe('one\ntwo\n');
      expect(await textOf(lake, PART, 4)).toBe('two\n');
      expect(await textOf(lake, PART, 8)).toBe('');
      expect(await textOf(lake, PART, 9)).toBe('');
    });

    it('streams what is large, in chunks that stay valid', async () => {
      const large = Buffer.alloc(3 * 1024 * 1024 + 17);
      for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(i, Math.min(i, large.length - 4));
      const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([large.subarray(0, 1_000_001), large.subarray(1_000_001)], never);
      const chunks: Uint8Array[] = [];
      for await (const chunk of lake.read(PART, 0, never)) chunks.push(chunk);
      expect(Math.max(...chunks.map((chunk) => chunk.byteLength))).toBeLessThanOrEqual(1024 * 1024);
      expect(Buffer.concat(chunks).equals(large)).toBe(true);
      await part[Symbol.asyncDispose]();
    });

    it('says that a missing file is damage', async () => {
      expect(await kindOf(textOf(lake, PART))).toBe(LAKE_DAMAGED);
    });

    it('stops when it is aborted', async () => {
      const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([Buffer.alloc(3 * 1024 * 1024)], never);
      const stop = new AbortController();
      const reading = (async () => {
        for await (const _ of lake.read(PART, 0, stop.signal)) stop.abort(new Error('enough'));
      })();
      await expect(reading).rejects.toThrow('enough');
      await part[Symbol.asyncDispose]();
    });
  });

  describe('list', () => {
    it('gives files in the order of their whole paths', async () => {
      const paths = ['a/b/c', 'a-b', 'a.b', 'a/b.c', 'a0', 'a/b-c/d', 'b', 'a/b0', 'A/z', 'a/é', 'a/b/c.part-0001', 'a/b/c.gz'];
      for (const path of paths) await lake.put(path, bytes(path), 'absent');
      const listed = await listOf(lake, '');
      expect(listed.map((file) => file.path)).toEqual(paths.toSorted((x, y) => (x < y ? -1 : 1)));
      for (const file of listed) expect(file).toEqual(await lake.stat(file.path));
    });

    it('keeps that order for any names', async () => {
      const segment = fc.stringMatching(/^[-.0=aB~é ]{0,3}x$/);
      const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(path, { maxLength: 12 }), async (paths) => {
          const root = `run-${Math.random().toString(36).slice(2)}`;
          const made: string[] = [];
          for (const each of paths) {
            // A name cannot be a file and a folder at once.
            if (made.some((other) => `${other}/`.startsWith(`${root}/${each}/`) || `${root}/${each}/`.startsWith(`${other}/`))) continue;
            await lake.put(`${root}/${each}`, bytes(''), 'absent');
            made.push(`${root}/${each}`);
          }
          expect((await listOf(lake, root)).map((file) => file.path)).toEqual(made.toSorted((x, y) => (x < y ? -1 : 1)));
        }),
        { numRuns: 25 },
      );
    });

    it('takes a folder as its prefix, with or without a slash', async () => {
      for (const path of ['a/b/1', 'a/bc/2', 'a/b/c/3', 'b/4']) await lake.put(path, bytes(''), 'absent');
      for (const prefix of ['a/b', 'a/b/']) expect((await listOf(lake, prefix)).map((file) => file.path)).toEqual(['a/b/1', 'a/b/c/3']);
      expect(await listOf(lake, 'a/x')).toEqual([]);
    });

    it('shows parts that are open', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([bytes('one\n')], never);
      expect(await listOf(lake, 'shop')).toMatchObject([{ path: PART, size: 4 }]);
    });

    it('stops when it is aborted', async () => {
      for (const path of ['a', 'b', 'c']) await lake.put(path, bytes(''), 'absent');
      const listing = (async () => {
        for await (const _ of lake.list('', AbortSignal.abort(new Error('enough'))));
      })();
      await expect(listing).rejects.toThrow('enough');
    });
  });

  describe('remove', () => {
    it('takes a file away, and one that is gone already is no error', async () => {
      await writePart(lake, PART, 'one\n');
      await lake.remove(PART);
      expect(await lake.stat(PART)).toBeNull();
      await lake.remove(PART);
      await lake.remove('never/was');
      await writePart(lake, PART, 'two\n');
      expect(await textOf(lake, PART)).toBe('two\n');
    });

    it('leaves an open appender nothing to write to', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await lake.remove(PART);
      expect(await kindOf(part.append([bytes('one\n')], never))).not.toBe('done');
      expect(await lake.stat(PART)).toBeNull();
    });
  });
}
