/**
 * What the proof must not complain about, and how it behaves. What it must find: verify-lake.faults.test.ts.
 */
import { describe, expect, it } from 'vitest';
import {
  CARTS,
  DAY_2,
  FIRST,
  FOLDER_7,
  H7,
  H8,
  H9,
  OPEN,
  ORDERS,
  fileSpec,
  makeSpec,
  openPart,
  overwrite,
  pathOf,
  sealed,
  stored,
  write,
  type FileSpec,
  type LakeSpec,
} from '../../test/fakes/small-lake.ts';
import { systemClock } from '../core/clock.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { parseHourName } from '../core/time.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { checkpointPath, encodeCheckpoint, hourFilePath, ledgerFolder, type PartRecord } from './checkpoint.ts';
import { newRecord, recordPath } from './dump-record.ts';
import { retain } from './retain.ts';
import { verifyLake } from './verify-lake.ts';
import { lakeReportText } from './verify-report.ts';

const never = new AbortController().signal;

const HOUR_MS = 3_600_000;
/** Until the new part holds its events. */
const OPENING_STEPS = 3;

/** What an owner does: opens a part in hour 10, seals the one of hour 9, publishes hour 9, seals its new part. */
async function* ownerSteps(lake: Lake): AsyncGenerator<void> {
  const { checkpoint } = makeSpec();
  const opened = fileSpec(CARTS, '20261121-10', 0, 4);
  const line = sealed(OPEN, 3);
  const [nine, ten] = [openPart(OPEN), openPart(opened)];
  const save = async (parts: PartRecord[]): Promise<void> => {
    const now = await lake.stat(checkpointPath('shop'));
    await lake.put(checkpointPath('shop'), encodeCheckpoint({ ...checkpoint, parts }), now!);
  };
  const put = (path: LakePath, text: string) => lake.put(path, Buffer.from(text), 'absent');
  const none = { length: 0, rows: 0, first: null, firstAt: null, last: null, lastAt: null, ops: {} };
  yield save([nine, { ...ten, ...none }]);
  await using part = await lake.open(pathOf(opened), { epoch: 3, expect: 'absent' }, never);
  yield;
  yield part.append([stored(opened)], never);
  yield save([{ ...nine, state: 'sealing', line }, ten]);
  await using day = await lake.open(DAY_2, { epoch: 3, expect: 'any' }, never);
  yield day.append([Buffer.from(`${JSON.stringify(line)}\n`)], never);
  yield save([ten]);
  const folder = pathOf(OPEN).replace(/[^/]+$/, '');
  yield put(`${folder}_manifest.json`, JSON.stringify({ v: 1, revision: 1, ns: ORDERS, hour: H9, files: [line] })).then(() => {});
  yield put(`${folder}_SUCCESS`, '').then(() => {});
  yield put(hourFilePath('shop', H9), JSON.stringify({ v: 1, hour: H9, complete: true, collections: ['shop.orders'] })).then(() => {});
  const lineTen = sealed(opened, 3);
  yield save([{ ...ten, state: 'sealing', line: lineTen }]);
  yield day.append([Buffer.from(`${JSON.stringify(lineTen)}\n`)], never);
  yield save([]);
}

/** The same lake, with `before` called ahead of each step that reads it. */
function stepped(lake: Lake, before: () => Promise<void>): Lake {
  async function* each<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const item of items) {
      await before();
      yield item;
    }
  }
  return {
    description: lake.description,
    stat: async (path) => {
      await before();
      return lake.stat(path);
    },
    read: async function* read(path, from, signal) {
      await before();
      yield* lake.read(path, from, signal);
    },
    list: async function* list(prefix, signal) {
      await before();
      yield* each(lake.list(prefix, signal));
    },
    open: () => Promise.reject(new Error('a proof only reads')),
    own: () => Promise.reject(new Error('a proof only reads')),
    put: () => Promise.reject(new Error('a proof only reads')),
    remove: () => Promise.reject(new Error('a proof only reads')),
    localPath: () => null,
    [Symbol.asyncDispose]: async () => {},
  };
}

async function putDump(lake: Lake, hour: string): Promise<void> {
  const path = `orders/${hour}/orders.ndjson`;
  const record = { ...newRecord(ORDERS, hour, 'documents', ''), files: [{ path, bytes: 1, rows: 1, sha256: '' }], done: true };
  await lake.put(path, Buffer.from('x'), 'absent');
  await lake.put(recordPath('shop', record.ns, hour, 'documents'), Buffer.from(JSON.stringify(record)), 'absent');
}

describe('the proof of a lake', () => {
  const lakeOf = async (spec: LakeSpec): Promise<Lake> => {
    const lake = await openMemoryLake();
    await write(lake, spec);
    return lake;
  };

  it('lets half a ledger line pass that is being written', async () => {
    const lake = await lakeOf(makeSpec());
    await overwrite(lake, DAY_2, (text) => `${text}{"path":"sh`);
    expect((await verifyLake(lake, 'shop', { signal: never })).findings).toEqual([]);
  });

  it('lets a part be named that is not made yet', async () => {
    const spec = makeSpec();
    spec.checkpoint.parts.push(openPart(fileSpec(CARTS, H9, 0, 0)));
    const lake = await lakeOf(spec);
    expect((await verifyLake(lake, 'shop', { signal: never })).findings).toEqual([]);
  });

  it('proves the hours that were asked for', async () => {
    const lake = await lakeOf(makeSpec());
    await lake.remove(FIRST);
    const since = parseHourName(H8)!;
    expect(await verifyLake(lake, 'shop', { signal: never, since })).toMatchObject({ ok: true, files: 3, rows: 51, hours: 1, collections: 2 });
  });

  it('takes no notice of a file that another one supersedes', async () => {
    const spec = makeSpec();
    const [one, two] = spec.files as [FileSpec, FileSpec];
    const both: FileSpec = { ...one, part: 2, lines: [...one.lines, ...two.lines], events: [...one.events, ...two.events] };
    const line: SealedLine = { ...sealed(both, 3), supersedes: [pathOf(one), pathOf(two)] };
    spec.data.set(pathOf(both), stored(both));
    spec.data.delete(pathOf(two));
    spec.ledger[`${ledgerFolder('shop')}/maintenance/20261122.jsonl`] = [{ epoch: 3, at: '' }, line];
    spec.others.set(`${FOLDER_7}/_manifest.json`, JSON.stringify({ v: 1, revision: 2, ns: ORDERS, hour: H7, files: [line] }));
    const lake = await lakeOf(spec);
    expect(await verifyLake(lake, 'shop', { signal: never })).toMatchObject({ findings: [], files: 6, rows: 106 });
  });

  it('says so when there is no such pipeline', async () => {
    const report = await verifyLake(await openMemoryLake(), 'shop', { signal: never });
    expect(report.findings).toMatchObject([{ check: 'checkpoint', path: checkpointPath('shop') }]);
  });

  it('is not misled by what an owner seals, publishes and opens meanwhile, wherever it is by then', async () => {
    // The owner opens its part before one step of the proof and does all the rest before another.
    const run = async (opens: number, rest: number): Promise<number> => {
      const lake = await lakeOf(makeSpec());
      const owner = ownerSteps(lake);
      let step = 0;
      const watched = stepped(lake, async () => {
        if (step === opens) for (let n = 0; n < OPENING_STEPS; n += 1) await owner.next();
        if (step === rest) while ((await owner.next()).done !== true);
        step += 1;
      });
      expect((await verifyLake(watched, 'shop', { signal: never })).findings, `opens at ${opens}, the rest at ${rest}`).toEqual([]);
      return step;
    };
    const steps = await run(Infinity, Infinity);
    expect(steps).toBeGreaterThan(40);
    for (let opens = 0; opens < steps; opens += 5) for (let rest = opens; rest < steps + 10; rest += 1) await run(opens, rest);
  });

  it('is not misled by an owner that goes on step by step', async () => {
    for (let from = 0; from < 80; from += 1) {
      const lake = await lakeOf(makeSpec());
      const owner = ownerSteps(lake);
      let step = 0;
      const watched = stepped(lake, async () => {
        if (step >= from) await owner.next();
        step += 1;
      });
      expect((await verifyLake(watched, 'shop', { signal: never })).findings, `from step ${from}`).toEqual([]);
    }
  });

  it('is not misled by what retention removes meanwhile, wherever it is by then', async () => {
    const nowMs = parseHourName(H9)! * HOUR_MS + 600_000;
    const asked = { pipeline: 'shop', hoursMs: HOUR_MS, dumpsMs: HOUR_MS, claimsMs: HOUR_MS, deadLettersMs: HOUR_MS, bronzeMs: null, dryRun: false };
    const beside = { clock: { now: () => nowMs, sleep: systemClock.sleep.bind(systemClock) }, log: silentLog, warehouse: null };
    let steps = Infinity;
    for (let from = 1; from <= steps; from += 1) {
      const lake = await openMemoryLake();
      await write(lake, makeSpec());
      await putDump(lake, '20261120-01');
      await putDump(lake, '20261120-02');
      let done = 0;
      const watched = stepped(lake, async () => {
        done += 1;
        if (done === from) expect((await retain(asked, { lake, ...beside }, never)).files).toMatchObject({ dumps: 2 });
      });
      expect((await verifyLake(watched, 'shop', { signal: never })).findings, `at step ${from}`).toEqual([]);
      steps = Math.min(steps, done);
    }
    expect(steps).toBeGreaterThan(20);
  });

  it('stops when it is aborted', async () => {
    const lake = await lakeOf(makeSpec());
    const stop = new AbortController();
    await expect(verifyLake(lake, 'shop', { signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('keeps a thousand findings and counts them all', async () => {
    const spec = makeSpec();
    for (let n = 0; n < 1005; n += 1) spec.data.set(`foreign/${n}`, Buffer.from(''));
    const report = await verifyLake(await lakeOf(spec), 'shop', { signal: never });
    expect(report.findings).toHaveLength(1000);
    expect(report).toMatchObject({ findingsTotal: 1005, checks: { 'unknown-file': 1005 } });
    expect(lakeReportText(report)).toContain('and 985 more');
  });
});
