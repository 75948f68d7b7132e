import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { messagesIn } from '../../test/fakes/memory-bus.ts';
import type { BusMessage } from '../core/bus.ts';
import { Lanes, type Group } from './lanes.ts';

const message = (n: number): BusMessage => ({ key: String(n), value: new Uint8Array(), headers: {} });
const REQUEST = { requestBytesMax: 100, requestMessagesMax: 5, bytesMax: 200 };

describe('lanes to partitions', () => {
  it('keep the order of each, one request at a time, of what fits, and are done with a group when all of it is acknowledged', async () => {
    const plan = fc.array(fc.array(fc.record({ partition: fc.nat(2), bytes: fc.integer({ min: 1, max: 150 }) }), { maxLength: 20 }), {
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(plan, fc.scheduler(), async (groups, scheduler) => {
        const sent: number[][] = [[], [], []];
        const bytesOf = new Map<string, number>();
        const isBusy = [false, false, false];
        const acknowledged = new Set<string>();
        const lanes = new Lanes({
          ...REQUEST,
          partitions: 3,
          send: async (partition, batch) => {
            const messages = messagesIn(batch);
            expect(isBusy[partition]).toBe(false);
            isBusy[partition] = true;
            const bytes = messages.reduce((sum, { key }) => sum + bytesOf.get(key)!, 0);
            expect(messages.length === 1 || bytes <= REQUEST.requestBytesMax).toBe(true);
            expect(messages.length).toBeLessThanOrEqual(REQUEST.requestMessagesMax);
            await scheduler.schedule(Promise.resolve());
            // Its memory is nobody else's until it is acknowledged.
            expect(messagesIn(batch)).toEqual(messages);
            sent[partition]!.push(...messages.map(({ key }) => Number(key)));
            for (const { key } of messages) acknowledged.add(key);
            isBusy[partition] = false;
          },
        });
        let n = 0;
        const done: Promise<void>[] = [];
        const whole = (async () => {
          for (const messages of groups) {
            await lanes.room();
            const group: Group = { pending: 0 };
            const keys = messages.map(({ partition, bytes }) => {
              n += 1;
              bytesOf.set(String(n), bytes);
              lanes.add(partition, bytes, group).addMessage(message(n));
              return String(n);
            });
            lanes.start();
            done.push(lanes.done(group).then(() => expect(keys.every((key) => acknowledged.has(key))).toBe(true)));
          }
          await Promise.all(done);
          await lanes.settled();
        })();
        await scheduler.waitFor(whole);
        for (const each of sent) expect(each).toEqual(each.toSorted((a, b) => a - b));
        expect(sent.flat()).toHaveLength(n);
      }),
      { numRuns: 200 },
    );
  });

  it('send nothing more once a request has failed, and say why', async () => {
    const failure = new Error('refused');
    let requests = 0;
    const lanes = new Lanes({
      ...REQUEST,
      partitions: 2,
      send: async () => {
        requests += 1;
        await Promise.resolve();
        throw failure;
      },
    });
    const group: Group = { pending: 0 };
    for (let n = 0; n < 20; n += 1) lanes.add(0, 10, group).addMessage(message(n));
    lanes.start();
    await expect(lanes.done(group)).rejects.toBe(failure);
    lanes.add(1, 10, group).addMessage(message(20));
    lanes.start();
    await lanes.settled();
    await expect(lanes.room()).rejects.toBe(failure);
    expect([requests, group.pending]).toEqual([1, 21]);
  });
});
