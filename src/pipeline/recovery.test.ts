/** What a torn write has left of a part on a real disk: docs/specs/lake.md. */
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CaptureBench, HOUR, T0, events, folderOf } from '../../test/fakes/capture-bench.ts';
import type { Lake } from '../core/lake.ts';
import { openLocalLake } from '../lake/local/local.ts';

const FIRST = `${folderOf('a')}events-20261121-08.jsonl`;
const LIST = [[1, 'a'], [2, 'a'], [3, 'a'], [4, 'a']] as const; // prettier-ignore
const end = (seconds: number) => ({ end: { t: T0 + seconds, i: 1 } });

describe('what an owner finds beyond the checkpoint on a local disk', () => {
  let root: string;
  beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'sluice-recovery-'))));
  afterEach(() => rm(root, { recursive: true }));

  it.each([
    ['half a line', (next: string) => next.slice(0, 40)],
    ['a line without its newline', (next: string) => next.slice(0, -1)],
    ['a line and a half', (next: string) => `${next}${next.slice(0, 40)}`],
    ['zeros, as a lost power supply leaves them', () => '\0'.repeat(100)],
  ])('is cut back, and read again: %s', async (_what, tail) => {
    class OnDisk extends CaptureBench {
      override lake(): Promise<Lake> {
        return openLocalLake(root);
      }
    }
    const bench = new OnDisk();
    await bench.runAndStop({ events: events(...LIST.slice(0, 2)), ...end(10) });
    const text = await readFile(join(root, FIRST), 'utf8');
    expect(text.split('\n')).toHaveLength(3);
    await appendFile(join(root, FIRST), tail(text.slice(text.indexOf('\n') + 1)));
    await bench.run({ events: events(...LIST), ...end(HOUR) });
    const report = await bench.verify();
    expect(report.findings).toEqual([]);
    expect(report.rows).toBe(LIST.length);
  });
});
