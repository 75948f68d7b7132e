/**
 * Who may write: standing by, taking over, losing the pipeline, other people's prefixes and files.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { CaptureBench, T0, events, folderOf, liveCaptures, turns } from '../../test/fakes/capture-bench.ts';
import type { Lake } from '../core/lake.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import { checkpointPath, encodeCheckpoint } from './checkpoint.ts';

const A = folderOf('a');
const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });
const code = (is: string) => expect.objectContaining({ code: is });
const { fed, stopAll } = liveCaptures();

afterEach(stopAll);

describe('ownership', () => {
  it('is waited for, without a rush, and taken when it is free', async () => {
    const bench = new CaptureBench();
    const first = await fed(bench, { events: events([1, 'a']), ...end(10) });
    await first.feed.next();
    const second = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) }, { wait: true });
    await turns();
    expect(second.stats).toMatchObject({ state: 'standby', epoch: 0 });
    for (let n = 0; n < 5; n += 1) {
      bench.clock.move(1_000);
      await turns();
    }
    expect(bench.clock.sleeps).toEqual(Array.from({ length: 6 }, () => 1_000));
    await first.stop();
    bench.clock.move(1_000);
    await second.feed.next();
    expect(second.stats).toMatchObject({ state: 'running', epoch: 2 });
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0, 1] });
  });

  it('lasts until what follows an idle end is done', async () => {
    const bench = new CaptureBench();
    let seen: unknown = null;
    bench.onIdle = async () => {
      const ownership = await (await bench.lake()).own(checkpointPath('p'), { takeOver: false }, new AbortController().signal);
      seen = { isFree: ownership !== null, sealed: bench.ledger().length, cleanStop: bench.checkpoint().cleanStop };
    };
    await bench.run({ events: events([1, 'a']), ...end(10) });
    expect(seen).toEqual({ isFree: false, sealed: 1, cleanStop: true });
    seen = null;
    await bench.runAndStop({ events: events([1, 'a'], [2, 'a']), ...end(10) });
    expect(seen).toBe(null);
  });

  it.each(['stopped', 'failed'] as const)('is free only once whoever must not meet the next owner has left (%s)', async (how) => {
    const bench = new CaptureBench();
    const [leaving, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    bench.onLeaving = async () => {
      leaving.resolve();
      await left.promise;
    };
    const fails = how === 'failed' && { sees: () => { throw new Error('broken'); } }; // prettier-ignore
    const first = await fed(bench, { events: events([1, 'a']), ...fails, ...end(10) });
    bench.onLeaving = async () => {};
    const second = await fed(bench, { ...end(10) }, { wait: true });
    const next = first.feed.next();
    if (how === 'stopped') void next.then(() => first.stop());
    await leaving.promise;
    bench.clock.move(5_000);
    await turns();
    const { state, epoch } = second.stats;
    left.resolve();
    expect([state, epoch]).toEqual(['standby', 0]);
    await first.done.catch(() => {});
    expect(first.stats.state).toBe(how);
    bench.clock.move(1_000);
    await second.feed.next();
    expect(second.stats).toMatchObject({ state: 'running', epoch: 2 });
  });

  it('is not waited for after a stop', async () => {
    const bench = new CaptureBench();
    await fed(bench, { ...end(10) });
    const second = await fed(bench, { ...end(10) }, { wait: true });
    await turns();
    await second.stop();
    expect(second.stats.state).toBe('stopped');
  });

  it('is refused at once when nobody wants to wait', async () => {
    const bench = new CaptureBench();
    await fed(bench, { ...end(10) });
    const second = await fed(bench, { ...end(10) });
    await expect(second.done).rejects.toThrow(code('SLC-1106'));
  });

  it('is not ours when another owner begins the pipeline between two looks at it', async () => {
    let isEarly = false;
    class Early extends CaptureBench {
      override async lake(): Promise<Lake> {
        const lake = await super.lake();
        const look = lake.stat.bind(lake);
        lake.stat = async (path) => {
          if (!isEarly || !path.endsWith('/checkpoint.json')) return await look(path);
          isEarly = false;
          return null;
        };
        return lake;
      }
    }
    const bench = new Early();
    await bench.runAndStop({ events: events([1, 'a']), ...end(10) });
    isEarly = true;
    await expect(bench.run({ events: events([1, 'a']), ...end(10) })).rejects.toThrow(code('SLC-1108'));
    expect(bench.checkpoint().epoch).toBe(1);
  });

  it('that is lost ends the run without another write', async () => {
    const bench = new CaptureBench();
    const first = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) });
    await first.feed.next();
    const second = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) }, { takeOver: true });
    await expect(first.done).rejects.toThrow(code('SLC-1108'));
    await second.feed.next();
    await second.feed.next();
    expect(bench.checkpoint().epoch).toBe(2);
    expect(Object.values(bench.content()).flat()).toEqual([0, 1]);
  });

  it('that is lost is called so when a file turns out to be the successor’s', async () => {
    const bench = new CaptureBench();
    const first = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) });
    await first.feed.next();
    await bench.lake().then((lake) =>
      lake.put('_sluice/p/checkpoint.json', bench.bytes('_sluice/p/checkpoint.json'), {
        path: '',
        size: 0,
        etag: String(bench.store.files.get('_sluice/p/checkpoint.json')!.version),
      }),
    );
    bench.store.files.get(`${A}events-20261121-08.jsonl`)!.lease = null;
    void first.feed.next();
    await expect(first.done).rejects.toThrow(code('SLC-1108'));
  });

  it('of a file that somebody else has fenced is taken back once, with nothing lost or twice', async () => {
    const bench = new CaptureBench();
    const script = { events: events([1, 'a'], [2, 'a'], [3, 'a']), ...end(10) };
    const live = await fed(bench, script);
    await live.feed.next();
    bench.store.files.get(`${A}events-20261121-08.jsonl`)!.lease = null;
    for (let n = 0; n < 5; n += 1) await live.feed.next();
    expect(live.stats).toMatchObject({ state: 'running', epoch: 2 });
    await live.stop();
    expect(bench.checkpoint()).toMatchObject({ epoch: 2, cleanStop: true });
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0], [`${A}events-20261121-08.part-0001.jsonl`]: [1, 2] });
  });

  it('of files that somebody else goes on to fence is a conflict', async () => {
    const bench = new CaptureBench();
    const live = await fed(bench, { events: events([1, 'a'], [2, 'a'], [3, 'a'], [4, 'a']), ...end(10) });
    const fence = (): void => {
      for (const path of bench.parts()) bench.store.files.get(path)!.lease = null;
    };
    void (async () => {
      for (;;) {
        await live.feed.next();
        fence();
      }
    })();
    await expect(live.done).rejects.toThrow(code('SLC-1101'));
    expect(bench.checkpoint().epoch).toBe(2);
  });

  it('that is lost while a conflict is recovered from is not taken back', async () => {
    let looks = Number.NEGATIVE_INFINITY;
    class Watched extends CaptureBench {
      override async lake(): Promise<Lake> {
        const lake = await super.lake();
        const look = lake.stat.bind(lake);
        lake.stat = async (path) => {
          if (path.endsWith('/checkpoint.json')) looks += 1;
          if (looks === 2) succeed();
          return await look(path);
        };
        return lake;
      }
    }
    const bench = new Watched();
    // After the look that says that the pipeline is still ours, before the recovery reads the checkpoint.
    const succeed = (): void => {
      const file = bench.store.files.get('_sluice/p/checkpoint.json')!;
      const bytes = encodeCheckpoint({ ...bench.checkpoint(), epoch: 2 });
      Object.assign(file, { bytes, size: bytes.length, version: file.version + 1 });
    };
    const live = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) });
    await live.feed.next();
    const part = `${A}events-20261121-08.jsonl`;
    bench.store.files.get(part)!.lease = null;
    looks = 0;
    void live.feed.next();
    await expect(live.done).rejects.toThrow(code('SLC-1108'));
    expect(bench.checkpoint().epoch).toBe(2);
    expect(bench.ids(part)).toEqual([0]);
  });

  it('of a prefix belongs to one pipeline', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a']), ...end(10) });
    const before = bench.paths();
    const other = await fed(bench, { ...end(10) }, { pipeline: 'q' });
    await expect(other.done).rejects.toThrow(code('SLC-1107'));
    expect(bench.paths()).toEqual(before);
  });

  it('does not help to change the layout', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a']), ...end(10) });
    const before = bench.checkpoint();
    const other = await fed(bench, { ...end(10) }, { layout: LAYOUT_PRESETS.hourly });
    await expect(other.done).rejects.toThrow(code('SLC-1006'));
    expect(bench.checkpoint()).toEqual(before);
  });
});
