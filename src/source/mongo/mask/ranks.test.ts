/** Positions without keys where several shards have events at one cluster time. */
import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { SOURCE_ORDER } from '../../../core/errors.ts';
import { positionAt } from '../../../core/event.ts';
import {
  cursorOf,
  documentOf,
  element,
  encoderOf,
  linesOf,
  namespaceOf,
  positionOf,
  SECOND,
  string,
  timestamp,
  tokenOf,
} from '../encode/raw-bson.ts';
import { slicesOfReply } from '../encode/reply.ts';
import { Masker } from './masker.ts';
import { Ranks } from './ranks.ts';
import { TokenSeal } from './tokens.ts';

const SECRET = 'a key for tests';
const START = `${positionOf(SECOND, 0).slice(0, 18)}2B0229296E04`;
const hex = (text: string): string => Buffer.from(text).toString('hex').toUpperCase();

/** As of a document of a sharded collection. */
function tokenAt(ordinal: number, collection: number, key: number): string {
  const uuid = String(collection).padStart(32, 'A');
  return `${positionOf(SECOND, ordinal).slice(0, 18)}2B042C0100296E5A1004${uuid}463C${hex('_id')}003C${hex(`key ${String(key).padStart(3, '0')}`)}000004`;
}

function eventOf(token: string): Buffer {
  return documentOf(
    element(0x03, '_id', tokenOf(token)),
    element(0x02, 'operationType', string('insert')),
    element(0x11, 'clusterTime', timestamp(SECOND, Number.parseInt(token.slice(10, 18), 16))),
    element(0x03, 'ns', namespaceOf('shop', 'orders')),
  );
}

interface Place {
  readonly token: string;
  readonly position: string;
}

/** @param after where the stream goes on @param sliceBytes after each of which it could be left */
function read(tokens: readonly string[], after: Place, sliceBytes: number): { positions: string[]; places: Place[] } {
  const seal = new TokenSeal(SECRET);
  const ranks = new Ranks(after.token, after.position);
  const encoder = encoderOf({ mask: new Masker({ rules: { 'orders.email': 'hash' }, key: SECRET }), ranks });
  const positions: string[] = [];
  const places: Place[] = [];
  const reply = cursorOf(tokens.map(eventOf), 'nextBatch', tokenOf(tokens.at(-1)!));
  for (const encoded of slicesOfReply(reply, encoder, sliceBytes)) {
    const lines = linesOf(encoded);
    expect(lines.join('')).not.toContain(hex('key'));
    positions.push(...lines.map((line) => String(positionAt(Buffer.from(line), 0))));
    const { position } = ranks.placed(seal.pointOf(encoded.lastToken!));
    expect(position).toBe(positions.at(-1));
    places.push({ token: tokens[positions.length - 1]!, position });
  }
  return { positions, places };
}

const begin = { token: START, position: START };

describe('positions without keys, of several shards', () => {
  it('rise, and are the same from wherever the stream is read', () => {
    const events = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(1), fc.nat(20)), {
      minLength: 1,
      maxLength: 25,
      selector: String,
    });
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 2_000 }), (list, sliceBytes) => {
        const tokens = list.map(([ordinal, collection, key]) => tokenAt(ordinal, collection, key)).toSorted();
        const { positions, places } = read(tokens, begin, sliceBytes);
        expect(positions).toEqual([...new Set(positions)].toSorted());
        expect(positions).toHaveLength(tokens.length);
        // A mask may be added to a lake that has none.
        for (const [n, position] of positions.entries()) expect(position < tokens[n]!).toBe(true);
        for (const place of places) {
          const done = tokens.indexOf(place.token) + 1;
          if (done < tokens.length) expect(read(tokens.slice(done), place, sliceBytes).positions).toEqual(positions.slice(done));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('are those of a replica set where nothing looks alike', () => {
    const tokens = [1, 2, 3].map((ordinal) => tokenAt(ordinal, 0, 7));
    expect(read(tokens, begin, 1).positions).toEqual(tokens.map((token) => String(new TokenSeal(SECRET).pointOf(tokenOf(token)).position)));
  });

  it.each([
    ['twice', [tokenAt(1, 0, 5), tokenAt(1, 0, 5)]],
    ['out of order', [tokenAt(1, 0, 5), tokenAt(1, 0, 4)]],
  ])('are refused of what comes %s', (_how, tokens) => {
    expect(() => read(tokens, begin, 1_000_000)).toThrow(expect.objectContaining({ kind: SOURCE_ORDER }) as Error);
  });
});
