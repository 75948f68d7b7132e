/**
 * A lake in a container of an Azure storage account.
 *
 * Nothing but leases keeps a former owner from writing: every append carries one, and to open a part is to break whoever's it
 * was, at once, and to take one's own; then the part is looked at. Whole files are put in one conditional request. What the
 * network leaves open is settled here, so that the pipeline never meets an outcome that is not known.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED, LAKE_DENIED, LAKE_NETWORK, LAKE_NO_CONTAINER, LAKE_OTHER_WRITER } from '../../core/errors.ts';
import type { Appender, Lake, LakeFile, LakePath, OpenHow, Ownership } from '../../core/lake.ts';
import { assertLakePath, folderPrefix } from '../path.ts';
import { AzureAppender, leaseOf } from './appender.ts';
import type { BlobEndpoint, Head, ListRequest } from './blob-endpoint.ts';
import { leaseFileOf, listInOrder } from './list.ts';
import { takeOwnership } from './ownership.ts';
import type { PartWriter } from './part-writer.ts';
import type { Persistence } from './persistence.ts';
import { readFrom } from './read.ts';
import { isContainerGone, isGone, isLeaseLost, isLeased, isUnmet, unexpected, type Refused } from './reply.ts';

/** Owners that open one part at once break each other's leases: each has it in the end, the last one keeps it. */
const FENCES_MAX = 50;

export interface AzureLakeParts {
  readonly endpoint: BlobEndpoint;
  readonly writer: PartWriter;
  readonly list: ListRequest;
  readonly persistence: Persistence;
  readonly clock: Clock;
  readonly renewMs: number;
  /** Called before the pipeline is owned: is this an account for such parts? */
  readonly assertUsable: (() => Promise<void>) | null;
  readonly description: string;
}

export class AzureLake implements Lake {
  /** Put Blob makes a block blob. */
  readonly appendsAfterPut = false;
  readonly description: string;
  readonly #parts: AzureLakeParts;
  readonly #endpoint: BlobEndpoint;
  readonly #writer: PartWriter;
  readonly #persistence: Persistence;

  constructor(parts: AzureLakeParts) {
    this.#parts = parts;
    this.description = parts.description;
    this.#endpoint = parts.endpoint;
    this.#writer = parts.writer;
    this.#persistence = parts.persistence;
  }

  async stat(path: LakePath): Promise<LakeFile | null> {
    assertLakePath(path);
    const head = await this.#head(path);
    return head === null ? null : { path, size: head.length, etag: head.etag };
  }

  async open(path: LakePath, how: OpenHow, signal: AbortSignal): Promise<Appender> {
    assertLakePath(path);
    signal.throwIfAborted();
    if (how.expect === 'any') return await this.#fence(path, how, signal);
    const made = await this.#create(path, how.epoch, signal);
    if (made === null) throw new SluiceError(LAKE_CONFLICT, `${path} exists already`);
    return made;
  }

  async own(checkpoint: LakePath, { takeOver }: { readonly takeOver: boolean }, signal: AbortSignal): Promise<Ownership | null> {
    assertLakePath(checkpoint);
    signal.throwIfAborted();
    const { clock, renewMs } = this.#parts;
    await this.#parts.assertUsable?.();
    const makeFile = async (path: LakePath): Promise<void> => {
      try {
        await this.#put(path, new Uint8Array(), null);
      } catch (error) {
        if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
      }
    };
    const parts = { endpoint: this.#endpoint, persistence: this.#persistence, clock, renewMs, makeFile };
    return await takeOwnership(leaseFileOf(checkpoint), parts, takeOver, signal);
  }

  async put(path: LakePath, bytes: Uint8Array, expect: 'absent' | LakeFile): Promise<LakeFile> {
    assertLakePath(path);
    const etag = await this.#put(path, bytes, expect === 'absent' ? null : expect.etag);
    return { path, size: bytes.byteLength, etag };
  }

  async *read(path: LakePath, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    assertLakePath(path);
    yield* readFrom(this.#endpoint, this.#persistence, path, from, signal);
  }

  async *list(prefix: LakePath, signal: AbortSignal): AsyncGenerator<LakeFile> {
    yield* listInOrder(this.#parts.list, this.#persistence, folderPrefix(prefix), signal);
  }

  async remove(path: LakePath): Promise<void> {
    assertLakePath(path);
    const doing = `remove ${path}`;
    for (;;) {
      const reply = await this.#persistence.again((s) => this.#endpoint.remove(path, s), doing);
      if (reply.is === 'ok' || isGone(reply) || isContainerGone(reply)) return;
      if (!isLeaseLost(reply)) throw unexpected(reply, doing);
      await this.#persistence.again((s) => this.#endpoint.breakLease(path, s), doing);
    }
  }

  localPath(): null {
    return null;
  }

  /** Connections are the process's, leases those of appenders and owners. */
  async [Symbol.asyncDispose](): Promise<void> {}

  async #head(path: LakePath): Promise<Head | null> {
    const doing = `look at ${path}`;
    const reply = await this.#persistence.again((s) => this.#endpoint.head(path, s), doing);
    if (reply.is === 'ok') return reply.value;
    if (isGone(reply) || isContainerGone(reply)) return null;
    throw unexpected(reply, doing);
  }

  async #put(path: LakePath, bytes: Uint8Array, expect: string | null): Promise<string> {
    const doing = `put ${path}`;
    for (;;) {
      const reply = await this.#persistence.again((s) => this.#endpoint.put(path, bytes, expect, s), doing, undefined, bytes.byteLength);
      if (reply.is === 'ok') return reply.value;
      if (isContainerGone(reply)) {
        await this.#createContainer(reply);
        continue;
      }
      if (!isUnmet(reply) && !isGone(reply)) throw unexpected(reply, doing);
      // The repeat of a request that may have been carried out is refused by its own work.
      const etag = reply.repeated ? await this.#etagIfSame(path, bytes) : null;
      if (etag !== null) return etag;
      throw new SluiceError(LAKE_CONFLICT, `${path}: ${reply.code}`, { cause: reply.error });
    }
  }

  /** The file's etag if it holds these bytes. */
  async #etagIfSame(path: LakePath, bytes: Uint8Array): Promise<string | null> {
    const head = await this.#head(path);
    if (head === null || head.length !== bytes.byteLength) return null;
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(path, 0, new AbortController().signal)) chunks.push(chunk);
    if (!Buffer.concat(chunks).equals(bytes)) return null;
    // Read after its etag: replaced meanwhile, the next put is refused by that etag.
    return head.etag;
  }

  /** `null`: it is there, and somebody else has made it. */
  async #create(path: LakePath, epoch: number, signal: AbortSignal): Promise<Appender | null> {
    const doing = `create ${path}`;
    const lease = leaseOf(epoch);
    const nonce = randomUUID();
    let etag: string | null = null;
    while (etag === null) {
      const reply = await this.#persistence.again((s) => this.#writer.create(path, lease, nonce, s), doing, signal);
      if (reply.is === 'ok') etag = reply.value;
      else if (isContainerGone(reply)) await this.#createContainer(reply);
      else if (isUnmet(reply)) {
        const there = await this.#head(path);
        if (there?.nonce !== nonce) return null;
        etag = there.etag;
      } else throw unexpected(reply, doing);
    }
    if (!this.#writer.leasesAtCreate) {
      const leased = await this.#persistence.again((s) => this.#endpoint.acquire(path, lease, s), `lease ${path}`, signal);
      // A successor has fenced it in between.
      if (leased.is === 'refused') throw new SluiceError(LAKE_CONFLICT, `${path}: ${leased.code}`, { cause: leased.error });
    }
    return new AzureAppender(path, this.#endpoint, this.#writer, this.#persistence, { length: 0, etag, lease, blocks: 0, epoch });
  }

  async #fence(path: LakePath, { epoch, length = 0 }: OpenHow, signal: AbortSignal): Promise<Appender> {
    for (let tries = 0; tries < FENCES_MAX; tries += 1) {
      const broken = await this.#persistence.again((s) => this.#endpoint.breakLease(path, s), `fence ${path}`, signal);
      if (broken.is === 'refused' && (isGone(broken) || isContainerGone(broken))) {
        if (length > 0) throw new SluiceError(LAKE_DAMAGED, `${path} is missing, ${length} bytes were durable`);
        const made = await this.#create(path, epoch, signal);
        if (made !== null) return made;
        continue;
      }
      if (broken.is === 'refused' && !broken.code.startsWith('Lease')) throw unexpected(broken, `fence ${path}`);
      const lease = leaseOf(epoch);
      const leased = await this.#persistence.again((s) => this.#endpoint.acquire(path, lease, s), `lease ${path}`, signal);
      const taken = leased.is === 'ok' ? await this.#takeOver(path, epoch, length, lease, signal) : null;
      if (taken !== null) return taken;
      if (leased.is === 'refused' && !isLeased(leased) && !isGone(leased)) throw unexpected(leased, `lease ${path}`);
      // Whoever came in between is let through first.
      if (tries > 0) await this.#parts.clock.sleep(Math.random() * 20 * tries, signal);
    }
    throw new SluiceError(LAKE_CONFLICT, `${path}: others open it all the time`);
  }

  /** Under a lease just taken nobody else can write: now what is there may be looked at. `null`: the lease was broken meanwhile. */
  async #takeOver(path: LakePath, epoch: number, length: number, lease: string, signal: AbortSignal): Promise<Appender | null> {
    const head = await this.#head(path);
    const giveUp = async (error: SluiceError): Promise<never> => {
      await this.#persistence.once((s) => this.#endpoint.release(path, lease, s), `release ${path}`);
      throw error;
    };
    if (head === null) throw new SluiceError(LAKE_DAMAGED, `${path} is missing, ${length} bytes were durable`);
    if (head.isAppendBlob !== (this.#writer.kind === 'append blob')) {
      return await giveUp(new SluiceError(LAKE_OTHER_WRITER, `${path} is ${head.isAppendBlob ? 'an append blob' : 'no append blob'}`));
    }
    if (head.length < length) return await giveUp(new SluiceError(LAKE_DAMAGED, `${path} holds ${head.length} bytes, ${length} were durable`));
    let { etag } = head;
    const { dropStaged } = this.#writer;
    if (dropStaged !== null) {
      const dropped = await this.#persistence.again((s) => dropStaged(path, head.length, lease, s), `fence ${path}`, signal);
      if (dropped.is === 'refused') {
        if (isLeaseLost(dropped) || isGone(dropped)) return null;
        throw unexpected(dropped, `fence ${path}`);
      }
      etag = (await this.#head(path))?.etag ?? etag;
    }
    return new AzureAppender(path, this.#endpoint, this.#writer, this.#persistence, { length: head.length, etag, lease, blocks: head.blocks, epoch });
  }

  /** @throws LAKE_NO_CONTAINER this identity may not */
  async #createContainer(missing: Refused): Promise<void> {
    try {
      const reply = await this.#persistence.again((s) => this.#endpoint.createContainer(s), 'create the container');
      if (reply.is === 'ok' || reply.status === 409) return;
      throw unexpected(reply, 'create the container');
    } catch (error) {
      if (!SluiceError.is(error, LAKE_DENIED, LAKE_NETWORK)) throw error;
      throw new SluiceError(LAKE_NO_CONTAINER, this.description, { cause: missing.error });
    }
  }
}
