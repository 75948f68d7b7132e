/**
 * Documents by themselves → lines of Extended JSON, as `fullDocument` has them in an event's line.
 */
import { DOCUMENT } from './bson.ts';
import { EXPANSION_MAX, Tape } from './tape.ts';
import { writeValue } from './value.ts';

/** Bytes after a document that a tape may read. */
const PADDING = 3;
const NEWLINE = 0x0a;

export class PlainEncoder {
  readonly #tape = new Tape();
  #input = Buffer.alloc(0);

  constructor(json: 'relaxed' | 'canonical') {
    this.#tape.canonical = json === 'canonical';
  }

  /** @throws BSON_BROKEN */
  lines(documents: readonly Uint8Array[]): Buffer {
    const tape = this.#tape;
    const bytes = documents.reduce((sum, document) => sum + document.length + PADDING, 0);
    if (this.#input.length < bytes) this.#input = Buffer.alloc(bytes);
    tape.read(this.#input);
    let from = 0;
    for (const document of documents) {
      this.#input.set(document, from);
      from += document.length + PADDING;
    }
    const largest = documents.reduce((most, { length }) => Math.max(most, length), 0);
    let output = Buffer.allocUnsafe(bytes * 2 + largest * EXPANSION_MAX + 1);
    tape.write(output);
    let to = 0;
    from = 0;
    for (const { length } of documents) {
      const room = to + length * EXPANSION_MAX + 1;
      if (room > output.length) {
        output = Buffer.concat([output.subarray(0, to)], room * 2);
        tape.write(output);
      }
      to = writeValue(tape, DOCUMENT, from, from + length, to, 0);
      output[to++] = NEWLINE;
      from += length + PADDING;
    }
    return output.subarray(0, to);
  }
}
