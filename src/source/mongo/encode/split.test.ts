import { describe, expect, it } from 'vitest';
import { SOURCE_PROTOCOL } from '../../../core/errors.ts';
import {
  SECOND,
  cursorOf,
  documentOf,
  element,
  encoderOf,
  eventOf,
  int32,
  linesOf,
  namespaceOf,
  positionOf,
  string,
  timestamp,
  tokenOf,
} from './raw-bson.ts';
import { encodeReply, slicesOfReply } from './reply.ts';

const id = (i: number): Buffer => element(0x03, '_id', tokenOf(positionOf(SECOND, i)));
const split = (fragment: number, of: number): Buffer =>
  element(0x03, 'splitEvent', documentOf(element(0x10, 'fragment', int32(fragment)), element(0x10, 'of', int32(of))));
const operation = element(0x02, 'operationType', string('update'));
const clusterTime = element(0x11, 'clusterTime', timestamp(SECOND, 5));
const ns = element(0x03, 'ns', namespaceOf('shop', 'orders'));
const key = element(0x03, 'documentKey', documentOf(element(0x10, '_id', int32(7))));
const full = element(0x03, 'fullDocument', documentOf(element(0x02, 'a', string('after'))));
const before = element(0x03, 'fullDocumentBeforeChange', documentOf(element(0x02, 'a', string('before'))));

const FIRST = documentOf(id(5), split(1, 3), operation, clusterTime, ns, key);
const SECOND_PART = documentOf(id(6), full, split(2, 3));
const THIRD = documentOf(id(7), split(3, 3), before);

const WHOLE = documentOf(id(7), operation, clusterTime, ns, key, full, before);

describe('a split event', () => {
  const whole = linesOf(encodeReply(cursorOf([WHOLE]), encoderOf()));

  it('in one reply becomes one line, with the position of its last fragment', () => {
    const reply = encodeReply(cursorOf([FIRST, SECOND_PART, THIRD]), encoderOf());
    expect(linesOf(reply)).toEqual(whole);
    expect(reply.lastToken).toEqual(tokenOf(positionOf(SECOND, 7)));
    expect(reply.postBatchResumeToken).not.toBeNull();
  });

  it('over several replies becomes one line, and none of the replies before it can be resumed from', () => {
    const encoder = encoderOf();
    const first = encodeReply(cursorOf([eventOf(1), FIRST]), encoder);
    expect(first.events.count).toBe(1);
    expect(first.postBatchResumeToken).toBeNull();
    expect(first.lastToken).toEqual(tokenOf(positionOf(SECOND, 1)));
    const second = encodeReply(cursorOf([SECOND_PART]), encoder);
    expect(second).toMatchObject({ postBatchResumeToken: null, lastToken: null, events: { count: 0 } });
    const third = encodeReply(cursorOf([THIRD, eventOf(9)]), encoder);
    expect(linesOf(third)[0]).toBe(whole[0]);
    expect(third.events.count).toBe(2);
    expect(third.postBatchResumeToken).not.toBeNull();
  });

  it('over several slices of a reply becomes one line, and none of the slices before it can be resumed from', () => {
    const events = [eventOf(1), FIRST, SECOND_PART, THIRD, eventOf(9)];
    const slices = [...slicesOfReply(cursorOf(events), encoderOf(), 1)];
    expect(slices.map(({ events: { count } }) => count)).toEqual([1, 0, 0, 1, 1]);
    expect(slices.map(({ lastToken }) => lastToken)).toEqual([1, null, null, 7, 9].map((i) => (i === null ? null : tokenOf(positionOf(SECOND, i)))));
    expect(slices.map(({ postBatchResumeToken }) => postBatchResumeToken === null)).toEqual([true, true, true, true, false]);
    expect(linesOf(slices[3]!)).toEqual(whole);
  });

  it('begins anew with a new cursor', () => {
    const encoder = encoderOf();
    encodeReply(cursorOf([FIRST, SECOND_PART]), encoder);
    expect(encodeReply(cursorOf([], 'firstBatch'), encoder).postBatchResumeToken).not.toBeNull();
    expect(linesOf(encodeReply(cursorOf([FIRST, SECOND_PART, THIRD]), encoder))).toEqual(whole);
  });

  it('that is larger than the reply that ends it fits', () => {
    const large = element(0x02, 'x', string('\u0001'.repeat(300_000)));
    const encoder = encoderOf();
    encodeReply(cursorOf([documentOf(id(5), split(1, 2), operation, clusterTime, ns, large)]), encoder);
    const [line] = linesOf(encodeReply(cursorOf([documentOf(id(6), split(2, 2), key)]), encoder));
    expect(JSON.parse(line!).x.length).toBe(300_000);
  });

  it.each([
    ['a fragment is missing', [FIRST, THIRD]],
    ['it does not begin with the first', [SECOND_PART]],
    ['a fragment comes twice', [FIRST, SECOND_PART, SECOND_PART]],
    ['another event comes in between', [FIRST, eventOf(6)]],
    ['it has more fragments than it says', [documentOf(id(5), split(2, 1))]],
    ['`splitEvent` is not a document', [documentOf(id(5), element(0x10, 'splitEvent', int32(1)))]],
    ['`splitEvent` is empty', [documentOf(id(5), element(0x03, 'splitEvent', documentOf()))]],
    ['a fragment has no token', [documentOf(split(1, 2))]],
  ])('is refused when %s', (_name, events) => {
    expect(() => encodeReply(cursorOf(events), encoderOf())).toThrow(SOURCE_PROTOCOL.title);
  });
});
