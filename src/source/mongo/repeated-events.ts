/**
 * Events that a sharded cluster says more than once.
 *
 * An index that is made or dropped is an event of each shard that has a part of the collection. Two shards may do it at one cluster time,
 * and then the two events have one and the same resume token: nothing tells them apart, and a resume goes on after both or between
 * them. So the first one counts. Invariant: of events with one token, in one reply or in two, one is left.
 */
import { DOCUMENT, STRING, elementsOf, type Element } from './encode/bson.ts';
import { batchOf } from './encode/reply.ts';

export interface Told {
  /** The `cursor` of the reply; another one if something was left out. */
  readonly cursor: Uint8Array;
  /** `_data` of its last event's token, or of the last event before it. */
  readonly last: string;
}

/** @param last `_data` of the token before */
export function withoutRepeated(cursor: Uint8Array, last: string): Told {
  const { input, view, array, end } = batchOf(cursor);
  const repeated: Element[] = [];
  let before = last;
  for (const event of elementsOf(view, array, end)) {
    const token = tokenAt(input, view, event.from, event.next);
    if (token === before) repeated.push(event);
    before = token ?? before;
  }
  return { cursor: repeated.length === 0 ? cursor : cutOut(input, array, repeated), last: before };
}

function tokenAt(reply: Buffer, view: DataView, from: number, next: number): string | null {
  for (const field of elementsOf(view, from, next - 1)) {
    if (field.key !== '_id' || field.type !== DOCUMENT) continue;
    for (const { key, type, from: at, next: end } of elementsOf(view, field.from, field.next - 1))
      if (key === '_data' && type === STRING) return reply.toString('latin1', at + 4, end - 1);
  }
  return null;
}

/** Names of an array's elements are of no account: those that are left keep theirs. */
function cutOut(reply: Buffer, batch: number, events: readonly Element[]): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const { at, next } of events) {
    pieces.push(reply.subarray(from, at));
    from = next;
  }
  const left = Buffer.concat([...pieces, reply.subarray(from)]);
  const gone = reply.length - left.length;
  left.writeInt32LE(left.length, 0);
  left.writeInt32LE(reply.readInt32LE(batch) - gone, batch);
  return left;
}
