/**
 * The operation of an event as its index in OPERATIONS, without making a string for it.
 */
import { OPERATIONS, OPERATION_OTHER } from '../../../core/event.ts';
import { equalsAt } from './event-fields.ts';

/** Names by length and first letter, which tells those of all operations apart; {@link operationIndex} compares the rest. */
const KEYS = 32 * 32;
const INDEX_BY_KEY = new Int8Array(KEYS).fill(-1);
const NAMES: readonly Buffer[] = OPERATIONS.map((name) => Buffer.from(name, 'latin1'));

for (const [index, name] of NAMES.entries()) {
  const key = keyOf(name.length, name[0]!);
  if (INDEX_BY_KEY[key] !== -1) throw new Error(`two operations share length and first letter: ${OPERATIONS[index]}`);
  INDEX_BY_KEY[key] = index;
}

function keyOf(length: number, first: number): number {
  return ((length & 31) << 5) | (first & 31);
}

/** @param from @param end offsets of the name's bytes */
export function operationIndex(input: Buffer, from: number, end: number): number {
  const index = INDEX_BY_KEY[keyOf(end - from, input[from]!)]!;
  if (index < 0) return OPERATION_OTHER;
  const name = NAMES[index]!;
  return name.length === end - from && equalsAt(input, from, name) ? index : OPERATION_OTHER;
}
