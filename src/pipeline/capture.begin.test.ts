/**
 * The first run on a lake: other commands may have been there before. A checkpoint that was lost is told, whatever they have left.
 */
import { describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events, folderOf } from '../../test/fakes/capture-bench.ts';
import { keepVerification, takeTime } from '../app/verification.ts';
import type { DocumentReader } from '../core/documents.ts';
import { silentLog } from '../ops/log.ts';
import { PIPELINE_FILE, checkpointPath } from './checkpoint.ts';
import { Dumper, type DumpOptions } from './dump.ts';
import { newRecord, recordPath } from './dump-record.ts';
import { OpenDump } from './open-dump.ts';
import { questionPath } from './snapshot-question.ts';

const FIRST = `${folderOf('a')}events-20261121-08.jsonl`;
const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });
const code = (is: string) => expect.objectContaining({ code: is });
const LIST = [[1, 'a'], [2, 'a'], [3, 'a'], [4, 'a']] as const; // prettier-ignore
const never = new AbortController().signal;
const VERIFIED = { begunAt: '2026-11-21T08:00:00Z', endedAt: '2026-11-21T08:00:01Z', ok: true, failure: null, before: 0, checks: [] };
/** Files that only an owner writes, or who works on what one has written. */
const OF_OWNERS = [
  '_sluice/p/bus/producer/checkpoint.json',
  '_sluice/p/bus/p000/checkpoint.json',
  '_sluice/p/maintenance/checkpoint.json',
  '_sluice/p/ledger/maintenance/20261121.jsonl',
  '_sluice/p/manifests/db/a/20261121-08.json',
  '_sluice/p/claims/20261121/1.json',
  '_sluice/p/dead-letters/p000/1.json',
  '_sluice/p/erasures/20261121T080000Z-1.json',
  '_sluice/p/retention.json',
  '_sluice/other/verification.json',
  'a/2026-11-21-07.json',
];

/** As `sluice dump` makes them in the layout that looks most like a lake's own files. */
async function dumped(bench: CaptureBench): Promise<void> {
  const options: DumpOptions = {
    pipeline: 'p',
    content: 'documents',
    names: { layout: 'array', withDatabase: true },
    collections: ['*.*'],
    timeoutMs: 60_000,
    changesMax: 1,
  };
  const reader: DocumentReader = {
    collections: async () => ['a', 'b'].map((coll) => ({ db: 'db', coll })),
    open: async () => ({
      at: { t: T0, i: 1 },
      documents: async function* () {
        yield { count: 1, lines: Buffer.from('{"_id":0}\n') };
      },
      count: async () => ({ least: 1, most: 1 }),
      [Symbol.asyncDispose]: async () => {},
    }),
    [Symbol.asyncDispose]: async () => {},
  };
  const dumper = new Dumper(options, { lake: await bench.lake(), clock: bench.clock, log: silentLog, reader });
  const dumps = await dumper.run({ collections: [], hour: null, interim: true }, never);
  expect(dumps.map(({ outcome }) => outcome)).toEqual(['dumped', 'dumped']);
  expect(bench.paths().filter((path) => /^db\/[ab]\/.*\.json$/.test(path))).toHaveLength(2);
}

/** One of another collection, in the middle of its file. */
async function killDump(bench: CaptureBench): Promise<void> {
  const ns = { db: 'db', coll: 'killed' };
  const record = newRecord(ns, '20261121-07', 'documents', '2026-11-21T08:00:00Z');
  const names = { layout: 'array', withDatabase: true } as const;
  const dump = await OpenDump.open(await bench.lake(), recordPath('p', ns, record.hour, 'documents'), record, names, never);
  const writer = await dump.begin(0, never);
  await writer[Symbol.asyncDispose]();
}

describe('a lake without a checkpoint', () => {
  const script = { events: events(...LIST), ...end(HOUR) };
  const fileAt = async (bench: CaptureBench, path: string): Promise<void> => {
    await (await bench.lake()).put(path, Buffer.from('{}\n'), 'absent');
  };

  /** What other commands have left there before the first run. */
  const BESIDE: readonly [string, (bench: CaptureBench) => Promise<unknown>][] = [
    ['what `sluice verify` has found', async (bench) => await keepVerification(await bench.lake(), 'p', VERIFIED, never)],
    ['the time of a verification that a loader has taken', async (bench) => await takeTime(await bench.lake(), 'p', '2026-11-21T08:00:00Z', never)],
    ['the scratch file of a doctor', (bench) => fileAt(bench, '_sluice/p/doctor/6f0c.jsonl')],
    ['the question of a `sluice snapshot`', (bench) => fileAt(bench, questionPath('p'))],
    ['dumps of every collection', dumped],
    ['a dump that was killed', (bench) => dumped(bench).then(() => killDump(bench))],
  ];

  it.each(BESIDE)('begins, whatever else is there: %s', async (_what, leave) => {
    const bench = new CaptureBench();
    await leave(bench);
    const before = bench.paths();
    expect(before).not.toEqual([]);
    await bench.run(script);
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2, 3] });
    expect(bench.paths()).toEqual(expect.arrayContaining(before));
  });

  it.each(BESIDE)('that held a pipeline is told as before beside %s, by each file that is left of it', async (_what, leave) => {
    const bench = new CaptureBench();
    await bench.run(script);
    const ofPipeline = bench.paths().filter((path) => path !== PIPELINE_FILE && path !== checkpointPath('p'));
    expect(ofPipeline).toEqual(expect.arrayContaining([FIRST, '_sluice/p/hours/20261121-08.json', '_sluice/p/ledger/20261121.jsonl']));
    for (const left of [...ofPipeline.filter((path) => !path.endsWith('/_SUCCESS')), ...OF_OWNERS]) {
      const lost = new CaptureBench();
      await leave(lost);
      await fileAt(lost, left);
      const before = lost.paths();
      await expect(lost.run(script), left).rejects.toThrow(code('SLC-1109'));
      expect(lost.paths()).toEqual([...before, PIPELINE_FILE].toSorted());
    }
  });

  it('begins also while a dump that failed takes its file away', async () => {
    const bench = new CaptureBench();
    await killDump(bench);
    const [path] = bench.paths().filter((each) => !each.startsWith('_sluice/'));
    const lake = await bench.lake();
    // It has gone, and its record no longer names it, after the run has met it.
    const list = lake.list.bind(lake);
    bench.lake = async () => lake;
    lake.list = async function* (prefix, signal) {
      for await (const file of list(prefix, signal)) {
        if (file.path === path) for (const each of bench.paths()) if (each !== PIPELINE_FILE) await lake.remove(each);
        yield file;
      }
    };
    await bench.run(script);
    expect(bench.content()).toEqual({ [FIRST]: [0, 1, 2, 3] });
  });
});
