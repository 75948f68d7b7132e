import { describe, expect, it } from 'vitest';
import { describeLake } from '../../../test/contracts/lake.ts';
import { kindOf, listOf, textOf } from '../../../test/contracts/lake-under-test.ts';
import { MemoryStore, openMemoryLake } from './memory.ts';

const never = new AbortController().signal;

describeLake('a lake in memory', async () => {
  const store = new MemoryStore();
  return {
    lake: await openMemoryLake(store),
    reopen: () => openMemoryLake(store),
    cutsAtFence: false,
    breaksLeases: true,
    [Symbol.asyncDispose]: async () => {},
  };
});

describe('a lake in memory', () => {
  it('tells a test of every step before it happens', async () => {
    const store = new MemoryStore();
    const steps: string[] = [];
    store.onOperation = ({ kind, path }) => void steps.push(`${kind} ${path}`);
    const lake = await openMemoryLake(store);
    const owner = await lake.own('_sluice/p/checkpoint.json', { takeOver: false }, never);
    const part = await lake.open('a', { epoch: 1, expect: 'absent' }, never);
    await part.append([Buffer.from('x\n')], never);
    await part.close();
    await lake.put('b', Buffer.from(''), 'absent');
    await lake.remove('b');
    await owner?.[Symbol.asyncDispose]();
    expect(steps).toEqual([
      'own _sluice/p/checkpoint.json',
      'open a',
      'append a',
      'close a',
      'put b',
      'remove b',
      'release _sluice/p/checkpoint.json',
    ]);
  });

  it('does not take a step that a test has stopped', async () => {
    const store = new MemoryStore();
    const lake = await openMemoryLake(store);
    const part = await lake.open('a', { epoch: 1, expect: 'absent' }, never);
    store.onOperation = async () => {
      throw new Error('power cut');
    };
    for (const step of [
      () => part.append([Buffer.from('x\n')], never),
      () => lake.put('b', Buffer.from('x'), 'absent'),
      () => lake.remove('a'),
      () => lake.open('c', { epoch: 1, expect: 'absent' }, never),
    ]) {
      expect(await kindOf(step())).toMatchObject({ message: 'power cut' });
    }
    delete store.onOperation;
    expect(await listOf(lake, '')).toMatchObject([{ path: 'a', size: 0 }]);
    expect(await textOf(lake, 'a')).toBe('');
  });
});
