import { describe, expect, it } from 'vitest';
import { fileSpec, H7, openPart, ORDERS } from '../../test/fakes/small-lake.ts';
import { EventBatchBuilder } from '../core/event-batch.ts';
import type { EventBatch } from '../core/event.ts';
import { hourKey, type PartRecord } from './checkpoint.ts';
import { Floors } from './floor.ts';

const KEY = hourKey(ORDERS, H7);
const FILE = fileSpec(ORDERS, H7, 0, 30);

/** A part that holds the events up to one of them. */
const partTo = (count: number, fingerprint = 'f'): PartRecord => ({ ...openPart(fileSpec(ORDERS, H7, 0, count)), fingerprint });

function batchOf(lines: readonly string[]): EventBatch {
  const builder = new EventBatchBuilder();
  const ns = builder.namespace(ORDERS.db, ORDERS.coll);
  for (const [index, line] of lines.entries()) {
    const bytes = Buffer.from(line);
    builder.reserve(bytes.length);
    bytes.copy(builder.buffer, builder.length);
    builder.length += bytes.length;
    builder.add(ns, 0, FILE.events[index]!.t, FILE.events[index]!.i);
  }
  return builder.build();
}

/** How many of the first 30 events are said to be in the lake. */
function held(floors: Floors): number {
  const batch = batchOf(FILE.lines);
  return FILE.lines.filter((_, i) => floors.holds(batch, i, i === 0 ? 0 : batch.ends[i - 1]!, KEY)).length;
}

describe('a floor', () => {
  it.each([
    ['rising', [5, 20]],
    ['falling', [20, 5]],
    ['twice the same', [20, 20]],
  ])('is what the highest of its parts holds, in whatever order they are told: %s', (_how, counts) => {
    const floors = new Floors('f', null);
    for (const count of counts) floors.raise(partTo(count));
    expect(held(floors)).toBe(20);
  });

  it('covers its own event, and not the next one', () => {
    const floors = new Floors('f', null);
    floors.raise(partTo(1));
    expect(held(floors)).toBe(1);
  });

  it('is none where parts hold nothing', () => {
    const floors = new Floors('f', null);
    floors.raise({ ...partTo(1), last: null, lastAt: null });
    expect(floors.none).toBe(true);
    expect(held(floors)).toBe(0);
  });
});
