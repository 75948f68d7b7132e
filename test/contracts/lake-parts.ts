/**
 * The contract of a lake's parts: opening, fencing, appending, closing.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { LAKE_CONFLICT, LAKE_DAMAGED } from '../../src/core/errors.ts';
import type { Lake } from '../../src/core/lake.ts';
import { PART, bytes, kindOf, never, textOf, writePart, type LakeUnderTest } from './lake-under-test.ts';

export function describeParts(make: () => LakeUnderTest): void {
  let under: LakeUnderTest;
  let lake: Lake;
  beforeEach(() => {
    under = make();
    lake = under.lake;
  });

  describe('opening a part', () => {
    it('makes it and its folders when it must be absent', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      expect(part.path).toBe(PART);
      expect(part.length).toBe(0);
      expect(await lake.stat(PART)).toMatchObject({ path: PART, size: 0 });
    });

    it('is a conflict when it must be absent and is there, and leaves it alone', async () => {
      await writePart(lake, PART, 'one\n');
      expect(await kindOf(lake.open(PART, { epoch: 2, expect: 'absent' }, never))).toBe(LAKE_CONFLICT);
      expect(await textOf(lake, PART)).toBe('one\n');
    });

    it('lets one of many win when all want it absent', async () => {
      const kinds = await Promise.all(Array.from({ length: 8 }, () => kindOf(lake.open(PART, { epoch: 1, expect: 'absent' }, never))));
      expect(kinds.filter((kind) => kind === 'done')).toHaveLength(1);
      expect(kinds.filter((kind) => kind === LAKE_CONFLICT)).toHaveLength(7);
    });

    it('makes a missing part when any will do', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'any', length: 0 }, never);
      await part.append([bytes('a\n')], never);
      expect(await textOf(lake, PART)).toBe('a\n');
    });

    it('goes on at the end of a part that has its recorded length', async () => {
      await writePart(lake, PART, 'one\n');
      await using part = await lake.open(PART, { epoch: 2, expect: 'any', length: 4 }, never);
      expect(part.length).toBe(4);
      await part.append([bytes('two\n')], never);
      expect(await textOf(lake, PART)).toBe('one\ntwo\n');
    });

    it('keeps all of a part when no length is given', async () => {
      await writePart(lake, PART, 'one\n');
      await using part = await lake.open(PART, { epoch: 2, expect: 'any' }, never);
      expect(part.length).toBe(4);
    });

    it('cuts a longer part back, or keeps what lies beyond and says so', async () => {
      await writePart(lake, PART, 'one\ntwo\nhalf a li');
      await using part = await lake.open(PART, { epoch: 2, expect: 'any', length: 4 }, never);
      const kept = under.cutsAtFence ? 'one\n' : 'one\ntwo\nhalf a li';
      expect(part.length).toBe(kept.length);
      expect(await textOf(lake, PART)).toBe(kept);
      await part.append([bytes('new\n')], never);
      expect(await textOf(lake, PART)).toBe(`${kept}new\n`);
    });

    it('says that a part is damaged when it is shorter than what was durable', async () => {
      await writePart(lake, PART, 'one\n');
      expect(await kindOf(lake.open(PART, { epoch: 2, expect: 'any', length: 5 }, never))).toBe(LAKE_DAMAGED);
      expect(await textOf(lake, PART)).toBe('one\n');
    });

    it('says that a part is damaged when it is missing and bytes were durable', async () => {
      expect(await kindOf(lake.open(PART, { epoch: 2, expect: 'any', length: 5 }, never))).toBe(LAKE_DAMAGED);
      expect(await lake.stat(PART)).toBeNull();
    });

    it('does nothing when it is aborted before it begins', async () => {
      const gone = AbortSignal.abort(new Error('stop'));
      await expect(lake.open(PART, { epoch: 1, expect: 'absent' }, gone)).rejects.toThrow('stop');
      expect(await lake.stat(PART)).toBeNull();
    });
  });

  describe('a part that was opened anew', () => {
    it('takes no byte from its earlier holder', async () => {
      const former = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await former.append([bytes('one\n')], never);
      await using part = await (await under.reopen()).open(PART, { epoch: 2, expect: 'any', length: 4 }, never);
      expect(await kindOf(former.append([bytes('late\n')], never))).toBe(LAKE_CONFLICT);
      expect(await kindOf(former.append([bytes('later\n')], never))).toBe(LAKE_CONFLICT);
      await part.append([bytes('two\n')], never);
      expect(await kindOf(former.close())).toBe(LAKE_CONFLICT);
      await former[Symbol.asyncDispose]();
      await part.append([bytes('three\n')], never);
      expect(await textOf(lake, PART)).toBe('one\ntwo\nthree\n');
    });

    it('holds an append that was under way whole or not at all, and the new holder knows which', async () => {
      const former = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      const late = kindOf(former.append([bytes('one\n')], never));
      await using part = await lake.open(PART, { epoch: 2, expect: 'any' }, never);
      const outcome = await late;
      expect(part.length).toBe(outcome === 'done' ? 4 : 0);
      await part.append([bytes('two\n')], never);
      expect(await textOf(lake, PART)).toBe(outcome === 'done' ? 'one\ntwo\n' : 'two\n');
    });

    it('belongs to exactly one of those who open it at once', async () => {
      await writePart(lake, PART, 'one\n');
      const parts = await Promise.all(Array.from({ length: 5 }, () => lake.open(PART, { epoch: 2, expect: 'any', length: 4 }, never)));
      const outcomes: unknown[] = [];
      for (const part of parts) outcomes.push(await kindOf(part.append([bytes('two\n')], never)));
      expect(outcomes.filter((outcome) => outcome === 'done')).toHaveLength(1);
      expect(await textOf(lake, PART)).toBe('one\ntwo\n');
      for (const part of parts) await part[Symbol.asyncDispose]();
    });
  });

  describe('an append', () => {
    it('puts its chunks at the end, in order, as one', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([bytes('a'), bytes(''), bytes('b\n')], never);
      expect(part.length).toBe(3);
      await part.append([bytes('c\n')], never);
      expect(part.length).toBe(5);
      expect(await textOf(lake, PART)).toBe('ab\nc\n');
    });

    it('takes more chunks than the system takes in one call', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      const lines = Array.from({ length: 5000 }, (_, i) => `${i}\n`);
      await part.append(lines.map(bytes), never);
      expect(part.length).toBe(lines.join('').length);
      expect(await textOf(lake, PART)).toBe(lines.join(''));
    });

    it('does not look at its chunks once it is done', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      const reused = bytes('one\n');
      await part.append([reused], never);
      reused.fill(0x78);
      expect(await textOf(lake, PART)).toBe('one\n');
    });

    it('of nothing changes nothing', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      const before = await lake.stat(PART);
      await part.append([], never);
      await part.append([bytes('')], never);
      expect(await lake.stat(PART)).toEqual(before);
    });

    it('that is aborted before it begins leaves the part as it was and usable', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await expect(part.append([bytes('one\n')], AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
      expect(part.length).toBe(0);
      await part.append([bytes('two\n')], never);
      expect(await textOf(lake, PART)).toBe('two\n');
    });

    it('changes the etag', async () => {
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      const etags = new Set([(await lake.stat(PART))?.etag]);
      for (let i = 0; i < 5; i++) {
        await part.append([bytes('x\n')], never);
        etags.add((await lake.stat(PART))?.etag);
      }
      expect(etags.size).toBe(6);
    });
  });

  describe('a closed part', () => {
    it('is what stat says, and takes nothing more', async () => {
      const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([bytes('one\n')], never);
      const file = await part.close();
      expect(file).toEqual({ path: PART, size: 4, etag: file.etag });
      expect(await lake.stat(PART)).toEqual(file);
      await expect(part.append([bytes('two\n')], never)).rejects.toThrow();
      await expect(part.close()).rejects.toThrow();
      await part[Symbol.asyncDispose]();
      expect(await textOf(lake, PART)).toBe('one\n');
    });

    it('can be empty', async () => {
      const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      expect(await part.close()).toMatchObject({ size: 0 });
    });
  });
}
