import { describe, expect, it } from 'vitest';
import { BSON_BROKEN } from '../../../core/errors.ts';
import { EXPANSION_MAX } from './tape.ts';
import { DEPTH_MAX } from './value.ts';
import {
  arrayOf,
  binary,
  cstring,
  cursorOf,
  documentOf,
  double,
  element,
  encoderOf,
  eventOf,
  int32,
  int64,
  lineOf,
  linesOf,
  string,
  timestamp,
  valueOf,
} from './raw-bson.ts';
import { encodeReply } from './reply.ts';

const OBJECT_ID = Buffer.from('00112233445566778899aAbB', 'hex');
const EMPTY = documentOf();
const MIN_INT64 = -(2n ** 63n);

/** type, value, relaxed, canonical */
const VECTORS: readonly (readonly [name: string, type: number, value: Uint8Array, relaxed: string, canonical: string])[] = [
  ['double', 0x01, double(1.5), '1.5', '{"$numberDouble":"1.5"}'],
  ['a whole double', 0x01, double(1), '1.0', '{"$numberDouble":"1.0"}'],
  ['minus zero', 0x01, double(-0), '-0.0', '{"$numberDouble":"-0.0"}'],
  ['a large double', 0x01, double(1e300), '1e+300', '{"$numberDouble":"1e+300"}'],
  ['NaN', 0x01, double(Number.NaN), '{"$numberDouble":"NaN"}', '{"$numberDouble":"NaN"}'],
  ['infinity', 0x01, double(Infinity), '{"$numberDouble":"Infinity"}', '{"$numberDouble":"Infinity"}'],
  ['minus infinity', 0x01, double(-Infinity), '{"$numberDouble":"-Infinity"}', '{"$numberDouble":"-Infinity"}'],
  ['string', 0x02, string('abc'), '"abc"', '"abc"'],
  ['empty string', 0x02, string(''), '""', '""'],
  ['document', 0x03, documentOf(element(0x10, 'a', int32(1))), '{"a":1}', '{"a":{"$numberInt":"1"}}'],
  ['empty document', 0x03, EMPTY, '{}', '{}'],
  ['array', 0x04, arrayOf([0x0a, EMPTY.subarray(0, 0)], [0x08, Buffer.from([1])]), '[null,true]', '[null,true]'],
  ['empty array', 0x04, EMPTY, '[]', '[]'],
  ['binary', 0x05, binary(0, Buffer.from([1, 2, 3])), '{"$binary":{"base64":"AQID","subType":"00"}}', '{"$binary":{"base64":"AQID","subType":"00"}}'],
  ['empty binary', 0x05, binary(0x80, Buffer.alloc(0)), '{"$binary":{"base64":"","subType":"80"}}', '{"$binary":{"base64":"","subType":"80"}}'],
  [
    'old binary',
    0x05,
    binary(2, Buffer.concat([int32(1), Buffer.from([255])])),
    '{"$binary":{"base64":"/w==","subType":"02"}}',
    '{"$binary":{"base64":"/w==","subType":"02"}}',
  ],
  [
    'UUID',
    0x05,
    binary(4, Buffer.from('c8edabc3f7384ca3b68dab92a91478a3', 'hex')),
    '{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"04"}}',
    '{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"04"}}',
  ],
  ['undefined', 0x06, Buffer.alloc(0), '{"$undefined":true}', '{"$undefined":true}'],
  ['object id', 0x07, OBJECT_ID, '{"$oid":"00112233445566778899aabb"}', '{"$oid":"00112233445566778899aabb"}'],
  ['true', 0x08, Buffer.from([1]), 'true', 'true'],
  ['false', 0x08, Buffer.from([0]), 'false', 'false'],
  ['date', 0x09, int64(1_795_247_101_123n), '{"$date":"2026-11-21T07:45:01.123Z"}', '{"$date":{"$numberLong":"1795247101123"}}'],
  ['null', 0x0a, Buffer.alloc(0), 'null', 'null'],
  [
    'regular expression',
    0x0b,
    Buffer.concat([cstring('a"/b'), cstring('im')]),
    String.raw`{"$regularExpression":{"pattern":"a\"/b","options":"im"}}`,
    String.raw`{"$regularExpression":{"pattern":"a\"/b","options":"im"}}`,
  ],
  [
    'DBPointer',
    0x0c,
    Buffer.concat([string('db.c'), OBJECT_ID]),
    '{"$dbPointer":{"$ref":"db.c","$id":{"$oid":"00112233445566778899aabb"}}}',
    '{"$dbPointer":{"$ref":"db.c","$id":{"$oid":"00112233445566778899aabb"}}}',
  ],
  ['code', 0x0d, string('f()\n'), String.raw`{"$code":"f()\n"}`, String.raw`{"$code":"f()\n"}`],
  ['symbol', 0x0e, string('s'), '{"$symbol":"s"}', '{"$symbol":"s"}'],
  [
    'code with scope',
    0x0f,
    Buffer.concat([int32(4 + 6 + 12), string('f'), documentOf(element(0x10, 'x', int32(7)))]),
    '{"$code":"f","$scope":{"x":7}}',
    '{"$code":"f","$scope":{"x":{"$numberInt":"7"}}}',
  ],
  ['int32', 0x10, int32(-2147483648), '-2147483648', '{"$numberInt":"-2147483648"}'],
  [
    'timestamp',
    0x11,
    timestamp(4294967295, 4294967294),
    '{"$timestamp":{"t":4294967295,"i":4294967294}}',
    '{"$timestamp":{"t":4294967295,"i":4294967294}}',
  ],
  ['int64', 0x12, int64(MIN_INT64), '-9223372036854775808', '{"$numberLong":"-9223372036854775808"}'],
  ['decimal128', 0x13, Buffer.from('0a000000000000000000000000003e30', 'hex'), '{"$numberDecimal":"1.0"}', '{"$numberDecimal":"1.0"}'],
  ['min key', 0xff, Buffer.alloc(0), '{"$minKey":1}', '{"$minKey":1}'],
  ['max key', 0x7f, Buffer.alloc(0), '{"$maxKey":1}', '{"$maxKey":1}'],
];

describe('each BSON type', () => {
  it.each(VECTORS)('%s is written as Extended JSON says', (_name, type, value, relaxed, canonical) => {
    expect(valueOf(type, value)).toEqual({ text: relaxed, lossy: false });
    expect(valueOf(type, value, 'canonical')).toEqual({ text: canonical, lossy: false });
  });

  it.each(VECTORS)('%s fits many times over into the room that is reserved', (_name, type, value) => {
    const many = Array.from({ length: 3000 }, () => element(type, '', value));
    for (const json of ['relaxed', 'canonical'] as const) expect(() => lineOf(eventOf(1, ...many), { json })).not.toThrow();
  });

  it('the emptiest of all, a regular expression of nothing, stays below the expansion that is reserved', () => {
    const nothing = element(0x0b, '', Buffer.alloc(2));
    const { text } = valueOf(0x0b, Buffer.alloc(2));
    expect((text.length + '"":,'.length) / nothing.length).toBeLessThan(EXPANSION_MAX);
  });

  it.each([0x00, 0x14, 0x20, 0x7e, 0x80, 0xfe])('type %i is refused', (type) => {
    expect(() => lineOf(eventOf(1, element(type, 'x', Buffer.alloc(8))))).toThrow(BSON_BROKEN.title);
  });
});

describe('keys', () => {
  it.each([
    ['', '""'],
    ['a.b', '"a.b"'],
    ['$set', '"$set"'],
    ['a"b\\c', String.raw`"a\"b\\c"`],
    ['\b\f\n\r\t\u0001\u001f', String.raw`"\b\f\n\r\t\u0001\u001f"`],
    ['\u007f\u2028', '"\u007f\u2028"'],
    ['größe', '"größe"'],
    ['€uro', '"€uro"'],
    ['🙂🙂', '"🙂🙂"'],
    ['__proto__', '"__proto__"'],
  ])('%j is kept', (key, text) => {
    const line = lineOf(eventOf(1, element(0x03, 'x', documentOf(element(0x0a, key)))));
    expect(line.endsWith(`"x":{${text}:null}}`)).toBe(true);
    expect(line).not.toContain('"lossy"');
  });

  it('are kept when they come twice', () => {
    const twice = documentOf(element(0x10, 'a', int32(1)), element(0x10, 'a', int32(2)));
    expect(valueOf(0x03, twice)).toEqual({ text: '{"a":1,"a":2}', lossy: false });
  });

  it.each(Array.from({ length: 40 }, (_, n) => n))('of %i bytes are copied whole, whatever follows', (length) => {
    const key = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN'.slice(0, length);
    expect(valueOf(0x03, documentOf(element(0x10, key, int32(5)))).text).toBe(`{"${key}":5}`);
    expect(valueOf(0x03, documentOf(element(0x10, `${key}é"`, int32(5)))).text).toBe(`{"${key}é\\"":5}`);
  });
});

describe('a document that looks like an Extended JSON wrapper', () => {
  const keys = '$oid $binary $uuid $symbol $numberInt $numberLong $numberDouble $numberDecimal $date $timestamp $regex $regularExpression';
  it.each([...keys.split(' '), '$code', '$dbPointer', '$undefined', '$minKey', '$maxKey'])('with %s is lossy', (key) => {
    const wrapper = documentOf(element(0x02, key, string('x')));
    expect(valueOf(0x03, wrapper)).toEqual({ text: `{"${key}":"x"}`, lossy: true });
    expect(valueOf(0x03, documentOf(element(0x0a, 'a'), element(0x02, key, string('x')))).lossy).toBe(true);
    expect(valueOf(0x04, arrayOf([0x03, wrapper])).lossy).toBe(true);
  });

  it.each(['$ref', '$id', '$db', '$set', '$gt', '$oidx', '$', '$dat', 'oid', 'a.$oid'])('with %s is not', (key) => {
    expect(valueOf(0x03, documentOf(element(0x02, key, string('x')))).lossy).toBe(false);
  });

  it('as the key of the document is lossy too', () => {
    const line = lineOf(eventOf(1, element(0x03, 'documentKey', documentOf(element(0x03, '_id', documentOf(element(0x02, '$oid', string('x'))))))));
    expect(line).toContain('"lossy":true,"v":1}');
  });
});

describe('arrays', () => {
  it('keep their order over a hundred elements', () => {
    const values = Array.from({ length: 120 }, (_, i) => [0x10, int32(i)] as const);
    expect(valueOf(0x04, arrayOf(...values))).toEqual({ text: JSON.stringify(Array.from({ length: 120 }, (_, i) => i)), lossy: false });
  });

  it.each([['1'], ['00'], ['a'], [''], ['0.'], [' 0']])('whose first key is %j are lossy: the key cannot be kept', (key) => {
    expect(valueOf(0x04, documentOf(element(0x10, key, int32(7))))).toEqual({ text: '[7]', lossy: true });
  });

  it('whose eleventh key is wrong are lossy', () => {
    const elements = Array.from({ length: 11 }, (_, i) => element(0x0a, String(i === 10 ? 11 : i)));
    expect(valueOf(0x04, documentOf(...elements)).lossy).toBe(true);
  });
});

describe('binary data', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 100, 1000])('of %i bytes is base64', (length) => {
    const data = Buffer.from(Array.from({ length }, (_, i) => (i * 37 + 11) & 255));
    expect(valueOf(0x05, binary(0, data)).text).toBe(`{"$binary":{"base64":"${data.toString('base64')}","subType":"00"}}`);
  });

  it.each(Array.from({ length: 256 }, (_, n) => n).filter((n) => n !== 2))('of subtype %i keeps it', (subtype) => {
    expect(valueOf(0x05, binary(subtype, Buffer.from('ab'))).text).toContain(`"subType":"${subtype.toString(16).padStart(2, '0')}"`);
  });

  it('of the old subtype with a wrong inner length keeps all its bytes and is lossy', () => {
    const data = Buffer.concat([int32(9), Buffer.from([1, 2])]);
    expect(valueOf(0x05, binary(2, data))).toEqual({ text: `{"$binary":{"base64":"${data.toString('base64')}","subType":"02"}}`, lossy: true });
    expect(valueOf(0x05, binary(2, Buffer.from([1])))).toEqual({ text: '{"$binary":{"base64":"AQ==","subType":"02"}}', lossy: true });
  });
});

describe('nesting', () => {
  const nested = (levels: number): Buffer => {
    let document = documentOf();
    for (let i = 1; i < levels; i++) document = i % 2 === 0 ? documentOf(element(0x03, 'd', document)) : documentOf(element(0x04, '0', document));
    return document;
  };

  it('of 200 levels is fine', () => {
    expect(() => JSON.parse(lineOf(eventOf(1, element(0x03, 'fullDocument', nested(200)))))).not.toThrow();
  });

  it(`ends at ${DEPTH_MAX} levels`, () => {
    expect(() => lineOf(eventOf(1, element(0x03, 'fullDocument', nested(DEPTH_MAX))))).not.toThrow();
    expect(() => lineOf(eventOf(1, element(0x03, 'fullDocument', nested(DEPTH_MAX + 1))))).toThrow(BSON_BROKEN.title);
  });

  it('of 100,000 levels is refused, not a stack overflow', () => {
    // Built from inside out in one buffer: by `nested` it would take minutes.
    const levels = 100_000;
    const bytes = Buffer.alloc(levels * 8 + 5);
    for (let i = 0; i < levels; i++) {
      bytes.writeInt32LE(bytes.length - i * 8, i * 7);
      bytes.write('\u0003d\0', i * 7 + 4, 'latin1');
    }
    bytes.writeInt32LE(5, levels * 7);
    expect(() => lineOf(eventOf(1, element(0x03, 'fullDocument', bytes)))).toThrow(BSON_BROKEN.title);
  });

  it('through code with scope is counted as well', () => {
    let scope = documentOf();
    for (let i = 0; i < 300; i++) scope = documentOf(element(0x0f, 's', Buffer.concat([int32(4 + 5 + scope.length), string(''), scope])));
    expect(() => lineOf(eventOf(1, element(0x03, 'fullDocument', scope)))).toThrow(BSON_BROKEN.title);
  });
});

describe('broken BSON', () => {
  const inDocument = (...parts: readonly Uint8Array[]): Buffer => element(0x03, 'x', documentOf(...parts));
  it.each([
    ['a string longer than its document', inDocument(element(0x02, 'a', Buffer.concat([int32(100), cstring('abc')])))],
    ['a string of negative length', inDocument(element(0x02, 'a', Buffer.concat([int32(-1), cstring('abc')])))],
    ['a string of length 0', inDocument(element(0x02, 'a', int32(0)))],
    ['a string without its NUL', inDocument(element(0x02, 'a', Buffer.concat([int32(3), Buffer.from('abc')])))],
    ['a document that is too short', element(0x03, 'x', Buffer.concat([int32(4), Buffer.alloc(1)]))],
    ['a document that is longer than what holds it', element(0x03, 'x', Buffer.concat([int32(500), Buffer.alloc(1)]))],
    ['a document without its NUL', element(0x03, 'x', Buffer.concat([int32(5), Buffer.from([1])]))],
    ['a document whose NUL comes early', element(0x03, 'x', Buffer.concat([int32(7), Buffer.alloc(3)]))],
    ['a key that runs out of its document', element(0x03, 'x', Buffer.concat([int32(8), Buffer.from([0x0a, 0x61, 0x62]), Buffer.alloc(1)]))],
    ['an int32 that is cut off', inDocument(element(0x10, 'a', Buffer.alloc(2)))],
    ['a double that is cut off', inDocument(element(0x01, 'a', Buffer.alloc(7)))],
    ['a boolean that is 2', inDocument(element(0x08, 'a', Buffer.from([2])))],
    ['binary data of negative length', inDocument(element(0x05, 'a', Buffer.concat([int32(-5), Buffer.from([0])])))],
    ['binary data that is cut off', inDocument(element(0x05, 'a', Buffer.concat([int32(50), Buffer.from([0, 1])])))],
    ['a pattern without an end', inDocument(Buffer.concat([Buffer.from([0x0b]), cstring('a'), cstring('p'), Buffer.from('i')]))],
    ['code with scope whose length is too large', inDocument(element(0x0f, 'a', Buffer.concat([int32(99), string(''), documentOf()])))],
    ['code with scope with bytes left over', inDocument(element(0x0f, 'a', Buffer.concat([int32(15), string(''), documentOf(), Buffer.alloc(1)])))],
    ['a DBPointer that is cut off', inDocument(element(0x0c, 'a', Buffer.concat([string('n'), Buffer.alloc(5)])))],
  ])('%s is refused', (_name, part) => {
    expect(() => lineOf(eventOf(1, part))).toThrow(BSON_BROKEN.title);
    // Also where more events follow, into which a wrong length could reach.
    const events = [eventOf(1, part), ...Array.from({ length: 5 }, (_, i) => eventOf(2 + i))];
    expect(() => encodeReply(cursorOf(events), encoderOf())).toThrow(BSON_BROKEN.title);
  });

  it('says where, and nothing of what the document holds', () => {
    const broken = eventOf(1, inDocument(element(0x02, 'secret', string('password')), element(0x08, 'a', Buffer.from([2]))));
    expect(() => lineOf(broken)).toThrow(/at byte \d+$/);
    expect(() => lineOf(broken)).not.toThrow(/secret|password/);
  });
});

it('canonical and relaxed lines of one event differ in the body alone', () => {
  const event = eventOf(1, element(0x03, 'documentKey', documentOf(element(0x10, '_id', int32(1)))), element(0x10, 'n', int32(2)));
  const key = '"documentKey":{"_id":{"$numberInt":"1"}}';
  expect(lineOf(event)).toContain(`"v":1},${key},"n":2}`);
  expect(lineOf(event, { json: 'canonical' })).toContain(`"v":1},${key},"n":{"$numberInt":"2"}}`);
  expect(linesOf(encodeReply(cursorOf([event]), encoderOf()))[0]!.endsWith('}\n')).toBe(true);
});
