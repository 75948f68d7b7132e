import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Lake } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { dayName, hourName, hourOf } from '../core/time.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { newStats } from '../ops/stats.ts';
import { checkpointPath, encodeCheckpoint, ledgerPath, newCheckpoint, type Checkpoint } from '../pipeline/checkpoint.ts';
import { parseConfig } from '../config/load.ts';
import { HourBook } from './hour-book.ts';
import { ledgerFiles } from './ledger-files.ts';
import { Overviews } from './overview.ts';

const NOW = hourOf(Date.now() / 1000);
const never = new AbortController().signal;

// The hour must not turn meanwhile.
beforeAll(() => void vi.useFakeTimers({ toFake: ['Date'], now: (NOW + 0.5) * 3_600_000 }));
afterAll(() => void vi.useRealTimers());

function line(coll: string, hour: number, change: Partial<SealedLine> = {}): SealedLine {
  const at = { t: hour * 3600 + 5, i: 1 };
  const path = `shop/${coll}/${hour}.jsonl`;
  return {
    path,
    db: 'shop',
    coll,
    hour: hourName(hour),
    bytes: 100,
    rows: 10,
    sha256: 'ab',
    first: null,
    last: null,
    firstAt: at,
    lastAt: at,
    ops: { insert: 10 },
    epoch: 1,
    ...change,
  };
}

/** What is asked of the lake. */
const asked = { lists: 0, bytesRead: 0 };

function counting(inner: Lake): Lake {
  return new Proxy(inner, {
    get(target, key) {
      if (key === 'list') {
        asked.lists += 1;
        return target.list.bind(target);
      }
      if (key === 'read') return (...args: Parameters<Lake['read']>) => counted(target.read(...args));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    asked.bytesRead += chunk.length;
    yield chunk;
  }
}

let lake: Lake;
let checkpoint: Checkpoint;
const today = ledgerPath('shop', null, dayName(new Date()), 0);

async function write(path: string, lines: readonly object[], tail = ''): Promise<void> {
  const bytes = Buffer.from(lines.map((each) => `${JSON.stringify(each)}\n`).join('') + tail);
  await lake.put(path, bytes, (await lake.stat(path)) ?? 'absent');
  if (path === today) checkpoint.ledger = { path, length: bytes.length };
}

async function save(): Promise<void> {
  const path = checkpointPath('shop');
  await lake.put(path, encodeCheckpoint(checkpoint), (await lake.stat(path)) ?? 'absent');
}

beforeEach(async () => {
  lake = counting(await openMemoryLake());
  checkpoint = {
    ...newCheckpoint('shop', 'hive'),
    epoch: 1,
    startedAt: { t: (NOW - 5) * 3600, i: 0 },
    watermark: { t: NOW * 3600 + 9, i: 0 },
    nextHour: NOW,
  };
});
afterEach(() => lake[Symbol.asyncDispose]());

describe('the book of hours', () => {
  it('reads only what the ledger has grown by, and leaves a line that is being written for later', async () => {
    const book = new HourBook(NOW - 10, 11);
    const refresh = (): Promise<void> => book.refresh(lake, 'shop', checkpoint.ledger === null ? [] : [checkpoint.ledger], 0, 10_000, never);
    const files = (hour: number): number => book.collections.get('shop.orders')?.files[book.indexOf(hour) ?? -1] ?? 0;
    await write(today, [{ epoch: 1, at: '' }, line('orders', NOW - 2)], '{"path":"half');
    await refresh();
    expect([files(NOW - 2), files(NOW - 1)]).toEqual([1, 0]);
    const before = asked.bytesRead;
    const size = checkpoint.ledger?.length ?? 0;
    await write(today, [{ epoch: 1, at: '' }, line('orders', NOW - 2), line('orders', NOW - 1), line('orders', NOW - 1, { path: 'another' })]);
    await refresh();
    expect([files(NOW - 2), files(NOW - 1)]).toEqual([1, 2]);
    expect(asked.bytesRead - before).toBeLessThan((checkpoint.ledger?.length ?? 0) - size + 20);
    const { lists, bytesRead } = asked;
    await refresh();
    expect([asked.lists, asked.bytesRead]).toEqual([lists, bytesRead]);
  });

  it('counts what was replaced once', async () => {
    const book = new HourBook(NOW - 10, 11);
    const a = line('orders', NOW - 2, { path: 'a' });
    const b = line('orders', NOW - 2, { path: 'b', rows: 5 });
    await write(today, [a, b, line('orders', NOW - 2, { path: 'c', rows: 15, bytes: 70, supersedes: ['a', 'b'] })]);
    await book.refresh(lake, 'shop', checkpoint.ledger === null ? [] : [checkpoint.ledger], 0, 10_000, never);
    const sums = book.collections.get('shop.orders')!;
    const at = book.indexOf(NOW - 2) ?? -1;
    expect([sums.files[at], sums.rows[at], sums.bytes[at]]).toEqual([1, 15, 70]);
  });

  it('is read from its newest day back, so much at a time, and counts what was replaced once all the same', async () => {
    const day = (daysAgo: number): string => ledgerPath('shop', null, dayName(new Date(Date.now() - daysAgo * 86_400_000)), 0);
    const at = (daysAgo: number): number => NOW - daysAgo * 24 - (NOW % 24);
    const book = new HourBook(NOW - 100, 101);
    await write(day(3), [line('orders', at(3), { path: 'a' }), line('orders', at(3), { path: 'b' })]);
    await write(day(2), [line('orders', at(2), { path: 'c' })]);
    await write(day(1), [line('orders', at(3), { path: 'd', rows: 20, supersedes: ['a', 'b'] })]);
    const known: number[] = [];
    while (book.knownFrom > book.from) {
      await book.refresh(lake, 'shop', [], 0, 0, never);
      known.push(book.knownFrom);
      if (known.length > 10) break;
    }
    // A day with each call, and with the last one all before it.
    expect(known).toEqual([at(1), at(2), book.from]);
    const sums = book.collections.get('shop.orders')!;
    const files = (hour: number): number => sums.files[book.indexOf(hour) ?? -1] ?? 0;
    expect([book.knownFrom, files(at(3)), files(at(2)), sums.rows[book.indexOf(at(3)) ?? -1]]).toEqual([book.from, 1, 1, 20]);
  });

  it('leaves hours outside of its window alone', async () => {
    const book = new HourBook(NOW - 10, 11);
    await write(today, [line('orders', NOW - 11), line('orders', NOW + 100)]);
    await book.refresh(lake, 'shop', checkpoint.ledger === null ? [] : [checkpoint.ledger], 0, 10_000, never);
    expect(book.collections.size).toBe(0);
  });
});

describe('the overview', () => {
  const config = parseConfig(JSON.stringify({ pipeline: 'shop', source: { uri: 'mongodb://127.0.0.1:1/' }, lake: { url: 'file:./lake' } }), {
    folder: '/',
  });
  const overviews = (): Overviews => new Overviews({ config, stats: newStats(), lake, warehouse: null, capture: null });

  it('is one picture of checkpoint and ledger, made once for all who ask at the same time', async () => {
    checkpoint.gaps = [
      { from: { t: (NOW - 4) * 3600, i: 0 }, to: { t: (NOW - 4) * 3600 + 9, i: 0 }, detectedAt: '', collections: ['shop.orders'], cause: 'c' },
    ];
    await write(today, [line('orders', NOW - 1), line('customers', NOW - 1)]);
    await save();
    const maker = overviews();
    const [one, two] = await Promise.all([maker.read(), maker.read()]);
    expect(two).toBe(one);
    expect(one.hours).toEqual({ from: NOW - 719, count: 720, published: NOW, knownFrom: NOW - 719 });
    expect(one.collections.map(({ namespace, cells, rowsSealed, health }) => [namespace, cells, rowsSealed, health])).toEqual([
      ['shop.customers', '-714.4s1-1', 10, 'fine'],
      ['shop.orders', '-714.1g1.2s1-1', 10, 'fine'],
    ]);
  });

  it('remembers what a proof said, and forgets one that was stopped', async () => {
    await save();
    const maker = overviews();
    const before = maker.revision;
    await maker.verifying(async () => ({ ok: true, checks: [{ name: 'lake', outcome: 'ok', detail: 'all', findings: [] }] }));
    expect(maker.revision).not.toBe(before);
    const proven = (await maker.read()).verification;
    expect(proven).toMatchObject({ ok: true, before: NOW, checks: [{ name: 'lake' }] });
    await expect(maker.verifying(() => Promise.reject(new DOMException('left', 'AbortError')))).rejects.toThrow('left');
    expect((await maker.read()).verification).toEqual(proven);
    await expect(maker.verifying(() => Promise.reject(new Error('disk')))).rejects.toThrow('disk');
    expect((await maker.read()).verification).toMatchObject({ ok: null, failure: 'disk' });
  });
});

describe('the files of a collection', () => {
  it('are those of an hour, whenever they were sealed, without those that were replaced', async () => {
    // Also in the ledger of a partition.
    const late = ledgerPath('shop', '0003', dayName(new Date(Date.now() + 86_400_000)), 0);
    await write(today, [line('orders', NOW, { path: 'a' }), line('orders', NOW - 1, { path: 'x' }), line('customers', NOW, { path: 'y' })]);
    await write(late, [line('orders', NOW, { path: 'b' }), line('orders', NOW, { path: 'c', supersedes: ['a'] })]);
    const { files, truncated } = await ledgerFiles(lake, 'shop', null, { collection: 'shop.orders', hour: NOW }, never);
    expect([files.map(({ path }) => path), truncated]).toEqual([['b', 'c'], false]);
    expect(files[0]).toMatchObject({ rows: 10, bytes: 100, loaded: null, ops: { insert: 10 } });
  });

  it('are the newest first without an hour, and not without end', async () => {
    await write(
      today,
      Array.from({ length: 250 }, (_, n) => line('orders', NOW - 1, { path: `p${n}` })),
    );
    const { files, truncated } = await ledgerFiles(lake, 'shop', null, { collection: 'shop.orders', hour: null }, never);
    expect([files.length, files[0]?.path, truncated]).toEqual([200, 'p249', true]);
  });
});
