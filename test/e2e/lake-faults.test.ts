/**
 * The checkers of the end-to-end tests are only worth what they find: each fault is planted in the files of a small lake
 * that is otherwise right, and must be found by its name.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ShopWrite } from '../../src/app/demo/shop.ts';
import type { LakePath } from '../../src/core/lake.ts';
import { isSealedLine, type LedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { parseHourName, SECONDS_PER_HOUR } from '../../src/core/time.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { hourFilePath } from '../../src/pipeline/checkpoint.ts';
import { DAY_1, fileSpec, FIRST, FOLDER_7, H7, H8, makeSpec, ORDERS, pathOf, stored, write } from '../fakes/small-lake.ts';
import { hourFileFaults, ledgerFaults, placeFaults, SealedGuard, unpublished, writeFaults } from './lake-faults.ts';
import { linesOf, readLake } from './lake-files.ts';

type Files = Map<LakePath, Buffer>;
const SECOND = pathOf(fileSpec(ORDERS, H7, 1, 0));
const ZIPPED = pathOf(fileSpec(ORDERS, H8, 0, 0, '.gz'));
const FROM = parseHourName(H7)! * SECONDS_PER_HOUR;

/** As {@link makeSpec} makes it, read without the product's code. Its open part is left out: these checkers want all sealed. */
function smallLake(): Files {
  const { data, ledger, others, files } = makeSpec();
  const there = new Map<LakePath, Buffer>([...others].map(([path, text]) => [path, Buffer.from(text)]));
  for (const file of files) there.set(pathOf(file), stored(file));
  for (const [path, lines] of Object.entries(ledger)) there.set(path, Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
  expect(there.size).toBeGreaterThan(data.size);
  return new Map([...there].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const edit = (files: Files, path: LakePath, change: (text: string) => string): void =>
  void files.set(path, Buffer.from(change(files.get(path)!.toString())));
const editLines = (files: Files, path: LakePath, change: (lines: string[]) => void): void =>
  edit(files, path, (text) => {
    const lines = text.split('\n').slice(0, -1);
    change(lines);
    return lines.map((line) => `${line}\n`).join('');
  });
const changeLine = (files: Files, path: LakePath, change: (line: SealedLine) => Partial<SealedLine>): void =>
  editLines(files, DAY_1, (lines) => {
    for (const [index, text] of lines.entries()) {
      const line = JSON.parse(text) as LedgerLine;
      if (isSealedLine(line) && line.path === path) lines[index] = JSON.stringify({ ...line, ...change(line) });
    }
  });
/** As if the writer had made the fault: ledger and manifest agree with the file. */
const agree = (files: Files, ...paths: readonly LakePath[]): void => {
  for (const path of paths) {
    const bytes = files.get(path)!;
    const rows = bytes.toString().split('\n').length - 1;
    const facts = { bytes: bytes.length, rows, sha256: createHash('sha256').update(bytes).digest('hex') };
    changeLine(files, path, () => facts);
    edit(files, `${FOLDER_7}/_manifest.json`, (text) => {
      const manifest = JSON.parse(text) as { files: SealedLine[] };
      return JSON.stringify({ ...manifest, files: manifest.files.map((file) => (file.path === path ? { ...file, ...facts } : file)) });
    });
  }
};

/** All of them, as the tests of kills use them. */
function faultsOf(files: Files): string[] {
  const found = [...ledgerFaults(files), ...hourFileFaults(files), ...unpublished(files, 'shop', FROM, FROM + 2 * SECONDS_PER_HOUR - 1)];
  try {
    found.push(...placeFaults(linesOf(files)));
  } catch {
    // Torn: the ledger's checker has said so.
  }
  return found;
}

interface Fault {
  readonly name: string;
  readonly found: readonly string[];
  readonly plant: (files: Files) => void;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'an event twice in a file',
    found: ['duplicate'],
    plant: (files) => {
      editLines(files, FIRST, (lines) => lines.splice(5, 0, lines[5]!));
      agree(files, FIRST);
    },
  },
  {
    name: 'an event in two files',
    found: ['duplicate'],
    plant: (files) => {
      const last = files.get(FIRST)!.toString().split('\n').at(-2)!;
      editLines(files, SECOND, (lines) => lines.unshift(last));
      agree(files, SECOND);
    },
  },
  {
    name: 'two lines that have changed places',
    found: ['order'],
    plant: (files) => {
      editLines(files, FIRST, (lines) => lines.splice(5, 2, lines[6]!, lines[5]!));
      agree(files, FIRST);
    },
  },
  {
    name: 'an event of another hour',
    found: ['wrong place'],
    plant: (files) => {
      editLines(files, SECOND, (lines) => lines.push(gunzipSync(files.get(ZIPPED)!).toString().split('\n')[0]!));
      agree(files, SECOND);
      const rest = gunzipSync(files.get(ZIPPED)!).toString().split('\n').slice(1).join('\n');
      files.set(ZIPPED, gzipSync(rest));
      const bytes = files.get(ZIPPED)!;
      const change = { bytes: bytes.length, rows: 24, sha256: createHash('sha256').update(bytes).digest('hex') };
      changeLine(files, ZIPPED, () => change);
      edit(files, `${FOLDER_7.replace('hour=07', 'hour=08')}/_manifest.json`, (text) => {
        const manifest = JSON.parse(text) as { files: SealedLine[] };
        return JSON.stringify({ ...manifest, files: manifest.files.map((file) => (file.path === ZIPPED ? { ...file, ...change } : file)) });
      });
    },
  },
  {
    name: 'a torn line',
    found: ['torn line', 'wrong hash', 'wrong size'],
    plant: (files) => edit(files, FIRST, (text) => text.slice(0, -10)),
  },
  {
    name: 'a torn line in the middle',
    found: ['torn line', 'wrong hash', 'wrong size'],
    plant: (files) => editLines(files, FIRST, (lines) => (lines[5] = lines[5]!.slice(0, -10))),
  },
  {
    name: 'a torn file',
    found: ['torn file', 'wrong hash', 'wrong size'],
    plant: (files) => void files.set(ZIPPED, files.get(ZIPPED)!.subarray(0, -20)),
  },
  {
    name: 'a missing event',
    found: ['wrong count', 'wrong hash', 'wrong size'],
    plant: (files) => editLines(files, FIRST, (lines) => lines.splice(5, 1)),
  },
  { name: 'a changed byte', found: ['wrong hash'], plant: (files) => edit(files, FIRST, (text) => text.replace('"insert"', '"INSERT"')) },
  {
    name: 'a wrong hash in the ledger',
    found: ['manifest', 'wrong hash'],
    plant: (files) => changeLine(files, FIRST, () => ({ sha256: '' })),
  },
  {
    name: 'a wrong count in the ledger',
    found: ['manifest', 'wrong count'],
    plant: (files) => changeLine(files, FIRST, ({ rows }) => ({ rows: rows + 1 })),
  },
  {
    name: 'a wrong size in the ledger',
    found: ['manifest', 'wrong size'],
    plant: (files) => changeLine(files, FIRST, ({ bytes }) => ({ bytes: bytes + 1 })),
  },
  {
    name: 'a file that the ledger does not know',
    found: ['manifest', 'unknown file'],
    plant: (files) => void files.set(FIRST.replace('.jsonl', '.part-0009.jsonl'), Buffer.from('')),
  },
  {
    name: 'a ledger line without a file',
    found: ['manifest', 'missing file'],
    plant: (files) => void files.delete(FIRST),
  },
  { name: 'a ledger line twice', found: ['ledger line twice'], plant: (files) => editLines(files, DAY_1, (lines) => lines.push(lines.at(-1)!)) },
  {
    name: 'a manifest that leaves a file out',
    found: ['manifest'],
    plant: (files) =>
      edit(files, `${FOLDER_7}/_manifest.json`, (text) => JSON.stringify({ ...JSON.parse(text), files: JSON.parse(text).files.slice(1) })),
  },
  {
    name: 'a manifest that says something else than the ledger',
    found: ['manifest'],
    plant: (files) => edit(files, `${FOLDER_7}/_manifest.json`, (text) => text.replace('"rows":30', '"rows":31')),
  },
  { name: 'a missing _SUCCESS', found: ['not published'], plant: (files) => void files.delete(`${FOLDER_7}/_SUCCESS`) },
  { name: 'a missing manifest', found: ['not published'], plant: (files) => void files.delete(`${FOLDER_7}/_manifest.json`) },
  { name: 'a missing hour file', found: ['not published'], plant: (files) => void files.delete(hourFilePath('shop', H8)) },
  {
    name: 'an hour file that names another collection',
    found: ['hour file'],
    plant: (files) => edit(files, hourFilePath('shop', H7), (text) => text.replace('shop.carts', 'shop.others')),
  },
  {
    name: 'an hour file that is not complete',
    found: ['hour file'],
    plant: (files) => edit(files, hourFilePath('shop', H7), (text) => text.replace('true', 'false')),
  },
];

describe('the checkers of a lake', () => {
  it('find nothing in a lake that is right', () => {
    expect(faultsOf(smallLake())).toEqual([]);
  });

  it.each(FAULTS)('find $name', ({ found, plant }) => {
    const files = smallLake();
    plant(files);
    const faults = faultsOf(new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1))));
    expect([...new Set(faults.map((fault) => fault.slice(0, fault.indexOf(':'))))].toSorted(), faults.join('\n')).toEqual(found);
  });

  it('find what was acknowledged and is not there, or too often, or as something else, though every file agrees with its ledger', () => {
    const lines = linesOf(smallLake()).filter(({ path }) => path === FIRST);
    const writes = lines.map(({ event }): ShopWrite => {
      const { ns, operationType } = event._meta;
      return { ns: `${ns.db}.${ns.coll}`, op: operationType, id: (event['documentKey'] as { _id: number })._id } as unknown as ShopWrite;
    });
    const keyed = lines.map((line) => ({ ...line, event: { ...line.event, documentKey: { _id: { $numberInt: String((line.event['documentKey'] as { _id: number })._id) } } } })); // prettier-ignore
    const namesOf = (faults: readonly string[]): string[] => faults.map((fault) => fault.slice(0, fault.indexOf(':')));
    expect(writeFaults(writes, keyed)).toEqual([]);
    expect(namesOf(writeFaults(writes, keyed.toSpliced(5, 1)))).toEqual(['missing event']);
    expect(namesOf(writeFaults(writes, [...keyed, keyed[5]!]))).toEqual(['event too many']);
    expect(namesOf(writeFaults(writes, keyed.toSpliced(1, 0, keyed[3]!).toSpliced(4, 1)))).toEqual(['wrong event']);
  });

  it('find a sealed file that has changed', async () => {
    const root = await mkdtemp(join(tmpdir(), 'sluice-checkers-'));
    try {
      await using lake = await openLocalLake(root);
      await write(lake, makeSpec());
      const guard = new SealedGuard(root);
      await guard.look();
      expect(guard.changed(await readLake(root))).toEqual([]);
      await writeFile(join(root, FIRST), 'other');
      await rm(join(root, FOLDER_7, '_SUCCESS'));
      const faults = guard.changed(await readLake(root));
      expect(faults.map((fault) => fault.slice(0, fault.indexOf(':')))).toEqual(['changed', 'changed']);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
