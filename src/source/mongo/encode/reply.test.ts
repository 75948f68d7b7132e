import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../core/error.ts';
import { BSON_BROKEN, SOURCE_ORDER, SOURCE_PROTOCOL, SOURCE_TOKEN } from '../../../core/errors.ts';
import { OPERATIONS, OPERATION_OTHER, positionAt } from '../../../core/event.ts';
import {
  SECOND,
  arrayOf,
  binary,
  cursorOf,
  documentOf,
  element,
  encoderOf,
  eventOf,
  int32,
  int64,
  lineOf,
  linesOf,
  namespaceOf,
  positionOf,
  string,
  timestamp,
  tokenOf,
} from './raw-bson.ts';
import { encodeReply, slicesOfReply } from './reply.ts';
import { resumePointOf } from './token.ts';

const POSITION = positionOf(SECOND, 3);
const id = element(0x03, '_id', tokenOf(POSITION));
const operation = element(0x02, 'operationType', string('update'));
const clusterTime = element(0x11, 'clusterTime', timestamp(SECOND, 3));
const ns = element(0x03, 'ns', namespaceOf('shop', 'orders'));
const wallTime = element(0x09, 'wallTime', int64(BigInt(SECOND) * 1000n + 5n));
const documentKey = element(0x03, 'documentKey', documentOf(element(0x10, '_id', int32(7))));
const fullDocument = element(0x03, 'fullDocument', documentOf(element(0x10, '_id', int32(7)), element(0x02, 'a', string('b'))));
const lsid = element(0x03, 'lsid', documentOf(element(0x05, 'id', binary(4, Buffer.alloc(16, 1)))));
const txnNumber = element(0x12, 'txnNumber', int64(5n));

const META = `{"_meta":{"position":"${POSITION}","operationType":"update","ns":{"db":"shop","coll":"orders"},"at":"2026-11-21T07:45:01.000Z","clusterTime":{"$timestamp":{"t":1795247101,"i":3}}`;
const WALL = `,"wallTime":{"$date":{"$numberLong":"1795247101005"}}`;
const TXN = `,"txnNumber":{"$numberLong":"5"},"lsid":{"id":{"$binary":{"base64":"AQEBAQEBAQEBAQEBAQEBAQ==","subType":"04"}}}`;
const KEY = `"documentKey":{"_id":{"$numberInt":"7"}}`;
const FULL = `"fullDocument":{"_id":7,"a":"b"}`;

const encode = (events: readonly Uint8Array[], options = {}): ReturnType<typeof encodeReply> => encodeReply(cursorOf(events), encoderOf(options));

describe('a reply in slices', () => {
  const events = Array.from({ length: 9 }, (_, i) => eventOf(i + 1));
  const eventBytes = events[0]!.length;

  it.each([1, 3 * eventBytes, 4.5 * eventBytes, 8 * eventBytes, 1e9])('of at most %d bytes has the same lines and tokens as in one', (bytesMax) => {
    const slices = [...slicesOfReply(cursorOf(events), encoderOf(), bytesMax)];
    const whole = encode(events);
    expect(slices.flatMap(linesOf)).toEqual(linesOf(whole));
    expect(slices.map(({ isLast }) => isLast)).toEqual(slices.map((_, i) => i === slices.length - 1));
    const last = slices.at(-1)!;
    expect([last.postBatchResumeToken, last.lastToken, last.id]).toEqual([whole.postBatchResumeToken, whole.lastToken, whole.id]);
    // The others can be resumed after their last event, and after no other.
    let count = 0;
    for (const slice of slices.slice(0, -1)) {
      count += slice.events.count;
      expect([slice.postBatchResumeToken, slice.lastToken]).toEqual([null, encode(events.slice(0, count)).lastToken]);
      expect(slice.events.count * eventBytes).toBeLessThanOrEqual(Math.max(bytesMax, eventBytes));
    }
  });

  it('without events is one', () => {
    expect([...slicesOfReply(cursorOf([]), encoderOf(), 1)]).toMatchObject([{ isLast: true, events: { count: 0 }, lastToken: null }]);
  });

  it('gives those before what is broken', () => {
    const slices = slicesOfReply(cursorOf([events[0]!, documentOf(id)]), encoderOf(), 1);
    expect(slices.next().value).toMatchObject({ events: { count: 1 } });
    expect(() => slices.next()).toThrow();
  });
});

describe('a line', () => {
  it('has `_meta` first and then the other fields in the order of the server', () => {
    const event = documentOf(id, operation, clusterTime, wallTime, fullDocument, ns, documentKey);
    expect(lineOf(event)).toBe(`${META}${WALL},"v":1},${FULL},${KEY}}`);
  });

  it('is the same whatever the order of the fields that go to `_meta`: in a transaction `_id` is not the first', () => {
    const event = documentOf(lsid, txnNumber, clusterTime, fullDocument, ns, documentKey, operation, wallTime, id);
    expect(lineOf(event)).toBe(`${META}${WALL}${TXN},"v":1},${FULL},${KEY}}`);
  });

  it('leaves out of `_meta` what the server did not send, and keeps every field that it does not know', () => {
    const unknown = [
      element(0x05, 'collectionUUID', binary(4, Buffer.alloc(16))),
      element(0x03, 'operationDescription', documentOf(element(0x08, 'a', Buffer.from([1])))),
      element(0x03, 'to', namespaceOf('shop', 'other')),
      element(0x0a, 'fullDocumentBeforeChange'),
      element(0x10, 'something new', int32(1)),
    ];
    const event = documentOf(id, operation, clusterTime, ns, ...unknown);
    expect(lineOf(event)).toBe(
      `${META},"v":1},"collectionUUID":{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAA==","subType":"04"}},"operationDescription":{"a":true},` +
        `"to":{"db":"shop","coll":"other"},"fullDocumentBeforeChange":null,"something new":1}`,
    );
  });

  it('without a body is `_meta` alone', () => {
    expect(lineOf(documentOf(id, operation, clusterTime, ns))).toBe(`${META},"v":1}}`);
  });

  it('keeps the second of two fields of one name', () => {
    expect(lineOf(documentOf(id, operation, clusterTime, ns, wallTime, element(0x10, 'wallTime', int32(1))))).toBe(
      `${META}${WALL},"v":1},"wallTime":1}`,
    );
  });

  it('begins so that its position is found without parsing', () => {
    const { events } = encode([eventOf(1), eventOf(2)]);
    expect(positionAt(events.lines, 0)).toBe(positionOf(SECOND, 1));
    expect(positionAt(events.lines, events.ends[0]!)).toBe(positionOf(SECOND, 2));
  });
});

describe('the columns of a batch', () => {
  it('hold namespace, operation and cluster time of each line', () => {
    const make = (i: number, db: string, coll: string | undefined, op: string): Buffer =>
      documentOf(
        element(0x03, '_id', tokenOf(positionOf(SECOND + i, i))),
        element(0x02, 'operationType', string(op)),
        element(0x11, 'clusterTime', timestamp(SECOND + i, 7 + i)),
        element(0x03, 'ns', namespaceOf(db, coll)),
      );
    const { events } = encode([
      make(1, 'a', 'x', 'insert'),
      make(2, 'a', 'y', 'delete'),
      make(3, 'b', 'x', 'delete'),
      make(4, 'a', 'x', 'update'),
      make(5, 'a', undefined, 'dropDatabase'),
    ]);
    expect(events.count).toBe(5);
    expect(events.namespaces).toEqual([
      { db: 'a', coll: 'x' },
      { db: 'a', coll: 'y' },
      { db: 'b', coll: 'x' },
      { db: 'a', coll: null },
    ]);
    expect([...events.ns.subarray(0, 5)]).toEqual([0, 1, 2, 0, 3]);
    expect([...events.ops.subarray(0, 5)].map((op) => OPERATIONS[op])).toEqual(['insert', 'delete', 'delete', 'update', 'dropDatabase']);
    expect([...events.seconds.subarray(0, 5)]).toEqual([1, 2, 3, 4, 5].map((i) => SECOND + i));
    expect([...events.ordinals.subarray(0, 5)]).toEqual([8, 9, 10, 11, 12]);
  });

  it('know every operation by name, and call any other one `other`', () => {
    const make = (op: string): Buffer => documentOf(id, element(0x02, 'operationType', string(op)), clusterTime, ns);
    for (const [index, op] of OPERATIONS.entries()) expect(encode([make(op)]).events.ops[0]).toBe(index);
    for (const op of ['', 'inserts', 'inserT', 'xnsert', 'brandNew', 'i'.repeat(70)]) {
      const { events } = encode([make(op)]);
      expect(events.ops[0]).toBe(OPERATION_OTHER);
      expect(events.lines.toString('utf8', 0, events.ends[0])).toContain(`"operationType":"${op}"`);
    }
  });

  it('tell many namespaces apart that look alike, batch after batch', () => {
    const encoder = encoderOf();
    const names = Array.from({ length: 300 }, (_, i) => [`db${i % 7}`, `collection_${i % 43}_x`] as const);
    for (let round = 0; round < 3; round++) {
      const events = names.map(([db, coll], i) =>
        documentOf(element(0x03, '_id', tokenOf(positionOf(SECOND, i))), operation, clusterTime, element(0x03, 'ns', namespaceOf(db, coll))),
      );
      const reply = encodeReply(cursorOf(events), encoder);
      for (const [i, [db, coll]] of names.entries()) {
        expect(reply.events.namespaces[reply.events.ns[i]!]).toEqual({ db, coll });
        expect(linesOf(reply)[i]).toContain(`"ns":{"db":"${db}","coll":"${coll}"}`);
      }
    }
  });

  it('take the namespace of the stream where the event has none', () => {
    const invalidate = documentOf(id, element(0x02, 'operationType', string('invalidate')), clusterTime, wallTime);
    const { events } = encode([invalidate], { database: 'shop', collection: 'orders' });
    expect(events.namespaces).toEqual([{ db: 'shop', coll: 'orders' }]);
    expect(lineOf(invalidate, { database: 'shop', collection: 'orders' })).toContain('"ns":{"db":"shop","coll":"orders"},"at"');
    expect(lineOf(invalidate, { database: 'größe"' })).toContain(String.raw`"ns":{"db":"größe\""},"at"`);
    expect(() => lineOf(invalidate)).toThrow(SOURCE_PROTOCOL.title);
  });
});

describe('a lossy line', () => {
  const lossy = element(0x02, 'a', string(Buffer.from([0xff])));
  const event = documentOf(id, operation, clusterTime, ns, wallTime, element(0x03, 'fullDocument', documentOf(lossy)), documentKey);

  it('says so in `_meta`, and is otherwise whole', () => {
    expect(lineOf(event)).toBe(`${META}${WALL},"lossy":true,"v":1},"fullDocument":{"a":"\ufffd"},${KEY}}`);
  });

  it('is counted, and does not touch the lines beside it', () => {
    const encoder = encoderOf();
    const events = [1, 2, 3, 4].map((i) => eventOf(i, ...(i % 2 === 0 ? [lossy] : [documentKey])));
    const lines = linesOf(encodeReply(cursorOf(events), encoder));
    expect(lines.map((line) => line.includes('"lossy":true,"v":1}'))).toEqual([false, true, false, true]);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
    expect(encoder.lossy).toBe(2);
  });

  it('may be so because of a field of `_meta` or of its namespace', () => {
    const session = element(0x03, 'lsid', documentOf(lossy));
    expect(lineOf(documentOf(id, operation, clusterTime, ns, session))).toContain('"lsid":{"a":"\ufffd"},"lossy":true,"v":1}}');
    const name = element(0x03, 'ns', documentOf(element(0x02, 'db', string('d')), element(0x02, 'coll', string(Buffer.from([0x61, 0xff])))));
    const encoder = encoderOf();
    for (let i = 0; i < 2; i++)
      expect(linesOf(encodeReply(cursorOf([documentOf(id, operation, clusterTime, name)]), encoder))[0]).toContain('"lossy":true');
    expect(encoder.lossy).toBe(2);
  });
});

describe('a line over its limit', () => {
  const large = element(0x02, 'x', string('y'.repeat(5000)));
  const event = documentOf(id, operation, clusterTime, ns, wallTime, documentKey, large);
  const size = lineOf(event).length + 1;

  it('becomes a stub with its key and its size', () => {
    const encoder = encoderOf({ maxLineBytes: size - 1 });
    const [line] = linesOf(encodeReply(cursorOf([event]), encoder));
    expect(line).toBe(`${META}${WALL},"oversize":true,"bytes":${size},"v":1},${KEY}}\n`);
    expect(encoder.oversize).toBe(1);
  });

  it('is written whole at the limit', () => {
    const encoder = encoderOf({ maxLineBytes: size });
    expect(linesOf(encodeReply(cursorOf([event]), encoder))[0]!.length).toBe(size);
    expect(encoder.oversize).toBe(0);
  });

  it('is lossy only for what is left of it', () => {
    const bad = element(0x02, 'b', string(Buffer.from([0xff])));
    const encoder = encoderOf({ maxLineBytes: 1000 });
    const [first] = linesOf(encodeReply(cursorOf([documentOf(id, operation, clusterTime, ns, large, bad, documentKey)]), encoder));
    expect(first).not.toContain('lossy');
    const badKey = element(0x03, 'documentKey', documentOf(bad));
    const [second] = linesOf(encodeReply(cursorOf([documentOf(id, operation, clusterTime, ns, large, badKey)]), encoder));
    expect(second).toMatch(/,"lossy":true,"oversize":true,"bytes":\d+,"v":1},"documentKey":\{"b":"\ufffd"\}\}\n$/);
    expect(encoder).toMatchObject({ lossy: 1, oversize: 2 });
  });

  it('leaves the lines after it where they belong', () => {
    const lines = linesOf(encodeReply(cursorOf([eventOf(1), eventOf(2, large), eventOf(3)]), encoderOf({ maxLineBytes: 1000 })));
    expect(lines.map((line) => JSON.parse(line)._meta.clusterTime.$timestamp.i)).toEqual([1, 2, 3]);
  });
});

describe('a reply', () => {
  it('gives its cursor, its tokens and no events when it is empty', () => {
    const token = tokenOf(positionOf(SECOND, 9));
    const reply = encodeReply(cursorOf([], 'firstBatch', token), encoderOf());
    expect(reply.events.count).toBe(0);
    expect(reply.id).toBe(77n);
    expect(reply.lastToken).toBeNull();
    expect(reply.postBatchResumeToken).toEqual(token);
  });

  it('gives the whole token of its last event, `_typeBits` included', () => {
    const token = documentOf(element(0x02, '_data', string(POSITION)), element(0x05, '_typeBits', binary(0, Buffer.from([0x82]))));
    const reply = encode([eventOf(1), documentOf(operation, clusterTime, ns, element(0x03, '_id', token))]);
    expect(reply.lastToken).toEqual(token);
  });

  it('may lack a post-batch token, and have its fields in any order', () => {
    const cursor = documentOf(element(0x12, 'id', int64(0n)), element(0x04, 'nextBatch', arrayOf([0x03, eventOf(1)])));
    expect(encodeReply(cursor, encoderOf())).toMatchObject({ id: 0n, postBatchResumeToken: null, events: { count: 1 } });
  });

  it('is read where it lies in a larger message', () => {
    const cursor = cursorOf([eventOf(1, documentKey), eventOf(2, documentKey)]);
    const message = Buffer.concat([Buffer.alloc(13, 0x41), cursor, Buffer.alloc(9, 0x42)]);
    const plain = new Uint8Array(message.buffer, message.byteOffset + 13, cursor.length);
    expect(linesOf(encodeReply(plain, encoderOf()))).toEqual(linesOf(encodeReply(cursor, encoderOf())));
  });

  it('of thousands of events of very different sizes is encoded whole', () => {
    const events = Array.from({ length: 3000 }, (_, i) => eventOf(i, element(0x02, 's', string('\u0001'.repeat(i % 100 === 0 ? 20_000 : i % 50)))));
    const lines = linesOf(encodeReply(cursorOf(events), encoderOf()));
    expect(lines.length).toBe(3000);
    for (const [i, line] of lines.entries()) expect(JSON.parse(line).s.length).toBe(i % 100 === 0 ? 20_000 : i % 50);
  });
});

describe('what is no change event is refused', () => {
  const kindOf = (run: () => unknown): unknown => {
    try {
      run();
    } catch (error) {
      return error instanceof SluiceError ? error.kind.code : error;
    }
    return 'nothing was thrown';
  };

  it.each([
    ['without `_id`', [operation, clusterTime, ns]],
    ['with an `_id` that is a string', [element(0x02, '_id', string(POSITION)), operation, clusterTime, ns]],
    ['without `_data`', [element(0x03, '_id', documentOf()), operation, clusterTime, ns]],
    ['with an empty `_data`', [element(0x03, '_id', tokenOf('')), operation, clusterTime, ns]],
    ['with a `_data` that is no position', [element(0x03, '_id', tokenOf('82"')), operation, clusterTime, ns]],
    ['without `operationType`', [id, clusterTime, ns]],
    ['with an `operationType` that is a number', [id, element(0x10, 'operationType', int32(1)), clusterTime, ns]],
    ['without `clusterTime`', [id, operation, ns]],
    ['with a `clusterTime` that is a date', [id, operation, element(0x09, 'clusterTime', int64(1n)), ns]],
    ['without `ns`', [id, operation, clusterTime]],
    ['with an `ns` that is a string', [id, operation, clusterTime, element(0x02, 'ns', string('a.b'))]],
    ['with an `ns` without `db`', [id, operation, clusterTime, element(0x03, 'ns', documentOf())]],
  ])('an event %s', (_name, elements) => {
    expect(kindOf(() => encode([documentOf(...elements)]))).toBe(SOURCE_PROTOCOL.code);
  });

  it('a batch that holds something else, or a reply without batch or id', () => {
    const idElement = element(0x12, 'id', int64(1n));
    expect(kindOf(() => encodeReply(documentOf(element(0x04, 'nextBatch', arrayOf([0x10, int32(1)])), idElement), encoderOf()))).toBe(
      SOURCE_PROTOCOL.code,
    );
    expect(kindOf(() => encodeReply(documentOf(idElement), encoderOf()))).toBe(SOURCE_PROTOCOL.code);
    expect(kindOf(() => encodeReply(documentOf(element(0x04, 'nextBatch', arrayOf())), encoderOf()))).toBe(SOURCE_PROTOCOL.code);
  });

  it('a cursor that is cut off or longer than it says', () => {
    const cursor = cursorOf([eventOf(1)]);
    expect(kindOf(() => encodeReply(cursor.subarray(0, -1), encoderOf()))).toBe(BSON_BROKEN.code);
    expect(kindOf(() => encodeReply(Buffer.concat([cursor, Buffer.alloc(1)]), encoderOf()))).toBe(BSON_BROKEN.code);
    expect(kindOf(() => encodeReply(Buffer.alloc(0), encoderOf()))).toBe(BSON_BROKEN.code);
  });

  it('events whose positions do not rise', () => {
    expect(kindOf(() => encode([eventOf(2), eventOf(1)]))).toBe(SOURCE_ORDER.code);
    expect(kindOf(() => encode([eventOf(2), eventOf(2)]))).toBe(SOURCE_ORDER.code);
    const at = (data: string): Buffer => documentOf(element(0x03, '_id', tokenOf(data)), operation, clusterTime, ns);
    expect(kindOf(() => encode([at('82AB'), at('82A')]))).toBe(SOURCE_ORDER.code);
    expect(encode([at('82A'), at('82AB'), at('82AC')]).events.count).toBe(3);
  });

  it('and the encoder goes on with the next reply', () => {
    const encoder = encoderOf();
    expect(() => encodeReply(cursorOf([eventOf(1), documentOf()]), encoder)).toThrow(SOURCE_PROTOCOL.title);
    expect(linesOf(encodeReply(cursorOf([eventOf(1)]), encoder)).length).toBe(1);
  });
});

describe('a resume token', () => {
  it('gives its position and its cluster time, and is kept whole', () => {
    const token = documentOf(element(0x02, '_data', string(POSITION)), element(0x05, '_typeBits', binary(0, Buffer.from([1]))));
    const point = resumePointOf(token);
    expect(point).toEqual({ position: POSITION, clusterTime: { t: SECOND, i: 3 }, token });
    const time = BigInt(`0x${POSITION.slice(2, 18)}`);
    expect([BigInt(point.clusterTime.t), BigInt(point.clusterTime.i)]).toEqual([time >> 32n, time & 0xffffffffn]);
  });

  it('may be a high-water mark, and hold the largest time there is', () => {
    expect(resumePointOf(tokenOf('82FFFFFFFFFFFFFFFF2B0229296E04')).clusterTime).toEqual({ t: 4294967295, i: 4294967295 });
  });

  it.each([
    [documentOf()],
    [tokenOf('')],
    [tokenOf('8269')],
    [tokenOf(`81${POSITION.slice(2)}`)],
    [tokenOf(`${POSITION}x`)],
    [documentOf(element(0x10, '_data', int32(1)))],
  ])('that is none is refused', (token) => {
    expect(() => resumePointOf(token)).toThrow(SOURCE_TOKEN.title);
  });

  it('that is not BSON is refused', () => {
    expect(() => resumePointOf(Buffer.from([5, 0, 0, 0]))).toThrow(BSON_BROKEN.title);
  });
});
