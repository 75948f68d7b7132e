/**
 * Random documents in all places of an event, both ways: what a line says is what the event holds, byte for byte in
 * canonical form, and a line is marked lossy exactly when it does not give back the bytes.
 *
 * `SLUICE_DOCUMENTS` sets how many, `SLUICE_SEED` repeats what a run did.
 */
import { EJSON, deserialize, serialize } from 'bson';
import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { anyEventParts, forLibrary } from './arbitrary-bson.ts';
import { documentOf, double, element, eventOf, int32, int64, lineOf } from './raw-bson.ts';
import { inJson, looksWrapped, readBson, type Member } from './read-bson.ts';
import { readLine, readMembers } from './read-line.ts';
import { SEED } from '../../../../test/seed.ts';

const DOCUMENTS = Number(process.env['SLUICE_DOCUMENTS'] ?? 5000);
const MS_PER_DOCUMENT_MAX = 20;

const META_FIELDS = ['_id', 'operationType', 'ns', 'clusterTime', 'wallTime', 'txnNumber', 'lsid'];
const IN_META_AS_SENT = ['wallTime', 'txnNumber', 'lsid'];

const withDocument = (document: Uint8Array): Buffer => eventOf(1, element(0x03, 'fullDocument', document));
const bytesOf = (members: readonly Member[]): Buffer => documentOf(...members.map(({ type, key, value }) => element(type, key, value)));
const isNamed =
  (names: readonly string[]) =>
  ({ key }: Member): boolean =>
    names.includes(key.toString('utf8'));

function expectCanonical(line: string, event: readonly Member[]): void {
  const { meta, lossy, body } = readLine(line);
  const sent = event.filter((member) => !isNamed(META_FIELDS)(member));
  const givenBack = body !== null && body.equals(bytesOf(sent));
  expect(lossy).toBe(!givenBack);
  if (!looksWrapped(sent)) expect(body?.toString('hex')).toBe(inJson(sent).toString('hex'));
  const metaSent = event.filter(isNamed(IN_META_AS_SENT));
  const metaRead = readMembers(meta.filter(([key]) => IN_META_AS_SENT.includes(key)));
  expect(
    readBson(metaRead)
      .map(({ value }) => value.toString('hex'))
      .toSorted(),
  ).toEqual(metaSent.map(({ value }) => value.toString('hex')).toSorted());
}

/** The document key is canonical in relaxed lines too; elsewhere an integer has no width. */
function expectRelaxed(line: string, event: readonly Member[]): void {
  const sent = event.filter((member) => !isNamed(META_FIELDS)(member));
  const { lossy, body } = readLine(line);
  expect(lossy).toBe(looksWrapped(sent) || !inJson(sent).equals(bytesOf(sent)));
  if (looksWrapped(sent)) return;
  const wanted = sent.map((member) => inJson([member], !isNamed(['documentKey'])(member)).subarray(4, -1));
  expect(body?.toString('hex')).toBe(documentOf(...wanted).toString('hex'));
}

describe('a line', () => {
  it(
    `of any event says what the event holds, and is lossy exactly when it does not give back the bytes (${DOCUMENTS} events, SLUICE_SEED=${SEED})`,
    { timeout: 60_000 + DOCUMENTS * MS_PER_DOCUMENT_MAX },
    () => {
      const seen = { lossy: 0, whole: 0 };
      fc.assert(
        fc.property(anyEventParts, (parts) => {
          const bytes = eventOf(1, ...parts);
          const event = readBson(bytes);
          const canonical = lineOf(bytes, { json: 'canonical' });
          expectCanonical(canonical, event);
          expectRelaxed(lineOf(bytes), event);
          seen[readLine(canonical).lossy ? 'lossy' : 'whole'] += 1;
        }),
        { numRuns: DOCUMENTS },
      );
      // Both kinds were there: neither half of the rule was held by nothing.
      expect(Math.min(seen.lossy, seen.whole)).toBeGreaterThan(DOCUMENTS / 20);
    },
  );
});

describe('a canonical line', () => {
  it('gives back the very bytes through the library', () => {
    fc.assert(
      fc.property(forLibrary, (document) => {
        const line = lineOf(withDocument(document), { json: 'canonical' });
        expect(line).not.toContain('"lossy":true,"v":1');
        const read = EJSON.parse(line, { relaxed: false }) as { fullDocument: object };
        expect(Buffer.from(serialize(read.fullDocument)).toString('hex')).toBe(document.toString('hex'));
      }),
      { numRuns: 400 },
    );
  });
});

/** `-0` and `0` are one number to JSON.stringify, and so to the library. */
const withoutMinusZero = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('a relaxed line', () => {
  it('means what the relaxed JSON of the library means', () => {
    fc.assert(
      fc.property(forLibrary, (document) => {
        const line = JSON.parse(lineOf(withDocument(document))) as { fullDocument: unknown };
        const read = deserialize(document, { promoteValues: false, bsonRegExp: true });
        expect(withoutMinusZero(line.fullDocument)).toEqual(JSON.parse(EJSON.stringify(read, { relaxed: true })));
      }),
      { numRuns: 400 },
    );
  });

  it('tells a double from an integer: the one refinement besides all digits of an int64', () => {
    const document = documentOf(element(0x01, 'd', double(5)), element(0x10, 'i', int32(5)), element(0x12, 'l', int64(9_007_199_254_740_993n)));
    expect(lineOf(withDocument(document))).toContain('"fullDocument":{"d":5.0,"i":5,"l":9007199254740993}}');
    expect(EJSON.stringify(deserialize(document, { promoteValues: false }), { relaxed: true })).toBe('{"d":5,"i":5,"l":9007199254740992}');
  });
});
