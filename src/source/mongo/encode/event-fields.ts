/**
 * Where the fields of one change event stand.
 *
 * `_meta` comes first in a line, but its fields may stand anywhere in the event (in a transaction `lsid` and `txnNumber`
 * come before `_id`), so the top level is walked once, value by value and without looking inside, before anything is
 * written. Invariant: each element of the event is either one meta field or one body element, so nothing is dropped.
 */
import { FIXED_SIZE, cstringEnd, valueSize } from './bson.ts';
import { broken, type Tape } from './tape.ts';

/** Fields that go to `_meta`, as indices of the columns of {@link EventFields}. */
export const ID = 0;
export const OPERATION_TYPE = 1;
export const NS = 2;
export const CLUSTER_TIME = 3;
export const WALL_TIME = 4;
export const TXN_NUMBER = 5;
export const LSID = 6;
const META_FIELDS = 7;
const DOCUMENT_KEY = 7;
const SPLIT_EVENT = 8;

const NAMES: readonly Buffer[] = ['_id', 'operationType', 'ns', 'clusterTime', 'wallTime', 'txnNumber', 'lsid', 'documentKey', 'splitEvent'].map(
  (name) => Buffer.from(name, 'latin1'),
);

const LENGTH_MAX = 16;
/** The field whose name has that many bytes, -1 for none; `documentKey` shares its length with `clusterTime`. */
const FIELD_BY_LENGTH: Int8Array = (() => {
  const fields = new Int8Array(LENGTH_MAX).fill(-1);
  for (const [field, name] of NAMES.entries()) if (field !== DOCUMENT_KEY) fields[name.length] = field;
  return fields;
})();
const LETTER_D = 0x64;

/** Reused from event to event; valid until the next {@link EventFields.scan}. */
export class EventFields {
  /** BSON type of each meta field, 0 if the event has none. */
  readonly type = new Uint8Array(META_FIELDS);
  /** Where its value begins and where the next element begins. */
  readonly from = new Int32Array(META_FIELDS);
  readonly next = new Int32Array(META_FIELDS);
  /** Elements that are not meta fields, in order: from their type byte up to the next element. */
  readonly bodyFrom: number[] = [];
  readonly bodyNext: number[] = [];
  bodyCount = 0;
  /** Which body element is the `documentKey` or `splitEvent`, -1 for none. */
  documentKey = -1;
  splitEvent = -1;

  /** @param at @param end offsets of the event's length and of its terminator */
  scan(tape: Tape, at: number, end: number): void {
    const { input, inputView } = tape;
    this.type.fill(0);
    this.bodyCount = 0;
    this.documentKey = -1;
    this.splitEvent = -1;
    let p = at + 4;
    while (p < end) {
      const type = input[p]!;
      const key = p + 1;
      const keyEnd = cstringEnd(inputView, key, end);
      const from = keyEnd + 1;
      const fixed = FIXED_SIZE[type]!;
      const next = from + (fixed >= 0 ? fixed : valueSize(inputView, type, from, end));
      if (next > end) throw broken('a value does not fit into its document', from);
      const field = fieldOf(input, key, keyEnd - key);
      if (field >= 0 && field < META_FIELDS && this.type[field] === 0) {
        this.type[field] = type;
        this.from[field] = from;
        this.next[field] = next;
      } else {
        if (field === DOCUMENT_KEY) this.documentKey = this.bodyCount;
        else if (field === SPLIT_EVENT) this.splitEvent = this.bodyCount;
        this.bodyFrom[this.bodyCount] = p;
        this.bodyNext[this.bodyCount] = next;
        this.bodyCount++;
      }
      p = next;
    }
  }
}

function fieldOf(input: Buffer, key: number, length: number): number {
  if (length >= LENGTH_MAX) return -1;
  const field = length === 11 && input[key] === LETTER_D ? DOCUMENT_KEY : FIELD_BY_LENGTH[length]!;
  return field >= 0 && equalsAt(input, key, NAMES[field]!) ? field : -1;
}

/** True if `bytes` stand at `at` of `input`. */
export function equalsAt(input: Buffer, at: number, bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (input[at + i] !== bytes[i]) return false;
  return true;
}
