/**
 * Builds an {@link EventBatch} without an object per event: typed columns and one line buffer, both doubled when full.
 *
 * Used like this: write the line's bytes into `buffer` from `length` on (calling {@link EventBatchBuilder.reserve}
 * first), set `length`, then {@link EventBatchBuilder.add}. Afterwards the builder is done: the batch owns its arrays.
 */
import type { EventBatch } from './event.ts';
import type { Namespace } from './namespace.ts';

const LINES_BYTES_INITIAL = 64 * 1024;
const EVENTS_INITIAL = 64;

export class EventBatchBuilder {
  /** Line bytes; grows, so take it anew after every `reserve`. */
  buffer: Buffer;
  /** Bytes used in `buffer`. */
  length = 0;
  #count = 0;
  #ends: Uint32Array;
  #ns: Uint32Array;
  #ops: Uint8Array;
  #seconds: Uint32Array;
  #ordinals: Uint32Array;
  readonly #namespaces: Namespace[] = [];
  readonly #index = new Map<string, Map<string | null, number>>();

  /** @param buffer for the lines; another one takes its place when it is too small */
  constructor(buffer: Buffer = Buffer.allocUnsafe(LINES_BYTES_INITIAL), eventsExpected: number = EVENTS_INITIAL) {
    this.buffer = buffer;
    const n = Math.max(eventsExpected, 1);
    this.#ends = new Uint32Array(n);
    this.#ns = new Uint32Array(n);
    this.#ops = new Uint8Array(n);
    this.#seconds = new Uint32Array(n);
    this.#ordinals = new Uint32Array(n);
  }

  get count(): number {
    return this.#count;
  }

  /** Makes room for `bytes` more in `buffer`. */
  reserve(bytes: number): void {
    const need = this.length + bytes;
    if (need <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(need, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }

  /** Index of a namespace in this batch. */
  namespace(db: string, coll: string | null): number {
    let inner = this.#index.get(db);
    if (inner === undefined) this.#index.set(db, (inner = new Map()));
    let index = inner.get(coll);
    if (index === undefined) {
      index = this.#namespaces.push({ db, coll }) - 1;
      inner.set(coll, index);
    }
    return index;
  }

  /** Ends the line that reaches up to `length`. */
  add(ns: number, op: number, seconds: number, ordinal: number): void {
    const at = this.#count;
    if (at === this.#ends.length) this.#grow();
    this.#ends[at] = this.length;
    this.#ns[at] = ns;
    this.#ops[at] = op;
    this.#seconds[at] = seconds;
    this.#ordinals[at] = ordinal;
    this.#count = at + 1;
  }

  build(): EventBatch {
    return {
      count: this.#count,
      lines: this.buffer,
      ends: this.#ends,
      namespaces: this.#namespaces,
      ns: this.#ns,
      ops: this.#ops,
      seconds: this.#seconds,
      ordinals: this.#ordinals,
    };
  }

  #grow(): void {
    const n = this.#ends.length * 2;
    const wider = (from: Uint32Array): Uint32Array => {
      const to = new Uint32Array(n);
      to.set(from);
      return to;
    };
    this.#ends = wider(this.#ends);
    this.#ns = wider(this.#ns);
    this.#seconds = wider(this.#seconds);
    this.#ordinals = wider(this.#ordinals);
    const ops = new Uint8Array(n);
    ops.set(this.#ops);
    this.#ops = ops;
  }
}
