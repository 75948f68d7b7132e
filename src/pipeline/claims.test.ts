import { describe, expect, it } from 'vitest';
import { MemoryBus } from '../../test/fakes/memory-bus.ts';
import type { BusMessage } from '../core/bus.ts';
import { MessageBatch } from '../core/message-batch.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { claimsFolder } from './checkpoint.ts';
import { removeOldClaims } from './claims.ts';

const never = new AbortController().signal;

function watermark(day: string): BusMessage {
  const at = `${Date.parse(`${day}T12:00:00Z`) / 1000}.1`;
  return { key: '', value: new Uint8Array(), headers: { v: '1', watermark: at, clusterTime: at, position: 'p', fingerprint: 'f' } };
}

describe('lines that were too large for the bus', () => {
  async function left(...partitions: readonly (readonly BusMessage[])[]): Promise<string[]> {
    const lake = await openMemoryLake();
    for (const day of ['20261118', '20261119', '20261120', '20261121'])
      await lake.put(`${claimsFolder('p')}/${day}/a.jsonl`, Buffer.from('{}\n'), 'absent');
    const bus = new MemoryBus(partitions.length);
    for (const [index, messages] of partitions.entries()) await bus.send(index, MessageBatch.of(messages));
    await removeOldClaims(lake, bus, 'p', never);
    const days: string[] = [];
    for await (const { path } of lake.list(claimsFolder('p'), never)) days.push(path.split('/').at(-2)!);
    return days;
  }

  it('go when no partition has a message of their time any more, a day later', async () => {
    expect(await left([watermark('2026-11-21')], [watermark('2026-11-20'), watermark('2026-11-21')], [])).toEqual([
      '20261119',
      '20261120',
      '20261121',
    ]);
  });

  it('stay when nobody can tell: the topic is empty, or somebody else has written to it', async () => {
    const foreign = { key: '', value: Buffer.from('{}'), headers: {} };
    for (const partitions of [
      [[], []],
      [[foreign], [watermark('2026-11-21')]],
    ])
      expect(await left(...partitions)).toHaveLength(4);
  });
});
