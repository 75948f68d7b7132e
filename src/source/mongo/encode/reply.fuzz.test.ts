/**
 * Replies with bytes changed, cut, doubled: a coded error or lines that are JSON, nothing else, and nothing that depends
 * on bytes outside of the reply. Documents whose lengths, types and ends lie: refused if a strict reader refuses them,
 * and otherwise the line that this reader would write, with nothing of the documents beside it.
 *
 * `SLUICE_DOCUMENTS` sets how many, `SLUICE_SEED` repeats what a run did.
 */
import { BSONRegExp, BSONSymbol, Binary, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID, serialize } from 'bson';
import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../core/error.ts';
import { BSON_BROKEN, SOURCE_ORDER, SOURCE_PROTOCOL } from '../../../core/errors.ts';
import { anyDocument } from './arbitrary-bson.ts';
import { cursorOf, documentOf, element, encoderOf, eventOf, linesOf, string, tokenOf } from './raw-bson.ts';
import { inJson, looksWrapped, readBson, type Member } from './read-bson.ts';
import { readLine } from './read-line.ts';
import { encodeReply } from './reply.ts';
import { SEED } from '../../../../test/seed.ts';

const DAMAGES = Number(process.env['SLUICE_DOCUMENTS'] ?? 3000);
const MS_PER_DAMAGE_MAX = 20;

const everything = serialize({
  double: new Double(12.34),
  string: 'text with "quotes", größe and 🙂',
  nested: { array: [1, 'two', { three: [3, [4]] }], empty: {} },
  binary: new Binary(Buffer.from('0123456789'), 0),
  old: new Binary(Buffer.from('abc'), 2),
  uuid: new UUID('c8edabc3-f738-4ca3-b68d-ab92a91478a3'),
  id: new ObjectId('00112233445566778899aabb'),
  yes: true,
  date: new Date(1_795_247_101_123),
  nothing: null,
  regex: new BSONRegExp('^a.b$', 'im'),
  code: new Code('f()'),
  scoped: new Code('f()', { x: 1 }),
  symbol: new BSONSymbol('s'),
  int: new Int32(7),
  time: new Timestamp({ t: 1, i: 2 }),
  long: Long.fromString('9223372036854775807'),
  decimal: Decimal128.fromString('12.34'),
  min: new MinKey(),
  max: new MaxKey(),
});
const VALID = cursorOf([eventOf(1, element(0x03, 'fullDocument', everything)), eventOf(2, element(0x03, 'documentKey', tokenOf('x'))), eventOf(3)]);

type Outcome = { readonly lines: readonly string[] } | { readonly code: string; readonly message: string };

/** Encodes the reply as it lies between bytes that are not its own. */
function outcomeOf(reply: Uint8Array, around: number): Outcome {
  const message = Buffer.concat([Buffer.alloc(64, around), reply, Buffer.alloc(64, around)]);
  try {
    const encoded = encodeReply(message.subarray(64, 64 + reply.length), encoderOf({ json: 'canonical' }));
    return { lines: linesOf(encoded) };
  } catch (error) {
    if (!SluiceError.is(error, BSON_BROKEN, SOURCE_PROTOCOL, SOURCE_ORDER)) throw error;
    return { code: error.code, message: error.message };
  }
}

function check(reply: Uint8Array): Outcome {
  const outcome = outcomeOf(reply, 0x00);
  expect(outcomeOf(reply, 0x22)).toEqual(outcome);
  expect(outcomeOf(reply, 0xff)).toEqual(outcome);
  if ('lines' in outcome) for (const line of outcome.lines) expect(() => JSON.parse(line)).not.toThrow();
  return outcome;
}

const withByte = (reply: Uint8Array, at: number, byte: number): Buffer => {
  const changed = Buffer.from(reply);
  changed[at] = byte;
  return changed;
};

describe('a damaged reply', () => {
  it('is valid before it is damaged', () => {
    expect(check(VALID)).toHaveProperty('lines.length', 3);
  });

  it('with any one byte changed gives a coded error or lines of JSON', () => {
    const codes = new Set<string>();
    for (let at = 0; at < VALID.length; at++) {
      for (const byte of [0x00, 0x01, 0x7f, 0xff, VALID[at]! ^ 0x80, VALID[at]! + 1]) {
        const outcome = check(withByte(VALID, at, byte & 0xff));
        codes.add('code' in outcome ? outcome.code : 'lines');
      }
    }
    // All outcomes were seen: the damage was neither harmless nor always noticed at once.
    expect([...codes].toSorted()).toEqual([SOURCE_ORDER.code, SOURCE_PROTOCOL.code, BSON_BROKEN.code, 'lines'].toSorted());
  });

  it('that is cut anywhere is refused, even if its first length is set right again', () => {
    const accepted: number[] = [];
    for (let length = 0; length < VALID.length; length++) {
      expect(check(VALID.subarray(0, length))).toHaveProperty('code');
      if (length < 5) continue;
      const cut = Buffer.from(VALID.subarray(0, length));
      cut.writeInt32LE(length, 0);
      cut[length - 1] = 0;
      if ('lines' in check(cut)) accepted.push(length);
    }
    // Just before `ns`, the last field, of which nothing is read, what is left is a reply.
    expect(accepted).toEqual([VALID.length - element(0x02, 'ns', string('shop.orders')).length]);
  });

  it('with any run of bytes changed, removed or put in gives a coded error or lines of JSON', () => {
    const at = fc.nat(VALID.length - 1);
    const run = fc.uint8Array({ maxLength: 12 });
    fc.assert(
      fc.property(at, fc.nat(12), run, fc.boolean(), (from, removed, added, mend) => {
        const reply = Buffer.concat([VALID.subarray(0, from), added, VALID.subarray(from + removed)]);
        if (mend && reply.length >= 5) {
          reply.writeInt32LE(reply.length, 0);
          reply[reply.length - 1] = 0;
        }
        check(reply);
      }),
      { numRuns: 3000 },
    );
  });

  it('made of random bytes gives a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => 'code' in check(bytes)),
      { numRuns: 1000 },
    );
  });
});

/** Where something can lie: lengths, types and terminators of all values, at any depth. */
interface WeakSpots {
  readonly lengths: number[];
  readonly bytes: number[];
}

const LENGTH_FIRST: ReadonlySet<number> = new Set([0x02, 0x03, 0x04, 0x05, 0x0c, 0x0d, 0x0e, 0x0f]);

function weakSpots(members: readonly Member[], spots: WeakSpots = { lengths: [], bytes: [] }): WeakSpots {
  for (const { key, type, value, at, inner } of members) {
    const typeAt = at - key.length - 2;
    spots.bytes.push(typeAt, at - 1, at + value.length - 1);
    if (LENGTH_FIRST.has(type)) spots.lengths.push(at);
    // The length of the text inside code with scope, and of the text inside the old kind of binary.
    if (type === 0x0f) spots.lengths.push(at + 4);
    if (type === 0x05 && value.length >= 9) spots.lengths.push(at + 5);
    if (inner !== null) weakSpots(inner, spots);
  }
  return spots;
}

type Damage = (bytes: Buffer, from: number, spots: WeakSpots) => void;

const pick = (spots: readonly number[], n: number): number | undefined => spots[n % spots.length];
const offBy = fc.constantFrom(1, -1, 2, -4, 5, 7, 100, 1000, -1000);
const absolute = fc.constantFrom(0, 1, 4, 5, -1, -5, 0x7fffffff, -0x80000000, 0x00ffffff);

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.tuple(fc.nat(), offBy).map(([n, off]): Damage => (bytes, from, { lengths }) => {
    const at = pick(lengths, n);
    if (at !== undefined && at >= from) bytes.writeInt32LE((bytes.readInt32LE(at) + off) | 0, at);
  }),
  fc.tuple(fc.nat(), absolute).map(([n, length]): Damage => (bytes, from, { lengths }) => {
    const at = pick(lengths, n);
    if (at !== undefined && at >= from) bytes.writeInt32LE(length, at);
  }),
  fc.tuple(fc.nat(), fc.nat(255)).map(([n, byte]): Damage => (bytes, from, spots) => {
    const at = pick(spots.bytes, n);
    if (at !== undefined && at >= from) bytes[at] = byte;
  }),
  fc.tuple(fc.nat(), fc.nat(255)).map(([n, byte]): Damage => (bytes, from) => {
    bytes[from + (n % (bytes.length - from))] = byte;
  }),
  // A hole in the middle, or an early end: the sizes around it are right again.
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 40 })).map(([n, size]): Damage => (bytes, from) => {
    const at = from + (n % (bytes.length - from));
    bytes.copyWithin(at, Math.min(at + size, bytes.length - 1), bytes.length - 1);
  }),
);

describe('a damaged document between two that are whole', () => {
  const neighbour = (i: number, letter: string): Buffer =>
    eventOf(i, element(0x03, 'fullDocument', documentOf(element(0x02, 'secret', string(letter.repeat(400))))));
  const between = (event: Buffer, letter: string): Outcome => outcomeOf(cursorOf([neighbour(1, letter), event, neighbour(3, letter)]), 0x00);
  /** Bytes of an event before its document, and members before it. */
  const [HEAD_BYTES, HEAD_MEMBERS] = [eventOf(2).length - 1, readBson(eventOf(2)).length];

  it(
    `is refused, or is what it says, and shows nothing of its neighbours (${DAMAGES} documents, SLUICE_SEED=${SEED})`,
    { timeout: 60_000 + DAMAGES * MS_PER_DAMAGE_MAX },
    () => {
      const seen = { refused: 0, written: 0 };
      fc.assert(
        fc.property(anyDocument, fc.array(damage, { minLength: 1, maxLength: 3 }), (document, damages) => {
          const event = eventOf(2, element(0x03, 'fullDocument', document));
          const spots = weakSpots(readBson(event));
          for (const change of damages) change(event, HEAD_BYTES, spots);
          const outcome = between(event, 'a');
          expect(between(event, 'z')).toEqual('lines' in outcome ? { lines: [expect.any(String), outcome.lines[1], expect.any(String)] } : outcome);
          const members = membersOrNull(event)?.slice(HEAD_MEMBERS);
          expect('lines' in outcome).toBe(members !== undefined);
          seen['lines' in outcome ? 'written' : 'refused'] += 1;
          if ('lines' in outcome) expectWhatItSays(outcome.lines[1]!.slice(0, -1), members!);
          else expect([BSON_BROKEN.code, SOURCE_PROTOCOL.code]).toContain(outcome.code);
        }),
        { numRuns: DAMAGES },
      );
      expect(Math.min(seen.refused, seen.written)).toBeGreaterThan(DAMAGES / 20);
    },
  );

  function membersOrNull(event: Buffer): readonly Member[] | undefined {
    try {
      return readBson(event);
    } catch {
      return undefined;
    }
  }

  function expectWhatItSays(line: string, members: readonly Member[]): void {
    const { lossy, body } = readLine(line);
    const sent = documentOf(...members.map(({ type, key, value }) => element(type, key, value)));
    expect(lossy).toBe(body === null || !body.equals(sent));
    if (!looksWrapped(members)) expect(body?.toString('hex')).toBe(inJson(members).toString('hex'));
  }
});
