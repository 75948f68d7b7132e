/**
 * Collections read whole for full dumps, all documents of one cluster time as long as the server keeps it.
 *
 * Read concern `snapshot` gives that moment, and the count at it, for as long as `minSnapshotHistoryWindowInSeconds` (five
 * minutes unless set). A collection that takes longer is read again without, and is then of no one moment.
 */
import type { Timestamp as BsonTimestamp } from 'bson';
import { MongoServerError, type ClientSession, type MongoClient } from 'mongodb';
import type { CollectionReading, Counted, DocumentLines, DocumentReader } from '../../core/documents.ts';
import { SluiceError } from '../../core/error.ts';
import { DUMP_HISTORY } from '../../core/errors.ts';
import type { Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import { PlainEncoder } from './encode/plain.ts';
import { hostsOf, makeClient, matchingCollections } from './inspect.ts';
import { Masker, type MaskOptions } from './mask/masker.ts';
import { connectError } from './server-errors.ts';

export interface MongoDocumentsOptions {
  readonly uri: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly json: 'relaxed' | 'canonical';
  readonly mask?: MaskOptions;
}

const CLOSE_MS_MAX = 2_000;
const BATCH_BYTES = 1024 * 1024;
const BATCH_DOCUMENTS = 5_000;
/** SnapshotTooOld, SnapshotUnavailable; and a server that cannot give one here (not a collection of WiredTiger). */
const NO_MOMENT = new Set([239, 246, 72, 20]);

export class MongoDocuments implements DocumentReader {
  readonly #options: MongoDocumentsOptions;
  readonly #client: MongoClient;

  constructor(options: MongoDocumentsOptions) {
    this.#options = options;
    this.#client = makeClient(options.uri);
  }

  async collections(signal: AbortSignal): Promise<readonly Namespace[]> {
    const { include, exclude } = this.#options;
    const found = await this.#asked(signal, () => matchingCollections(this.#client, include, exclude));
    return found.filter(({ type }) => type === 'collection').map(({ namespace }) => namespace);
  }

  async open(ns: Namespace, { atOneTime }: { readonly atOneTime: boolean }, signal: AbortSignal): Promise<CollectionReading> {
    const session = this.#client.startSession({ snapshot: atOneTime, ...(atOneTime ? {} : { causalConsistency: false }) });
    const reading = new Reading(this.#client, session, ns, this.#options);
    try {
      await this.#asked(signal, () => reading.begin(atOneTime));
      return reading;
    } catch (error) {
      await reading[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unlessAborted(this.#client.close(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
  }

  async #asked<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await unlessAborted(work(), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof SluiceError ? error : connectError(error, hostsOf(this.#client));
    }
  }
}

class Reading implements CollectionReading {
  readonly #client: MongoClient;
  readonly #session: ClientSession;
  readonly #ns: Namespace;
  readonly #encoder: PlainEncoder;
  readonly #masker: Masker | null;
  #before = 0;
  at: Timestamp | null = null;

  constructor(client: MongoClient, session: ClientSession, ns: Namespace, { json, mask }: MongoDocumentsOptions) {
    this.#client = client;
    this.#session = session;
    this.#ns = ns;
    this.#encoder = new PlainEncoder(json);
    this.#masker = mask === undefined ? null : new Masker(mask);
  }

  /** @throws DUMP_HISTORY */
  async begin(atOneTime: boolean): Promise<void> {
    this.#before = await momentary(() => this.#counted());
    // The driver keeps it and does not say so in its types.
    const at = atOneTime ? (this.#session as unknown as { readonly snapshotTime?: BsonTimestamp }).snapshotTime : undefined;
    if (at !== undefined) this.at = { t: at.t, i: at.i };
  }

  async *documents(signal: AbortSignal): AsyncGenerator<DocumentLines> {
    const cursor = this.#collection().find(
      {},
      { session: this.#session, raw: true, batchSize: BATCH_DOCUMENTS, ...(this.at === null ? { readConcern: 'majority' } : {}) },
    );
    try {
      let batch: Uint8Array[] = [];
      let bytes = 0;
      for (;;) {
        const next = await momentary(() => unlessAborted(cursor.next(), signal));
        if (next !== null) {
          const raw = next as unknown as Uint8Array;
          const document = this.#masker === null ? raw : this.#masker.document(raw, this.#ns);
          batch.push(document);
          bytes += document.length;
        }
        if (batch.length > 0 && (next === null || bytes >= BATCH_BYTES || batch.length >= BATCH_DOCUMENTS)) {
          yield { count: batch.length, lines: this.#encoder.lines(batch) };
          [batch, bytes] = [[], 0];
        }
        if (next === null) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof SluiceError ? error : connectError(error, hostsOf(this.#client));
    } finally {
      await unlessAborted(cursor.close(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
    }
  }

  async count(): Promise<Counted> {
    const after = this.at === null ? await this.#counted() : this.#before;
    return { least: Math.min(this.#before, after), most: Math.max(this.#before, after) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unlessAborted(this.#session.endSession(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
  }

  async #counted(): Promise<number> {
    const found = await this.#collection()
      .aggregate([{ $count: 'n' }], { session: this.#session })
      .next();
    return Number(found?.['n'] ?? 0);
  }

  #collection() {
    return this.#client.db(this.#ns.db).collection(this.#ns.coll ?? '');
  }
}

/** @throws DUMP_HISTORY when the server cannot give, or no longer knows, the moment that is asked for */
async function momentary<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MongoServerError && NO_MOMENT.has(Number(error.code))) throw new SluiceError(DUMP_HISTORY, error.message, { cause: error });
    throw error;
  }
}
