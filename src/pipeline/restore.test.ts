/**
 * Restoring from snapshots, across gaps, renames and retention, on a lake that is written by hand; and out of a DuckDB that has loaded it.
 */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { RESTORE_CHANGED, RESTORE_MOMENT, RESTORE_NOTHING } from '../core/errors.ts';
import { asPosition } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import type { Namespace } from '../core/namespace.ts';
import { parseHourName, type Timestamp } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { openDuckDb } from '../warehouse/duckdb/duckdb.ts';
import { checkpointPath, encodeCheckpoint, newCheckpoint, type Checkpoint, type PartRecord } from './checkpoint.ts';
import { horizonPath } from './horizon.ts';
import { erase } from './erase.ts';
import { Loader } from './loader.ts';
import { manifestPath } from './publish.ts';
import { restore, type RestoreTotals } from './restore.ts';
import { BronzeSource } from './restore-bronze.ts';
import { LakeSource } from './restore-lake.ts';
import type { RestoreSource } from './restore-plan.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const T = parseHourName('20261121-07')! * 3600;
const NS = { db: 'shop', coll: 'orders' };

const positionAt = (t: number, i = 1): string => `82${(T + t).toString(16).toUpperCase()}${i.toString(16).padStart(8, '0')}2B04`;

/** A line `t` seconds after the hour began. */
function line(t: number, op: string, rest: object = {}, ns: object = NS): string {
  const at = new Date((T + t) * 1000).toISOString();
  const meta = { position: positionAt(t), operationType: op, ns, at, clusterTime: { $timestamp: { t: T + t, i: 1 } }, v: 1 };
  return `${JSON.stringify({ _meta: meta, ...rest })}\n`;
}

const insert = (t: number, id: number, more: object = {}): string =>
  line(t, 'insert', { documentKey: { _id: id }, fullDocument: { _id: id, ...more } });
const change = (t: number, id: number, updateDescription: object, after: object | null = null): string =>
  line(t, 'update', { documentKey: { _id: id }, fullDocument: after, updateDescription });

interface Made {
  readonly events: readonly string[];
  /** Of a collection `elsewhere`. */
  readonly others?: readonly string[];
  /** Of the database itself. */
  readonly database?: readonly string[];
  /** Rows, and when it was complete; its position is that of `t`. */
  readonly snapshots?: readonly { readonly t: number; readonly ended: number; readonly ids: readonly number[]; readonly rowsSaid?: number }[];
  readonly gaps?: readonly (readonly [from: number, to: number])[];
  readonly removedBefore?: string;
  /** Content of the horizon, and ledger lines of files that it has taken. */
  readonly horizon?: object;
  readonly gone?: readonly Partial<SealedLine>[];
}

async function lakeOf({ events, others = [], database = [], snapshots = [], gaps = [], removedBefore, horizon, gone = [] }: Made): Promise<Lake> {
  const lake = await openMemoryLake();
  const ledger: SealedLine[] = [];
  const put = async (path: string, lines: readonly string[], ops: Record<string, number>, coll: string | null = NS.coll): Promise<void> => {
    const bytes = Buffer.from(lines.join(''));
    await lake.put(path, bytes, 'absent');
    const facts = lines.map((text) => (JSON.parse(text) as { _meta: { position: string; clusterTime: { $timestamp: Timestamp } } })._meta);
    const [first, last] = [facts[0]!, facts.at(-1)!];
    ledger.push({
      path,
      db: NS.db,
      coll,
      hour: '20261121-07',
      bytes: bytes.length,
      rows: lines.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      first: asPosition(first.position),
      last: asPosition(last.position),
      firstAt: first.clusterTime.$timestamp,
      lastAt: last.clusterTime.$timestamp,
      ops,
      epoch: 1,
    });
  };
  const count = (lines: readonly string[]): Record<string, number> =>
    Object.fromEntries(lines.map((text) => [(JSON.parse(text) as { _meta: { operationType: string } })._meta.operationType, 1]));
  for (const { t, ended, ids, rowsSaid } of snapshots) {
    const folder = `_snapshots/shop/orders/${T + t}-1-abcd`;
    if (ids.length > 0)
      await put(
        `${folder}/part-00001.jsonl`,
        ids.map((id) => line(t, 'snapshot', { documentKey: { _id: id }, fullDocument: { _id: id, from: t } })),
        { snapshot: ids.length },
      );
    const snapshot = { id: 'abcd', cause: 'start', files: 1, rows: rowsSaid ?? ids.length, endedAt: { $timestamp: { t: T + ended, i: 1 } } };
    await put(`${folder}/end.jsonl`, [line(t, 'snapshotEnd', { snapshot })], { snapshotEnd: 1 });
  }
  await put('shop/orders/year=2026/month=11/day=21/hour=07/events-20261121-07.jsonl', events, count(events));
  if (others.length > 0) await put('shop/elsewhere/year=2026/month=11/day=21/hour=07/events-20261121-07.jsonl', others, count(others), 'elsewhere');
  if (database.length > 0) await put('shop/_database/year=2026/month=11/day=21/hour=07/events-20261121-07.jsonl', database, count(database), null);
  for (const [n, line] of gone.entries()) ledger.push({ ...ledger.at(-1)!, path: `shop/other/gone-${n}.jsonl`, ...line });
  await lake.put('_sluice/shop/ledger/20261121.jsonl', Buffer.from(ledger.map((each) => `${JSON.stringify(each)}\n`).join('')), 'absent');
  const checkpoint: Checkpoint = {
    ...newCheckpoint('shop', LAYOUT_PRESETS.hive),
    watermark: { t: T + 1000, i: 1 },
    gaps: gaps.map(([from, to]) => ({
      from: { t: T + from, i: 1 },
      to: { t: T + to, i: 1 },
      detectedAt: '2026-11-21T07:02:00.000Z',
      collections: [],
      cause: '',
    })),
  };
  await lake.put(checkpointPath('shop'), encodeCheckpoint(checkpoint), 'absent');
  if (removedBefore !== undefined)
    await lake.put(horizonPath('shop'), Buffer.from(JSON.stringify({ v: 1, from: removedBefore, removed: null })), 'absent');
  if (horizon !== undefined) await lake.put(horizonPath('shop'), Buffer.from(JSON.stringify(horizon)), 'absent');
  return lake;
}

type Place = 'the lake' | 'the warehouse';

/** What was loaded, for the end of each test. */
const opened: Warehouse[] = [];
afterEach(async () => {
  for (const warehouse of opened.splice(0)) await warehouse[Symbol.asyncDispose]();
});

/** All that is sealed is loaded. */
async function load(lake: Lake, warehouse: Warehouse): Promise<void> {
  const options = { pipeline: 'shop', filesPerLoadMax: 10, clock: systemClock, log: silentLog, stats: newStats() };
  expect((await new Loader(lake, warehouse, options).catchUp(never)).rejected).toEqual([]);
}

/** @param paused is not loaded */
async function loadedFrom(lake: Lake, paused?: Namespace): Promise<Warehouse> {
  const warehouse = await openDuckDb({ path: ':memory:', deletes: 'soft', columns: {}, log: silentLog });
  opened.push(warehouse);
  await warehouse.migrate();
  if (paused !== undefined) await warehouse.setStatus(paused, 'PAUSED', 'by hand');
  await load(lake, warehouse);
  return warehouse;
}

async function sourceOf(place: Place, lake: Lake): Promise<RestoreSource> {
  return place === 'the lake' ? new LakeSource(lake, 'shop') : new BronzeSource(await loadedFrom(lake));
}

async function asOf(source: RestoreSource, t: number, hasPostImages = false): Promise<unknown[]> {
  const documents: unknown[] = [];
  const asOf = { t: T + t, i: 9 };
  const plan = await source.plan(NS, asOf, never);
  for await (const { doc } of restore(plan, { asOf, hasPostImages }, () => {}, never)) documents.push(JSON.parse(doc));
  return documents;
}

const refusal = async (source: RestoreSource, t: number): Promise<string> => {
  const error: unknown = await asOf(source, t).catch((cause: unknown) => cause);
  if (!SluiceError.is(error, RESTORE_MOMENT, RESTORE_NOTHING)) throw error;
  return `${error.code} ${error.message} ${error.next}`;
};

describe.each<Place>(['the lake', 'the warehouse'])('restore out of %s', (place) => {
  /** Of gaps a warehouse keeps the seconds. */
  const at = (t: number): string => `${T + t}.${place === 'the lake' ? 1 : 0}`;
  const made = async (what: Made): Promise<RestoreSource> => sourceOf(place, await lakeOf(what));

  it('begins with a snapshot once it is complete, and is refused while it was read', async () => {
    const source = await made({
      events: [insert(5, 1), insert(120, 3), line(130, 'delete', { documentKey: { _id: 1 } })],
      snapshots: [{ t: 100, ended: 125, ids: [1, 2] }],
    });
    expect(await asOf(source, 125)).toEqual([{ _id: 1, from: 100 }, { _id: 2, from: 100 }, { _id: 3 }]);
    expect(await asOf(source, 200)).toEqual([{ _id: 2, from: 100 }, { _id: 3 }]);
    // The moments that are named can be had.
    expect(await refusal(source, 110)).toContain(`from ${T + 125}.1`);
    expect(await refusal(source, 2000)).toContain(`just before ${T + 1000}.1`);
  });

  it('gives what an erasure has left, from a snapshot as from events, and says how much is gone', async () => {
    const lake = await lakeOf({
      events: [insert(120, 3), change(130, 1, { updatedFields: { x: 1 } })],
      snapshots: [{ t: 100, ended: 110, ids: [1, 2] }],
    });
    const file = checkpointPath('shop');
    const end = { t: T + 7200, i: 1 };
    const resume = { position: asPosition('82FF'), clusterTime: end, token: Buffer.from('') };
    const over = { ...newCheckpoint('shop', LAYOUT_PRESETS.hive), watermark: end, resume, nextHour: T / 3600 + 2 };
    await lake.put(file, encodeCheckpoint(over), (await lake.stat(file))!);
    const manifest = manifestPath('shop', LAYOUT_PRESETS.hive, NS, '20261121-07');
    await lake.put(manifest, Buffer.from('{"v":1,"revision":1,"files":[]}'), 'absent');
    const request = { collections: ['shop.orders'], keys: ['1'], where: [], by: 'test', reason: null };
    const openWriter = (): never => {
      throw new Error('there is no Parquet here');
    };
    const clock = { ...systemClock, now: () => (T + 7000) * 1000 };
    const warehouse = place === 'the lake' ? null : await loadedFrom(lake);
    const { erasures } = await erase({ pipeline: 'shop', request, dryRun: false }, { lake, clock, log: silentLog, warehouse, openWriter }, never);
    expect(erasures).toMatchObject([{ files: 2, rows: 2, left: [] }]);
    const source = warehouse === null ? new LakeSource(lake, 'shop') : new BronzeSource(warehouse);
    expect(await asOf(source, 200)).toEqual([{ _id: 2, from: 100 }, { _id: 3 }]);
    const totals: RestoreTotals[] = [];
    const moment = { t: T + 200, i: 1 };
    const plan = await source.plan(NS, moment, never);
    for await (const _ of restore(plan, { asOf: moment, hasPostImages: false }, (each) => totals.push(each), never));
    // A warehouse knows of each file that something of it was erased, and not how much.
    expect(totals).toEqual([{ events: 2, documents: 2, erased: warehouse === null ? 2 : null, unknown: [] }]);
    const snapshots: string[] = [];
    for await (const { path } of lake.list('_snapshots/', never)) snapshots.push(path.slice(path.lastIndexOf('/') + 1));
    expect(snapshots).toEqual(['end.jsonl', 'part-00001.erased-1.jsonl']);
    expect((await verifyLake(lake, 'shop', { signal: never })).findings.filter(({ path }) => path.startsWith('_snapshots/'))).toEqual([]);
  });

  it('does not believe in a snapshot that lacks rows', async () => {
    const source = await made({ events: [insert(120, 3)], snapshots: [{ t: 100, ended: 110, ids: [1, 2], rowsSaid: 3 }] });
    expect(await refusal(source, 125)).toContain('SLC-1448');
  });

  it('ends at a gap and at documents that a rename brought, and begins again after the next snapshot', async () => {
    const gap = await made({ events: [line(1, 'create'), insert(5, 1)], gaps: [[50, 60]], snapshots: [{ t: 70, ended: 75, ids: [7] }] });
    expect(await asOf(gap, 20)).toEqual([{ _id: 1 }]);
    for (const t of [50, 55, 60, 72]) expect(await refusal(gap, t)).toContain(`just before ${at(50)} (2026-11-21T07:00:50Z), or from ${T + 75}.1`);
    expect(await asOf(gap, 80)).toEqual([{ _id: 7, from: 70 }]);
    const elsewhere = { db: 'shop', coll: 'elsewhere' };
    const renamed = await made({
      events: [line(1, 'create'), insert(5, 1), insert(60, 2)],
      others: [line(3, 'create', {}, elsewhere), line(50, 'rename', { to: NS }, elsewhere)],
    });
    expect(await asOf(renamed, 49)).toEqual([{ _id: 1 }]);
    expect(await refusal(renamed, 51)).toContain(`SLC-1449 The collection cannot be given back as of this moment: ${T + 51}.9`);
    expect(await refusal(renamed, 70)).toContain(`just before ${at(50)}`);
  });

  it('begins again, empty, when it is renamed away, or dropped with its database', async () => {
    const source = await made({
      events: [line(1, 'create'), insert(5, 1), line(20, 'rename', { to: { db: 'shop', coll: 'elsewhere' } }), insert(30, 2)],
      database: [line(40, 'dropDatabase', {}, { db: 'shop' })],
    });
    expect(await asOf(source, 10)).toEqual([{ _id: 1 }]);
    expect(await asOf(source, 25)).toEqual([]);
    expect(await asOf(source, 35)).toEqual([{ _id: 2 }]);
    expect(await asOf(source, 45)).toEqual([]);
  });

  it('does to a document what its updates did, and takes documents as they are where they are images', async () => {
    const source = await made({
      events: [
        line(1, 'create'),
        insert(5, 1, { a: { b: 1, 'x.y': 2 }, list: [1, 2, 3] }),
        change(
          6,
          1,
          { updatedFields: { 'a.x.y': 3, 'list.1': 9, new: {} }, removedFields: ['a.b'], truncatedArrays: [{ field: 'list', newSize: 2 }] },
          { looked: 'up' },
        ),
      ],
    });
    expect(await asOf(source, 6)).toEqual([{ _id: 1, a: { 'x.y': 3 }, list: [1, 9], new: {} }]);
    expect(await asOf(source, 6, true)).toEqual([{ looked: 'up' }]);
    expect(await asOf(source, 5)).toEqual([{ _id: 1, a: { b: 1, 'x.y': 2 }, list: [1, 2, 3] }]);
  });
});

describe('hours that retention has removed', () => {
  const ofLake = async (what: Made): Promise<RestoreSource> => new LakeSource(await lakeOf(what), 'shop');

  it('are not known to the lake any more, and are to a warehouse that has loaded them', async () => {
    const events = [line(1, 'create'), insert(5, 1)];
    const before = await lakeOf({ events, removedBefore: '20261121-07' });
    expect(await asOf(new LakeSource(before, 'shop'), 10)).toEqual([{ _id: 1 }]);
    const warehouse = await loadedFrom(before);
    expect(await refusal(new LakeSource(await lakeOf({ events, removedBefore: '20261121-08' }), 'shop'), 10)).toContain('SLC-1448');
    expect(await asOf(new BronzeSource(warehouse), 10)).toEqual([{ _id: 1 }]);
  });

  it('goes by what was removed of the collection itself, and of others by what may have brought or ended it', async () => {
    const events = [line(1, 'create'), insert(5, 1)];
    const held = { v: 2, from: '20261121-08', removed: null, apart: { 'shop.orders': { from: '20261121-07', removed: null, hold: null } } };
    expect(await asOf(await ofLake({ events, horizon: held }), 10)).toEqual([{ _id: 1 }]);
    const at = (from: number, to: number): object => ({ firstAt: { t: T + from, i: 1 }, lastAt: { t: T + to, i: 1 } });
    const harmless = [
      { coll: 'other', ops: { drop: 1 }, ...at(2, 3) },
      { db: 'crm', coll: null, ops: { dropDatabase: 1 }, ...at(2, 3) },
    ];
    expect(await asOf(await ofLake({ events, horizon: held, gone: harmless }), 10)).toEqual([{ _id: 1 }]);
    const renamed = await ofLake({ events, horizon: held, gone: [{ coll: 'other', ops: { rename: 1 }, ...at(7, 8) }] });
    expect(await asOf(renamed, 6)).toEqual([{ _id: 1 }]);
    expect(await refusal(renamed, 7)).toContain('SLC-1449');
    expect(await refusal(renamed, 10)).toContain('SLC-1449');
    // It may have been ended after it began.
    const dropped = await ofLake({ events, horizon: held, gone: [{ coll: null, ops: { dropDatabase: 1 }, ...at(0, 3) }] });
    expect(await refusal(dropped, 10)).toContain('SLC-1448');
  });

  it('while bronze is being read are told at its end', async () => {
    const warehouse = await loadedFrom(await lakeOf({ events: [line(1, 'create'), insert(5, 1), insert(6, 2)] }));
    let asked = 0;
    const moving = new Proxy(warehouse, {
      get: (target, name) => {
        if (name === 'history')
          return async (...args: Parameters<Warehouse['history']>) => {
            asked += 1;
            return { ...(await target.history(...args)), from: asked === 1 ? null : { t: T + 3, i: 0 } };
          };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    await expect(asOf(new BronzeSource(moving), 10)).rejects.toMatchObject({ kind: RESTORE_CHANGED });
    // What begins before them cannot be followed.
    expect(await refusal(new BronzeSource(moving), 10)).toContain('SLC-1448');
  });
});

describe('what may have been renamed to it', () => {
  const ELSEWHERE = { db: 'shop', coll: 'elsewhere' };

  it('and is not sealed yet ends what is known', async () => {
    const lake = await lakeOf({ events: [line(1, 'create'), insert(5, 1)] });
    const part = (ns: Namespace, ops: PartRecord['ops']): PartRecord => ({
      path: 'shop/elsewhere/part.jsonl',
      ns,
      hour: '20261121-07',
      number: 0,
      length: 10,
      rows: 1,
      first: asPosition(positionAt(60)),
      firstAt: { t: T + 60, i: 1 },
      last: asPosition(positionAt(60)),
      lastAt: { t: T + 60, i: 1 },
      ops,
      fingerprint: 'f',
      epoch: 1,
      rolled: false,
      state: 'open',
    });
    const withPart = async (ns: Namespace, ops: PartRecord['ops']): Promise<RestoreSource> => {
      const file = checkpointPath('shop');
      const checkpoint = { ...newCheckpoint('shop', LAYOUT_PRESETS.hive), watermark: { t: T + 1000, i: 1 }, parts: [part(ns, ops)] };
      await lake.put(file, encodeCheckpoint(checkpoint), (await lake.stat(file))!);
      return new LakeSource(lake, 'shop');
    };
    expect(await asOf(await withPart(ELSEWHERE, { insert: 1 }), 70)).toEqual([{ _id: 1 }]);
    for (const [ns, ops] of [
      [ELSEWHERE, { rename: 1 }],
      [{ db: 'shop', coll: null }, { dropDatabase: 1 }],
    ] as const) {
      const source = await withPart(ns, ops);
      expect(await asOf(source, 59)).toEqual([{ _id: 1 }]);
      expect(await refusal(source, 70)).toContain(`just before ${T + 60}.1`);
    }
  });

  it('and is not loaded ends what is known, and is named', async () => {
    const lake = await lakeOf({ events: [line(1, 'create'), insert(5, 1)], others: [line(50, 'rename', { to: NS }, ELSEWHERE)] });
    const warehouse = await loadedFrom(lake, ELSEWHERE);
    expect(await refusal(new BronzeSource(warehouse), 10)).toContain('shop.elsewhere is loaded up to');
    await warehouse.setStatus(ELSEWHERE, 'ACTIVE', null);
    await load(lake, warehouse);
    expect(await asOf(new BronzeSource(warehouse), 10)).toEqual([{ _id: 1 }]);
    expect(await refusal(new BronzeSource(warehouse), 60)).toContain(`just before ${T + 50}.0`);
    expect(await refusal(new BronzeSource(warehouse), 2000)).toContain('`sluice seal`, then `sluice load`');
  });
});
