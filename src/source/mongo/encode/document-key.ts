/**
 * The key of a document of a sharded collection, as the server writes it into change events: the fields of the shard key in their
 * order, each under its whole path as one name (`{"region": …, "address.city": …, "_id": …}`), fields that the document does
 * not have left out, then `_id` unless the shard key has it.
 *
 * Invariant: byte for byte what the server does (`extractElementsBasedOnTemplate` in its dotted_path_support.cpp, called for each
 * entry of the oplog; docs/adr/0024-sharded-clusters.md). So a field whose name holds dots is found before a path is
 * followed, and a path leads through arrays by their indexes alone.
 */
import { ARRAY, DOCUMENT, cstringEnd, documentSize, valueSize } from './bson.ts';
import { BsonWriter } from '../mask/bson-writer.ts';

interface Found {
  readonly type: number;
  /** Offsets of the value and of what follows it. */
  readonly from: number;
  readonly next: number;
}

export class DocumentKeys {
  readonly #fields: readonly Buffer[];
  readonly #out = new BsonWriter();

  /** @param shardKey paths of its fields, in order */
  constructor(shardKey: readonly string[]) {
    const paths = shardKey.includes('_id') ? shardKey : [...shardKey, '_id'];
    this.#fields = paths.map((path) => Buffer.from(path, 'utf8'));
  }

  /** Whether keys are `_id` and nothing else, as they are without a shard key. */
  get isIdAlone(): boolean {
    return this.#fields.length === 1;
  }

  /**
   * Key of the document at `at` of `input` as BSON, with padding after it (tape.ts). Valid until the next call.
   * @throws BSON_BROKEN
   */
  of(input: Buffer, view: DataView, at: number): { readonly bson: Buffer; readonly bytes: number } {
    const out = this.#out;
    out.reset();
    const start = out.open();
    const end = at + documentSize(view, at, input.length) - 1;
    for (const path of this.#fields) {
      const found = atPath(input, view, at, end, path);
      if (found === null) continue;
      out.element(found.type, path);
      out.copy(input, found.from, found.next);
    }
    out.close(start);
    return out.finish();
  }
}

/** @param at @param end offsets of the document's length and of its terminator */
function atPath(input: Buffer, view: DataView, at: number, end: number, path: Buffer): Found | null {
  const whole = field(input, view, at, end, path);
  if (whole !== null) return whole;
  const dot = path.indexOf('.');
  if (dot < 0) return null;
  const inner = field(input, view, at, end, path.subarray(0, dot));
  if (inner === null || (inner.type !== DOCUMENT && inner.type !== ARRAY)) return null;
  return atPath(input, view, inner.from, inner.next - 1, path.subarray(dot + 1));
}

/** The first one of that name. */
function field(input: Buffer, view: DataView, at: number, end: number, name: Buffer): Found | null {
  for (let p = at + 4; p < end;) {
    const type = input[p]!;
    const nameEnd = cstringEnd(view, p + 1, end);
    const from = nameEnd + 1;
    const next = from + valueSize(view, type, from, end);
    if (nameEnd - p - 1 === name.length && name.compare(input, p + 1, nameEnd) === 0) return { type, from, next };
    p = next;
  }
  return null;
}
