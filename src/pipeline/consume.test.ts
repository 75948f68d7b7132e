/** What a consumer does at its end. What it carries over is shown by partition-source.test.ts. */
import { describe, expect, it } from 'vitest';
import { OPTIONS, turns } from '../../test/fakes/capture-bench.ts';
import { MemoryBus } from '../../test/fakes/memory-bus.ts';
import type { BusMembership } from '../core/bus.ts';
import { systemClock } from '../core/clock.ts';
import { asPosition } from '../core/event.ts';
import { MessageBatch } from '../core/message-batch.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { PRODUCER, checkpointPath, encodeCheckpoint, newCheckpoint, partitionScope } from './checkpoint.ts';
import { Consume } from './consume.ts';

const never = new AbortController().signal;

/** One partition, which nobody else is given before its consumer has left the group. */
class OneConsumer extends MemoryBus {
  hasLeft = false;

  constructor() {
    super(1);
  }

  override async join(group: string, onAssigned: (partitions: readonly number[]) => void): Promise<BusMembership> {
    const membership = await super.join(group, onAssigned);
    return { ...membership, [Symbol.asyncDispose]: async () => void (this.hasLeft = true) };
  }
}

describe('a consumer that ends', () => {
  it.each(['stopped', 'idle', 'failed'] as const)('has left before anybody can follow it (%s)', async (how) => {
    const lake = await openMemoryLake(new MemoryStore());
    const producer = {
      ...newCheckpoint('p', OPTIONS.layout),
      resume: { position: asPosition(''), clusterTime: { t: 1_795_248_000, i: 0 }, token: Buffer.alloc(0) },
      fingerprint: 'A',
      bus: { partitions: 1, partitionBy: 'collection' as const, from: ['0'] },
    };
    await lake.put(checkpointPath('p', PRODUCER), encodeCheckpoint(producer), 'absent');
    const bus = new OneConsumer();
    if (how === 'failed') await bus.send(0, MessageBatch.of([{ key: 'k', value: Buffer.from('no event'), headers: { v: '1' } }]));
    const stop = new AbortController();
    const owned = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    const onLeaving = async (): Promise<void> => {
      const ownership = await lake.own(checkpointPath('p', partitionScope(0)), { takeOver: false }, never);
      seen.push({ hasLeft: bus.hasLeft, isFree: ownership !== null });
      await ownership?.[Symbol.asyncDispose]();
      await turns();
    };
    const options = {
      ...OPTIONS,
      untilIdleMs: how === 'idle' ? 20 : null,
      group: 'g',
      partitionBy: 'collection',
      onBadMessage: 'stop',
      foreign: null,
    } as const;
    const parts = { bus, lake, clock: systemClock, stats: newStats(), log: silentLog, onOwned: async () => owned.resolve(), onLeaving };
    const ended = new Consume(options, parts).run(stop.signal).catch((error: unknown) => error);
    await owned.promise;
    if (how === 'stopped') stop.abort(new Error('stopped'));
    expect((await ended) instanceof Error).toBe(how === 'failed');
    expect(bus.hasLeft).toBe(true);
    // What ends by itself has let go of its partition; nobody else is given it while we are in the group.
    expect(seen).toEqual([{ hasLeft: false, isFree: how !== 'stopped' }]);
  });
});
