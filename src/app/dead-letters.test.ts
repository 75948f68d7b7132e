/**
 * Dead letters that go while they are looked at: somebody replays them, or they are old enough to be removed.
 */
import { expect, it } from 'vitest';
import { SluiceError } from '../core/error.ts';
import { DEAD_LETTER_NONE, LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { putDeadLetter } from '../pipeline/dead-letters.ts';
import { listWith, readWith } from './dead-letters.ts';

const never = new AbortController().signal;

/** A lake with three of them, of which the second goes once they are listed. */
async function replaying(): Promise<Lake> {
  const lake = await openMemoryLake();
  for (const offset of [1n, 2n, 3n]) {
    const record = { offset, timeMs: 0, key: null, value: Buffer.from('?'), header: () => null, headers: () => [] };
    await putDeadLetter(lake, 'p', { topic: 't', partition: 0, record, error: new SluiceError(LAKE_DAMAGED, 'a test') });
  }
  const list = lake.list.bind(lake);
  lake.list = async function* (prefix, signal) {
    const files = await Array.fromAsync(list(prefix, signal));
    await lake.remove(files.find(({ path }) => path.endsWith('2.jsonl'))?.path ?? 'nothing');
    yield* files;
  };
  return lake;
}

const name = (n: number): string => `p000-${String(n).padStart(20, '0')}`;

it('are not in the list', async () => {
  const { letters, total } = await listWith(await replaying(), 'p', Infinity, never);
  expect([letters.map((letter) => letter.name), total]).toEqual([[name(1), name(3)], 2]);
});

it('are told as not there when they are asked for by name', async () => {
  await expect(readWith(await replaying(), 'p', name(2), never)).rejects.toMatchObject({ kind: DEAD_LETTER_NONE });
  expect(await readWith(await replaying(), 'p', name(3), never)).toMatchObject({ offset: '3' });
});
