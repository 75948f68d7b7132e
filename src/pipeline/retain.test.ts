/**
 * Retention over a small lake: what goes, what stays, and a crash before every step.
 */
import { describe, expect, it } from 'vitest';
import {
  CARTS,
  EVENT_FOLDER,
  FOLDER_7,
  H7,
  H8,
  H9,
  ORDERS,
  fileSpec,
  makeEventSpec,
  makeSpec,
  overwrite,
  pathOf,
  write,
} from '../../test/fakes/small-lake.ts';
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { RETENTION_BAD } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { parseHourName } from '../core/time.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { PRODUCER, checkpointPath, encodeCheckpoint, partitionScope } from './checkpoint.ts';
import { newRecord, readRecords, recordPath } from './dump-record.ts';
import { asPosition } from '../core/event.ts';
import type { KnowsLoaded } from './holds.ts';
import { horizonPath, readHorizon } from './horizon.ts';
import { newSnapshot } from './snapshot-record.ts';
import { retain, type RetainOptions, type RetainSummary } from './retain.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const HOUR_MS = 3_600_000;
const NOW = parseHourName(H9)! * HOUR_MS + 600_000;
const clock: Clock = { now: () => NOW, sleep: (ms, signal) => systemClock.sleep(ms, signal) };

type Asked = Partial<RetainOptions> & { warehouse?: KnowsLoaded };

/** Holds every file but some; a collection with one of these is paused. */
function lacking(...missing: readonly LakePath[]): KnowsLoaded {
  const collections = missing.map((path) => path.split('/')[1]!);
  return {
    loaded: async (paths) => new Set(paths.filter((path) => !missing.includes(path))),
    collections: async () =>
      collections.map((coll) => ({
        namespace: { db: 'shop', coll },
        status: 'PAUSED' as const,
        reason: null,
        rows: 0,
        bytes: 0,
        sourceCount: null,
        sourceCountedAt: null,
        firstSeenAt: '',
        lastEventAt: null,
        lastLoadAt: null,
        completeThrough: null,
      })),
  };
}

async function retained(lake: Lake, { warehouse, ...how }: Asked): Promise<RetainSummary> {
  const options = { pipeline: 'shop', hoursMs: null, dumpsMs: null, claimsMs: null, deadLettersMs: null, dryRun: false, ...how };
  return await retain(options, { lake, clock, log: silentLog, warehouse: warehouse ?? null }, never);
}

const small = async (store = new MemoryStore(), spec = makeSpec()): Promise<Lake> => {
  const lake = await openMemoryLake(store);
  await write(lake, spec);
  return lake;
};

async function pathsOf(lake: Lake): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of lake.list('', never)) paths.push(path);
  return paths;
}

/** With one file per event; hour 7 is published. */
function eventSpec(): ReturnType<typeof makeEventSpec> {
  const spec = makeEventSpec();
  Object.assign(spec.checkpoint, { startedAt: { t: parseHourName(H7)! * 3600, i: 1 }, nextHour: parseHourName(H8)! });
  return spec;
}

const inHour = (paths: readonly string[], hour: string): string[] => paths.filter((path) => path.includes(`hour=${hour}/`));
const findings = async (lake: Lake): Promise<unknown[]> => [...(await verifyLake(lake, 'shop', { signal: never })).findings];

describe('retention', () => {
  it('removes whole hours that are old enough, and the proof knows that it did', async () => {
    const lake = await small();
    const before = await pathsOf(lake);
    expect(await retained(lake, { hoursMs: HOUR_MS, dryRun: true })).toMatchObject({
      hoursBefore: H8,
      files: { hours: inHour(before, '07').length },
    });
    expect(await pathsOf(lake)).toEqual(before);
    expect(await retained(lake, { hoursMs: HOUR_MS })).toMatchObject({
      hoursBefore: H8,
      heldBy: null,
      files: { hours: inHour(before, '07').length },
    });
    const after = await pathsOf(lake);
    expect([inHour(after, '07'), inHour(after, '08')]).toEqual([[], inHour(before, '08')]);
    const report = await verifyLake(lake, 'shop', { signal: never });
    expect([report.findings, report.removedBefore]).toEqual([[], H8]);
    // Once more there is nothing to do.
    expect(await retained(lake, { hoursMs: HOUR_MS })).toMatchObject({ hoursBefore: H8, files: { hours: 0 } });
    // A file of an hour that was not removed is missed as before.
    await lake.remove(pathOf(fileSpec(ORDERS, H8, 0, 25, '.gz')));
    expect(await findings(lake)).toContainEqual(expect.objectContaining({ check: 'file-missing' }));
  });

  it('keeps what is not over for good, and says so', async () => {
    const lake = await small();
    expect(await retained(lake, { hoursMs: 0 })).toMatchObject({ hoursBefore: H9, heldBy: null });
    const spec = makeSpec();
    // What is replayed after a change of the stream is held against files from the position on.
    spec.checkpoint.resume = { ...spec.checkpoint.resume!, clusterTime: { t: parseHourName(H8)! * 3600 + 5, i: 1 } };
    expect(await retained(await small(new MemoryStore(), spec), { hoursMs: 0 })).toMatchObject({
      hoursBefore: H8,
      heldBy: `the hour ${H8} is not over for good yet`,
    });
  });

  it('keeps what the warehouse has not loaded, with all that came after it of the same collection, and nothing of the others', async () => {
    const lake = await small();
    const missing = pathOf(fileSpec(CARTS, H7, 0, 5));
    const before = await pathsOf(lake);
    const held = { collection: 'shop.carts', hour: H7, since: new Date(NOW).toISOString(), reason: `the warehouse has not loaded ${missing} (status PAUSED)` }; // prettier-ignore
    const expected = { hoursBefore: H9, heldBy: null, held: [held] };
    expect(await retained(lake, { hoursMs: 0, dryRun: true, warehouse: lacking(missing) })).toMatchObject(expected);
    expect(await pathsOf(lake)).toEqual(before);
    expect(await retained(lake, { hoursMs: 0, warehouse: lacking(missing) })).toMatchObject(expected);
    const gone = (path: string): boolean => /\/hour=0[78]\//.test(path) && !path.startsWith('shop/carts/');
    expect(await pathsOf(lake)).toEqual([...before.filter((path) => !gone(path)), horizonPath('shop')].toSorted());
    const report = await verifyLake(lake, 'shop', { signal: never });
    expect([report.findings, report.removedBefore, report.heldBack]).toEqual([[], H9, [{ collection: 'shop.carts', removedBefore: H7 }]]);
    // What is held is proved as before: a byte, a file, what is published of it.
    await overwrite(lake, missing, (text) => text.replace('Grüße', 'grüße'));
    await lake.remove(`${FOLDER_7.replace('orders', 'carts')}/_SUCCESS`);
    expect((await findings(lake)).map((finding) => (finding as { check: string }).check).toSorted()).toEqual(['file-hash', 'success']);
  });

  it('lets a collection come up with the others once it is loaded, also when the process ends on the way', async () => {
    const missing = pathOf(fileSpec(ORDERS, H8, 0, 25, '.gz'));
    for (let last = 1; ; last += 1) {
      const store = new MemoryStore();
      const lake = await small(store);
      const first = await retained(lake, { hoursMs: 0, warehouse: lacking(missing) });
      // Its older hours go: they are loaded.
      expect(first).toMatchObject({ hoursBefore: H9, held: [{ collection: 'shop.orders', hour: H8 }] });
      expect(inHour(await pathsOf(lake), '07')).toEqual([]);
      expect((await verifyLake(lake, 'shop', { signal: never })).heldBack).toEqual([{ collection: 'shop.orders', removedBefore: H8 }]);
      let steps = 0;
      store.onOperation = () => {
        steps += 1;
        if (steps >= last) throw new Error('the power is off');
      };
      await retained(lake, { hoursMs: 0, warehouse: lacking() }).catch(() => null);
      const isWhole = steps < last;
      delete store.onOperation;
      store.owners.clear();
      const again = await openMemoryLake(store);
      expect(await findings(again)).toEqual([]);
      expect(await retained(again, { hoursMs: 0, warehouse: lacking() })).toMatchObject({ hoursBefore: H9, held: [] });
      expect(inHour(await pathsOf(again), '08')).toEqual([]);
      expect(await readHorizon(again, 'shop', never)).toMatchObject({ from: parseHourName(H9), removed: parseHourName(H9), apart: new Map() });
      if (isWhole) break;
      expect(last).toBeLessThan(100);
    }
  });

  it('remembers since when a collection is held, and leaves it as it is when hours are to be kept for ever from now on', async () => {
    const lake = await small();
    const warehouse = lacking(pathOf(fileSpec(CARTS, H7, 0, 5)));
    await retained(lake, { hoursMs: 0, warehouse });
    const later = { ...clock, now: () => NOW + HOUR_MS };
    const options = { pipeline: 'shop', hoursMs: 0, dumpsMs: null, claimsMs: null, deadLettersMs: null, dryRun: false };
    const second = await retain(options, { lake, clock: later, log: silentLog, warehouse }, never);
    expect(second.held).toMatchObject([{ collection: 'shop.carts', since: new Date(NOW).toISOString() }]);
    const before = await pathsOf(lake);
    await retained(lake, { hoursMs: null, warehouse: lacking() });
    expect(await pathsOf(lake)).toEqual(before);
  });

  it('keeps all files of a snapshot that is not complete, whose parts are of the hour in which it began', async () => {
    const spec = makeSpec();
    const at = { t: parseHourName(H7)! * 3600 + 60, i: 1 };
    const target = { namespace: CARTS, documents: null, bytes: null, refused: null, caveat: null };
    spec.checkpoint.snapshots = [newSnapshot(target, { cause: 'asked', at: { position: asPosition('8200'), clusterTime: at }, begunAt: '', since: '' })]; // prettier-ignore
    expect(await retained(await small(new MemoryStore(), spec), { hoursMs: 0 })).toMatchObject({
      hoursBefore: H9,
      held: [{ collection: 'shop.carts', hour: H7, reason: expect.stringContaining('snapshot') as string }],
    });
  });

  it('holds a collection of single events by itself, and the proof goes by its folder', async () => {
    const lake = await small(new MemoryStore(), eventSpec());
    const path = `${EVENT_FOLDER}/_index-${H7}.jsonl`;
    expect(await retained(lake, { hoursMs: HOUR_MS, warehouse: lacking(path) })).toMatchObject({
      hoursBefore: H8,
      held: [{ collection: 'shop.orders' }],
    });
    expect(await findings(lake)).toEqual([]);
    // Of a collection that is held, and of one that is not.
    const stray = 'insert-1-20261121T070000Z-1-0123456789abcdef.json';
    await lake.put(`${EVENT_FOLDER}/${stray}`, Buffer.from('{}\n'), 'absent');
    await lake.put(`${EVENT_FOLDER.replace('orders', 'carts')}/${stray}`, Buffer.from('{}\n'), 'absent');
    expect(await findings(lake)).toEqual([expect.objectContaining({ check: 'unknown-file', path: `${EVENT_FOLDER}/${stray}` })]);
  });

  it('goes by all partitions of a bus: what one of them has not come to is not over, and what is held is held by its collection', async () => {
    const spec = makeSpec();
    const { parts: _, ...checkpoint } = spec.checkpoint;
    const store = new MemoryStore();
    const lake = await small(store, { ...spec, ledger: {} });
    const lines = Object.values(spec.ledger).flat();
    const ofOrders = lines.filter((line) => !('path' in line) || line.coll === 'orders');
    const others = lines.filter((line) => !('path' in line) || line.coll !== 'orders');
    const put = async (path: string, bytes: string | Uint8Array): Promise<void> => {
      await lake.put(path, Buffer.from(bytes), (await lake.stat(path)) ?? 'absent');
    };
    for (const [index, own] of [ofOrders, others].entries())
      await put(`_sluice/shop/ledger/p00${index}/20261121.jsonl`, own.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await lake.remove(checkpointPath('shop'));
    await put(checkpointPath('shop', PRODUCER), encodeCheckpoint({ ...checkpoint, parts: [], bus: { partitions: 2, partitionBy: 'collection', from: ['0', '0'] } })); // prettier-ignore
    const partition = (index: number, behind: number): Promise<void> => {
      const at = { t: NOW / 1000 - behind * 3600, i: 1 };
      const own = { ...checkpoint, parts: index === 0 ? spec.checkpoint.parts : [], ledger: null, watermark: at, resume: { ...checkpoint.resume!, clusterTime: at } }; // prettier-ignore
      return put(checkpointPath('shop', partitionScope(index)), encodeCheckpoint(own));
    };
    await partition(0, 0);
    await partition(1, 1);
    const missing = pathOf(fileSpec(CARTS, H7, 0, 5));
    expect(await retained(lake, { hoursMs: 0, dryRun: true })).toMatchObject({ hoursBefore: H8, heldBy: `the hour ${H8} is not over for good yet` });
    await partition(1, 0);
    expect(await retained(lake, { hoursMs: 0, warehouse: lacking(missing) })).toMatchObject({
      hoursBefore: H9,
      held: [{ collection: 'shop.carts' }],
    });
    expect(inHour(await pathsOf(lake), '07').map((path) => path.split('/')[1])).toEqual(['carts', 'carts', 'carts', 'carts']);
    expect(await findings(lake)).toEqual([]);
  });

  it('reads what an older version has written, and no damage for what it is not', async () => {
    const lake = await small();
    const said = async (content: object): Promise<unknown> =>
      lake.put(horizonPath('shop'), Buffer.from(JSON.stringify(content)), (await lake.stat(horizonPath('shop'))) ?? 'absent');
    await said({ v: 1, from: H8, removed: null, savedAt: '' });
    expect(await readHorizon(lake, 'shop', never)).toMatchObject({ from: parseHourName(H8), removed: null, apart: new Map() });
    for (const content of [
      { v: 3, from: H8 },
      { v: 2, from: H8 },
      { v: 2, from: 'soon', apart: {} },
      { v: 2, from: H8, apart: { 'shop.a': { hold: {} } } },
    ]) {
      await said(content);
      await expect(readHorizon(lake, 'shop', never)).rejects.toSatisfy((error) => SluiceError.is(error, RETENTION_BAD));
    }
  });

  it('never falls behind what it has removed, however long files are to be kept from then on', async () => {
    const lake = await small();
    await retained(lake, { hoursMs: HOUR_MS });
    expect(await retained(lake, { hoursMs: 1000 * HOUR_MS })).toMatchObject({ hoursBefore: H8 });
    expect(await retained(lake, {})).toMatchObject({ hoursBefore: H8 });
    expect((await readHorizon(lake, 'shop', never)).from).toBe(parseHourName(H8));
  });

  it('takes the files of single events with their index', async () => {
    const lake = await small(new MemoryStore(), eventSpec());
    const events = async (): Promise<number> => (await pathsOf(lake)).filter((path) => /-[0-9a-f]{16}\.json$/.test(path)).length;
    const before = await events();
    await retained(lake, { hoursMs: HOUR_MS });
    expect(await findings(lake)).toEqual([]);
    expect(await events()).toBeLessThan(before);
  });

  it('removes old dumps with their records, claims and dead letters of days that are past', async () => {
    const spec = makeSpec();
    spec.checkpoint.watermark = { t: NOW / 1000, i: 1 };
    const lake = await small(new MemoryStore(), spec);
    const files = { old: 'orders/2026-11-20-01/orders.ndjson', young: 'orders/2026-11-21-08/orders.ndjson' };
    for (const [which, hour] of [
      ['old', '20261120-01'],
      ['young', H8],
    ] as const) {
      const record = newRecord(ORDERS, hour, 'documents', new Date(NOW).toISOString());
      record.files = [{ path: files[which], bytes: 1, rows: 1, sha256: '' }];
      await lake.put(files[which], Buffer.from('x'), 'absent');
      await lake.put(recordPath('shop', record.ns, hour, 'documents'), Buffer.from(JSON.stringify(record)), 'absent');
    }
    for (const day of ['2026/11/18', '2026/11/20', '2026/11/21']) {
      const name = `p000-${day.slice(-2).padStart(20, '0')}.jsonl`;
      await lake.put(`_sluice/shop/dead-letters/${day}/${name}`, Buffer.from('{}\n'), 'absent');
    }
    for (const day of ['20261118', '20261119', '20261121']) await lake.put(`_sluice/shop/claims/${day}/a.jsonl`, Buffer.from('{}\n'), 'absent');
    expect(await retained(lake, { dumpsMs: 24 * HOUR_MS, claimsMs: 24 * HOUR_MS, deadLettersMs: 24 * HOUR_MS })).toMatchObject({
      files: { hours: 0, dumps: 1, claims: 2, deadLetters: 1 },
    });
    const paths = await pathsOf(lake);
    expect([paths.includes(files.old), paths.includes(files.young)]).toEqual([false, true]);
    expect((await Array.fromAsync(readRecords(lake, 'shop', never))).length).toBe(1);
    expect(paths.filter((path) => path.includes('/dead-letters/')).map((path) => path.split('/')[5])).toEqual(['20', '21']);
    expect(paths.filter((path) => path.includes('/claims/'))).toEqual(['_sluice/shop/claims/20261121/a.jsonl']);
  });

  it.each([
    ['hours', makeSpec],
    ['single events', eventSpec],
  ])('of %s leaves a lake that is proved, and finishes next time, whichever step the process ended at', async (_, spec) => {
    for (let last = 1; ; last += 1) {
      const store = new MemoryStore();
      const whole = await small(store, spec());
      const expected = await small(new MemoryStore(), spec());
      await retained(expected, { hoursMs: HOUR_MS });
      let steps = 0;
      store.onOperation = () => {
        steps += 1;
        if (steps >= last) throw new Error('the power is off');
      };
      await retained(whole, { hoursMs: HOUR_MS }).catch(() => null);
      const isWhole = steps < last;
      delete store.onOperation;
      store.owners.clear();
      const lake = await openMemoryLake(store);
      expect(await findings(lake)).toEqual([]);
      await retained(lake, { hoursMs: HOUR_MS });
      expect(await pathsOf(lake)).toEqual(await pathsOf(expected));
      if (isWhole) break;
      expect(last).toBeLessThan(200);
    }
  });
});
