/**
 * The table of vectors: each is written as it says, in every place of an event, reads back to the same bytes unless its
 * line says `lossy`, and agrees with the library where that is right.
 */
import { EJSON, deserialize } from 'bson';
import { describe, expect, it } from 'vitest';
import { arrayOf, documentOf, element, eventOf, int32, lineOf, string, valueOf } from './raw-bson.ts';
import { inJson, looksWrapped, readBson } from './read-bson.ts';
import { membersOf, parseJson, readOrNull, type Json } from './read-line.ts';
import { EXPANSION_MAX } from './tape.ts';
import { DOCUMENTS } from './vectors-documents.ts';
import { SCALARS, type Vector } from './vectors.ts';

const VECTORS = [...SCALARS, ...DOCUMENTS].map((vector) => [vector.name, vector] as const);
const FORMS = ['relaxed', 'canonical'] as const;

const documentWith = ({ type, bytes }: Vector): Buffer => documentOf(element(type, 'x', bytes));

const readBack = (text: string): Buffer | null => readOrNull(membersOf(parseJson(`{"x":${text}}`)));

describe('a value of each kind', () => {
  it.each(VECTORS)('%s is written as Extended JSON says', (_name, vector) => {
    const { type, bytes, relaxed, canonical, lossy } = vector;
    expect(valueOf(type, bytes)).toEqual({ text: relaxed, lossy });
    expect(valueOf(type, bytes, 'canonical')).toEqual({ text: canonical, lossy });
  });

  it.each(VECTORS)('%s reads back to the same bytes, or its line is lossy', (_name, vector) => {
    const document = documentWith(vector);
    const members = readBson(document);
    const canonical = readBack(vector.canonical);
    expect(canonical?.equals(document) ?? false).toBe(!vector.lossy);
    if (looksWrapped(members)) return;
    expect(canonical?.toString('hex')).toBe(inJson(members).toString('hex'));
    expect(readBack(vector.relaxed)?.toString('hex')).toBe(inJson(members, true).toString('hex'));
  });

  it.each(VECTORS)('%s is written alike in every place of an event', (_name, vector) => {
    const document = documentWith(vector);
    const nested = documentOf(
      element(0x03, 'updatedFields', document),
      element(0x04, 'truncatedArrays', arrayOf([vector.type, vector.bytes])),
      element(0x03, 'disambiguatedPaths', document),
    );
    const parts = [
      element(0x03, 'fullDocument', document),
      element(0x03, 'documentKey', document),
      element(0x03, 'updateDescription', nested),
      element(0x03, 'fullDocumentBeforeChange', document),
      element(vector.type, 'new to us', vector.bytes),
    ];
    for (const json of FORMS) {
      const text = vector[json];
      const line = lineOf(eventOf(1, ...parts), { json });
      expect(line.slice(line.indexOf(',"v":1}'))).toBe(
        `,"v":1},"fullDocument":{"x":${text}},"documentKey":{"x":${vector.canonical}},"updateDescription":{"updatedFields":{"x":${text}},` +
          `"truncatedArrays":[${text}],"disambiguatedPaths":{"x":${text}}},"fullDocumentBeforeChange":{"x":${text}},"new to us":${text}}`,
      );
    }
  });
});

describe('the room that is reserved', () => {
  it.each(VECTORS)('holds %s under the shortest key', (_name, { bytes, relaxed, canonical }) => {
    const most = (bytes.length + 2) * EXPANSION_MAX;
    for (const text of [relaxed, canonical]) expect(Buffer.byteLength(text) + '"":,'.length).toBeLessThanOrEqual(most);
  });

  const smallest = [...Map.groupBy(SCALARS, ({ type }) => type).values()].map((all) => all.toSorted((a, b) => a.bytes.length - b.bytes.length)[0]!);
  it.each(smallest.map((vector) => [vector.name, vector] as const))('holds 3000 of %s', (_name, { type, bytes }) => {
    const many = Array.from({ length: 3000 }, () => element(type, '', bytes));
    for (const json of FORMS) expect(() => lineOf(eventOf(1, ...many), { json })).not.toThrow();
  });
});

/** The library writes a whole double as an integer: numbers are compared as such, and integers digit by digit. */
function meansTheSame(ours: Json, theirs: Json): boolean {
  if (ours === null || theirs === null || typeof ours !== 'object' || typeof theirs !== 'object') return ours === theirs;
  if ('digits' in ours || 'digits' in theirs) {
    if (!('digits' in ours) || !('digits' in theirs)) return false;
    return /[.eE]/.test(ours.digits) ? Object.is(Number(ours.digits), Number(theirs.digits)) : ours.digits === theirs.digits;
  }
  if ('members' in ours !== 'members' in theirs) return false;
  const [a, b] = [ours, theirs].map((json) => ('members' in json ? json.members.flat() : json)) as [readonly Json[], readonly Json[]];
  return a.length === b.length && a.every((item, i) => meansTheSame(item, b[i]!));
}

function ofLibrary(document: Buffer, relaxed: boolean): string {
  try {
    return EJSON.stringify(deserialize(document, { promoteValues: false, bsonRegExp: true }), { relaxed });
  } catch (error) {
    return JSON.stringify(String(error));
  }
}

describe('the library', () => {
  it.each(VECTORS)('agrees on %s, or it is said why not', (_name, vector) => {
    const document = documentWith(vector);
    const canonical = ofLibrary(document, false) === `{"x":${vector.canonical}}`;
    const relaxed = meansTheSame(parseJson(`{"x":${vector.relaxed}}`), parseJson(ofLibrary(document, true)));
    expect(canonical && relaxed).toBe(vector.library === null);
  });
});

describe('a text of nearly 16 MB', () => {
  const bytes = 16 * 1024 * 1024 - 100;
  it.each([
    ['of letters', Buffer.alloc(bytes, 'abcdefg'), false],
    ['of three bytes a character', Buffer.alloc(bytes - (bytes % 3), '€'), false],
    ['of quotes', Buffer.alloc(bytes, '"'), false],
    ['of NULs, six bytes each in JSON', Buffer.alloc(bytes), false],
    ['of bytes that are never used', Buffer.alloc(bytes, 0xff), true],
  ])('%s is whole', (_name, text, lossy) => {
    const event = eventOf(1, element(0x03, 'fullDocument', documentOf(element(0x02, 'x', string(text)), element(0x10, 'after', int32(1)))));
    const line = lineOf(event, { maxLineBytes: 200 * 1024 * 1024 });
    const { fullDocument, _meta } = JSON.parse(line) as { fullDocument: { x: string; after: number }; _meta: { lossy?: boolean } };
    expect(fullDocument.x === text.toString('utf8')).toBe(true);
    expect(fullDocument.after).toBe(1);
    expect(_meta.lossy === true).toBe(lossy);
  });
});
