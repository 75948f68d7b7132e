import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { anyDocument } from '../source/mongo/encode/arbitrary-bson.ts';
import { element, eventOf, lineOf } from '../source/mongo/encode/raw-bson.ts';
import { inJson, looksWrapped, readBson } from '../source/mongo/encode/read-bson.ts';
import { bsonOf, isObject, jsonText, parseJson } from './extended-json.ts';
import { textOf } from './line.ts';

describe('Extended JSON', () => {
  it('of a canonical line gives the bytes that it was made from, and its own text again', () => {
    fc.assert(
      fc.property(anyDocument, (document) => {
        const members = readBson(Buffer.from(document));
        // Taken for a value of another type by every reader.
        fc.pre(!looksWrapped(members));
        const line = Buffer.from(`${lineOf(eventOf(1, element(0x03, 'fullDocument', document)), { json: 'canonical' })}\n`);
        const text = textOf(line, 'fullDocument')!;
        const json = parseJson(text);
        expect(jsonText(json)).toBe(text);
        expect(isObject(json) && bsonOf(json)).toEqual(inJson(members));
      }),
      { numRuns: 2000 },
    );
  });

  it('of a relaxed line gives whole numbers the type that they fit', () => {
    const json = parseJson('{"a":1,"b":2147483648,"c":1.0,"d":"2147483648"}');
    expect(isObject(json) && readBson(bsonOf(json)).map(({ type }) => type)).toEqual([0x10, 0x12, 0x01, 0x02]);
  });

  it.each(['', '{', '{"a":}', '[1,]', '{"a":1}x', ' 1'])('is not read from %j', (text) => {
    expect(() => parseJson(text)).toThrow();
  });
});
