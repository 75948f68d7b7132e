/**
 * Avro containers as Event Hubs Capture writes them, block by block, without an object per value.
 *
 * A decoder for this one schema: a library for all of them makes objects of every property, and a backlog is terabytes. The schema in the
 * container's header is read and must be the documented one; the library is what the tests compare with.
 */
import { inflateRawSync } from 'node:zlib';

/** A message as a Capture file has it. */
export interface CaptureRecord {
  readonly sequence: bigint;
  /** `EnqueuedTimeUtc`, as it is written there. */
  readonly enqueued: Buffer;
  /** `null`: a message without a body. Valid as long as its block. */
  readonly body: Buffer | null;
  readonly properties: ReadonlyMap<string, string>;
}

const MAGIC = Buffer.from('Obj\u0001', 'latin1');
const SYNC_BYTES = 16;
const FIELDS = ['SequenceNumber', 'Offset', 'EnqueuedTimeUtc', 'SystemProperties', 'Properties', 'Body'];
/** Kinds of a property, by their place in the union of the schema. */
type Kind = 'null' | 'long' | 'double' | 'string' | 'bytes' | 'int' | 'boolean' | 'float';
const KINDS: ReadonlySet<string> = new Set<Kind>(['null', 'long', 'double', 'string', 'bytes', 'int', 'boolean', 'float']);

interface Layout {
  readonly system: readonly Kind[];
  readonly properties: readonly Kind[];
  /** Place of `null` in the union of the body; -1: it is never null. */
  readonly bodyNull: number;
  readonly deflated: boolean;
}

/** Records in order, those of a block together. @throws Error when it is no container of this schema, or is cut off */
export async function* readAvro(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly CaptureRecord[]> {
  const bytes = new Pieces(chunks);
  try {
    yield* blocks(bytes);
  } finally {
    // Whoever wants the first record alone leaves here, with the file open.
    await bytes.close();
  }
}

async function* blocks(bytes: Pieces): AsyncGenerator<readonly CaptureRecord[]> {
  if (!(await bytes.take(MAGIC.length)).equals(MAGIC)) throw new Error('it is no Avro container');
  const header = new Map<string, Buffer>();
  for (let count = await bytes.long(); count !== 0; count = await bytes.long()) {
    if (count < 0) await bytes.long();
    for (let n = Math.abs(count); n > 0; n -= 1) {
      const name = (await bytes.take(await bytes.long())).toString('utf8');
      header.set(name, Buffer.from(await bytes.take(await bytes.long())));
    }
  }
  const sync = Buffer.from(await bytes.take(SYNC_BYTES));
  const layout = layoutOf(header);
  while (!(await bytes.ended())) {
    const count = await bytes.long();
    const stored = await bytes.take(await bytes.long());
    const block = layout.deflated ? inflateRawSync(stored) : stored;
    yield new Block(block, layout).records(count);
    if (!(await bytes.take(SYNC_BYTES)).equals(sync)) throw new Error('a block does not end where it should');
  }
}

function layoutOf(header: ReadonlyMap<string, Buffer>): Layout {
  const codec = header.get('avro.codec')?.toString('utf8') ?? 'null';
  if (codec !== 'null' && codec !== 'deflate') throw new Error(`it is compressed with ${codec}: null and deflate are known`);
  const schema = JSON.parse(header.get('avro.schema')?.toString('utf8') ?? 'null') as { fields?: { name: string; type: unknown }[] } | null;
  const names = schema?.fields?.map(({ name }) => name) ?? [];
  if (FIELDS.some((name, at) => names[at] !== name) || names.length !== FIELDS.length) {
    throw new Error(`its fields are ${names.join(', ') || 'none'}, those of Event Hubs Capture are ${FIELDS.join(', ')}`);
  }
  const [, , , system, properties, body] = schema!.fields!.map(({ type }) => type);
  const valuesOf = (type: unknown): readonly Kind[] => unionOf((type as { values?: unknown } | null)?.values);
  const bodyKinds = unionOf(body);
  if (!bodyKinds.includes('bytes')) throw new Error('its Body is not bytes');
  const isUnion = Array.isArray(body);
  return {
    system: valuesOf(system),
    properties: valuesOf(properties),
    bodyNull: isUnion ? bodyKinds.indexOf('null') : -1,
    deflated: codec === 'deflate',
  };
}

function unionOf(type: unknown): readonly Kind[] {
  const kinds = Array.isArray(type) ? type : [type];
  for (const kind of kinds) if (typeof kind !== 'string' || !KINDS.has(kind)) throw new Error(`it has values of type ${JSON.stringify(kind)}`);
  return kinds as Kind[];
}

/** The records of one block, which is in memory. */
class Block {
  readonly #bytes: Buffer;
  readonly #layout: Layout;
  #at = 0;

  constructor(bytes: Buffer, layout: Layout) {
    this.#bytes = bytes;
    this.#layout = layout;
  }

  records(count: number): CaptureRecord[] {
    const records: CaptureRecord[] = [];
    for (let n = 0; n < count; n += 1) records.push(this.#record());
    if (this.#at !== this.#bytes.length) throw new Error(`a block of ${count} records is ${this.#bytes.length - this.#at} bytes too long`);
    return records;
  }

  #record(): CaptureRecord {
    const sequence = this.#bigLong();
    this.#skip();
    const enqueued = this.#take(this.#long());
    this.#map(this.#layout.system, null);
    const properties = new Map<string, string>();
    this.#map(this.#layout.properties, properties);
    return { sequence, enqueued, properties, body: this.#body() };
  }

  #body(): Buffer | null {
    const { bodyNull } = this.#layout;
    if (bodyNull >= 0 && this.#long() === bodyNull) return null;
    return this.#take(this.#long());
  }

  #map(kinds: readonly Kind[], into: Map<string, string> | null): void {
    for (let count = this.#long(); count !== 0; count = this.#long()) {
      if (count < 0) this.#long();
      for (let n = Math.abs(count); n > 0; n -= 1) {
        const name = this.#take(this.#long());
        const kind = kinds.length === 1 ? kinds[0] : kinds[this.#long()];
        const value = this.#value(kind);
        // Headers that came over Kafka are bytes, those of AMQP are texts.
        if (into !== null && value !== null) into.set(name.toString('utf8'), value);
      }
    }
  }

  #value(kind: Kind | undefined): string | null {
    if (kind === 'null') return null;
    if (kind === 'string' || kind === 'bytes') return this.#take(this.#long()).toString('utf8');
    if (kind === 'long' || kind === 'int') return this.#bigLong().toString();
    if (kind === 'double') return String(this.#take(8).readDoubleLE(0));
    if (kind === 'float') return String(this.#take(4).readFloatLE(0));
    if (kind === 'boolean') return String(this.#take(1)[0] === 1);
    throw new Error('a property has a type that its schema does not have');
  }

  #skip(): void {
    this.#take(this.#long());
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw new Error('a record is longer than its block');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  #long(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new Error('a record is longer than its block');
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #bigLong(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new Error('a record is longer than its block');
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  }
}

/** Bytes of a stream, some at a time. */
class Pieces {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async ended(): Promise<boolean> {
    return this.#at === this.#bytes.length && !(await this.#more(1));
  }

  /** Valid until the next call. */
  async take(length: number): Promise<Buffer> {
    if (length < 0 || !(await this.#more(length))) throw new Error('it ends in the middle');
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  async long(): Promise<number> {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = (await this.take(1))[0]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  async #more(length: number): Promise<boolean> {
    if (this.#bytes.length - this.#at >= length) return true;
    const parts: Uint8Array[] = [this.#bytes.subarray(this.#at)];
    let have = parts[0]!.length;
    while (have < length) {
      const next = await this.#chunks.next();
      if (next.done === true) break;
      parts.push(next.value);
      have += next.value.length;
    }
    this.#bytes = Buffer.concat(parts);
    this.#at = 0;
    return have >= length;
  }
}
