/**
 * Replies with bytes changed, cut, doubled: a coded error or lines that are JSON, nothing else, and nothing that depends
 * on bytes outside of the reply.
 */
import { BSONRegExp, BSONSymbol, Binary, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../core/error.ts';
import { BSON_BROKEN, SOURCE_ORDER, SOURCE_PROTOCOL } from '../../../core/errors.ts';
import { cursorOf, element, encoderOf, eventOf, linesOf, string, tokenOf } from './raw-bson.ts';
import { encodeReply } from './reply.ts';

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
