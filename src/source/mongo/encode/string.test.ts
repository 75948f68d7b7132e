import fc from '../../../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { documentOf, element, string, valueOf } from './raw-bson.ts';

const written = (bytes: Uint8Array | string): { text: string; lossy: boolean } => valueOf(0x02, string(bytes));

describe('text', () => {
  it('is what JSON.stringify writes, for every character below U+0100 at every offset of a word', () => {
    for (let code = 0; code < 256; code++) {
      for (let offset = 0; offset < 5; offset++) {
        const text = 'abcd'.slice(0, offset) + String.fromCharCode(code) + 'xyz';
        expect(written(text)).toEqual({ text: JSON.stringify(text), lossy: false });
      }
    }
  });

  it('is what JSON.stringify writes, for any text', () => {
    const piece = fc.constantFrom('a', 'bcd', '"', '\\', '\n', '\u0000', '\u001f', '\u007f', 'é', '€', '🙂', '\u2028');
    const text = fc.oneof(
      fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, (value) => {
        expect(written(value)).toEqual({ text: JSON.stringify(value), lossy: false });
      }),
      { numRuns: 500 },
    );
  });

  it('keeps the ends of each range of UTF-8', () => {
    for (const code of [0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10ffff]) {
      const char = String.fromCodePoint(code);
      expect(written(char)).toEqual({ text: `"${char}"`, lossy: false });
    }
  });

  it('that is long is copied whole', () => {
    const text = 'The quick brown fox "jumps" over the lazy dog.\n'.repeat(20_000);
    expect(written(text).text).toBe(JSON.stringify(text));
  });

  it('made of control characters alone fits into its room', () => {
    const text = '\u0001'.repeat(100_000);
    expect(written(text).text).toBe(JSON.stringify(text));
  });
});

describe('invalid UTF-8', () => {
  it.each([
    ['a lone continuation', '80', '\ufffd'],
    ['an overlong slash', 'c0af', '\ufffd\ufffd'],
    ['an overlong form of three bytes', 'e080af', '\ufffd\ufffd\ufffd'],
    ['a surrogate', 'eda080', '\ufffd\ufffd\ufffd'],
    ['a code point beyond U+10FFFF', 'f4908080', '\ufffd\ufffd\ufffd\ufffd'],
    ['bytes that are never used', 'f5fe ff', '\ufffd\ufffd\ufffd'],
    ['a sequence cut by a letter', 'e28261', '\ufffda'],
    ['a sequence cut by a quote', 'f09f9822', '\ufffd\\"'],
    ['a sequence cut by the end', 'f09f98', '\ufffd'],
    ['a lead byte at the end', 'c3', '\ufffd'],
    ['a sequence cut by a NUL', 'e28200', '\ufffd\\u0000'],
  ])('%s becomes U+FFFD and makes the line lossy', (_name, hex, text) => {
    expect(written(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toEqual({ text: `"${text}"`, lossy: true });
  });

  it('is replaced as TextDecoder does, for any bytes', () => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const strict = new TextDecoder('utf-8', { fatal: true });
    const isValid = (bytes: Uint8Array): boolean => {
      try {
        strict.decode(bytes);
        return true;
      } catch {
        return false;
      }
    };
    const high = fc.integer({ min: 0x80, max: 0xff });
    const bytes = fc.uint8Array({ maxLength: 40 });
    const mostlyHigh = fc.array(fc.oneof(high, high, high, fc.constantFrom(0x41, 0x22, 0))).map((all) => Uint8Array.from(all));
    fc.assert(
      fc.property(fc.oneof(bytes, mostlyHigh), (value) => {
        expect(written(value)).toEqual({ text: JSON.stringify(decoder.decode(value)), lossy: !isValid(value) });
      }),
      { numRuns: 2000 },
    );
  });

  it('in a key is treated the same', () => {
    const key = Buffer.from('61ff62c3', 'hex');
    expect(valueOf(0x03, documentOf(element(0x0a, key)))).toEqual({ text: '{"a\ufffdb\ufffd":null}', lossy: true });
  });
});
