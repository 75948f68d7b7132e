import { describe, expect, it } from 'vitest';
import { headroomSeconds, type OplogState } from './oplog.ts';

/** An hour of history, a kilobyte a second. */
const FULL: OplogState = { firstSeconds: 10_000, lastSeconds: 13_600, bytes: 3_600_000, bytesMax: 3_600_000 };

describe('how long the history of a position lasts', () => {
  it('is what lies before it, when the oplog is full', () => {
    expect(headroomSeconds(FULL, 13_600, null)).toBe(3600);
    expect(headroomSeconds(FULL, 11_000, null)).toBe(1000);
    expect(headroomSeconds({ ...FULL, bytesMax: null }, 11_000, null)).toBe(1000);
  });

  it('is over when the position is older than the first entry', () => {
    expect(headroomSeconds(FULL, 9_999, null)).toBe(0);
    expect(headroomSeconds(FULL, 10_000, null)).toBe(0);
  });

  it('is longer while the oplog is not full', () => {
    expect(headroomSeconds({ ...FULL, bytesMax: 5_600_000 }, 11_000, null)).toBe(3000);
  });

  it('is shorter when more is written than before', () => {
    // Ten minutes in which the beginning moved by an hour: six times as much as on the whole.
    const before: OplogState = { firstSeconds: 6_400, lastSeconds: 13_000, bytes: 3_600_000, bytesMax: 3_600_000 };
    expect(headroomSeconds(FULL, 13_600, before)).toBe(600);
    const growing: OplogState = { firstSeconds: 10_000, lastSeconds: 13_000, bytes: 1_200_000, bytesMax: 3_600_000 };
    expect(headroomSeconds(FULL, 13_600, growing)).toBe(900);
  });

  it('is not longer because less is written for a while', () => {
    const before: OplogState = { ...FULL, lastSeconds: 13_000, bytes: 3_599_000 };
    expect(headroomSeconds(FULL, 13_600, before)).toBe(3600);
  });

  it('is the whole window when nothing can be told', () => {
    expect(headroomSeconds({ firstSeconds: 5, lastSeconds: 5, bytes: 0, bytesMax: 1 }, 5, null)).toBe(1);
  });
});
