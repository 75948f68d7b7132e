/**
 * Faults planted in a lake with one file per event: each must be found by its name, alone.
 */
import { describe, expect, it } from 'vitest';
import {
  EVENT_FOLDER,
  H7,
  H9,
  eventPathOf,
  lineOf,
  makeEventSpec,
  overwrite,
  write,
  type Event,
  type EventEntry,
} from '../../test/fakes/small-lake.ts';
import type { Lake } from '../core/lake.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import type { LakeCheck } from './verify-findings.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const SEALED = makeEventSpec().files[0]!.events;
const fifth = (): string => eventPathOf(SEALED[5]!);
const openEvent = (): Event => ({ ...SEALED[5]!, t: SEALED[5]!.t + 2 * 3600 });

interface Fault {
  readonly name: string;
  readonly checks: readonly LakeCheck[];
  /** What is named and put, before the index is made from it. */
  readonly edit?: (entries: EventEntry[]) => void;
  readonly lake?: (lake: Lake) => Promise<unknown>;
}

const FAULTS: readonly Fault[] = [
  { name: 'an event that is missing', checks: ['event-file'], lake: (lake) => lake.remove(fifth()) },
  { name: 'a flipped byte in an event', checks: ['event-file'], lake: (lake) => overwrite(lake, fifth(), (text) => text.replace('Grüße', 'Grüßt')) },
  { name: 'an event that is torn', checks: ['event-file'], lake: (lake) => overwrite(lake, fifth(), (text) => text.slice(0, -20)) },
  { name: 'an event whose file holds two lines', checks: ['event-file'], edit: (entries) => void (entries[5]!.line += entries[5]!.line) },
  {
    name: 'an event in the place of another',
    checks: ['event-file'],
    edit: (entries) => void (entries[5]!.line = lineOf({ ...entries[5]!.event, t: entries[5]!.event.t + 1 })),
  },
  { name: 'what is not an event at all', checks: ['event-file'], edit: (entries) => void (entries[5]!.line = 'x\n') },
  {
    name: 'an event in a file of another name',
    checks: ['file-path'],
    edit: (entries) => void (entries[5]!.path = entries[5]!.path.replace(/[0-9a-f]{16}\.json$/, `${'0'.repeat(16)}.json`)),
  },
  {
    name: 'an event that no index names',
    checks: ['unknown-file'],
    lake: (lake) => lake.put(eventPathOf({ ...SEALED[5]!, i: 9 }), Buffer.from(lineOf({ ...SEALED[5]!, i: 9 })), 'absent'),
  },
  {
    name: 'the same twice under two names',
    checks: ['unknown-file'],
    lake: (lake) => lake.put(fifth().replace('Z-', 'Z-1'), Buffer.from(lineOf(SEALED[5]!)), 'absent'),
  },
  {
    name: 'an index that says another key than was sealed',
    checks: ['event-file', 'file-hash'],
    lake: (lake) => overwrite(lake, `${EVENT_FOLDER}/_index-${H7}.jsonl`, (text) => text.replace('"_id":1', '"_id":2')),
  },
  {
    name: 'an index that is missing',
    checks: ['file-missing', 'unknown-file'],
    lake: (lake) => lake.remove(`${EVENT_FOLDER}/_index-${H7}.jsonl`),
  },
  { name: 'an open index that is gone', checks: ['open-part', 'unknown-file'], lake: (lake) => lake.remove(`${EVENT_FOLDER}/_index-${H9}.jsonl`) },
];

async function proofOf(edit?: Fault['edit'], damage?: Fault['lake']): Promise<Awaited<ReturnType<typeof verifyLake>>> {
  const lake = await openMemoryLake();
  await write(lake, makeEventSpec(edit));
  await damage?.(lake);
  return await verifyLake(lake, 'shop', { signal: never });
}

describe('the proof of a lake with one file per event', () => {
  it('finds nothing in a lake that is right, and counts what is there', async () => {
    const report = await proofOf();
    const { data } = makeEventSpec();
    const isOfOver = (path: string): boolean => path.includes(`T07`) || path.endsWith(`${H7}.jsonl`);
    const bytes = [...data].filter(([path]) => isOfOver(path)).reduce((sum, [, each]) => sum + each.length, 0);
    expect(report).toMatchObject({ ok: true, files: 1, rows: 12, bytes, openParts: 1, findings: [] });
  });

  it.each(FAULTS)('finds $name', async ({ checks, edit, lake }) => {
    const { findings } = await proofOf(edit, lake);
    expect([...new Set(findings.map(({ check }) => check))].toSorted(), JSON.stringify(findings, null, 1)).toEqual(checks.toSorted());
  });

  it('says nothing of an event that has been put and not come to its index yet', async () => {
    const event = { ...openEvent(), t: openEvent().t + 1000 };
    const { findings } = await proofOf(undefined, (lake) => lake.put(eventPathOf(event), Buffer.from(lineOf(event)), 'absent'));
    expect(findings).toEqual([]);
  });
});
