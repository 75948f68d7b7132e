/**
 * The namespace of an event, without making a string for it: bytes are compared with those of namespaces seen before.
 *
 * Bounded: as many namespaces as there are slots are remembered, across replies; one that shares its slot with another
 * is read anew each time, which costs under a microsecond.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_PROTOCOL } from '../../../core/errors.ts';
import type { EventBatchBuilder } from '../../../core/event-batch.ts';
import type { Namespace } from '../../../core/namespace.ts';
import { STRING, elementsOf } from './bson.ts';
import { equalsAt } from './event-fields.ts';
import { literalOf, type Literal } from './literal.ts';
import type { Tape } from './tape.ts';
import { writeDocument } from './value.ts';

const SLOTS = 64;

interface Known {
  /** The `ns` document. */
  readonly bson: Buffer;
  readonly namespace: Namespace;
  /** The same as canonical Extended JSON. */
  readonly json: Literal;
  readonly lossy: boolean;
  /** Batch for which `index` holds. */
  batch: number;
  index: number;
}

export class Namespaces {
  readonly #slots: (Known | undefined)[] = Array.from({ length: SLOTS });
  #batch = 0;

  /** From here on namespaces are looked up for another batch. */
  start(): void {
    this.#batch++;
  }

  /** Column index and text of the namespace in the `ns` document from `from` to `next`. Uses the output from `scratch` on. */
  lookUp(tape: Tape, builder: EventBatchBuilder, from: number, next: number, scratch: number): Known {
    const { input } = tape;
    // Namespaces of one deployment differ most in length and in their last letters.
    const slot = (tape.inputView.getInt32(next - 6, true) ^ (next - from)) & (SLOTS - 1);
    let known = this.#slots[slot];
    if (known === undefined || known.bson.length !== next - from || !equalsAt(input, from, known.bson)) {
      known = this.#read(tape, from, next, scratch);
      this.#slots[slot] = known;
    }
    if (known.batch !== this.#batch) {
      known.index = builder.namespace(known.namespace.db, known.namespace.coll);
      known.batch = this.#batch;
    }
    return known;
  }

  #read(tape: Tape, from: number, next: number, scratch: number): Known {
    const { input } = tape;
    const namespace = readNamespace(tape, from, next);
    const before = tape.lossy;
    tape.lossy = false;
    const end = writeDocument(tape, from, next, scratch, 1);
    const lossy = tape.lossy;
    tape.lossy = before;
    const json = literalOf(tape.output.subarray(scratch, end));
    return { bson: Buffer.from(input.subarray(from, next)), namespace, json, lossy, batch: 0, index: 0 };
  }
}

function readNamespace(tape: Tape, from: number, next: number): Namespace {
  let db: string | null = null;
  let coll: string | null = null;
  for (const { key, type, from: value, next: after } of elementsOf(tape.inputView, from, next - 1)) {
    if (type !== STRING) continue;
    if (key === 'db') db = tape.input.toString('utf8', value + 4, after - 1);
    if (key === 'coll') coll = tape.input.toString('utf8', value + 4, after - 1);
  }
  if (db === null) throw new SluiceError(SOURCE_PROTOCOL, 'a namespace without a database');
  return { db, coll };
}
