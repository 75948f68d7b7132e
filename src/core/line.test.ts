import { describe, expect, it } from 'vitest';
import { documentIdOf, documentKeyOf, parseLine } from './line.ts';

const META = '{"_meta":{"position":"82AB","operationType":"insert","ns":{"db":"d","coll":"c"},"clusterTime":{"$timestamp":{"t":7,"i":2}},"v":1}';
const lineOf = (...members: readonly string[]): Buffer => Buffer.from(`${[META, ...members].join(',')}}`);

describe('the document key of a line', () => {
  it.each([
    ['a number', '{"_id":{"$numberInt":"1"}}'],
    ['one that holds what ends it', String.raw`{"_id":"},\"documentKey\":{\\"}`],
    ['one with keys in an order that objects lose', '{"_id":{"b":1,"2":1,"1":1,"b":2}}'],
    ['one with arrays and more fields', '{"_id":[[1,{"a":[]}],2],"shard":"x","documentKey":3}'],
    ['one that is no document', 'null'],
    ['one of an empty document', '{}'],
    ['one with letters beyond ASCII', '{"_id":"größe 🙂"}'],
  ])('is the very text of %s, wherever it stands', (_name, key) => {
    const decoys = ['"fullDocument":{"documentKey":1,"a":[{"documentKey":{}}]}', String.raw`"x":"\",\"documentKey\":5,"`];
    expect(documentKeyOf(lineOf(`"documentKey":${key}`))).toBe(key);
    expect(documentKeyOf(lineOf(`"documentKey":${key}`, ...decoys))).toBe(key);
    expect(documentKeyOf(lineOf(...decoys, `"documentKey":${key}`))).toBe(key);
  });

  it('is null where there is none', () => {
    expect(documentKeyOf(lineOf())).toBeNull();
    expect(documentKeyOf(lineOf('"fullDocument":{"documentKey":1}', '"x":"documentKey"'))).toBeNull();
    expect(documentKeyOf(lineOf('"x":1'))).toBeNull();
  });

  it('tells keys apart that JSON.parse of Node 26.10 takes for one', () => {
    const [backslash, tab] = [String.raw`{"_id":{"\\":{"$numberInt":"1"}}}`, String.raw`{"_id":{"\t":{"$numberInt":"1"}}}`];
    const texts = [backslash, tab].map((key) => documentKeyOf(lineOf(`"documentKey":${key}`)));
    expect(texts).toEqual([backslash, tab]);
  });
});

describe('the `_id` of a line', () => {
  it.each([
    ['alone', '{"_id":{"$numberInt":"1"}}', '{"$numberInt":"1"}'],
    ['after the fields of a shard key', '{"region":"_id\\":","a.b":{"_id":5},"_id":{"$oid":"6b"}}', '{"$oid":"6b"}'],
    ['before them', '{"_id":"a","region":["_id"]}', '"a"'],
  ])('is its very text, %s', (_name, key, id) => {
    expect(documentIdOf(lineOf('"fullDocument":{"_id":7}', `"documentKey":${key}`))).toBe(id);
  });

  it('is null where there is no document', () => {
    expect(documentIdOf(lineOf('"fullDocument":{"_id":7}'))).toBeNull();
  });
});

describe('the facts of a line', () => {
  it('are those of `_meta`, whatever the keys of the document are', () => {
    const facts = { position: '82AB', ns: { db: 'd', coll: 'c' }, at: { t: 7, i: 2 } };
    // Keys that an engine could take for one another stand before, after and below what is read.
    for (const key of [
      String.raw`\\`,
      String.raw`\t`,
      String.raw`_met\\`,
      String.raw`_met\u0061`,
      String.raw`\u005fmeta`,
      String.raw`positio\u006e`,
    ]) {
      for (let i = 0; i < 3; i++) expect(parseLine(lineOf(`"fullDocument":{"${key}":{"${key}":1}}`))).toMatchObject(facts);
    }
  });
});
