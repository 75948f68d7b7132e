import { describe, expect, it } from 'vitest';
import type { GapRecord } from '../pipeline/checkpoint.ts';
import { hourCells, runLengths, type HoursKnown } from './hour-cells.ts';

const HOUR = 3600;
const FROM = 1000;

/** Eight hours, of which the pipeline covers those from the third on; six are over. */
function letters(change: Partial<HoursKnown> = {}): string {
  const known: HoursKnown = {
    checkpoint: { startedAt: { t: (FROM + 2) * HOUR + 600, i: 0 }, nextHour: FROM + 6 },
    gaps: [],
    openHours: new Set(),
    filesAt: () => 0,
    completeThrough: null,
    from: FROM,
    count: 8,
    nowSeconds: (FROM + 6) * HOUR + 600,
    knownFrom: FROM,
    ...change,
  };
  return hourCells(known).join('');
}

function gap(from: number, to: number | null): GapRecord {
  return { from: { t: from, i: 0 }, to: to === null ? null : { t: to, i: 0 }, detectedAt: '', collections: [], cause: '' };
}

describe('an hour of a collection', () => {
  it('is quiet when it is over and nothing happened, and nothing at all before the beginning or while it can still get events', () => {
    expect(letters()).toBe('--....--');
    expect(letters({ knownFrom: FROM + 4 })).toBe('----..--');
    expect(letters({ checkpoint: { startedAt: { t: 0, i: 0 }, nextHour: 0 } })).toBe('--------');
  });

  it('is sealed when it is over and has files; before that it is open, also when all that is there is sealed', () => {
    expect(letters({ filesAt: () => 1 })).toBe('ssssssoo');
    expect(letters({ openHours: new Set([FROM + 6]) })).toBe('--....o-');
  });

  it('is loaded only when the warehouse is complete through its end', () => {
    const filesAt = (hour: number): number => (hour >= FROM + 2 && hour < FROM + 6 ? 2 : 0);
    expect(letters({ filesAt, completeThrough: (FROM + 4) * HOUR })).toBe('--llss--');
    expect(letters({ filesAt, completeThrough: (FROM + 4) * HOUR - 1 })).toBe('--lsss--');
  });

  it('is a gap whatever else it is, in each hour that the gap touches', () => {
    const filesAt = (): number => 1;
    expect(letters({ filesAt, gaps: [gap((FROM + 3) * HOUR + 3599, (FROM + 4) * HOUR)] })).toBe('sssggsoo');
    expect(letters({ filesAt, gaps: [gap((FROM + 5) * HOUR, null)] })).toBe('sssssggo');
  });
});

describe('a row of hours', () => {
  it('is told by its runs', () => {
    expect(runLengths([])).toBe('');
    expect(runLengths(['.', '.', 's', 'o'])).toBe('.2s1o1');
    expect(runLengths(Array.from({ length: 720 }, () => 'l' as const))).toBe('l720');
  });
});
