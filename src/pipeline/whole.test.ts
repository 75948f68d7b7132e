import { describe, expect, it } from 'vitest';
import type { Lake } from '../core/lake.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { checkpointPath, encodeCheckpoint, newCheckpoint, PRODUCER, type Checkpoint } from './checkpoint.ts';
import { asPosition } from '../core/event.ts';
import { newSnapshot } from './snapshot-record.ts';
import { readWhole } from './whole.ts';

const never = new AbortController().signal;
const at = { t: 1_795_000_000, i: 1 };
const resume = { position: asPosition('p'), clusterTime: at, token: Buffer.from('{}') };

async function save(lake: Lake, scope: string, change: Partial<Checkpoint>): Promise<void> {
  const path = checkpointPath('p', scope);
  const file = await lake.stat(path);
  await lake.put(path, encodeCheckpoint({ ...newCheckpoint('p', '{db}/{coll}'), resume, ...change }), file ?? 'absent');
}

const bus = { partitions: 2, partitionBy: 'collection', from: ['0', '0'] };

describe('a pipeline over a bus, as a whole', () => {
  it('is not further than what the producer has taken up since the first checkpoint was read', async () => {
    const lake = await openMemoryLake();
    await save(lake, PRODUCER!, { bus });
    await save(lake, 'p000', { watermark: at });
    await save(lake, 'p001', { watermark: at });
    const target = { namespace: { db: 'shop', coll: 'moved' }, documents: null, bytes: null, refused: null, caveat: null };
    const snapshot = newSnapshot(target, { cause: 'renamed', at: resume, begunAt: '', since: '20261121' });
    // While it is read: the producer meets a rename and tells a watermark behind it, which a partition saves.
    let met = false;
    const reads: Lake = Object.assign(Object.create(lake) as Lake, {
      read: (path: string, from: number, signal: AbortSignal) => lake.read(path, from, signal),
      stat: async (path: string) => {
        if (path === checkpointPath('p', 'p001') && !met) {
          met = true;
          await save(lake, PRODUCER!, { bus, snapshots: [snapshot] });
          await save(lake, 'p001', { watermark: { t: at.t + 9, i: 0 } });
        }
        return await lake.stat(path);
      },
    });
    const whole = await readWhole(reads, 'p', never);
    expect(met).toBe(true);
    expect(whole?.snapshots.map(({ ns }) => ns.coll)).toEqual(['moved']);
  });

  it('has stopped when its producer and each of its partitions have said so', async () => {
    const of = async (producer: boolean, partition: boolean): Promise<boolean | undefined> => {
      const lake = await openMemoryLake();
      await save(lake, PRODUCER!, { bus, cleanStop: producer });
      await save(lake, 'p000', { cleanStop: true });
      await save(lake, 'p001', { cleanStop: partition });
      return (await readWhole(lake, 'p', never))?.isStopped;
    };
    // A producer that reads nothing whole writes no ledger, and is at work all the same.
    expect([await of(true, true), await of(false, true), await of(true, false)]).toEqual([true, false, false]);
  });

  it('has the gaps of its partitions, with what the producer has done for them', async () => {
    const lake = await openMemoryLake();
    const gap = {
      from: at,
      to: { t: at.t + 5, i: 0 },
      detectedAt: '2026-11-21T00:00:00.000Z',
      collections: [],
      cause: 'gone',
      repair: 'asked',
    } as const;
    const repairAt = { t: at.t + 7, i: 0 };
    const mend = { partition: 1, from: at, detectedAt: gap.detectedAt, repairAt, repaired: '2026-11-21T01:00:00.000Z' };
    await save(lake, PRODUCER!, { bus, mends: [mend] });
    // The first has not begun: it is by its number that a gap is found.
    await save(lake, 'p001', { gaps: [gap, { ...gap, detectedAt: '2026-11-21T02:00:00.000Z' }] });
    const { gaps } = (await readWhole(lake, 'p', never))!;
    expect(gaps.map(({ repaired }) => repaired)).toEqual([mend.repaired, undefined]);
    expect(gaps[0]!.repairAt).toEqual(repairAt);
  });
});
