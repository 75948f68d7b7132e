import { describe, expect, it } from 'vitest';
import {
  CARTS,
  DAY_1,
  DAY_2,
  FIRST,
  H8,
  OPEN,
  ORDERS,
  makeSpec,
  openPart,
  overwrite,
  pathOf,
  sealed,
  stored,
  write,
} from '../../test/fakes/small-lake.ts';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_FAILED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import { parseHourName, type Timestamp } from '../core/time.ts';
import type { CollectionRow, CollectionStatus, LoadResult, SealedFile, Warehouse, WarehouseGap } from '../core/warehouse.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats, type PipelineStats } from '../ops/stats.ts';
import { checkpointPath, encodeCheckpoint, type Checkpoint } from './checkpoint.ts';
import { Loader, type LoaderOptions } from './loader.ts';

const never = new AbortController().signal;
const WATERMARK: Timestamp = { t: parseHourName('20261121-09')! * 3600 + 1000, i: 4 };
const OPEN_AT = sealed(OPEN, 3).firstAt;

/** Keeps the contract of a warehouse, with rows counted and not kept. */
class FakeWarehouse implements Warehouse {
  readonly description = 'fake';
  atOnce = 1;
  readonly idleMarkMs = 60_000;
  readonly ledger = new Map<string, number>();
  readonly status = new Map<string, CollectionStatus>();
  readonly unfolded = new Map<string, number>();
  readonly complete = new Map<string, Timestamp>();
  readonly loads: string[][] = [];
  /** Files that it does not take, collections that it cannot merge. */
  readonly bad = new Set<string>();
  /** Collections into which nothing can be loaded. */
  readonly broken = new Set<string>();
  readonly discovered: string[] = [];
  readonly behindInLearning: Namespace[] = [];
  readonly merges: string[] = [];
  readonly gaps: [pipeline: string, gaps: readonly WarehouseGap[]][] = [];
  /** Calls of any kind. */
  asked = 0;

  async migrate(): Promise<void> {}

  async assertMigrated(): Promise<void> {}

  async *keys(): AsyncGenerator<string> {}

  async countKeys(): Promise<number> {
    throw new Error('nobody erases here');
  }

  async bronzeHorizon(): Promise<null> {
    return null;
  }

  async retainBronze(): Promise<{ from: null; rows: 0; heldBy: null }> {
    return { from: null, rows: 0, heldBy: null };
  }

  async eraseKeys(): Promise<number> {
    throw new Error('nobody erases here');
  }

  async takeOver(): Promise<'nothing'> {
    throw new Error('nobody erases here');
  }

  async history(): Promise<never> {
    throw new Error('nobody restores here');
  }

  async *snapshotLines(): AsyncGenerator<never> {}

  async *eventLines(): AsyncGenerator<never> {}

  async makeTable(): Promise<never> {
    throw new Error('nobody restores here');
  }

  async loaded(paths: readonly string[]): Promise<ReadonlySet<string>> {
    this.asked += 1;
    return new Set(paths.filter((path) => this.ledger.has(path)));
  }

  async load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult> {
    this.asked += 1;
    const stuck = files.find((file) => this.broken.has(formatNamespace(file.line)));
    if (stuck !== undefined) throw new SluiceError(WAREHOUSE_FAILED, formatNamespace(stuck.line));
    this.loads.push(files.map((file) => file.line.path));
    const result = { files: 0, rows: 0, namespaces: [] as Namespace[], rejected: [] as { path: string; reason: string }[] };
    for (const file of files) {
      const { line } = file;
      const ns = { db: line.db, coll: line.coll };
      const name = formatNamespace(ns);
      let bytes = 0;
      for await (const chunk of file.read(signal)) bytes += chunk.byteLength;
      if (this.bad.has(line.path) || bytes !== line.bytes) result.rejected.push({ path: line.path, reason: 'bad' });
      else if (!this.ledger.has(line.path)) {
        this.ledger.set(line.path, line.rows);
        this.unfolded.set(name, (this.unfolded.get(name) ?? 0) + line.rows);
        result.files += 1;
        result.rows += line.rows;
        result.namespaces.push(ns);
      }
      if (this.status.get(name) !== 'PAUSED') this.status.set(name, result.rejected.length > 0 ? 'ERROR' : 'ACTIVE');
    }
    return result;
  }

  async merge(ns: Namespace): Promise<{ rows: number }> {
    const name = formatNamespace(ns);
    this.merges.push(name);
    if (this.bad.has(name)) throw new SluiceError(WAREHOUSE_FAILED, name);
    const rows = this.unfolded.get(name) ?? 0;
    this.unfolded.delete(name);
    return { rows };
  }

  async unmerged(): Promise<readonly Namespace[]> {
    this.asked += 1;
    return [...this.unfolded].filter(([, rows]) => rows > 0).map(([name]) => parseNamespace(name));
  }

  async markComplete(marks: readonly { namespace: Namespace; through: Timestamp }[]): Promise<void> {
    this.asked += 1;
    for (const { namespace, through } of marks) this.complete.set(formatNamespace(namespace), through);
  }

  async discover(namespaces: readonly Namespace[]): Promise<void> {
    this.asked += 1;
    for (const name of namespaces.map(formatNamespace)) {
      this.discovered.push(name);
      if (!this.status.has(name)) this.status.set(name, 'DISCOVERED');
    }
  }

  async setStatus(ns: Namespace, status: CollectionStatus, _reason?: string | null, from?: readonly CollectionStatus[]): Promise<void> {
    this.asked += 1;
    const now = this.status.get(formatNamespace(ns));
    if (from !== undefined && (now === undefined || !from.includes(now))) return;
    this.status.set(formatNamespace(ns), status);
  }

  async collections(): Promise<readonly CollectionRow[]> {
    this.asked += 1;
    const none = {
      reason: null,
      rows: 0,
      bytes: 0,
      sourceCount: null,
      sourceCountedAt: null,
      firstSeenAt: '',
      lastEventAt: null,
      lastLoadAt: null,
      completeThrough: null,
    };
    return [...this.status].map(([name, status]) => ({ namespace: parseNamespace(name), status, ...none }));
  }

  async unlearnt(): Promise<readonly Namespace[]> {
    return this.behindInLearning.splice(0);
  }

  async noteSourceCounts(): Promise<void> {}

  async asOf(sql: string): Promise<string> {
    return sql;
  }

  async noteGaps(pipeline: string, gaps: readonly WarehouseGap[]): Promise<void> {
    this.asked += 1;
    this.gaps.push([pipeline, gaps]);
  }

  async learn(): Promise<void> {}

  async schema(): Promise<readonly never[]> {
    return [];
  }

  async failedCasts(): Promise<readonly never[]> {
    return [];
  }

  query(): Promise<never> {
    return Promise.reject(new Error('nothing to ask'));
  }

  async *silver(): AsyncGenerator<never> {}

  async *loadedFiles(): AsyncGenerator<never> {}

  async *loadedLines(): AsyncGenerator<never> {}

  async prove(): Promise<readonly never[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Moves when a test says so. */
class TestClock implements Clock {
  nowMs = WATERMARK.t * 1000;
  now(): number {
    return this.nowMs;
  }
  async sleep(ms: number): Promise<void> {
    this.nowMs += ms;
  }
}

interface Setup {
  readonly clock: TestClock;
  readonly lake: Lake;
  readonly warehouse: FakeWarehouse;
  readonly stats: PipelineStats;
  readonly loader: Loader;
}

async function setup(options: Partial<LoaderOptions> = {}, change: Partial<Checkpoint> = {}): Promise<Setup> {
  const spec = makeSpec();
  Object.assign(spec.checkpoint, { watermark: WATERMARK }, change);
  const lake = await openMemoryLake();
  await write(lake, spec);
  const warehouse = new FakeWarehouse();
  const stats = newStats();
  const clock = new TestClock();
  return {
    clock,
    lake,
    warehouse,
    stats,
    loader: new Loader(lake, warehouse, { pipeline: 'shop', filesPerLoadMax: 1000, clock, log: silentLog, stats, ...options }),
  };
}

/** Seals the part that is open: its line goes to the ledger and it leaves the checkpoint. */
async function sealOpen(lake: Lake): Promise<void> {
  await overwrite(lake, DAY_2, (text) => `${text}${JSON.stringify(sealed(OPEN, 3))}\n`);
  await replaceCheckpoint(lake, { parts: [] });
}

async function replaceCheckpoint(lake: Lake, change: Partial<Checkpoint>): Promise<void> {
  await lake.remove(checkpointPath('shop'));
  const { checkpoint } = makeSpec();
  await lake.put(checkpointPath('shop'), encodeCheckpoint({ ...checkpoint, watermark: WATERMARK, ...change }), 'absent');
}

describe('a loader', () => {
  it('loads every sealed file once, merges, and marks what is complete', async () => {
    const { warehouse, loader, stats } = await setup();
    expect(await loader.catchUp(never)).toEqual({ files: 7, rows: 106, merged: 106, rejected: [] });
    expect(warehouse.ledger.size).toBe(7);
    // Orders have a part that is open: they are complete up to its first event.
    expect(Object.fromEntries(warehouse.complete)).toEqual({ 'shop.orders': OPEN_AT, 'shop.carts': WATERMARK, shop: WATERMARK });
    expect(stats).toMatchObject({ filesLoaded: 7, rowsLoaded: 106, rowsMerged: 106, loadErrors: 0 });
    expect(await loader.catchUp(never)).toEqual({ files: 0, rows: 0, merged: 0, rejected: [] });
    expect(warehouse.loads).toHaveLength(1);
  });

  it('goes on with what is sealed later', async () => {
    const { lake, warehouse, loader } = await setup();
    await loader.catchUp(never);
    await sealOpen(lake);
    expect(await loader.catchUp(never)).toMatchObject({ files: 1, rows: 3, merged: 3 });
    expect(warehouse.loads.at(-1)).toEqual([pathOf(OPEN)]);
    expect(warehouse.complete.get('shop.orders')).toEqual(WATERMARK);
  });

  it('loads in batches', async () => {
    const { warehouse, loader } = await setup({ filesPerLoadMax: 3 });
    expect(await loader.catchUp(never)).toMatchObject({ files: 7 });
    expect(warehouse.loads.map((load) => load.length)).toEqual([3, 3, 1]);
  });

  it('asks the warehouse after a restart and loads nothing twice', async () => {
    const { lake, warehouse, loader, stats } = await setup();
    await loader.catchUp(never);
    await sealOpen(lake);
    const again = new Loader(lake, warehouse, { pipeline: 'shop', filesPerLoadMax: 1000, clock: new TestClock(), log: silentLog, stats });
    expect(await again.catchUp(never)).toMatchObject({ files: 1 });
    expect(warehouse.loads.at(-1)).toEqual([pathOf(OPEN)]);
  });

  it('merges what a former process had loaded and not merged', async () => {
    const { warehouse, loader } = await setup();
    warehouse.unfolded.set('shop.old', 5);
    expect(await loader.catchUp(never)).toMatchObject({ merged: 111 });
  });

  it('has learnt what a former process had merged and not learnt from', async () => {
    const { warehouse, loader } = await setup();
    warehouse.behindInLearning.push(ORDERS, { db: 'shop', coll: 'old' });
    await loader.catchUp(never);
    expect(warehouse.merges.toSorted()).toEqual(['shop', 'shop.carts', 'shop.old', 'shop.orders']);
  });

  it('leaves half a ledger line alone until it is whole', async () => {
    const { lake, warehouse, loader } = await setup();
    const line = `${JSON.stringify(sealed(OPEN, 3))}\n`;
    await overwrite(lake, DAY_2, (text) => text + line.slice(0, 40));
    expect(await loader.catchUp(never)).toMatchObject({ files: 7 });
    await overwrite(lake, DAY_2, (text) => text + line.slice(40));
    expect(await loader.catchUp(never)).toMatchObject({ files: 1 });
    expect(warehouse.ledger.has(pathOf(OPEN))).toBe(true);
  });

  it('reads a ledger file anew whose last lines were cut and written again elsewhere', async () => {
    const { lake, warehouse, loader } = await setup();
    const other = { ...OPEN, part: 1 };
    const text = (file: typeof OPEN): string => `${JSON.stringify(sealed(file, 3))}\n`;
    await lake.put(pathOf(other), stored(other), 'absent');
    await overwrite(lake, DAY_2, (was) => was + text(OPEN));
    await loader.catchUp(never);
    // As long as before, but the first of the two lines is now where half of the second was.
    await overwrite(lake, DAY_2, (was) => was.replace(text(OPEN), `{"epoch":4,"at":""}\n${text(other)}${text(OPEN)}`));
    expect(await loader.catchUp(never)).toMatchObject({ files: 1, rejected: [] });
    expect(warehouse.loads.at(-1)).toEqual([pathOf(other)]);
  });

  it('does not load paused collections and says nothing of them until they go on', async () => {
    const { warehouse, loader } = await setup();
    await warehouse.setStatus(CARTS, 'PAUSED');
    warehouse.unfolded.set('shop.carts', 2);
    expect(await loader.catchUp(never)).toMatchObject({ files: 5, rows: 101, merged: 101 });
    expect(warehouse.complete.has('shop.carts')).toBe(false);
    await warehouse.setStatus(CARTS, 'ACTIVE');
    expect(await loader.catchUp(never)).toMatchObject({ files: 2, rows: 5, merged: 7 });
    expect(warehouse.complete.get('shop.carts')).toEqual(WATERMARK);
  });

  it('goes round a file that is rejected, says nothing of its collection, and tries it again', async () => {
    const { warehouse, loader, stats } = await setup();
    warehouse.bad.add(FIRST);
    const rejected = [{ path: FIRST, reason: 'bad' }];
    expect(await loader.catchUp(never)).toMatchObject({ files: 6, rejected });
    expect(warehouse.complete.has('shop.orders')).toBe(false);
    expect(warehouse.complete.get('shop.carts')).toEqual(WATERMARK);
    expect(await loader.catchUp(never)).toMatchObject({ files: 0, rejected });
    expect(warehouse.loads.at(-1)).toEqual([FIRST]);
    expect(stats.loadErrors).toBe(1);
    warehouse.bad.clear();
    expect(await loader.catchUp(never)).toMatchObject({ files: 1, rows: 30, rejected: [] });
    expect(warehouse.complete.get('shop.orders')).toEqual(OPEN_AT);
  });

  it('merges the other collections when one fails, and says so', async () => {
    const { warehouse, loader } = await setup();
    warehouse.bad.add('shop.orders');
    await expect(loader.catchUp(never)).rejects.toMatchObject({ kind: WAREHOUSE_FAILED });
    expect([...warehouse.unfolded.keys()]).toEqual(['shop.orders']);
    expect([...warehouse.complete.keys()].toSorted()).toEqual(['shop', 'shop.carts']);
    warehouse.bad.clear();
    expect(await loader.catchUp(never)).toMatchObject({ merged: 100 });
    expect(warehouse.complete.get('shop.orders')).toEqual(OPEN_AT);
  });

  it('loads the other collections when nothing can be loaded into one, which is in ERROR until it has caught up', async () => {
    const { warehouse, loader } = await setup();
    warehouse.broken.add('shop.orders');
    await expect(loader.catchUp(never)).rejects.toMatchObject({ kind: WAREHOUSE_FAILED });
    expect(warehouse.status.get('shop.orders')).toBe('ERROR');
    expect(warehouse.complete.get('shop.carts')).toEqual(WATERMARK);
    expect(warehouse.complete.has('shop.orders')).toBe(false);
    warehouse.broken.clear();
    expect(await loader.catchUp(never)).toMatchObject({ rows: 100 });
    expect(warehouse.status.get('shop.orders')).toBe('ACTIVE');
    expect(warehouse.complete.get('shop.orders')).toEqual(OPEN_AT);
  });

  it('leaves a pause alone that comes while a collection fails', async () => {
    const { warehouse, loader } = await setup();
    warehouse.bad.add('shop.orders');
    const merge = warehouse.merge.bind(warehouse);
    warehouse.merge = async (ns) => {
      await warehouse.setStatus(ORDERS, 'PAUSED');
      return merge(ns);
    };
    await expect(loader.catchUp(never)).rejects.toMatchObject({ kind: WAREHOUSE_FAILED });
    expect(warehouse.status.get('shop.orders')).toBe('PAUSED');
  });

  it('gives a warehouse that takes several collections at once one after the other of them', async () => {
    const { warehouse, loader } = await setup();
    warehouse.atOnce = 2;
    expect(await loader.catchUp(never)).toMatchObject({ files: 7, rows: 106, merged: 106 });
    for (const load of warehouse.loads) expect(new Set(load.map((path) => path.split('/').slice(0, 2).join('/'))).size).toBe(1);
  });

  it('asks the warehouse nothing while there is nothing to do, but for the mark now and then', async () => {
    const { lake, warehouse, loader, clock } = await setup();
    await loader.catchUp(never, { retry: false });
    const { asked } = warehouse;
    expect(await loader.catchUp(never, { retry: false })).toEqual({ files: 0, rows: 0, merged: 0, rejected: [] });
    expect(warehouse.asked).toBe(asked);
    const later = { t: WATERMARK.t + 60, i: 0 };
    await replaceCheckpoint(lake, { watermark: later });
    clock.nowMs += warehouse.idleMarkMs;
    await loader.catchUp(never, { retry: false });
    expect([warehouse.asked, warehouse.complete.get('shop.carts')]).toEqual([asked + 1, later]);
    await sealOpen(lake);
    expect(await loader.catchUp(never, { retry: false })).toMatchObject({ files: 1 });
  });

  it('tells the warehouse of gaps when it starts and when they change', async () => {
    const { lake, warehouse, loader } = await setup();
    await loader.catchUp(never, { retry: false });
    await loader.catchUp(never, { retry: false });
    expect(warehouse.gaps).toEqual([['shop', []]]);
    const gap = { from: WATERMARK, to: null, detectedAt: '2026-11-21T10:00:00.000Z', collections: ['shop.*'], cause: 'the oplog was overtaken' };
    await replaceCheckpoint(lake, { gaps: [gap] });
    await loader.catchUp(never, { retry: false });
    const closed = { ...gap, to: { t: WATERMARK.t + 60, i: 1 } };
    await replaceCheckpoint(lake, { gaps: [closed] });
    await loader.catchUp(never, { retry: false });
    await loader.catchUp(never, { retry: false });
    expect(warehouse.gaps.slice(1)).toEqual([
      ['shop', [gap]],
      ['shop', [closed]],
    ]);
  });

  it('lets a file that is rejected wait longer each time, unless a person asks', async () => {
    const { warehouse, loader, clock } = await setup();
    warehouse.bad.add(FIRST);
    const tries = (): number => warehouse.loads.filter((load) => load.includes(FIRST)).length;
    const triesWithin = async (minutes: number): Promise<number> => {
      const before = tries();
      for (let n = 0; n < minutes; n += 1) {
        clock.nowMs += 60_000;
        await loader.catchUp(never, { retry: false });
      }
      return tries() - before;
    };
    await loader.catchUp(never, { retry: false });
    expect([await triesWithin(7), await triesWithin(8)]).toEqual([3, 1]);
    expect(warehouse.complete.has('shop.orders')).toBe(false);
    await loader.catchUp(never);
    expect(tries()).toBe(6);
    warehouse.bad.clear();
    expect(await triesWithin(60)).toBe(1);
    expect(warehouse.complete.get('shop.orders')).toEqual(OPEN_AT);
  });

  it('tells the warehouse of a collection as soon as the lake has a part of it', async () => {
    const { lake, warehouse, loader } = await setup();
    await loader.catchUp(never, { retry: false });
    expect(warehouse.discovered).toEqual(['shop.orders']);
    const ns = { db: 'shop', coll: 'new' };
    await replaceCheckpoint(lake, { parts: [openPart(OPEN), { ...openPart(OPEN), ns }] });
    await loader.catchUp(never, { retry: false });
    expect([warehouse.status.get('shop.new'), warehouse.complete.get('shop.new')]).toEqual(['DISCOVERED', OPEN_AT]);
    const { asked } = warehouse;
    await loader.catchUp(never, { retry: false });
    expect(warehouse.asked).toBe(asked);
  });

  it('loads the hours that were asked for and says nothing of collections with others', async () => {
    const hour = parseHourName(H8)!;
    const { warehouse, loader } = await setup({ hour: { from: hour, to: hour } });
    expect(await loader.catchUp(never)).toMatchObject({ files: 3, rows: 51 });
    expect([...warehouse.complete.keys()]).toEqual(['shop']);
  });

  it('never passes an event that is sealed while it runs', async () => {
    const { lake, warehouse, loader } = await setup();
    // The checkpoint was read with the part open; the part is sealed before the ledger is read.
    const list = lake.list.bind(lake);
    lake.list = async function* listAfterSeal(prefix: LakePath, signal: AbortSignal) {
      await sealOpen(lake);
      yield* list(prefix, signal);
    };
    await loader.catchUp(never);
    expect(warehouse.ledger.has(pathOf(OPEN))).toBe(true);
    expect(warehouse.complete.get('shop.orders')).toEqual(OPEN_AT);
  });

  it('takes the earliest of several open parts', async () => {
    const early = { ...openPart(OPEN), firstAt: { t: OPEN_AT!.t - 900, i: 1 } };
    const empty = { ...openPart(OPEN), ns: CARTS, firstAt: null };
    const { warehouse, loader } = await setup({}, { parts: [openPart(OPEN), early, empty] });
    await loader.catchUp(never);
    expect(warehouse.complete.get('shop.orders')).toEqual(early.firstAt);
    expect(warehouse.complete.get('shop.carts')).toEqual(WATERMARK);
  });

  it('has nothing to do where no pipeline has run yet', async () => {
    const warehouse = new FakeWarehouse();
    const loader = new Loader(await openMemoryLake(), warehouse, {
      pipeline: 'shop',
      filesPerLoadMax: 10,
      clock: new TestClock(),
      log: silentLog,
      stats: newStats(),
    });
    expect(await loader.catchUp(never)).toEqual({ files: 0, rows: 0, merged: 0, rejected: [] });
    expect(warehouse.complete.size).toBe(0);
  });

  it('stops at a ledger that cannot be read', async () => {
    const { lake, warehouse, loader } = await setup();
    await overwrite(lake, DAY_1, (text) => text.replace('{"path"', '{path'));
    await expect(loader.catchUp(never)).rejects.toMatchObject({ code: 'SLC-1112' });
    expect(warehouse.complete.has(formatNamespace(ORDERS))).toBe(false);
  });
});
