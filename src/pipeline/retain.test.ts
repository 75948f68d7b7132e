/**
 * Retention over a small lake: what goes, what stays, and a crash before every step.
 */
import { describe, expect, it } from 'vitest';
import { CARTS, H7, H8, H9, ORDERS, fileSpec, makeEventSpec, makeSpec, pathOf, write } from '../../test/fakes/small-lake.ts';
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { parseHourName } from '../core/time.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newRecord, readRecords, recordPath } from './dump-record.ts';
import { readHorizon } from './horizon.ts';
import { retain, type RetainOptions, type RetainSummary } from './retain.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const HOUR_MS = 3_600_000;
const NOW = parseHourName(H9)! * HOUR_MS + 600_000;
const clock: Clock = { now: () => NOW, sleep: (ms, signal) => systemClock.sleep(ms, signal) };

type Asked = Partial<RetainOptions> & { loaded?: ((paths: readonly LakePath[]) => Promise<ReadonlySet<string>>) | null };

async function retained(lake: Lake, { loaded = null, ...how }: Asked): Promise<RetainSummary> {
  const options = { pipeline: 'shop', hoursMs: null, dumpsMs: null, claimsMs: null, deadLettersMs: null, dryRun: false, ...how };
  return await retain(options, { lake, clock, log: silentLog, loaded }, never);
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

  it('keeps what is not published, and what the warehouse has not loaded with all that came after it', async () => {
    const lake = await small();
    expect(await retained(lake, { hoursMs: 0 })).toMatchObject({ hoursBefore: H9 });
    const other = await small();
    const missing = pathOf(fileSpec(CARTS, H7, 0, 5));
    const before = await pathsOf(other);
    const loaded = async (paths: readonly string[]): Promise<ReadonlySet<string>> => new Set(paths.filter((path) => path !== missing));
    const summary = await retained(other, { hoursMs: 0, loaded });
    expect(summary).toMatchObject({ heldBy: expect.stringContaining(missing) as string, files: { hours: 0 } });
    expect((await pathsOf(other)).filter((path) => !path.startsWith('_sluice'))).toEqual(before.filter((path) => !path.startsWith('_sluice')));
    expect(await retained(other, { hoursMs: HOUR_MS, loaded: async (paths) => new Set(paths) })).toMatchObject({ hoursBefore: H8 });
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
