import { describe, expect, it } from 'vitest';
import { BSON_BROKEN } from '../../../core/errors.ts';
import { DEPTH_MAX } from './value.ts';
import { arrayOf, binary, cstring, cursorOf, documentOf, element, encoderOf, eventOf, int32, lineOf, linesOf, string, valueOf } from './raw-bson.ts';
import { encodeReply } from './reply.ts';

describe('a type that is none', () => {
  it.each([0x00, 0x14, 0x20, 0x7e, 0x80, 0xfe])('(%i) is refused', (type) => {
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
