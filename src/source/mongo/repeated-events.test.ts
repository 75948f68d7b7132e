import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../core/buffer-pool.ts';
import { LineEncoder } from './encode/line.ts';
import { cursorOf, eventOf, positionOf, SECOND } from './encode/raw-bson.ts';
import { slicesOfReply } from './encode/reply.ts';
import { withoutRepeated } from './repeated-events.ts';

const at = (i: number): string => positionOf(SECOND, i);

function positionsIn(cursor: Uint8Array): string[] {
  const encoder = new LineEncoder({ json: 'relaxed', maxLineBytes: 1 << 20, database: null, collection: null, mask: null });
  const lines: string[] = [];
  for (const { events } of slicesOfReply(cursor, encoder, Infinity, new BufferPool(1 << 20)))
    lines.push(...events.lines.toString('utf8', 0, events.ends[events.count - 1] ?? 0).split('\n'));
  return lines.filter((line) => line !== '').map((line) => (JSON.parse(line) as { _meta: { position: string } })._meta.position);
}

describe('events that are told more than once', () => {
  it('are told once, in one reply', () => {
    const { cursor, last } = withoutRepeated(cursorOf([1, 1, 2, 3, 3, 3, 4].map((i) => eventOf(i))), '');
    expect(positionsIn(cursor)).toEqual([1, 2, 3, 4].map(at));
    expect(last).toBe(at(4));
  });

  it('are told once, in two replies, and after a resume', () => {
    const first = withoutRepeated(cursorOf([1, 2].map((i) => eventOf(i))), at(1));
    expect(positionsIn(first.cursor)).toEqual([at(2)]);
    const second = withoutRepeated(cursorOf([2, 3].map((i) => eventOf(i))), first.last);
    expect(positionsIn(second.cursor)).toEqual([at(3)]);
  });

  it('leave a reply as it is where there are none', () => {
    const [some, none] = [cursorOf([1, 2].map((i) => eventOf(i))), cursorOf([])];
    expect(withoutRepeated(some, '').cursor).toBe(some);
    expect(withoutRepeated(none, at(7))).toEqual({ cursor: none, last: at(7) });
  });
});
