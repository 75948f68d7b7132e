/**
 * Resume tokens: a small BSON document whose `_data` is the position, in hexadecimal.
 *
 * The position begins with the cluster time (`82`, seconds, ordinal). `_typeBits`, where a token has them, stay in the
 * token: resuming with `_data` alone then fails.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_TOKEN } from '../../../core/errors.ts';
import { asPosition, type ResumePoint } from '../../../core/event.ts';
import { STRING, cstringEnd, documentSize, elementsOf, valueSize } from './bson.ts';
import { equalsAt } from './event-fields.ts';
import type { Tape } from './tape.ts';

const DATA = Buffer.from('_data\0', 'latin1');
/** `82`, then 8 digits each for seconds and ordinal. */
const POSITION = /^82([0-9A-Fa-f]{8})([0-9A-Fa-f]{8})[0-9A-Fa-f]*$/;

/**
 * Offset of the `_data` string's value (its length field) in the token document at `at`; -1 if it has none.
 * @param end offset of the token's terminator
 */
export function findData(tape: Tape, at: number, end: number): number {
  const { input, inputView } = tape;
  for (let p = at + 4; p < end;) {
    const type = input[p]!;
    if (type === STRING && equalsAt(input, p + 1, DATA)) return p + 1 + DATA.length;
    const value = cstringEnd(inputView, p + 1, end) + 1;
    p = value + valueSize(inputView, type, value, end);
  }
  return -1;
}

/**
 * @param token the whole token document, BSON
 * @throws SOURCE_TOKEN it holds no position; BSON_BROKEN it is not BSON
 */
export function resumePointOf(token: Uint8Array): ResumePoint {
  const bytes = Buffer.from(token);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = documentSize(view, 0, bytes.length) - 1;
  const data = [...elementsOf(view, 0, end)].find(({ key, type }) => key === '_data' && type === STRING);
  if (data === undefined) throw new SluiceError(SOURCE_TOKEN, 'it has no `_data`');
  const position = bytes.toString('latin1', data.from + 4, data.next - 1);
  const match = POSITION.exec(position);
  if (match === null) throw new SluiceError(SOURCE_TOKEN, 'its `_data` is not a position');
  const clusterTime = { t: Number.parseInt(match[1]!, 16), i: Number.parseInt(match[2]!, 16) };
  return { position: asPosition(position), clusterTime, token: bytes };
}
