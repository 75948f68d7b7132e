/**
 * The oracle of the schedules is only worth what it finds: faults are planted in the lake of a calm schedule, and must be
 * found by their names, whatever the product's own verifier says.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { isSealedLine, type LedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { faultsOf } from './schedule-faults.ts';
import { World, calm, sha256, type History } from './schedule-world.ts';

const HOUR = 3600;
const T0 = 1_795_248_000; // a full hour
const HISTORY: History = {
  events: [
    [1, 'a'], [2, 'a'], [3, 'a'], [4, 'a'], [5, 'b'], [HOUR + 1, 'a'],
  ].map(([s, coll], id) => ({ at: { t: T0 + Number(s), i: 1 }, ns: `db.${coll}`, id })), // prettier-ignore
  batchEvents: 2,
  end: { t: T0 + 2 * HOUR, i: 1 },
};

type Files = Map<string, string>;
interface Fault {
  readonly name: string;
  readonly found: readonly string[];
  readonly plant: (files: Files, first: string, second: string) => void;
}

const linesIn = (text: string): string[] => text.split('\n').slice(0, -1);
const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
const edit = (files: Files, path: string, change: (lines: string[]) => void): void => {
  const lines = linesIn(files.get(path)!);
  change(lines);
  files.set(path, textOf(lines));
};
const ledgerPath = (files: Files): string => [...files.keys()].find((path) => path.includes('/ledger/'))!;
const published = (files: Files, end: string): string => [...files.keys()].find((path) => path.endsWith(end))!;
/** As if the writer had made the fault: the ledger line agrees with the file. */
const agree = (files: Files, path: string): void =>
  edit(files, ledgerPath(files), (lines) => {
    for (const [index, text] of lines.entries()) {
      const line = JSON.parse(text) as LedgerLine;
      if (!isSealedLine(line) || line.path !== path) continue;
      const bytes = Buffer.from(files.get(path)!);
      lines[index] = JSON.stringify({ ...line, bytes: bytes.length, sha256: sha256(bytes), rows: linesIn(files.get(path)!).length });
    }
  });
const changeLine = (files: Files, path: string, change: Partial<SealedLine>): void =>
  edit(files, ledgerPath(files), (lines) => {
    const index = lines.findIndex((text) => text.includes(`"${path}"`));
    lines[index] = JSON.stringify({ ...(JSON.parse(lines[index]!) as SealedLine), ...change });
  });

const FAULTS: readonly Fault[] = [
  {
    name: 'a missing event, with a ledger line that agrees',
    found: ['missing event'],
    plant: (files, first) => {
      edit(files, first, (lines) => lines.splice(0, 1));
      agree(files, first);
    },
  },
  {
    name: 'an event twice in a file',
    found: ['duplicate', 'order'],
    plant: (files, first) => {
      edit(files, first, (lines) => lines.push(lines.at(-1)!));
      agree(files, first);
    },
  },
  {
    name: 'an event in two files',
    found: ['duplicate', 'order'],
    plant: (files, first, second) => {
      edit(files, second, (lines) => lines.push(linesIn(files.get(first)!)[0]!));
      agree(files, second);
    },
  },
  {
    name: 'two events that have changed places',
    found: ['order'],
    plant: (files, first) => {
      edit(files, first, (lines) => lines.splice(0, lines.length, ...lines.toReversed()));
      agree(files, first);
    },
  },
  {
    name: 'a torn line',
    found: ['missing event', 'torn line'],
    plant: (files, first) => {
      files.set(first, files.get(first)!.slice(0, -5));
      agree(files, first);
    },
  },
  {
    name: 'a torn line in the middle',
    found: ['missing event', 'torn line'],
    plant: (files, first) => {
      edit(files, first, (lines) => (lines[0] = lines[0]!.slice(0, -5)));
      agree(files, first);
    },
  },
  {
    name: 'an event of another hour',
    found: ['order', 'wrong place'],
    plant: (files, first) => {
      const last = [...files.keys()].filter((path) => path.startsWith('db/a/') && path.endsWith('.jsonl')).at(-1)!;
      edit(files, first, (lines) => lines.push(...linesIn(files.get(last)!)));
      files.set(last, '');
      for (const path of [first, last]) agree(files, path);
    },
  },
  { name: 'a torn file', found: ['missing event', 'wrong size'], plant: (files, first) => edit(files, first, (lines) => lines.pop()) },
  {
    name: 'a changed byte',
    found: ['changed', 'wrong hash'],
    plant: (files, first) => files.set(first, files.get(first)!.replace('"v":1', '"v":2')),
  },
  { name: 'a wrong hash', found: ['wrong hash'], plant: (files, first) => changeLine(files, first, { sha256: '' }) },
  { name: 'a wrong size', found: ['wrong size'], plant: (files, first) => changeLine(files, first, { bytes: 1 }) },
  { name: 'a wrong count', found: ['wrong count'], plant: (files, first) => changeLine(files, first, { rows: 9 }) },
  {
    name: 'a file that the ledger does not know',
    found: ['unknown file'],
    plant: (files, first) => edit(files, ledgerPath(files), (lines) => lines.splice(lines.findIndex((line) => line.includes(`"${first}"`)), 1)), // prettier-ignore
  },
  {
    name: 'a ledger line twice',
    found: ['ledger line twice'],
    plant: (files) => edit(files, ledgerPath(files), (lines) => lines.push(lines.at(-1)!)),
  },
  {
    name: 'a ledger line without a file',
    found: ['changed', 'manifest', 'missing event', 'missing file'],
    plant: (files, first) => files.delete(first),
  },
  {
    name: 'an owner that writes to the ledger after a later one',
    found: ['epoch'],
    plant: (files) => edit(files, ledgerPath(files), (lines) => lines.push('{"epoch":9,"at":""}', '{"epoch":1,"at":""}')),
  },
  {
    name: 'a manifest that disagrees',
    found: ['manifest'],
    plant: (files) => {
      const path = published(files, '_manifest.json');
      files.set(path, JSON.stringify({ ...(JSON.parse(files.get(path)!) as object), files: [] }));
    },
  },
  { name: 'a missing _SUCCESS', found: ['not published'], plant: (files) => files.delete(published(files, '_SUCCESS')) },
  { name: 'a missing hour file', found: ['hour file'], plant: (files) => files.delete(published(files, '-08.json')) },
  {
    name: 'an hour file that lies',
    found: ['hour file'],
    plant: (files) => {
      const path = [...files.keys()].find((each) => each.includes('/hours/'))!;
      files.set(path, files.get(path)!.replace('"db.b"', '"db.c"'));
    },
  },
];

describe('the oracle of the schedules', () => {
  let calmFiles: Files;
  beforeAll(async () => {
    const world = new World(HISTORY);
    expect(await world.run(calm(), { rollBytesMax: 400 })).toBe(true);
    expect(await faultsOf(world, HISTORY)).toEqual([]);
    calmFiles = new Map([...world.files()].map(([path, bytes]) => [path, bytes.toString('utf8')]));
  });

  it.each(FAULTS)('finds $name', async ({ found, plant }) => {
    const files = new Map(calmFiles);
    const [first, second] = [...files.keys()].filter((path) => path.startsWith('db/a/') && path.endsWith('.jsonl')).toSorted();
    plant(files, first!, second!);
    const world = new World(HISTORY);
    expect(await world.run(calm(), { rollBytesMax: 400 })).toBe(true);
    for (const path of world.store.files.keys()) if (!files.has(path)) world.store.files.delete(path);
    for (const [path, text] of files) {
      const file = world.store.files.get(path)!;
      file.bytes = Buffer.from(text);
      file.size = file.bytes.length;
    }
    const faults = (await faultsOf(world, HISTORY)).filter((fault) => !fault.startsWith('verify: '));
    const names = [...new Set(faults.map((fault) => (fault.endsWith('and has changed') ? 'changed' : fault.slice(0, fault.indexOf(':')))))];
    // Whatever the files of a sealed path are changed into, the world has seen other ones.
    const expected = found.includes('changed') ? names : names.filter((name) => name !== 'changed');
    expect(expected.toSorted(), faults.join('\n')).toEqual(found);
  });
});
