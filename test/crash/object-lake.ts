/**
 * A lake over an object storage whose network loses requests and answers, as an adapter must be written: an outcome that
 * is not known is settled inside, so that the pipeline never meets one. The rules on which that rests can be switched off,
 * to see the schedule that needs them.
 */
import { SluiceError } from '../../src/core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED } from '../../src/core/errors.ts';
import type { Appender, Lake, LakeFile, LakePath, OpenHow, Ownership } from '../../src/core/lake.ts';
import type { ObjectReply, ObjectRequest, ObjectStore, StoreKind } from './object-store.ts';

/** The network lost the request or its answer, or nobody waited long enough: it may have happened, or still happen. */
export class OutcomeUnknown extends Error {}

export type Send = (request: ObjectRequest) => Promise<ObjectReply>;

export const RULES = {
  /** A put whose outcome is not known is repeated with the same condition; refused, its content is compared. */
  putSettle: true,
  /** A part is created only if it is absent. */
  ifNoneMatch: true,
  /** A part is read after it was fenced, not before. */
  fenceFirst: true,
};
export type Rules = Readonly<typeof RULES>;

export class ObjectLake implements Lake {
  readonly description = 'objects';
  readonly #store: ObjectStore;
  readonly #kind: StoreKind;
  readonly #send: Send;
  readonly #owner: number;
  readonly #rules: Rules;
  #leases = 0;

  constructor(store: ObjectStore, kind: StoreKind, owner: number, send: Send, rules: Rules = RULES) {
    this.#store = store;
    this.#kind = kind;
    this.#owner = owner;
    this.#send = send;
    this.#rules = rules;
  }

  async stat(path: LakePath): Promise<LakeFile | null> {
    const found = await this.#again({ op: 'get', path });
    return found.is === 'ok' ? { path, size: found.bytes.length, etag: found.etag } : null;
  }

  async put(path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile> {
    const request = { op: 'put', path, bytes: Buffer.from(bytes), expect: expect === 'absent' ? expect : expect.etag } as const;
    const file = (etag: string): LakeFile => ({ path, size: bytes.length, etag });
    for (let isRepeat = false; ; isRepeat = true) {
      const reply = await this.#once(request);
      if (reply !== null && reply.is === 'ok') return file(reply.etag);
      if (reply === null && this.#rules.putSettle) continue;
      const there = await this.#again({ op: 'get', path });
      if (there.is === 'ok' && (reply === null || (isRepeat && there.bytes.equals(request.bytes)))) return file(there.etag);
      throw new SluiceError(LAKE_CONFLICT, path);
    }
  }

  async open(path: LakePath, how: OpenHow): Promise<Appender> {
    const lease = this.#lease();
    if (how.expect === 'absent') return await this.#create(path, lease, 'absent');
    const early = this.#rules.fenceFirst ? null : await this.#again({ op: 'get', path });
    const broken = await this.#again({ op: 'break', path });
    if (broken.is === 'absent') {
      if ((how.length ?? 0) > 0) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
      return await this.#create(path, lease, 'any');
    }
    let there = this.#granted(await this.#again({ op: 'acquire', path, lease }), path);
    // What a former owner has staged is dropped. It could not be flushed any more; it would only be in the way.
    if (this.#kind === 'files') {
      there = this.#granted(await this.#again({ op: 'flush', path, to: there.bytes.length, lease }), path);
    }
    const { length } = early?.is === 'ok' ? early.bytes : there.bytes;
    if (length < (how.length ?? 0)) throw new SluiceError(LAKE_DAMAGED, `${path} holds ${length} bytes, ${how.length} were durable`);
    return new ObjectAppender(this, path, lease, length);
  }

  async own(checkpoint: LakePath): Promise<Ownership> {
    const path = `${checkpoint}.lease`;
    const lease = this.#lease();
    await this.#again({ op: 'create', path, lease: null });
    await this.#again({ op: 'break', path });
    await this.#again({ op: 'acquire', path, lease });
    // An owner behind a cut network never hears that it has lost the pipeline: the worst of them.
    return { lost: new AbortController().signal, [Symbol.asyncDispose]: async () => void (await this.#again({ op: 'release', path, lease })) };
  }

  async *read(path: LakePath, from: number): AsyncGenerator<Uint8Array> {
    const there = await this.#again({ op: 'get', path });
    if (there.is !== 'ok') throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
    if (there.bytes.length > from) yield there.bytes.subarray(from);
  }

  async *list(prefix: LakePath): AsyncGenerator<LakeFile> {
    const below = prefix === '' ? '' : `${prefix}/`;
    for (const [path, { bytes, etag }] of [...this.#store.objects].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (path.startsWith(below) && !path.endsWith('.lease')) yield { path, size: bytes.length, etag };
    }
  }

  async remove(): Promise<never> {
    throw new Error('the pipeline removes nothing');
  }

  localPath(): null {
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** @returns the bytes that are durable now, under which lease */
  async append(path: LakePath, bytes: Buffer, at: number, lease: string): Promise<string> {
    let holds = lease;
    for (;;) {
      const reply = await this.#tryAppend(path, bytes, at, holds);
      if (reply !== null) {
        this.#granted(reply, path);
        return holds;
      }
      // What only seemed lost is refused from here on: landing between the look and the repeat it would make that a conflict.
      const next = this.#lease();
      this.#granted(await this.#again({ op: 'change', path, from: holds, lease: next }), path);
      holds = next;
      const { length } = this.#granted(await this.#again({ op: 'get', path }), path).bytes;
      if (length === at + bytes.length) return holds;
      if (length !== at) throw new SluiceError(LAKE_CONFLICT, path);
    }
  }

  async release(path: LakePath, lease: string): Promise<void> {
    await this.#again({ op: 'release', path, lease });
  }

  async #tryAppend(path: LakePath, bytes: Buffer, at: number, lease: string): Promise<ObjectReply | null> {
    if (this.#kind === 'append blobs') return await this.#once({ op: 'append', path, bytes, at, lease });
    const staged = await this.#once({ op: 'stage', path, bytes, at, lease });
    return staged?.is === 'ok' ? await this.#once({ op: 'flush', path, to: at + bytes.length, lease }) : staged;
  }

  async #create(path: LakePath, lease: string, expect: OpenHow['expect']): Promise<Appender> {
    const isAtomic = this.#kind === 'files';
    const request = { op: 'create', path, lease: isAtomic ? lease : null, anyway: !this.#rules.ifNoneMatch } as const;
    let reply = await this.#once(request);
    const isSure = reply !== null;
    while (reply === null) reply = await this.#once(request);
    // Refused, with nothing lost before: it is somebody else's.
    if (reply.is !== 'ok' && isSure && expect === 'absent') throw new SluiceError(LAKE_CONFLICT, `${path} exists already`);
    if (!isAtomic || reply.is !== 'ok') reply = await this.#again({ op: 'acquire', path, lease });
    const { length } = this.#granted(reply, path).bytes;
    if (length > 0) throw new SluiceError(LAKE_CONFLICT, `${path} exists already`);
    return new ObjectAppender(this, path, lease, 0);
  }

  #granted(reply: ObjectReply, path: LakePath): ObjectReply & { is: 'ok' } {
    if (reply.is === 'ok') return reply;
    throw new SluiceError(LAKE_CONFLICT, `${path}: ${reply.is === 'no' ? reply.why : 'it is gone'}`);
  }

  #lease(): string {
    return `${this.#owner}.${(this.#leases += 1)}`;
  }

  /** `null`: nobody knows. */
  async #once(request: ObjectRequest): Promise<ObjectReply | null> {
    try {
      return await this.#send(request);
    } catch (error) {
      if (error instanceof OutcomeUnknown) return null;
      throw error;
    }
  }

  /** For what does the same however often it is done. */
  async #again(request: ObjectRequest): Promise<ObjectReply> {
    for (;;) {
      const reply = await this.#once(request);
      if (reply !== null) return reply;
    }
  }
}

class ObjectAppender implements Appender {
  readonly path: LakePath;
  readonly #lake: ObjectLake;
  #lease: string;
  #length: number;
  #closed = false;

  constructor(lake: ObjectLake, path: LakePath, lease: string, length: number) {
    this.#lake = lake;
    this.path = path;
    this.#lease = lease;
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat(chunks);
    if (bytes.length === 0) return;
    this.#lease = await this.#lake.append(this.path, bytes, this.#length, this.#lease);
    this.#length += bytes.length;
  }

  async close(): Promise<LakeFile> {
    await this[Symbol.asyncDispose]();
    return { path: this.path, size: this.#length, etag: '' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#lake.release(this.path, this.#lease);
  }
}
