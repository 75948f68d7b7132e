/**
 * What one run leaves to the next: parts after a clean stop and after a crash, a checkpoint that is damaged, history that
 * the source no longer has.
 */
import { describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events, folderOf } from '../../test/fakes/capture-bench.ts';
import type { Script } from '../../test/fakes/scripted-source.ts';
import { SluiceError } from '../core/error.ts';
import { HISTORY_LOST } from '../core/errors.ts';
import type { Source } from '../core/source.ts';
import type { CaptureOptions } from './capture.ts';
import { checkpointPath, encodeCheckpoint, type Checkpoint } from './checkpoint.ts';

const A = folderOf('a');
const FIRST = `${A}events-20261121-08.jsonl`;
const SECOND = `${A}events-20261121-08.part-0001.jsonl`;
const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });
const code = (is: string) => expect.objectContaining({ code: is });
const LIST = [[1, 'a'], [2, 'a'], [3, 'a'], [4, 'a']] as const; // prettier-ignore

/** Runs until the source has no more of its history. */
async function runIntoTheGap(bench: CaptureBench, script: Partial<Script>, options: Partial<CaptureOptions> = {}): Promise<void> {
  const onBatch = (_: number, isLast: boolean): void => {
    if (isLast) throw new SluiceError(HISTORY_LOST, 'cut');
  };
  const live = await bench.start(bench.source({ onBatch, ...script }), options);
  await expect(live.done).rejects.toThrow(code('SLC-1286'));
}

function failing(source: Source, kinds: readonly string[]): Source {
  const resolve = source.resolve.bind(source);
  source.resolve = (start, signal) => (kinds.includes(start.kind) ? Promise.reject(new SluiceError(HISTORY_LOST, 'cut')) : resolve(start, signal));
  return source;
}

function edit(bench: CaptureBench, change: (checkpoint: Checkpoint) => void): void {
  const checkpoint = bench.checkpoint();
  change(checkpoint);
  overwrite(bench, encodeCheckpoint(checkpoint));
}

function overwrite(bench: CaptureBench, bytes: Buffer): void {
  const file = bench.store.files.get(checkpointPath('p'))!;
  Object.assign(file, { bytes, size: bytes.length });
}

describe('after a clean stop', () => {
  it('the part goes on, and its hash is that of all its bytes', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    expect(bench.checkpoint()).toMatchObject({ cleanStop: true, parts: [{ path: FIRST, rows: 2, epoch: 1 }] });
    expect(bench.ledger()).toEqual([]);
    await bench.run({ events: events(...LIST), ...end(HOUR) });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2, 3] });
    expect(bench.ledger()).toEqual([expect.objectContaining({ path: FIRST, rows: 4, epoch: 2 })]);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it.each([
    ['it would be written otherwise now', { compression: 'gzip' }, () => {}],
    ['the stream is another one', {}, () => {}],
    ['it is of another owner than the one that stopped', {}, (state) => void (state.parts[0]!.epoch -= 1)],
    ['there is a later one', {}, (state) => void (state.hours[0]!.next += 1)],
    ['it was rolled', {}, (state) => void (state.parts[0]!.rolled = true)],
    ['the stop was not clean', {}, (state) => void (state.cleanStop = false)],
  ] as readonly [string, Partial<CaptureOptions>, (state: Checkpoint) => void][])('the part does not go on when %s', async (why, options, change) => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    edit(bench, change);
    const fingerprint = why.includes('stream') ? 'B' : 'A';
    await bench.run({ events: events(...LIST), fingerprint, ...end(10) }, options);
    expect(bench.ids(FIRST)).toEqual([0, 1]);
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3]);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it.each([
    ['the order of numbers in them', '{"2":1,"1":1}', '{"1":1,"2":1}'],
    ['names that come twice', '{"a":1,"a":2}', '{"a":2}'],
    // The JSON.parse of Node 26.10 takes the second for the first.
    ['escapes', String.raw`{"_":1,"\\":1}`, String.raw`{"_":1,"\t":1}`],
  ])('another stream tells documents of one cluster time apart whose keys differ in %s', async (_what, held, other) => {
    const bench = new CaptureBench();
    const both = events([1, 'a', { key: other }], [1, 'a', { key: held }]);
    // The first stream leaves the other document out; the second one sees it before the one that is in the lake.
    await bench.runAndStop({ events: both, sees: ({ key }) => key === held, ...end(1) });
    expect(Object.values(bench.content()).flat()).toEqual([1]);
    await bench.run({ events: both, fingerprint: 'B', ...end(HOUR) });
    expect(
      Object.values(bench.content())
        .flat()
        .toSorted((a, b) => a - b),
    ).toEqual([0, 1]);
  });

  it('a part that holds more than was recorded does not go on', async () => {
    const bench = new CaptureBench();
    const whole = new CaptureBench();
    await whole.runAndStop({ events: events(...LIST.slice(0, 3)), ...end(10) });
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    const file = bench.store.files.get(FIRST)!;
    const bytes = whole.bytes(FIRST);
    Object.assign(file, { bytes, size: bytes.length });
    await bench.run({ events: events(...LIST), ...end(HOUR) });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2], [SECOND]: [3] });
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('what was read is written, though its flush was not due yet', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), batchEvents: 1, ...end(10) }, { flushAgeMs: HOUR * 1000 });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1] });
    expect(bench.checkpoint()).toMatchObject({ cleanStop: true, parts: [{ path: FIRST, rows: 2 }] });
  });

  it('an owner that has begun is not one that has stopped, whatever becomes of it', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    await runIntoTheGap(bench, { events: events(...LIST), ...end(20) });
    expect(bench.checkpoint()).toMatchObject({ epoch: 2, cleanStop: false });
  });

  it('nothing is left open or held', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST), ...end(10) });
    expect([...bench.store.files.values()].filter((file) => file.lease !== null)).toEqual([]);
    expect(bench.store.owners.size).toBe(0);
  });

  it('a stopped pipeline can be sealed without its source', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST), ...end(10) });
    const source = bench.source({});
    source.open = () => Promise.reject(new Error('the source is not needed'));
    const live = await bench.start(source, { wait: false });
    await live.done.catch(() => {});
    await live.capture.sealStopped(new AbortController().signal);
    expect(bench.ledger()).toEqual([expect.objectContaining({ path: FIRST, rows: 4 })]);
    await bench.run({ events: events(...LIST, [5, 'a']), ...end(HOUR) });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2, 3], [SECOND]: [4] });
    expect((await bench.verify()).findings).toEqual([]);
  });
});

describe('after a crash', () => {
  it('the part is sealed as it is, and a new one follows', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    let dead = false;
    bench.store.onOperation = ({ kind }) => {
      dead ||= kind === 'put' && bench.ids(FIRST).length > 2;
      if (dead) throw new Error('dead');
    };
    await expect(bench.run({ events: events(...LIST.slice(0, 3)), batchEvents: 1, ...end(10) })).rejects.toThrow('dead');
    delete bench.store.onOperation;
    bench.store.owners.clear();
    const stats = await bench.run({ events: events(...LIST), ...end(HOUR) });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2], [SECOND]: [3] });
    expect(stats.eventsReplayed).toBe(1);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('the part is sealed also when the owner that crashed had not written to it', async () => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    const live = await bench.start(bench.source({ onBatch: () => Promise.reject(new Error('dead')) }));
    await expect(live.done).rejects.toThrow('dead');
    await bench.run({ events: events(...LIST), ...end(HOUR) });
    expect(bench.content()).toEqual({ [FIRST]: [0, 1], [SECOND]: [2, 3] });
  });

  it.each([
    ['in the middle of opening parts', ({ kind }: { kind: string }, n: number) => kind === 'open' && n > 9],
    ['in the middle of a recovery', ({ kind, path }: { kind: string; path: string }) => kind === 'open' && path.includes('ledger')],
    ['in the middle of a seal', ({ kind }: { kind: string }) => kind === 'close'],
  ])('%s nothing is left open or held', async (_, fails) => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a'], [2, 'b']), ...end(2) });
    await bench.runAndStop({ events: events([1, 'a'], [2, 'b'], [3, 'a'], [4, 'b'], [5, 'a'], [6, 'a']), ...end(10) }, { rollBytesMax: 450 });
    let n = 0;
    bench.store.onOperation = (operation) => {
      n += 1;
      if (fails(operation, n)) throw new Error('failed');
    };
    const script = {
      events: events([1, 'a'], [2, 'b'], [3, 'a'], [4, 'b'], [5, 'a'], [6, 'a'], [7, 'a'], [8, 'c'], [9, 'd'], [10, 'c']),
      ...end(20),
    };
    await expect(bench.run(script, { rollBytesMax: 200 })).rejects.toThrow('failed');
    expect([...bench.store.files].filter(([, file]) => file.lease !== null).map(([path]) => path)).toEqual([]);
  });
});

describe('a checkpoint that is damaged', () => {
  it.each([
    ['cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 3)],
    ['empty', () => Buffer.alloc(0)],
    ['not an object', () => Buffer.from('null\n')],
    ['without a part’s hour', (bytes: Buffer) => Buffer.from(bytes.toString().replace('"20261121-08"', '"yesterday"'))],
    ['of a seal without its ledger line', (bytes: Buffer) => Buffer.from(bytes.toString().replace('"state": "open"', '"state": "sealing"'))],
  ])('because it is %s, is refused, and nothing is written', async (_, damage) => {
    const bench = new CaptureBench();
    await bench.runAndStop({ events: events(...LIST), ...end(10) });
    overwrite(bench, Buffer.from(damage(bench.bytes(checkpointPath('p')))));
    const before = bench.paths().map((path) => [path, bench.bytes(path)]);
    const live = await bench.start(bench.source({ events: events(...LIST), ...end(10) }));
    await expect(live.done).rejects.toThrow(code('SLC-1109'));
    expect(bench.paths().map((path) => [path, bench.bytes(path)])).toEqual(before);
  });
});

describe('history that is lost', () => {
  const before = { events: events([1, 'a'], [HOUR + 1, 'a'], [HOUR + 2, 'a']), ...end(2 * HOUR) };
  const after = {
    events: events([1, 'a'], [HOUR + 1, 'a'], [HOUR + 2, 'a'], [3 * HOUR + 1, 'a'], [4 * HOUR + 1, 'a']),
    ...end(5 * HOUR),
    oldest: { t: T0 + 3 * HOUR, i: 0 },
  };

  it('is recorded as a gap, the next run refuses, and an accepted gap is gone over and stays visible', async () => {
    const bench = new CaptureBench();
    await runIntoTheGap(bench, before);
    const from = { t: T0 + HOUR + 2, i: 1 };
    expect(bench.checkpoint().gaps).toEqual([
      { from, to: null, detectedAt: expect.any(String), collections: ['db.*'], cause: expect.stringContaining('cut') },
    ]);
    await expect(bench.run(after)).rejects.toThrow(code('SLC-1403'));
    await expect(bench.run(after)).rejects.toThrow(code('SLC-1403'));

    await bench.run(after, { acceptGap: true });
    expect(bench.checkpoint().gaps).toMatchObject([{ from, to: after.oldest }]);
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3, 4]);
    expect([0, 1, 2, 3, 4].map((hours) => bench.hourFile(hours)['complete'])).toEqual([true, false, false, false, true]);
    expect([0, 1, 3, 4].map((hours) => bench.paths().includes(`${folderOf('a', hours)}_SUCCESS`))).toEqual([true, false, false, true]);
    expect(bench.paths()).toContain(`${folderOf('a', 1)}_manifest.json`);
    expect((await bench.verify()).findings).toEqual([]);
    // Accepted once for all.
    await bench.run(after);
  });

  it('does not take along what was read before and had not been flushed', async () => {
    const bench = new CaptureBench();
    await runIntoTheGap(bench, before, { flushAgeMs: 60_000 });
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2]);
    expect(bench.checkpoint().gaps).toMatchObject([{ from: { t: T0 + HOUR + 2, i: 1 } }]);
  });

  it('is one gap, however often it is found out', async () => {
    const bench = new CaptureBench();
    await runIntoTheGap(bench, before);
    const live = await bench.start(failing(bench.source(after), ['oldest']), { acceptGap: true });
    await expect(live.done).rejects.toThrow(code('SLC-1286'));
    expect(bench.checkpoint().gaps).toHaveLength(1);
    await bench.run(after, { acceptGap: true });
    await bench.run(after);
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3, 4]);
  });

  it('and is there again after all, on another member, is no gap and repeats nothing', async () => {
    const bench = new CaptureBench();
    await runIntoTheGap(bench, before);
    await bench.run({ ...after, oldest: { t: T0, i: 0 } }, { acceptGap: true });
    expect(bench.checkpoint().gaps).toEqual([]);
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3, 4]);
    expect([0, 1, 2, 3, 4].map((hours) => bench.hourFile(hours)['complete'])).toEqual([true, true, true, true, true]);
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('before the start is no gap: another start can be chosen', async () => {
    const bench = new CaptureBench();
    const startAt = { kind: 'time', at: { t: T0 - 100 * HOUR, i: 0 } } as const;
    const live = await bench.start(failing(bench.source(after), ['time']), { startAt });
    await expect(live.done).rejects.toThrow(expect.objectContaining({ code: 'SLC-1286', next: expect.stringContaining('source.startAt') }));
    expect(bench.checkpoint()).toMatchObject({ resume: null, gaps: [] });
    await bench.run(after);
    expect(bench.paths().filter((path) => path.includes('/hours/'))).toHaveLength(5);
  });

  it('together with a changed stream is a gap all the same', async () => {
    const bench = new CaptureBench();
    await runIntoTheGap(bench, before);
    await bench.run({ ...after, fingerprint: 'B' }, { acceptGap: true });
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3, 4]);
    expect((await bench.verify()).findings).toEqual([]);
  });
});

describe('a start', () => {
  it('at a time takes what happened at that time, too', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events(...LIST), ...end(10) }, { startAt: { kind: 'time', at: { t: T0 + 3, i: 1 } } });
    expect(Object.values(bench.content()).flat()).toEqual([2, 3]);
    expect(bench.checkpoint().startedAt).toEqual({ t: T0 + 3, i: 1 });
  });

  it('at a token goes on after its event', async () => {
    const source = new CaptureBench();
    await source.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    const bench = new CaptureBench();
    await bench.run({ events: events(...LIST), ...end(10) }, { startAt: { kind: 'token', token: source.checkpoint().resume!.token } });
    expect(Object.values(bench.content()).flat()).toEqual([2, 3]);
  });

  it('is resolved once: a crash before the first event does not move it', async () => {
    const bench = new CaptureBench();
    const live = await bench.start(bench.source({ events: events(...LIST), ...end(10), onBatch: () => Promise.reject(new Error('dead')) }));
    await expect(live.done).rejects.toThrow('dead');
    const onBatch = (_: number, isLast: boolean): void => {
      bench.clock.move(isLast ? 60_000 : 10);
      // To know that it is idle it may ask.
      source.resolve = resolve;
    };
    const source = bench.source({ events: events(...LIST), ...end(10), onBatch });
    const resolve = source.resolve.bind(source);
    source.resolve = () => Promise.reject(new Error('resolved again'));
    await (
      await bench.start(source, { untilIdleMs: 30_000 })
    ).done;
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2, 3]);
  });
});
