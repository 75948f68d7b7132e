/**
 * What a partition may hold after producers have crashed, were cut off, and read other streams: repetitions of any kind. The
 * lake has each event once, in order.
 */
import { describe, expect, it } from 'vitest';
import { MemoryBus } from '../../test/fakes/memory-bus.ts';
import { systemClock } from '../core/clock.ts';
import type { BusMessage } from '../core/bus.ts';
import { MessageBatch } from '../core/message-batch.ts';
import { asPosition } from '../core/event.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { checkpointPath, encodeCheckpoint, newCheckpoint, PRODUCER } from './checkpoint.ts';
import { BUS_FORMAT, BUS_LATE, BUS_MESSAGE } from '../core/errors.ts';
import { readForeign } from '../bus/foreign/foreign.ts';
import { Consume, type ConsumeOptions } from './consume.ts';

const T0 = 1_795_248_000; // a full hour

/** An event as a stream of this name has it: positions of two streams do not compare. */
function event(stream: string, second: number, id = second): BusMessage {
  const position = `${stream === 'A' ? 'f' : '0'}${String(second).padStart(6, '0')}${id}`;
  const meta = { position, operationType: 'insert', ns: { db: 'd', coll: 'c' }, clusterTime: { $timestamp: { t: T0 + second, i: 1 } } };
  const value = Buffer.from(`{"_meta":${JSON.stringify(meta)},"documentKey":{"_id":${id}}}`);
  const headers = { v: '1', fingerprint: stream, operationType: 'insert', ns: 'd.c', clusterTime: `${T0 + second}.1` };
  return { key: 'd.c', value, headers };
}

function watermark(stream: string, second: number): BusMessage {
  return {
    key: '',
    value: Buffer.alloc(0),
    headers: { v: '1', watermark: `${T0 + second}.1`, position: '', clusterTime: `${T0 + second}.1`, fingerprint: stream },
  };
}

type How = Pick<ConsumeOptions, 'foreign' | 'onBadMessage'> & { readonly onHistoryLost?: 'repair'; readonly forgotten?: bigint };

/** @returns seconds of the events in the lake, in order, after each of `parts` was in the partition when a consumer ran */
async function consumed(...parts: readonly (readonly BusMessage[])[]): Promise<number[]> {
  return await consumedInto(new MemoryStore(), { foreign: null, onBadMessage: 'stop' }, parts);
}

async function consumedInto(store: MemoryStore, how: How, parts: readonly (readonly BusMessage[])[]): Promise<number[]> {
  const lake = await openMemoryLake(store);
  const at = { t: T0, i: 0 };
  const producer = {
    ...newCheckpoint('p', LAYOUT_PRESETS.hive),
    resume: { position: asPosition(''), clusterTime: at, token: Buffer.alloc(0) },
    startedAt: at,
    fingerprint: 'A',
    bus: { partitions: 1, partitionBy: 'collection', from: ['0'] },
  };
  if (how.foreign === null) await lake.put(checkpointPath('p', PRODUCER), encodeCheckpoint(producer), 'absent');
  const bus = new MemoryBus(1);
  bus.first = how.forgotten ?? 0n;
  for (const messages of parts) {
    await bus.send(0, MessageBatch.of(messages));
    const options = {
      pipeline: 'p',
      group: 'g',
      partitionBy: 'collection' as const,
      collections: [],
      excluded: [],
      layout: LAYOUT_PRESETS.hive,
      compression: 'none' as const,
      rollBytesMax: 1 << 20,
      rollAgeMs: 3_600_000,
      partsOpenMax: 10,
      flushBytesMax: 1,
      flushAgeMs: 0,
      readAheadBytesMax: 0,
      checkpointIntervalMs: 0,
      untilIdleMs: 20,
      wait: true,
      takeOver: false,
      acceptGap: false,
      onHistoryLost: 'fail',
      rangesAtOnce: 1,
      unavailableAfterMs: 1_000,
      ...how,
    } as const;
    await new Consume(options, { bus, lake, clock: systemClock, stats: newStats(), log: silentLog }).run(AbortSignal.timeout(120_000));
  }
  const files = [...store.files].filter(([path]) => path.startsWith('d/') && path.endsWith('.jsonl')).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const lines = files.flatMap(([, { bytes }]) => Buffer.from(bytes).toString('utf8').split('\n').slice(0, -1)); // prettier-ignore
  return lines.map((line) => (JSON.parse(line) as { documentKey: { _id: number } }).documentKey._id);
}

const [one, two, three, four, five] = [event('A', 1), event('A', 2), event('A', 3), event('A', 4), event('A', 5)] as const;

describe('a partition', () => {
  it('gives once what a producer has published again', async () => {
    expect(await consumed([one, two, three, two, three, four, two], [three, four, five])).toEqual([1, 2, 3, 4, 5]);
  });

  it('goes on with another stream, and leaves out what that repeats', async () => {
    expect(await consumed([one, two, three, event('B', 2), event('B', 3), event('B', 4)], [event('B', 4), event('B', 5)], [])).toEqual([
      1, 2, 3, 4, 5,
    ]);
  });

  it('keeps what another stream has at the very time at which the first one stopped', async () => {
    expect(await consumed([one, two, event('B', 2), event('B', 2, 22), event('B', 3)])).toEqual([1, 2, 22, 3]);
  });

  it.each([
    ['before the time that was reached', [event('B', 1), event('B', 2)]],
    ['at that time', [event('B', 3)]],
    ['at that time, with something new', [event('B', 3), event('B', 3, 33)]],
  ])('does not stand still when two streams take turns %s', async (_, between) => {
    const found = await consumed([one, two, three, ...between, two, three, ...between, four, ...between, five]);
    expect(found.filter((id) => id !== 33)).toEqual([1, 2, 3, 4, 5]);
    expect(found.filter((id) => id === 33).length).toBe(between.length === 2 && between[1]!.headers['clusterTime'] === `${T0 + 3}.1` ? 1 : 0);
  });

  it('drops what comes after a watermark that covers it', async () => {
    expect(await consumed([one, two, watermark('A', 4), event('B', 3), two, five])).toEqual([1, 2, 5]);
  });

  it('goes on once after what the broker has forgotten, also where the time of the oldest message is that of its own place', async () => {
    const store = new MemoryStore();
    const still = watermark('A', 0);
    const oldest = { ...still, headers: { ...still.headers, clusterTime: `${T0}.0`, position: '0' } };
    const how = { foreign: null, onBadMessage: 'stop', onHistoryLost: 'repair', forgotten: 1n } as const;
    expect(await consumedInto(store, how, [[one, oldest, two, three]])).toEqual([2, 3]);
    const { gaps } = (await readCheckpoint(await openMemoryLake(store), 'p', 'p000', new AbortController().signal))!;
    expect(gaps).toMatchObject([{ from: { t: T0, i: 0 }, to: { t: T0, i: 0 }, repair: 'asked' }]);
  });

  it('ends at messages of a later sluice, which are not put aside', async () => {
    const later: BusMessage = { ...two, headers: { ...two.headers, v: '2' } };
    const store = new MemoryStore();
    const run = consumedInto(store, { foreign: null, onBadMessage: 'deadLetter' }, [[one, later, five]]);
    await expect(run).rejects.toMatchObject({ kind: BUS_FORMAT });
    expect([...store.files.keys()].filter((path) => path.includes('/dead-letters/'))).toEqual([]);
  });
});

describe('a partition that others write to', () => {
  /** As Atlas Stream Processing sends it; without a token as after a `$project`. */
  const change = (second: number, { token = true, id = second, headers = {} } = {}): BusMessage => {
    const hex = (n: number): string => n.toString(16).padStart(8, '0').toUpperCase();
    const _id = token ? { _id: { _data: `82${hex(T0 + second)}${hex(1)}${hex(id)}` } } : {};
    const event = { ..._id, operationType: 'insert', ns: { db: 'd', coll: 'c' }, clusterTime: { $timestamp: { t: T0 + second, i: 1 } } };
    const value = Buffer.from(JSON.stringify({ ...event, documentKey: { _id: String(id) }, fullDocument: { id } }));
    return { key: 'k', value, headers };
  };
  const foreign: How['foreign'] = { read: (record) => readForeign('detect', record), startAt: { kind: 'oldest' } };
  const bad: BusMessage = { key: 'k', value: Buffer.from('{"not":"an event"}'), headers: {} };

  async function read(...parts: readonly (readonly BusMessage[])[]): Promise<{ ids: number[]; reasons: string[] }> {
    const store = new MemoryStore();
    const ids = await consumedInto(store, { foreign, onBadMessage: 'deadLetter' }, parts);
    const letters = [...store.files].filter(([path]) => path.includes('/dead-letters/')).map(([, { bytes }]) => Buffer.from(bytes).toString());
    return { ids: ids.map(Number), reasons: letters.map((line) => (JSON.parse(line) as { reason: string }).reason) };
  }

  it('gives once what comes again with its resume token', async () => {
    const [one, two, three] = [change(1), change(2), change(3)];
    expect(await read([one, two, one, two, three], [two, three, change(4)])).toEqual({ ids: [1, 2, 3, 4], reasons: [] });
  });

  it('gives once what comes again without one, but for the very last', async () => {
    const of = (second: number, id?: number): BusMessage => change(second, { token: false, id: id ?? second });
    expect(await read([of(1), of(2), of(1), of(2, 22), of(3)], [of(2), of(4)])).toEqual({ ids: [1, 2, 22, 3, 4], reasons: [] });
  });

  it('puts aside what cannot be read, once, and what is sent again too late', async () => {
    const late = change(1, { headers: { 'sluice-replayed': 'true' } });
    expect(await read([change(1), bad, change(2)], [change(3), late])).toEqual({ ids: [1, 2, 3], reasons: [BUS_MESSAGE.code, BUS_LATE.code] });
  });

  it('stops at what cannot be read when it is told to', async () => {
    const run = consumedInto(new MemoryStore(), { foreign, onBadMessage: 'stop' }, [[change(1), bad, change(2)]]);
    await expect(run).rejects.toMatchObject({ kind: BUS_MESSAGE });
  });
});
