/**
 * Restoring from snapshots, across gaps, renames and retention, on a lake that is written by hand.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { RESTORE_MOMENT, RESTORE_NOTHING } from '../core/errors.ts';
import { asPosition } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { parseHourName, type Timestamp } from '../core/time.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { checkpointPath, encodeCheckpoint, newCheckpoint, type Checkpoint } from './checkpoint.ts';
import { horizonPath } from './horizon.ts';
import { erase } from './erase.ts';
import { manifestPath } from './publish.ts';
import { restore, type RestoreTotals } from './restore.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const T = parseHourName('20261121-07')! * 3600;
const NS = { db: 'shop', coll: 'orders' };

const positionAt = (t: number, i = 1): string => `82${(T + t).toString(16).toUpperCase()}${i.toString(16).padStart(8, '0')}2B04`;

/** A line `t` seconds after the hour began. */
function line(t: number, op: string, rest: object = {}, i = 1): string {
  const meta = { position: positionAt(t, i), operationType: op, ns: NS, at: '', clusterTime: { $timestamp: { t: T + t, i } }, v: 1 };
  return `${JSON.stringify({ _meta: meta, ...rest })}\n`;
}

const insert = (t: number, id: number, more: object = {}): string =>
  line(t, 'insert', { documentKey: { _id: id }, fullDocument: { _id: id, ...more } });
const change = (t: number, id: number, updateDescription: object, after: object | null = null): string =>
  line(t, 'update', { documentKey: { _id: id }, fullDocument: after, updateDescription });

interface Made {
  readonly events: readonly string[];
  /** Rows, and when it was complete; its position is that of `t`. */
  readonly snapshots?: readonly { readonly t: number; readonly ended: number; readonly ids: readonly number[]; readonly rowsSaid?: number }[];
  readonly gaps?: readonly (readonly [from: number, to: number])[];
  readonly removedBefore?: string;
  /** Content of the horizon, and ledger lines of files that it has taken. */
  readonly horizon?: object;
  readonly gone?: readonly Partial<SealedLine>[];
}

async function lakeOf({ events, snapshots = [], gaps = [], removedBefore, horizon, gone = [] }: Made): Promise<Lake> {
  const lake = await openMemoryLake();
  const ledger: SealedLine[] = [];
  const put = async (path: string, lines: readonly string[], ops: Record<string, number>): Promise<void> => {
    const bytes = Buffer.from(lines.join(''));
    await lake.put(path, bytes, 'absent');
    const facts = lines.map((text) => (JSON.parse(text) as { _meta: { position: string; clusterTime: { $timestamp: Timestamp } } })._meta);
    const [first, last] = [facts[0]!, facts.at(-1)!];
    ledger.push({
      path,
      ...NS,
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
  for (const [n, line] of gone.entries()) ledger.push({ ...ledger.at(-1)!, path: `shop/other/gone-${n}.jsonl`, ...line });
  await lake.put('_sluice/shop/ledger/20261121.jsonl', Buffer.from(ledger.map((each) => `${JSON.stringify(each)}\n`).join('')), 'absent');
  const checkpoint: Checkpoint = {
    ...newCheckpoint('shop', LAYOUT_PRESETS.hive),
    watermark: { t: T + 1000, i: 1 },
    gaps: gaps.map(([from, to]) => ({ from: { t: T + from, i: 1 }, to: { t: T + to, i: 1 }, detectedAt: '', collections: [], cause: '' })),
  };
  await lake.put(checkpointPath('shop'), encodeCheckpoint(checkpoint), 'absent');
  if (removedBefore !== undefined)
    await lake.put(horizonPath('shop'), Buffer.from(JSON.stringify({ v: 1, from: removedBefore, removed: null })), 'absent');
  if (horizon !== undefined) await lake.put(horizonPath('shop'), Buffer.from(JSON.stringify(horizon)), 'absent');
  return lake;
}

async function asOf(lake: Lake, t: number, hasPostImages = false): Promise<unknown[]> {
  const documents: unknown[] = [];
  for await (const { doc } of restore(lake, { pipeline: 'shop', ns: NS, asOf: { t: T + t, i: 9 }, hasPostImages }, () => {}, never))
    documents.push(JSON.parse(doc));
  return documents;
}

const refusal = async (lake: Lake, t: number): Promise<string> => {
  const error: unknown = await asOf(lake, t).catch((cause: unknown) => cause);
  if (!SluiceError.is(error, RESTORE_MOMENT, RESTORE_NOTHING)) throw error;
  return `${error.code} ${error.message}`;
};

describe('restore', () => {
  it('begins with a snapshot once it is complete, and is refused while it was read', async () => {
    const lake = await lakeOf({
      events: [insert(5, 1), insert(120, 3), line(130, 'delete', { documentKey: { _id: 1 } })],
      snapshots: [{ t: 100, ended: 125, ids: [1, 2] }],
    });
    expect(await asOf(lake, 125)).toEqual([{ _id: 1, from: 100 }, { _id: 2, from: 100 }, { _id: 3 }]);
    expect(await asOf(lake, 200)).toEqual([{ _id: 2, from: 100 }, { _id: 3 }]);
    // The moments that are named can be had.
    expect(await refusal(lake, 110)).toContain(`from ${T + 125}.1`);
    expect(await refusal(lake, 2000)).toContain(`just before ${T + 1000}.1`);
  });

  it('gives what an erasure has left, from a snapshot as from events, and says how much is gone', async () => {
    const lake = await lakeOf({
      events: [insert(120, 3), change(130, 1, { updatedFields: { x: 1 } })],
      snapshots: [{ t: 100, ended: 110, ids: [1, 2] }],
    });
    const at = checkpointPath('shop');
    const end = { t: T + 7200, i: 1 };
    const resume = { position: asPosition('82FF'), clusterTime: end, token: Buffer.from('') };
    const over = { ...newCheckpoint('shop', LAYOUT_PRESETS.hive), watermark: end, resume, nextHour: T / 3600 + 2 };
    await lake.put(at, encodeCheckpoint(over), (await lake.stat(at))!);
    const manifest = manifestPath('shop', LAYOUT_PRESETS.hive, NS, '20261121-07');
    await lake.put(manifest, Buffer.from('{"v":1,"revision":1,"files":[]}'), 'absent');
    const request = { collections: ['shop.orders'], keys: ['1'], where: [], by: 'test', reason: null };
    const openWriter = (): never => {
      throw new Error('there is no Parquet here');
    };
    const clock = { ...systemClock, now: () => (T + 7000) * 1000 };
    const { erasures } = await erase(
      { pipeline: 'shop', request, dryRun: false },
      { lake, clock, log: silentLog, warehouse: null, openWriter },
      never,
    );
    expect(erasures).toMatchObject([{ files: 2, rows: 2, left: [] }]);
    expect(await asOf(lake, 200)).toEqual([{ _id: 2, from: 100 }, { _id: 3 }]);
    const totals: RestoreTotals[] = [];
    for await (const _ of restore(
      lake,
      { pipeline: 'shop', ns: NS, asOf: { t: T + 200, i: 1 }, hasPostImages: false },
      (each) => totals.push(each),
      never,
    ));
    expect(totals).toEqual([{ events: 2, documents: 2, erased: 2, unknown: [] }]);
    const snapshots: string[] = [];
    for await (const { path } of lake.list('_snapshots/', never)) snapshots.push(path.slice(path.lastIndexOf('/') + 1));
    expect(snapshots).toEqual(['end.jsonl', 'part-00001.erased-1.jsonl']);
    expect((await verifyLake(lake, 'shop', { signal: never })).findings.filter(({ path }) => path.startsWith('_snapshots/'))).toEqual([]);
  });

  it('does not believe in a snapshot that lacks rows', async () => {
    const lake = await lakeOf({ events: [insert(120, 3)], snapshots: [{ t: 100, ended: 110, ids: [1, 2], rowsSaid: 3 }] });
    expect(await refusal(lake, 125)).toContain('SLC-1448');
  });

  it('ends at a gap and at documents that a rename brought, and begins again after the next snapshot', async () => {
    const gap = await lakeOf({ events: [line(1, 'create'), insert(5, 1)], gaps: [[50, 60]], snapshots: [{ t: 70, ended: 75, ids: [7] }] });
    expect(await asOf(gap, 20)).toEqual([{ _id: 1 }]);
    for (const t of [50, 55, 60, 72]) expect(await refusal(gap, t)).toContain(`just before ${T + 50}.1 (2026-11-21T07:00:50Z), or from ${T + 75}.1`);
    expect(await asOf(gap, 80)).toEqual([{ _id: 7, from: 70 }]);
    const renamed = await lakeOf({
      events: [line(1, 'create'), insert(5, 1), line(50, 'rename', { to: NS }).replace('"coll":"orders"', '"coll":"elsewhere"')],
    });
    expect(await asOf(renamed, 49)).toEqual([{ _id: 1 }]);
    expect(await refusal(renamed, 51)).toContain('SLC-1449');
  });

  it('knows nothing of hours that retention has removed', async () => {
    const events = [line(1, 'create'), insert(5, 1)];
    expect(await asOf(await lakeOf({ events, removedBefore: '20261121-07' }), 10)).toEqual([{ _id: 1 }]);
    expect(await refusal(await lakeOf({ events, removedBefore: '20261121-08' }), 10)).toContain('SLC-1448');
  });

  it('goes by what was removed of the collection itself, and of others by what may have brought or ended it', async () => {
    const events = [line(1, 'create'), insert(5, 1)];
    const held = { v: 2, from: '20261121-08', removed: null, apart: { 'shop.orders': { from: '20261121-07', removed: null, hold: null } } };
    expect(await asOf(await lakeOf({ events, horizon: held }), 10)).toEqual([{ _id: 1 }]);
    const at = (from: number, to: number): object => ({ firstAt: { t: T + from, i: 1 }, lastAt: { t: T + to, i: 1 } });
    const harmless = [
      { coll: 'other', ops: { drop: 1 }, ...at(2, 3) },
      { db: 'crm', coll: null, ops: { dropDatabase: 1 }, ...at(2, 3) },
    ];
    expect(await asOf(await lakeOf({ events, horizon: held, gone: harmless }), 10)).toEqual([{ _id: 1 }]);
    const renamed = await lakeOf({ events, horizon: held, gone: [{ coll: 'other', ops: { rename: 1 }, ...at(7, 8) }] });
    expect(await asOf(renamed, 6)).toEqual([{ _id: 1 }]);
    expect(await refusal(renamed, 7)).toContain('SLC-1449');
    expect(await refusal(renamed, 10)).toContain('SLC-1449');
    // It may have been ended after it began.
    const dropped = await lakeOf({ events, horizon: held, gone: [{ coll: null, ops: { dropDatabase: 1 }, ...at(0, 3) }] });
    expect(await refusal(dropped, 10)).toContain('SLC-1448');
  });

  it('does to a document what its updates did, and takes documents as they are where they are images', async () => {
    const lake = await lakeOf({
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
    expect(await asOf(lake, 6)).toEqual([{ _id: 1, a: { 'x.y': 3 }, list: [1, 9], new: {} }]);
    expect(await asOf(lake, 6, true)).toEqual([{ looked: 'up' }]);
    expect(await asOf(lake, 5)).toEqual([{ _id: 1, a: { b: 1, 'x.y': 2 }, list: [1, 2, 3] }]);
  });
});
