/**
 * Collections read whole: cut into ranges of `_id`, read in parallel, in raw batches.
 *
 * Ranges are bounds of the `_id` index (`min`, `max`, `hint`), which cross the types of BSON; a filter such as `$gte` compares
 * within one type alone and would leave the others out. Keys travel as the bytes that the server sent: decoded and encoded
 * again, a date outside of JavaScript's range or a symbol would be another key.
 *
 * Invariants: nothing that is read is older than the snapshot's point (`afterClusterTime`, `majority`), and what is read
 * after a lost connection lies strictly after the last key that was given out.
 */
import { setImmediate } from 'node:timers/promises';
import { MaxKey, Timestamp as BsonTimestamp } from 'bson';
import { MongoServerError, type MongoClient } from 'mongodb';
import { BufferPool } from '../../core/buffer-pool.ts';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_FAILED } from '../../core/errors.ts';
import { formatNamespace, NamespaceFilter, type Namespace } from '../../core/namespace.ts';
import type { DocumentBatch, KeyRange, RangeReading, SnapshotPoint, SnapshotSource, SnapshotTarget } from '../../core/snapshot.ts';
import type { Timestamp } from '../../core/time.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import type { Logger } from '../../ops/log.ts';
import type { PipelineStats } from '../../ops/stats.ts';
import { canTakeConnection } from './connection.ts';
import { DocumentKeys } from './encode/document-key.ts';
import { DocumentEncoder, keysOf, type DocumentLineOptions } from './encode/document.ts';
import { ExhaustCursor } from './exhaust-cursor.ts';
import { Masker, type MaskOptions } from './mask/masker.ts';
import { TokenSeal } from './mask/tokens.ts';
import { hostsOf, makeClient, matchingCollections, type CollectionInfo } from './inspect.ts';
import { RawCursor, type CursorCommand } from './raw-cursor.ts';
import { connectError, judge, serverSays } from './server-errors.ts';
import { shardKeyOf } from './sharding.ts';
import { Throttle } from './throttle.ts';

export interface MongoSnapshotOptions extends Omit<DocumentLineOptions, 'mask' | 'keys'> {
  readonly mask: MaskOptions | null;
  readonly uri: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly exhaust: boolean;
  /** What all ranges together may read, as BSON; `null`: as much as goes. */
  readonly bytesPerSecondMax: number | null;
}

const POOL_BYTES_MAX = 32 * 1024 * 1024;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;
const CLOSE_MS_MAX = 2_000;
/** Errors that the table does not know are tried this often in a row without progress. */
const UNKNOWN_ERRORS_MAX = 5;
/** Keys that are looked at for each range: ranges are then within some tenths of each other. */
const KEYS_PER_RANGE = 32;
/** A random look at the whole collection must not take longer; without it the collection is one range. */
const CUT_MS_MAX = 60_000;
const STATS_MS_MAX = 5_000;
const TARGETS_AT_ONCE = 8;
/** The collection was dropped, or its index was: a new cursor says which. */
const QUERY_PLAN_KILLED = 175;
const NAMESPACE_NOT_FOUND = 26;
const ID_HINT = { _id: 1 };
const MIN_KEY = 0xff;
const MAX_KEY = 0x7f;

export class MongoSnapshots implements SnapshotSource {
  readonly #options: MongoSnapshotOptions;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  readonly #log: Logger;
  readonly #client: MongoClient;
  readonly #pool = new BufferPool(POOL_BYTES_MAX);
  readonly #throttle: Throttle | null;
  readonly #silenceMsMax: number;
  readonly #filter: NamespaceFilter;
  readonly #mask: Masker | null;
  /** Of keys: what is masked may not be in a checkpoint either. */
  readonly #seal: TokenSeal;

  constructor(options: MongoSnapshotOptions, clock: Clock, stats: PipelineStats, log: Logger) {
    this.#options = options;
    this.#clock = clock;
    this.#stats = stats;
    this.#log = log;
    this.#filter = new NamespaceFilter(options.include, options.exclude);
    this.#mask = options.mask === null ? null : new Masker(options.mask);
    this.#seal = new TokenSeal(options.mask?.key ?? null);
    this.#client = makeClient(options.uri, { compressors: ['none'] });
    this.#silenceMsMax = this.#client.options.socketTimeoutMS;
    this.#throttle = options.bytesPerSecondMax === null ? null : new Throttle(options.bytesPerSecondMax, clock);
  }

  covers(ns: Namespace): boolean {
    return ns.coll !== null && !ns.coll.startsWith('system.') && this.#filter.matches(ns);
  }

  async targets(signal: AbortSignal): Promise<readonly SnapshotTarget[]> {
    return await this.#asked(signal, async () => {
      const { include, exclude } = this.#options;
      const found = await matchingCollections(this.#client, include, exclude);
      const targets: SnapshotTarget[] = [];
      for (let at = 0; at < found.length; at += TARGETS_AT_ONCE) {
        const some = found.slice(at, at + TARGETS_AT_ONCE);
        targets.push(...(await Promise.all(some.map((info) => this.#target(info)))));
      }
      return targets;
    });
  }

  async cut(ns: Namespace, parts: number, signal: AbortSignal): Promise<readonly KeyRange[]> {
    const keys = parts <= 1 ? [] : await this.#asked(signal, () => this.#someKeys(ns, parts * KEYS_PER_RANGE, signal));
    const bounds: Uint8Array[] = [];
    for (let n = 1; n < parts; n += 1) {
      const key = keys[Math.floor((n * keys.length) / parts)];
      // Few documents may be looked at more than once; and no range lies beyond the ends of all keys.
      if (
        key !== undefined &&
        !isOfType(key, MIN_KEY) &&
        !isOfType(key, MAX_KEY) &&
        (bounds.length === 0 || Buffer.compare(bounds.at(-1)!, key) !== 0)
      )
        bounds.push(key);
    }
    const sealed = bounds.map((key) => this.#seal.seal(key));
    return [null, ...sealed].map((from, n) => ({ from, to: sealed[n] ?? null }));
  }

  async *documents(ns: Namespace, range: RangeReading, at: SnapshotPoint, signal: AbortSignal): AsyncGenerator<DocumentBatch> {
    const opened = (key: Uint8Array | null): Uint8Array | null => (key === null ? null : this.#seal.open(key));
    const [from, to] = [opened(range.from), opened(range.to)];
    let after = opened(range.after);
    let failures = 0;
    let unknown = 0;
    for (;;) {
      signal.throwIfAborted();
      try {
        for await (const batch of this.#read(ns, { from, to, after }, at, signal)) {
          [failures, unknown] = [0, 0];
          after = batch.lastKey;
          yield { ...batch, lastKey: this.#seal.seal(after) };
        }
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof MongoServerError && error.code === NAMESPACE_NOT_FOUND) return;
        const verdict = judge(error);
        if (verdict.do === 'stop') throw verdict.error;
        if (verdict.do === 'retry' && !(error instanceof MongoServerError && error.code === QUERY_PLAN_KILLED)) unknown += 1;
        if (unknown > UNKNOWN_ERRORS_MAX) throw new SluiceError(SOURCE_FAILED, serverSays(error), { cause: error });
        failures += 1;
        this.#log.warn(
          { collection: formatNamespace(ns), failures, reason: serverSays(error) },
          'reading a collection broke: going on after its last document',
        );
        const ceiling = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 10));
        await this.#clock.sleep(Math.random() * ceiling, signal);
      }
    }
  }

  async clusterTime(signal: AbortSignal): Promise<Timestamp> {
    return await this.#asked(signal, async () => {
      const { operationTime } = (await this.#client.db('admin').command({ ping: 1 })) as { operationTime: BsonTimestamp };
      return { t: operationTime.t, i: operationTime.i };
    });
  }

  async hurry(signal: AbortSignal): Promise<void> {
    const note = this.#client.db('admin').command({ appendOplogNote: 1, data: { msg: 'sluice: everything before this was read' } });
    // Most users may not (it takes `clusterManager`): then the server's own note comes within ten seconds, every shard's of a cluster.
    await unlessAborted(note, signal).catch(() => {});
    signal.throwIfAborted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unlessAborted(this.#client.close(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
  }

  async *#read(ns: Namespace, range: RangeReading, at: SnapshotPoint, signal: AbortSignal): AsyncGenerator<DocumentBatch> {
    await this.#client.connect();
    const shardKey = await unlessAborted(shardKeyOf(this.#client, ns), signal);
    const keys = shardKey === null ? null : new DocumentKeys(shardKey);
    const encoder = new DocumentEncoder({ ...this.#options, mask: this.#mask, keys: keys?.isIdAlone === true ? null : keys }, ns, at);
    for (const command of findCommands(ns, range, at)) {
      for await (const batch of this.#batches(ns, command, encoder, range.after, signal)) yield batch;
    }
  }

  /** @param except key of a document that is left out: the bound is inclusive, and what was read last may be gone since, or not */
  async *#batches(
    ns: Namespace,
    command: CursorCommand,
    encoder: DocumentEncoder,
    except: Uint8Array | null,
    signal: AbortSignal,
  ): AsyncGenerator<DocumentBatch> {
    const cursor = await unlessAborted(this.#open(ns, command, signal), signal);
    let skip = except;
    let isWhole = false;
    try {
      for (let raw: Uint8Array | null = cursor.reply; raw !== null;) {
        const next: Promise<Uint8Array | null> = cursor.more(raw, signal);
        // Until somebody awaits it, a failure must not count as unhandled.
        next.catch(() => {});
        // The next question is written to the socket in a later turn, and the event loop must have its own.
        await setImmediate();
        await this.#throttle?.take(raw.byteLength, signal);
        const { count, buffer, bytes, lastKey } = encoder.encode(raw, this.#pool, skip);
        skip = null;
        this.#stats.linesLossy += encoder.lossy;
        this.#stats.linesOversize += encoder.oversize;
        [encoder.lossy, encoder.oversize] = [0, 0];
        if (lastKey !== null) yield { count, lines: buffer.subarray(0, bytes), lastKey, release: () => this.#pool.give(buffer) };
        raw = await next;
      }
      signal.throwIfAborted();
      isWhole = true;
    } finally {
      const closed = cursor.close();
      // After a failure the server may be gone.
      if (isWhole) await closed;
    }
  }

  async #open({ db, coll }: Namespace, command: CursorCommand, signal: AbortSignal): Promise<RawCursor | ExhaustCursor> {
    const of = { database: db, collection: coll };
    if (!this.#options.exhaust || !canTakeConnection(this.#client)) return await RawCursor.open(this.#client, of, command, this.#silenceMsMax);
    return await ExhaustCursor.open(this.#client, of, command, this.#silenceMsMax, signal);
  }

  /** Keys of documents at random, in the order of the index; none when it takes too long to find some. */
  async #someKeys({ db, coll }: Namespace, size: number, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const pipeline = [{ $sample: { size } }, { $project: { _id: 1 } }, { $sort: { _id: 1 } }];
    const command = { open: { aggregate: coll, pipeline, cursor: {}, maxTimeMS: CUT_MS_MAX }, more: {} };
    const keys: Uint8Array[] = [];
    try {
      const cursor = await RawCursor.open(this.#client, { database: db, collection: coll }, command, Math.max(this.#silenceMsMax, CUT_MS_MAX));
      try {
        for (let raw: Uint8Array | null = cursor.reply; raw !== null; raw = await cursor.more(raw, signal)) keys.push(...keysOf(raw));
      } finally {
        await cursor.close();
      }
    } catch (error) {
      const verdict = judge(error);
      if (verdict.do === 'stop') throw verdict.error;
      this.#log.warn({ collection: `${db}.${coll}`, reason: serverSays(error) }, 'this collection could not be cut into ranges: it is read as one');
      return [];
    }
    return keys;
  }

  async #target({ namespace, type, capped }: CollectionInfo): Promise<SnapshotTarget> {
    const refused = reasonAgainst(type);
    const caveat = capped ? 'it is capped: what the server evicts from it leaves no event, and stays in silver' : null;
    if (refused !== null) return { namespace, documents: null, bytes: null, refused, caveat };
    const pipeline = [
      { $collStats: { storageStats: {} } },
      { $group: { _id: null, count: { $sum: '$storageStats.count' }, size: { $sum: '$storageStats.size' } } },
    ];
    const stats = await this.#client
      .db(namespace.db)
      .collection(namespace.coll ?? '')
      .aggregate(pipeline, { maxTimeMS: STATS_MS_MAX })
      .next()
      // Its size is an estimate for people: a user who may not see it gets none.
      .catch(() => null);
    const number = (value: unknown): number | null => (value === undefined ? null : Number(value));
    return { namespace, documents: number(stats?.['count']), bytes: number(stats?.['size']), refused, caveat };
  }

  async #asked<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      await unlessAborted(this.#client.connect(), signal);
      return await unlessAborted(work(), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof SluiceError ? error : connectError(error, hostsOf(this.#client));
    }
  }
}

function reasonAgainst(type: string): string | null {
  if (type === 'view') return 'it is a view: snapshot the collections that it shows';
  if (type === 'timeseries') return 'it is a time series, which has no change events';
  if (type !== 'collection') return `it is of the type ${type}, which has no change events`;
  return null;
}

function findCommands({ coll }: Namespace, { from, to, after }: RangeReading, at: SnapshotPoint): CursorCommand[] {
  const min = after ?? from;
  const readConcern = { level: 'majority', afterClusterTime: lastBefore(at.clusterTime) };
  const raw = { ...(min === null ? {} : { min }), ...(to === null ? {} : { max: to }) };
  const bounded: CursorCommand = { open: { find: coll, hint: ID_HINT, sort: ID_HINT, readConcern }, raw, more: {} };
  if (min === null || to !== null) return [bounded];
  // With a lower bound alone the server takes the largest key of all for the upper one, and leaves out the document that has it.
  const last: CursorCommand = { open: { find: coll, filter: { _id: new MaxKey() }, readConcern }, more: {} };
  return isOfType(min, MAX_KEY) ? [last] : [bounded, last];
}

/** @param key BSON document of one element */
function isOfType(key: Uint8Array, type: number): boolean {
  return key[4] === type;
}

/** A point lies one tick after all that had been written when it was taken: the server's time need not have come so far. */
function lastBefore({ t, i }: Timestamp): BsonTimestamp {
  return i > 0 ? new BsonTimestamp({ t, i: i - 1 }) : new BsonTimestamp({ t: t - 1, i: 0xffffffff });
}
