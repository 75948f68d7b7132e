/**
 * The checker is only worth what it finds: each fault is planted in a small lake that is otherwise right, and must be
 * found by its name, alone. The same on both kinds of lake.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  CARTS,
  DAY_1,
  DAY_2,
  FIRST,
  FOLDER_7,
  FOLDER_9,
  H7,
  H8,
  H9,
  OPEN,
  ORDERS,
  lineOf,
  makeSpec,
  overwrite,
  pathOf,
  publish,
  stored,
  write,
  type Event,
  type FileSpec,
  type LakeSpec,
} from '../../test/fakes/small-lake.ts';
import { asPosition } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { EpochLine, SealedLine } from '../core/ledger.ts';
import { parseHourName, SECONDS_PER_HOUR } from '../core/time.ts';
import { openLocalLake } from '../lake/local/local.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { checkpointPath, hourFilePath, type GapRecord } from './checkpoint.ts';
import { LAKE_CHECKS, type LakeCheck } from './verify-findings.ts';
import { verifyLake, type LakeReport, type VerifyProgress } from './verify-lake.ts';
import { lakeReportText } from './verify-report.ts';

const never = new AbortController().signal;
const namesOf = (report: LakeReport): string[] => [...new Set(report.findings.map((finding) => finding.check))].toSorted();
const move = (line: string, event: Event, to: Partial<Event>): string => (expect(line).toBe(lineOf(event)), lineOf({ ...event, ...to }));

interface Fault {
  readonly name: string;
  /** Exactly these checks fail. */
  readonly checks: readonly LakeCheck[];
  /** In the files before their ledger lines are made: these agree with the fault. */
  readonly edit?: (files: FileSpec[]) => void;
  readonly spec?: (spec: LakeSpec) => void;
  readonly lake?: (lake: Lake, spec: LakeSpec) => Promise<void>;
}

const first = (files: FileSpec[]): FileSpec => files[0]!;
const ledgerOf = (spec: LakeSpec): (SealedLine | EpochLine)[] => spec.ledger[DAY_1]!;
const changeLine = (spec: LakeSpec, change: Partial<SealedLine>): void => {
  spec.ledger[DAY_1] = ledgerOf(spec).map((line) => ('path' in line && line.path === pathOf(spec.files[0]!) ? { ...line, ...change } : line));
  spec.others.clear();
  publish(spec);
};
const FAULTS: readonly Fault[] = [
  // One fault in the bytes, which the ledger knows nothing of.
  { name: 'a flipped byte in a document', checks: ['file-hash'], lake: (lake) => overwrite(lake, FIRST, (text) => text.replace('Grüße', 'Grüßt')) },
  {
    name: 'a torn file, cut between two lines',
    checks: ['file-hash', 'file-size', 'first-last', 'op-count', 'row-count'],
    lake: (lake) => overwrite(lake, FIRST, (text) => `${text.split('\n').slice(0, 20).join('\n')}\n`),
  },
  {
    name: 'a torn file, cut within a line',
    checks: ['file-hash', 'file-size', 'first-last', 'op-count', 'row-count', 'torn-line'],
    lake: (lake) => overwrite(lake, FIRST, (text) => text.slice(0, -10)),
  },
  {
    name: 'a missing event, cut out of a sealed file',
    checks: ['file-hash', 'file-size', 'op-count', 'row-count'],
    lake: (lake) => overwrite(lake, FIRST, (text) => text.split('\n').toSpliced(5, 1).join('\n')),
  },
  {
    name: 'a line more at the end of a sealed file',
    checks: ['duplicate', 'file-hash', 'file-size', 'op-count', 'row-count'],
    lake: (lake) => overwrite(lake, FIRST, (text) => text + text.slice(text.lastIndexOf('\n', text.length - 2) + 1)),
  },
  { name: 'a file that is missing', checks: ['file-missing'], lake: (lake) => lake.remove(FIRST) },
  {
    name: 'a compressed file that is cut',
    checks: ['file-hash', 'file-size', 'first-last', 'line', 'op-count', 'row-count', 'torn-line'],
    lake: cutCompressed('.gz'),
  },
  { name: 'the same with zstd', checks: ['file-hash', 'file-size', 'first-last', 'line', 'op-count', 'row-count'], lake: cutCompressed('.zst') },
  // One fault that the writer would have made itself: hash and size agree with it.
  {
    name: 'a duplicate: a line twice in a row',
    checks: ['duplicate'],
    edit: (files) => {
      const file = first(files);
      file.events.splice(5, 0, file.events[5]!);
      file.lines.splice(5, 0, file.lines[5]!);
    },
  },
  {
    name: 'a duplicate: an event again in the next part',
    checks: ['duplicate', 'order'],
    edit: ([one, two]) => {
      two!.events.unshift(one!.events.at(-1)!);
      two!.lines.unshift(one!.lines.at(-1)!);
    },
  },
  {
    name: 'a duplicate: a whole file again, two hours of parts later',
    checks: ['duplicate', 'hour', 'order'],
    edit: (files) => {
      files[3]!.events = [...files[0]!.events];
      files[3]!.lines = [...files[0]!.lines];
    },
  },
  {
    name: 'a hole: a line is gone and its bytes with it',
    checks: ['op-count', 'row-count'],
    edit: (files) => void first(files).lines.splice(5, 1),
  },
  {
    name: 'a hole at the end of a file',
    checks: ['first-last', 'op-count', 'row-count'],
    edit: (files) => void first(files).lines.pop(),
  },
  {
    name: 'a swap of two lines',
    checks: ['order'],
    edit: (files) => {
      const { lines, events } = first(files);
      [lines[5], lines[6]] = [lines[6]!, lines[5]!];
      [events[5], events[6]] = [events[6]!, events[5]!];
    },
  },
  {
    name: 'a swap of two parts',
    checks: ['order'],
    edit: ([one, two]) => {
      [one!.lines, two!.lines] = [two!.lines, one!.lines];
      [one!.events, two!.events] = [two!.events, one!.events];
    },
  },
  {
    name: 'a torn line at the end',
    checks: ['first-last', 'op-count', 'row-count', 'torn-line'],
    edit: (files) => void (first(files).lines[29] = first(files).lines[29]!.slice(0, -10)),
  },
  {
    name: 'a torn line in the middle',
    checks: ['line', 'op-count', 'row-count'],
    edit: (files) => void (first(files).lines[9] = first(files).lines[9]!.slice(0, -10)),
  },
  { name: 'a line that does not begin as lines do', checks: ['line'], edit: (files) => void (first(files).lines[9] = ` ${first(files).lines[9]}`) },
  {
    name: 'an event of another hour',
    checks: ['hour'],
    edit: (files) => {
      const { lines, events } = files[1]!;
      lines[19] = move(lines[19]!, events[19]!, { t: events[19]!.t + 3000 });
      events[19] = { ...events[19]!, t: events[19]!.t + 3000 };
      // The next hour begins after it, so that the hour alone is wrong.
      for (const later of files.slice(2, 4)) {
        later.events = later.events.map((event) => ({ ...event, t: event.t + 700 }));
        later.lines = later.events.map(lineOf);
      }
    },
  },
  {
    name: 'an event of another collection',
    checks: ['namespace'],
    edit: (files) => void (first(files).lines[9] = move(first(files).lines[9]!, first(files).events[9]!, { ns: CARTS })),
  },
  {
    name: 'an operation that is counted as another',
    checks: ['op-count'],
    edit: (files) => void (first(files).lines[9] = move(first(files).lines[9]!, first(files).events[9]!, { op: 'replace' })),
  },
  // One fault in what the lake says about itself.
  { name: 'a wrong hash in the ledger', checks: ['file-hash'], spec: (spec) => changeLine(spec, { sha256: '0'.repeat(64) }) },
  { name: 'a wrong size in the ledger', checks: ['file-size'], spec: (spec) => changeLine(spec, { bytes: 1 }) },
  { name: 'a wrong number of rows in the ledger', checks: ['row-count'], spec: (spec) => changeLine(spec, { rows: 29 }) },
  { name: 'a wrong first position in the ledger', checks: ['first-last'], spec: (spec) => changeLine(spec, { first: asPosition('82') }) },
  {
    name: 'a file in the folder of another hour',
    checks: ['file-path', 'manifest'],
    spec: (spec) => {
      const wrong = FIRST.replace('hour=07', 'hour=06');
      spec.data.set(wrong, spec.data.get(FIRST)!);
      spec.data.delete(FIRST);
      changeLine(spec, { path: wrong });
    },
  },
  {
    name: 'a file that nobody knows',
    checks: ['unknown-file'],
    spec: (spec) => void spec.data.set(`${FOLDER_7}/events-20261121-07.part-0009.jsonl`, Buffer.from('')),
  },
  { name: 'a file that nobody knows, at the root', checks: ['unknown-file'], spec: (spec) => void spec.data.set('notes.txt', Buffer.from('')) },
  { name: 'a double ledger line', checks: ['ledger-duplicate'], spec: (spec) => void ledgerOf(spec).push(ledgerOf(spec).at(-1)!) },
  {
    name: 'a double ledger line on another day',
    checks: ['ledger-duplicate'],
    spec: (spec) => void spec.ledger[DAY_2]!.push(ledgerOf(spec).at(-1)!),
  },
  { name: 'an epoch that falls', checks: ['ledger-epoch'], spec: (spec) => void spec.ledger[DAY_2]!.push({ epoch: 1, at: '' }) },
  { name: 'a file of an epoch that has not begun', checks: ['ledger-epoch'], spec: (spec) => changeLine(spec, { epoch: 2 }) },
  { name: 'a checkpoint behind its ledger', checks: ['checkpoint'], spec: (spec) => void (spec.checkpoint.epoch = 2) },
  { name: 'a ledger line that is no JSON', checks: ['ledger-line'], lake: (lake) => overwrite(lake, DAY_2, (text) => text.replace('{', ' ')) },
  {
    name: 'a torn ledger line in an older file',
    checks: ['hour-file', 'ledger-line', 'manifest', 'unknown-file'],
    lake: (lake) => overwrite(lake, DAY_1, (text) => text.slice(0, -10)),
  },
  { name: 'a torn ledger line that was durable', checks: ['ledger-line'], lake: (lake) => overwrite(lake, DAY_2, (text) => text.slice(0, -10)) },
  {
    name: 'a torn ledger line after a clean stop',
    checks: ['ledger-line'],
    spec: (spec) => void (spec.checkpoint.cleanStop = true),
    lake: (lake) => overwrite(lake, DAY_2, (text) => `${text}{"path":"sh`),
  },
  {
    name: 'a manifest that leaves a file out',
    checks: ['manifest'],
    lake: (lake) =>
      overwrite(lake, `${FOLDER_7}/_manifest.json`, (text) => JSON.stringify({ ...JSON.parse(text), files: JSON.parse(text).files.slice(1) })),
  },
  {
    name: 'a manifest with another hash',
    checks: ['manifest'],
    lake: (lake) => overwrite(lake, `${FOLDER_7}/_manifest.json`, (text) => text.replace(/"sha256":"\w/, '"sha256":"x')),
  },
  { name: 'a manifest that is no JSON', checks: ['manifest'], lake: (lake) => overwrite(lake, `${FOLDER_7}/_manifest.json`, () => '') },
  { name: 'a manifest that is gone', checks: ['hour-file', 'success'], lake: (lake) => lake.remove(`${FOLDER_7}/_manifest.json`) },
  { name: '_SUCCESS that is missing', checks: ['success'], lake: (lake) => lake.remove(`${FOLDER_7}/_SUCCESS`) },
  { name: '_SUCCESS without a manifest in an open hour', checks: ['success'], spec: (spec) => void spec.others.set(`${FOLDER_9}/_SUCCESS`, '') },
  {
    name: '_SUCCESS and a manifest in an open hour',
    checks: ['manifest', 'success'],
    spec: (spec) => {
      spec.others.set(`${FOLDER_9}/_SUCCESS`, '');
      spec.others.set(`${FOLDER_9}/_manifest.json`, JSON.stringify({ v: 1, revision: 1, ns: ORDERS, hour: H9, files: [] }));
    },
  },
  { name: '_SUCCESS that is not empty', checks: ['success'], lake: (lake) => overwrite(lake, `${FOLDER_7}/_SUCCESS`, () => 'x') },
  {
    name: 'an hour file of an open hour',
    checks: ['hour-file'],
    spec: (spec) => void spec.others.set(hourFilePath('shop', H9), JSON.stringify({ v: 1, hour: H9, complete: true, collections: [] })),
  },
  {
    name: 'an hour file that leaves a collection out',
    checks: ['hour-file'],
    lake: (lake) => overwrite(lake, hourFilePath('shop', H7), (text) => text.replace(',"shop.carts"', '')),
  },
  {
    name: 'an hour file of another hour',
    checks: ['hour-file'],
    lake: (lake) => overwrite(lake, hourFilePath('shop', H7), (text) => text.replace(H7, H8)),
  },
  { name: 'an hour file that is gone', checks: ['hour-file'], lake: (lake) => lake.remove(hourFilePath('shop', H8)) },
  {
    name: 'an hour file that names a collection too many',
    checks: ['hour-file'],
    lake: (lake) => overwrite(lake, hourFilePath('shop', H7), (text) => text.replace('"shop.carts"', '"shop.carts","shop.nothing"')),
  },
  {
    name: 'an hour file that lies: not complete, where nothing was lost',
    checks: ['hour-file'],
    lake: (lake) => overwrite(lake, hourFilePath('shop', H7), (text) => text.replace('"complete":true', '"complete":false')),
  },
  {
    name: 'an hour file that lies: complete, where history was lost',
    checks: ['hour-file'],
    spec: ({ checkpoint }) => void checkpoint.gaps.push(gapFrom(H7)),
  },
  {
    name: 'an open part that is shorter than what was durable',
    checks: ['open-part'],
    lake: (lake) => overwrite(lake, pathOf(OPEN), (text) => text.slice(0, -1)),
  },
  { name: 'an open part that is gone', checks: ['open-part'], lake: (lake) => lake.remove(pathOf(OPEN)) },
  { name: 'a checkpoint that is gone', checks: ['checkpoint', 'unknown-file'], lake: (lake) => lake.remove(checkpointPath('shop')) },
];

/** An hour long. */
function gapFrom(hour: string): GapRecord {
  const t = parseHourName(hour)! * SECONDS_PER_HOUR;
  return { from: { t, i: 1 }, to: { t: t + SECONDS_PER_HOUR - 1, i: 1 }, detectedAt: '', collections: [], cause: 'the oplog was overtaken' };
}

function cutCompressed(suffix: '.gz' | '.zst'): (lake: Lake, spec: LakeSpec) => Promise<void> {
  return async (lake, spec) => {
    const file = spec.files.find((each) => each.suffix === suffix)!;
    const bytes = stored(file);
    await lake.remove(pathOf(file));
    await lake.put(pathOf(file), bytes.subarray(0, bytes.length - 60), 'absent');
  };
}

describe.each([
  ['in memory', async () => ({ lake: await openMemoryLake(), end: async () => {} })],
  [
    'on the local disk',
    async () => {
      const root = await mkdtemp(join(tmpdir(), 'sluice-verify-'));
      return { lake: await openLocalLake(root), end: () => rm(root, { recursive: true }) };
    },
  ],
] as const)('the proof of a lake %s', (_where, make) => {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  const lakeOf = async (spec: LakeSpec): Promise<Lake> => {
    const { lake, end } = await make();
    ends.push(end);
    await write(lake, spec);
    return lake;
  };

  it('finds nothing in a lake that is right, and counts what is there', async () => {
    const spec = makeSpec();
    const lake = await lakeOf(spec);
    const steps: VerifyProgress[] = [];
    const report = await verifyLake(lake, 'shop', { signal: never, onProgress: (step) => void steps.push(step) });
    expect(report.findings).toEqual([]);
    const bytes = [...spec.data.values()].reduce((sum, each) => sum + each.length, 0) - stored(OPEN).length;
    expect(report).toMatchObject({ ok: true, files: 7, rows: 106, bytes, hours: 2, collections: 3, openParts: 1, findingsTotal: 0, checks: {} });
    expect(steps.at(-1)).toEqual({ files: 7, filesTotal: 7, rows: 106, bytes, bytesTotal: bytes });
    expect(lakeReportText(report)).toContain('complete and correct');
  });

  it.each(FAULTS)('finds $name', async ({ checks, edit, spec: plant, lake: damage }) => {
    const spec = makeSpec(edit);
    plant?.(spec);
    const lake = await lakeOf(spec);
    await damage?.(lake, spec);
    const report = await verifyLake(lake, 'shop', { signal: never });
    expect(namesOf(report), lakeReportText(report)).toEqual(checks.toSorted());
    expect(report.ok).toBe(false);
    expect(report.findingsTotal).toBe(report.findings.length);
    for (const check of checks) expect(lakeReportText(report)).toContain(`FAIL  ${LAKE_CHECKS[check]}`);
  });

  it('cannot see an event that is missing where everything was written again to agree: docs/guarantees.md says what can', async () => {
    const lake = await lakeOf(
      makeSpec((files) => {
        first(files).events.splice(5, 1);
        first(files).lines.splice(5, 1);
      }),
    );
    expect((await verifyLake(lake, 'shop', { signal: never })).findings).toEqual([]);
  });

  it('changes nothing', async () => {
    const lake = await lakeOf(makeSpec());
    const state = async (): Promise<string[]> => {
      const files: string[] = [];
      for await (const { path, etag } of lake.list('', never)) files.push(`${path} ${etag}`);
      return files;
    };
    const before = await state();
    await verifyLake(lake, 'shop', { signal: never });
    expect(await state()).toEqual(before);
  });
});

it('has a planted fault for every check', () => {
  // Files of single events: verify-events.test.ts; of Parquet: test/crash/compaction.test.ts; rewritten by an erasure: erase.test.ts.
  const planted = new Set<LakeCheck>(['event-file', 'same-lines', 'erased-rows', ...FAULTS.flatMap((fault) => fault.checks)]);
  expect(Object.keys(LAKE_CHECKS).filter((check) => !planted.has(check as LakeCheck))).toEqual([]);
});
