/**
 * The main job over a lake in memory: when parts roll, what is sealed and published, who owns the pipeline. What a stop, a
 * crash or lost history leaves behind: capture.restart.test.ts. Crashes at every step: test/crash/.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events, folderOf, liveCaptures, turns } from '../../test/fakes/capture-bench.ts';
import type { SealedLine } from '../core/ledger.ts';
import { verifyLake } from './verify-lake.ts';

const A = folderOf('a');
const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });
const code = (is: string) => expect.objectContaining({ code: is });
const { fed, stopAll, forget, watch } = liveCaptures();

afterEach(stopAll);

describe('a part rolls', () => {
  it('by size, in order, within one batch too', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a'], [2, 'a'], [3, 'a'], [4, 'a'], [5, 'a']), ...end(10) }, { rollBytesMax: 450 });
    expect(bench.content()).toEqual({
      [`${A}events-20261121-08.jsonl`]: [0, 1],
      [`${A}events-20261121-08.part-0001.jsonl`]: [2, 3],
      [`${A}events-20261121-08.part-0002.jsonl`]: [4],
    });
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('by age, also while nothing comes, and however the clock is put', async () => {
    for (const moved of [61_000, -61_000]) {
      const bench = new CaptureBench();
      const { feed, stats } = await fed(bench, { events: events([1, 'a']), ...end(10) }, { rollAgeMs: 60_000 });
      await feed.next();
      expect([stats.partsOpen, stats.partsSealed]).toEqual([1, 0]);
      bench.clock.move(moved);
      await feed.next();
      expect([stats.partsOpen, stats.partsSealed]).toEqual([0, 1]);
      expect(bench.ledger()).toHaveLength(1);
    }
  });

  it('by hour: an event of the next hour goes to its own folder, and the hour before is sealed', async () => {
    const bench = new CaptureBench();
    const { feed } = await fed(bench, { events: events([1, 'a'], [HOUR, 'a']), ...end(HOUR) });
    await feed.next();
    expect(bench.ledger()).toEqual([]);
    await feed.next();
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0], [`${folderOf('a', 1)}events-20261121-09.jsonl`]: [1] });
    expect(bench.ledger().map((line) => line.hour)).toEqual(['20261121-08']);
  });

  it('when too many are open: the least recently used', async () => {
    const bench = new CaptureBench();
    const { feed } = await fed(bench, { events: events([1, 'a'], [2, 'b'], [3, 'a'], [4, 'c'], [5, 'd']), ...end(5) }, { partsOpenMax: 2 });
    for (let n = 0; n < 5; n += 1) {
      bench.clock.move(1);
      await feed.next();
    }
    expect(bench.ledger().map((line) => line.coll)).toEqual(['b', 'a']);
    expect(bench.checkpoint().parts.map((part) => part.ns.coll)).toEqual(['c', 'd']);
  });

  it('and 5,000 events of 500 collections in one batch are all in their files', async () => {
    const bench = new CaptureBench();
    const many = Array.from({ length: 5_000 }, (_, n) => [1 + Math.floor(n / 10), `c${n % 500}`, { bytes: 200 }] as const);
    await bench.run({ events: events(...many), ...end(2 * HOUR) }, { partsOpenMax: 50, rollBytesMax: 2_000 });
    const report = await bench.verify();
    expect(report).toMatchObject({ findings: [], rows: 5_000, collections: 500, openParts: 0 });
    expect(new Set(Object.values(bench.content()).flat()).size).toBe(5_000);
    expect(bench.hourFile(0)).toMatchObject({ complete: true });
    expect(bench.hourFile(0)['collections']).toHaveLength(500);
  });
});

describe('a flush', () => {
  it('comes when enough bytes wait, or when they have waited long enough, however the clock is put', async () => {
    const bench = new CaptureBench();
    const list = Array.from({ length: 8 }, (_, n) => [1 + n, 'a'] as const);
    const { feed, stats } = await fed(bench, { events: events(...list), ...end(10) }, { flushBytesMax: 450, flushAgeMs: 5_000 });
    await feed.next();
    expect(stats.events).toBe(0);
    await feed.next();
    await feed.next();
    expect(stats.events).toBe(2);
    for (const moved of [5_000, -5_000]) {
      const before = stats.events;
      bench.clock.move(moved);
      await feed.next();
      expect(stats.events).toBeGreaterThan(before);
    }
  });

  it('does not wait for a source that has fallen silent', async () => {
    const bench = new CaptureBench();
    const { feed, stats } = await fed(bench, { events: events([1, 'a']), ...end(10) }, { flushAgeMs: 5_000 });
    await feed.next();
    expect(stats.events).toBe(0);
    bench.clock.move(5_000);
    await turns();
    expect(stats.events).toBe(1);
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0] });
  });

  it('is followed by a checkpoint each interval, also when the clock was put back', async () => {
    const bench = new CaptureBench();
    const { feed, stats } = await fed(bench, { events: events(...Array.from({ length: 9 }, (_, n) => [1 + n, 'a'] as const)), ...end(10) });
    await feed.next();
    const saves = stats.checkpointSaves;
    await feed.next();
    expect(stats.checkpointSaves).toBe(saves);
    bench.clock.move(-1_800_000);
    await feed.next();
    expect(stats.checkpointSaves).toBe(saves + 1);
    bench.clock.move(1_000);
    await feed.next();
    expect(stats.checkpointSaves).toBe(saves + 2);
  });
});

it('a run until idle is not idle while it writes, however long that takes', async () => {
  const bench = new CaptureBench();
  bench.store.onOperation = ({ kind }) => {
    if (kind === 'append') bench.clock.move(40_000);
  };
  await bench.run({ events: events([1, 'a'], [2, 'a'], [3, 'a']), batchEvents: 1, ...end(10) }, { untilIdleMs: 30_000 });
  expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0, 1, 2] });
});

describe('a request to seal', () => {
  const never = new AbortController().signal;

  it('seals what is open; later events of the hour go to a new part', async () => {
    const bench = new CaptureBench();
    const { feed, capture, sealed } = await fed(bench, { events: events([1, 'a'], [2, 'a']), ...end(10) });
    await feed.next();
    await capture.seal(never);
    expect(bench.ledger().map((line) => [line.path, line.rows])).toEqual([[`${A}events-20261121-08.jsonl`, 1]]);
    expect(bench.checkpoint().parts).toEqual([]);
    expect(sealed.times).toBe(1);
    await feed.next();
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0], [`${A}events-20261121-08.part-0001.jsonl`]: [1] });
    expect((await bench.verify()).findings).toEqual([]);
  });

  it('is answered while the source is silent, from its first batch on, and loses no batch', async () => {
    const bench = new CaptureBench();
    const { feed, capture } = await fed(bench, { events: events([1, 'a']), ...end(10) });
    await capture.seal(never);
    await Promise.all([capture.seal(never), capture.seal(never)]);
    await feed.next();
    await capture.seal(never);
    expect(bench.ledger()).toHaveLength(1);
  });

  it('ends with the run: by the last commit of a stop, by the error of a failure, at once afterwards', async () => {
    const bench = new CaptureBench();
    const stopped = await fed(bench, { events: events([1, 'a']), ...end(10) });
    await stopped.feed.next();
    await stopped.stop();
    await expect(stopped.capture.seal(never)).rejects.toThrow(code('SLC-1502'));

    const failing = await fed(bench, { events: events([1, 'a']), ...end(10) });
    bench.store.onOperation = ({ kind }) => {
      if (kind === 'put') throw new Error('no more puts');
    };
    await expect(failing.capture.seal(never)).rejects.toThrow('no more puts');
    await expect(failing.done).rejects.toThrow('no more puts');
    expect(failing.stats.state).toBe('failed');
  });

  it('is not waited for by who has gone', async () => {
    const bench = new CaptureBench();
    const { capture } = await fed(bench, { ...end(10) });
    const asker = new AbortController();
    // Nothing goes on: whoever waits, waits.
    bench.store.onOperation = () => new Promise(() => {});
    const waits = capture.seal(asker.signal);
    asker.abort(new Error('gone'));
    await expect(waits).rejects.toThrow('gone');
    await expect(capture.seal(asker.signal)).rejects.toThrow('gone');
    delete bench.store.onOperation;
    forget();
  });
});

describe('an hour that is over', () => {
  it('has a manifest that is its ledger lines, and then _SUCCESS', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a'], [2, 'a', { op: 'delete' }], [3, 'a'], [4, 'b']), ...end(HOUR) }, { rollBytesMax: 450 });
    const lines = bench.ledger().filter((line) => line.coll === 'a');
    expect(lines.map((line) => line.ops)).toEqual([{ insert: 1, delete: 1 }, { insert: 1 }]);
    expect(bench.json(`${A}_manifest.json`)).toEqual({ v: 1, revision: 1, ns: { db: 'db', coll: 'a' }, hour: '20261121-08', files: lines });
    expect(bench.bytes(`${A}_SUCCESS`)).toHaveLength(0);
    expect(bench.hourFile(0)).toEqual({
      v: 1,
      hour: '20261121-08',
      complete: true,
      from: new Date((T0 + 1) * 1000).toISOString(),
      collections: ['db.a', 'db.b'],
    });
    const [first] = lines as [SealedLine];
    expect(first).toMatchObject({
      bytes: bench.bytes(first.path).length,
      rows: 2,
      firstAt: { t: T0 + 1, i: 1 },
      lastAt: { t: T0 + 2, i: 1 },
      epoch: 1,
    });
  });

  it('has a file when nothing came, too; only the first says where the pipeline began', async () => {
    const bench = new CaptureBench();
    const startAt = { kind: 'time', at: { t: T0 + 1800, i: 0 } } as const;
    await bench.run({ events: events([1801, 'a'], [4 * HOUR + 1, 'a']), batchEvents: 1, ...end(5 * HOUR) }, { startAt });
    expect(bench.hourFile(0)).toMatchObject({ from: new Date((T0 + 1800) * 1000).toISOString(), collections: ['db.a'] });
    for (const idle of [1, 2, 3])
      expect(bench.hourFile(idle)).toEqual({ v: 1, hour: `20261121-${String(8 + idle).padStart(2, '0')}`, complete: true, collections: [] });
    expect(bench.hourFile(4)).not.toHaveProperty('from');
    expect(bench.paths().filter((path) => path.startsWith('db/') && path.endsWith('_SUCCESS'))).toHaveLength(2);
  });

  it('is not over before the watermark has passed its end', async () => {
    const bench = new CaptureBench();
    const { feed } = await fed(bench, { events: events([1, 'a'], [HOUR - 1, 'b']), ...end(HOUR - 1) });
    for (let n = 0; n < 4; n += 1) await feed.next();
    expect(bench.paths().filter((path) => /_SUCCESS|_manifest|hours/.test(path))).toEqual([]);
  });

  it('is published below _sluice when the layout has no folder for an hour', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a']), ...end(HOUR) }, { layout: '{db}/{coll}/events-{yyyyMMdd}-{HH}{part}.jsonl' });
    expect(bench.json('_sluice/p/manifests/db/a/20261121-08.json')).toMatchObject({
      hour: '20261121-08',
      files: [expect.objectContaining({ rows: 1 })],
    });
    expect(bench.paths().some((path) => path.endsWith('_SUCCESS'))).toBe(false);
    expect((await bench.verify()).findings).toEqual([]);
  });
});

describe('the ledger', () => {
  it('never goes back a day, so that a later owner finds every line of an hour', async () => {
    const bench = new CaptureBench();
    const day = 24 * 3_600_000;
    bench.clock.move(day);
    const first = await fed(bench, { events: events([1, 'a'], [2, 'b']), ...end(10) });
    await first.feed.next();
    bench.clock.move(-day);
    await first.capture.seal(new AbortController().signal);
    await first.feed.next();
    await first.stop();
    bench.clock.move(day);
    await bench.run({ events: events([1, 'a'], [2, 'b']), ...end(HOUR) });
    expect((await bench.verify()).findings).toEqual([]);
    expect(bench.json(`${A}_manifest.json`)['files']).toHaveLength(1);
  });
});

describe.each(['gzip', 'zstd'] as const)('a part with %s', (compression) => {
  it('holds a member per append, and the ledger speaks of the bytes as stored', async () => {
    const bench = new CaptureBench();
    const list = Array.from({ length: 30 }, (_, n) => [1 + n, 'a', { bytes: 500 }] as const);
    await bench.run({ events: events(...list), batchEvents: 10, ...end(HOUR) }, { compression });
    const path = `${A}events-20261121-08.jsonl.${compression === 'gzip' ? 'gz' : 'zst'}`;
    expect(bench.parts()).toEqual([path]);
    const magic = Buffer.from(compression === 'gzip' ? [0x1f, 0x8b, 0x08] : [0x28, 0xb5, 0x2f, 0xfd]);
    const stored = bench.bytes(path);
    let members = 0;
    for (let at = stored.indexOf(magic); at >= 0; at = stored.indexOf(magic, at + 1)) members += 1;
    expect(members).toBe(3);
    expect(bench.ids(path)).toEqual(list.map((_, n) => n));
    expect(bench.ledger()).toEqual([expect.objectContaining({ bytes: stored.length, rows: 30 })]);
    expect((await bench.verify()).findings).toEqual([]);
  });
});

describe('events out of order', () => {
  it('are refused, and nothing is written from there on', async () => {
    const bench = new CaptureBench();
    const { feed, done } = await fed(bench, { events: [...events([1, 'a'], [3, 'a'], [2, 'a'], [4, 'a'])], batchEvents: 2, ...end(10) });
    await feed.next();
    void feed.next();
    await expect(done).rejects.toThrow(code('SLC-1402'));
    expect(bench.content()).toEqual({ [`${A}events-20261121-08.jsonl`]: [0, 1] });
    expect(bench.checkpoint().resume?.clusterTime).toEqual({ t: T0 + 1, i: 0 });
  });

  it('of an hour that the watermark has passed are refused, because it may be published', async () => {
    const bench = new CaptureBench();
    await bench.run({ events: events([1, 'a']), ...end(2 * HOUR) });
    const source = bench.source({ events: events([1, 'a'], [2, 'a']), ...end(2 * HOUR) });
    const { resolve, changes } = { resolve: source.resolve.bind(source), changes: source.changes.bind(source) };
    // A source that goes back to its beginning, whatever it is told.
    source.changes = async function* (_, signal) {
      yield* changes(await resolve({ kind: 'now' }, signal), signal);
    };
    const live = await bench.start(source);
    watch(live);
    await expect(live.done).rejects.toThrow(code('SLC-1402'));
    expect(Object.values(bench.content()).flat()).toEqual([0]);
    expect((await verifyLake(await bench.lake(), 'p', { signal: new AbortController().signal })).findings).toEqual([]);
  });
});

describe('a run until idle', () => {
  it('reads all there is, however long a batch takes to be written', async () => {
    const bench = new CaptureBench();
    bench.store.onOperation = ({ kind }) => (kind === 'append' ? bench.clock.move(40_000) : undefined);
    await bench.run({ events: events([1, 'a'], [2, 'a'], [3, 'a']), batchEvents: 1, end: { t: T0 + 10, i: 1 } });
    expect(Object.values(bench.content()).flat()).toEqual([0, 1, 2]);
  });
});
