/**
 * Puts split events together again.
 *
 * With `$changeStreamSplitLargeEvent` the server cuts an event over 16 MB between its top-level fields: each fragment is
 * a document with a resume token of its own, `splitEvent: { fragment, of }` and some of the fields; only one of them has
 * `operationType`. Invariant: what is joined has every field of every fragment, in order, and the token of the last one;
 * until that one is here there is no event, and no resume point may lie inside it.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../../core/errors.ts';
import { DOCUMENT, INT32, cstringEnd, elementsOf } from './bson.ts';
import { ID, type EventFields } from './event-fields.ts';
import type { Tape } from './tape.ts';

/** A fragment is at most 16 MB; before, after and description of one document need four. */
const BYTES_MAX = 256 * 1024 * 1024;
const ID_KEY = Buffer.from('\u0003_id\0', 'latin1');
/** Bytes after the event that a tape may read (tape.ts). */
const PADDING = 3;

export class SplitEvents {
  #parts: Buffer[] = [];
  #bytes = 0;
  #fragment = 0;

  /** Fragments seen of an event that is not whole yet. */
  get pending(): number {
    return this.#fragment;
  }

  /** Forgets what is not whole: a new cursor begins before it. */
  reset(): void {
    this.#parts = [];
    this.#bytes = 0;
    this.#fragment = 0;
  }

  /**
   * Takes the fragment that `fields` describes.
   * @returns the whole event as BSON, with padding after it, once this was its last fragment
   * @throws SOURCE_PROTOCOL fragments out of order
   */
  add(tape: Tape, at: number, end: number, fields: EventFields): Buffer | null {
    const { fragment, of } = readNumbers(tape.inputView, fields);
    if (fragment !== this.#fragment + 1 || fragment > of) {
      throw new SluiceError(SOURCE_PROTOCOL, `fragment ${fragment} of ${of} came after fragment ${this.#fragment}`);
    }
    this.#fragment = fragment;
    this.#keep(tape, at, end, fields);
    if (this.#bytes > BYTES_MAX) throw new SluiceError(SOURCE_PROTOCOL, `a split event of more than ${BYTES_MAX} bytes`);
    if (fragment < of) return null;
    const id = tape.input.subarray(fields.from[ID], fields.next[ID]);
    const event = Buffer.alloc(4 + ID_KEY.length + id.length + this.#bytes + 1 + PADDING);
    event.writeInt32LE(event.length - PADDING, 0);
    let p = 4;
    for (const part of [ID_KEY, id, ...this.#parts]) p += part.copy(event, p);
    this.reset();
    return event;
  }

  /** Keeps all elements but `_id` and `splitEvent`. */
  #keep(tape: Tape, at: number, end: number, fields: EventFields): void {
    const split = fields.bodyFrom[fields.splitEvent];
    for (const element of elementsOf(tape.inputView, at, end)) {
      if (element.at === split || element.from === fields.from[ID]) continue;
      this.#parts.push(Buffer.from(tape.input.subarray(element.at, element.next)));
      this.#bytes += element.next - element.at;
    }
  }
}

function readNumbers(input: DataView, fields: EventFields): { fragment: number; of: number } {
  if (fields.type[ID] !== DOCUMENT) throw new SluiceError(SOURCE_PROTOCOL, 'a fragment without `_id`');
  const at = fields.bodyFrom[fields.splitEvent]!;
  const end = fields.bodyNext[fields.splitEvent]! - 1;
  if (input.getUint8(at) !== DOCUMENT) throw new SluiceError(SOURCE_PROTOCOL, '`splitEvent` is not a document');
  const numbers = new Map<string, number>();
  for (const { key, type, from } of elementsOf(input, cstringEnd(input, at + 1, end) + 1, end)) {
    if (type === INT32) numbers.set(key, input.getInt32(from, true));
  }
  const fragment = numbers.get('fragment');
  const of = numbers.get('of');
  if (fragment === undefined || of === undefined) throw new SluiceError(SOURCE_PROTOCOL, '`splitEvent` does not say which fragment this is');
  return { fragment, of };
}
