/**
 * One change stream, read raw.
 *
 * The driver's `watch()` decodes every event and is four times slower, so its work is ours: an explicit session (a
 * cursor outlives its socket only in one), resume after a fail-over, the post-batch token, `killCursors` at the end.
 * Invariants: positions strictly rise; the next `getMore` is on its way while this batch is encoded and written; what is
 * read after a resume lies strictly after what was yielded.
 */
import { setImmediate } from 'node:timers/promises';
import { Timestamp as BsonTimestamp, deserialize } from 'bson';
import { MongoNetworkTimeoutError, MongoServerError, type Document, type MongoClient } from 'mongodb';
import { BufferPool } from '../../core/buffer-pool.ts';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import {
  CONFIG_INVALID,
  HISTORY_LOST,
  SOURCE_DENIED,
  SOURCE_EVENT_TOO_LARGE,
  SOURCE_FAILED,
  SOURCE_PROTOCOL,
  SOURCE_STANDALONE,
  SOURCE_VERSION,
} from '../../core/errors.ts';
import type { ChangeBatch, ResumePoint } from '../../core/event.ts';
import type { Source, SourceIdentity, StartAt } from '../../core/source.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Logger } from '../../ops/log.ts';
import type { PipelineStats } from '../../ops/stats.ts';
import { canTakeConnection } from './connection.ts';
import { assertHasCome, oldestEntryOf, oldestReachable, replicaSetIdOf } from './deployment.ts';
import { nameDepartures } from './departures.ts';
import { LineEncoder } from './encode/line.ts';
import { assertRising, encodeReply, resumeAfter, slicesOfReply } from './encode/reply.ts';
import { ExhaustCursor } from './exhaust-cursor.ts';
import { hostsOf, makeClient } from './inspect.ts';
import { LARGE_STEPS, type LargeStep } from './large-events.ts';
import { RawCursor, changeStreamOf, type OpenLimits } from './raw-cursor.ts';
import { Masker, type MaskOptions } from './mask/masker.ts';
import { Ranks } from './mask/ranks.ts';
import { TokenSeal } from './mask/tokens.ts';
import { isMongos } from './sharding.ts';
import { withoutRepeated } from './repeated-events.ts';
import { connectError, judge, serverSays } from './server-errors.ts';
import { planStream, type StreamOptions, type StreamPlan } from './stream-plan.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import { canSplitEvents, isSupported, parseVersion, type ServerVersion } from './version.ts';

export interface MongoSourceOptions extends StreamOptions {
  readonly uri: string;
  readonly json: 'relaxed' | 'canonical';
  readonly maxLineBytes: number;
  /** Lets the server answer without being asked, on a connection of its own, where that can be had. */
  readonly exhaust: boolean;
  /** After this long without an answer it is said aloud; there is no limit to the trying. */
  readonly unavailableAfterMs: number;
  /** Left out: nothing is masked, and positions hold keys. */
  readonly mask?: MaskOptions;
}

/** A server may search its oplog for long before it finds an event: more patience than this is given to no search. */
const SILENCE_MS_MAX = 4 * 60 * 60_000;
const POOL_BYTES_MAX = 32 * 1024 * 1024;
/** A millisecond or two of encoding: larger ones keep the event loop for 20 ms and more while MongoDB wants the cores, too. */
const SLICE_BYTES_MAX = 512 * 1024;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;
/** For the look at the oplog's beginning, which takes no time; the search for the first event after it may. */
const REACH_MS_MAX = 5_000;
const CLOSE_MS_MAX = 2_000;
const MAX_TIME_EXPIRED = 50;
/** Errors that the table does not know are tried this often in a row without progress. */
const UNKNOWN_ERRORS_MAX = 5;

/** How a stream is read that is not read like all others. */
interface Reading {
  readonly batchSize?: number;
  /** What is left out of an event that is too large. */
  readonly large?: LargeStep;
}

export class MongoSource implements Source {
  readonly #options: MongoSourceOptions;
  readonly #plan: StreamPlan;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  readonly #log: Logger;
  readonly #client: MongoClient;
  #stages: readonly Document[];
  #isSharded = false;
  readonly #mask: Masker | null;
  readonly #seal: TokenSeal;
  /** For the lines of batches. */
  readonly #pool = new BufferPool(POOL_BYTES_MAX);
  /** How long the server may say nothing, though it was not asked to wait, until the socket is given up. */
  #silenceMsMax: number;

  constructor(options: MongoSourceOptions, clock: Clock, stats: PipelineStats, log: Logger) {
    this.#options = options;
    this.#plan = planStream(options);
    this.#stages = this.#plan.stages;
    this.#clock = clock;
    this.#stats = stats;
    this.#log = log;
    const { mask } = options;
    this.#mask = mask === undefined ? null : new Masker(mask);
    this.#seal = new TokenSeal(mask?.key ?? null);
    // Compression makes loopback and data-centre links slower, never faster.
    this.#client = makeClient(options.uri, { compressors: ['none'] });
    this.#silenceMsMax = this.#client.options.socketTimeoutMS;
  }

  async open(signal: AbortSignal): Promise<SourceIdentity> {
    return await unlessAborted(this.#open(signal), signal);
  }

  async #open(signal: AbortSignal): Promise<SourceIdentity> {
    const where = hostsOf(this.#client);
    let hello: Document;
    let version: ServerVersion;
    try {
      await this.#client.connect();
      signal.throwIfAborted();
      const admin = this.#client.db('admin');
      hello = await admin.command({ hello: 1 });
      version = parseVersion(String((await admin.command({ buildInfo: 1 }))['version']));
    } catch (error) {
      signal.throwIfAborted();
      throw connectError(error, where);
    }
    this.#isSharded = isMongos(hello);
    if (hello['setName'] === undefined && !this.#isSharded) throw new SluiceError(SOURCE_STANDALONE, where);
    if (!isSupported(version)) throw new SluiceError(SOURCE_VERSION, `${where} runs ${version.text}`);
    const split = canSplitEvents(version);
    // Must be the last stage.
    if (split) this.#stages = [...this.#plan.stages, { $changeStreamSplitLargeEvent: {} }];
    await this.#probe();
    const set = await replicaSetIdOf(this.#client, hello);
    return {
      fingerprint: [set, `${version.major}.${version.minor}`, this.#plan.digest, split ? 'split' : 'whole'].join(' '),
      description: `${where} (${this.#plan.level}${this.#plan.level === 'cluster' ? '' : ` ${this.#plan.database}`}${this.#plan.collection === null ? '' : `.${this.#plan.collection}`})`,
    };
  }

  async resolve(start: StartAt, signal: AbortSignal): Promise<ResumePoint> {
    return await unlessAborted(this.#resolve(start, signal), signal);
  }

  async #resolve(start: StartAt, signal: AbortSignal): Promise<ResumePoint> {
    try {
      switch (start.kind) {
        case 'now':
          return await this.#pointOf({});
        case 'time':
          return await this.#reachablePoint({ startAtOperationTime: bsonTimestamp(start.at) });
        case 'token':
          await this.#reachablePoint({ startAfter: deserialize(start.token, { promoteValues: false }) });
          return this.#seal.pointOf(start.token);
        case 'oldest':
          return await this.#oldest();
      }
    } catch (error) {
      signal.throwIfAborted();
      throw connectError(error, 'opening the change stream');
    }
  }

  async *changes(after: ResumePoint, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    let point = after;
    let failures = 0;
    let unknown = 0;
    let failingSinceMs = 0;
    let isLarge = false;
    while (!signal.aborted) {
      try {
        for await (const batch of isLarge ? this.#cross(point, signal) : this.#stream(point, signal)) {
          if (failures > 0 && this.#stats.state === 'reconnecting') {
            this.#log.info({ seconds: (this.#clock.now() - failingSinceMs) / 1000 }, 'the change stream is back');
            this.#stats.state = 'running';
          }
          // To be open again is no progress: what fails with every reply after the first would be tried for ever, in a rush.
          if (batch.resume.position !== point.position) {
            failures = 0;
            unknown = 0;
            this.#silenceMsMax = this.#client.options.socketTimeoutMS;
          }
          point = batch.resume;
          yield batch;
        }
        isLarge = false;
      } catch (error) {
        if (signal.aborted) return;
        const verdict = judge(error);
        if (verdict.do === 'stop' && SluiceError.is(verdict.error, SOURCE_EVENT_TOO_LARGE) && !isLarge) {
          isLarge = true;
          continue;
        }
        if (verdict.do === 'stop') throw verdict.error;
        // Lost, or still searching: given up too early, a long search would begin again at the same place for ever.
        if (error instanceof MongoNetworkTimeoutError) this.#silenceMsMax = Math.min(this.#silenceMsMax * 2, SILENCE_MS_MAX);
        unknown += verdict.do === 'retry' ? 1 : 0;
        if (unknown > UNKNOWN_ERRORS_MAX) throw new SluiceError(SOURCE_FAILED, serverSays(error), { cause: error });
        if (failures === 0) failingSinceMs = this.#clock.now();
        failures += 1;
        await this.#backOff(failures, failingSinceMs, error, signal);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // To say goodbye the driver waits for a server that may never answer: longer than a stop may take.
    await unlessAborted(this.#client.close(), AbortSignal.timeout(CLOSE_MS_MAX)).catch(() => {});
  }

  /** Ends when the server closes the cursor (invalidate) or the signal aborts. */
  async *#stream(after: ResumePoint, signal: AbortSignal, reading: Reading = {}): AsyncGenerator<ChangeBatch> {
    const counted = { lossy: 0, oversize: 0 };
    // `startAfter` also goes on after an invalidate, where `resumeAfter` refuses.
    const start = { startAfter: deserialize(this.#seal.open(after.token), { promoteValues: false }) };
    const cursor = await unlessAborted(this.#openStream(start, reading, signal), signal);
    let point = after;
    let last = String((start.startAfter as { readonly _data?: unknown })._data);
    const ranks = this.#isSharded && this.#mask !== null ? new Ranks(last, after.position) : null;
    const encoder = this.#encoder(reading.large, ranks);
    let isWhole = false;
    try {
      await unlessAborted(assertHasCome(this.#client, after), signal);
      for (let raw: Uint8Array | null = cursor.reply; raw !== null;) {
        const next: Promise<Uint8Array | null> = cursor.more(raw, signal);
        // Until somebody awaits it, a failure must not count as unhandled.
        next.catch(() => {});
        // The driver writes to the socket in a later turn: without this the server would idle while we encode. And a reply that has
        // come in may be taken without a wait: the event loop must have its turn all the same.
        await setImmediate();
        const told = this.#isSharded ? withoutRepeated(raw, last) : { cursor: raw, last };
        last = told.last;
        if (this.#isSharded) await unlessAborted(nameDepartures(this.#client, told.cursor), signal);
        for (const encoded of slicesOfReply(told.cursor, encoder, SLICE_BYTES_MAX, this.#pool)) {
          assertRising(encoded, point);
          point = resumeAfter(encoded, point, (token) => this.#seal.pointOf(token));
          if (ranks !== null) point = ranks.placed(point);
          // Others count there, too.
          this.#stats.linesLossy += encoder.lossy - counted.lossy;
          this.#stats.linesOversize += encoder.oversize - counted.oversize;
          [counted.lossy, counted.oversize] = [encoder.lossy, encoder.oversize];
          const { events, isLast } = encoded;
          yield { events, resume: point, watermark: point.clusterTime, release: () => this.#pool.give(events.lines) };
          if (!isLast) await setImmediate();
        }
        raw = await next;
      }
      isWhole = true;
    } finally {
      const closed = cursor.close();
      // After a failure the server may be gone, and whoever opens the stream again must not wait for it.
      if (isWhole) await closed;
    }
  }

  /** Up to an event that the server cannot send whole, and past it with as much of it as it can. @throws SOURCE_EVENT_TOO_LARGE */
  async *#cross(after: ResumePoint, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    let point = after;
    for (const large of [undefined, ...LARGE_STEPS]) {
      try {
        for await (const batch of this.#stream(point, signal, { batchSize: 1, ...(large === undefined ? {} : { large }) })) {
          point = batch.resume;
          if (large !== undefined && batch.events.count > 0)
            this.#log.warn({ position: point.position, without: large.without }, 'an event is larger than this server can send');
          yield batch;
          // Without events, and thus without a large one, all that failed before was got past.
          if (large !== undefined ? batch.events.count > 0 : batch.events.count === 0) return;
        }
        return;
      } catch (error) {
        const verdict = judge(error);
        const isLast = large === LARGE_STEPS.at(-1);
        if (isLast || verdict.do !== 'stop' || !SluiceError.is(verdict.error, SOURCE_EVENT_TOO_LARGE)) throw error;
      }
    }
  }

  #encoder(large?: LargeStep, ranks: Ranks | null = null): LineEncoder {
    const { json } = this.#options;
    const maxLineBytes = large?.isStub === true ? 0 : this.#options.maxLineBytes;
    const { database, collection, level } = this.#plan;
    return new LineEncoder({ json, maxLineBytes, database: level === 'cluster' ? null : database, collection, mask: this.#mask, ranks });
  }

  /** Where the server may send without being asked, it does. */
  async #openStream(start: Document, { batchSize, large }: Reading, signal: AbortSignal): Promise<RawCursor | ExhaustCursor> {
    if (batchSize !== undefined || large !== undefined || !this.#options.exhaust || !canTakeConnection(this.#client)) {
      return await this.#openCursor(start, batchSize === undefined ? {} : { batchSize }, large);
    }
    return await ExhaustCursor.open(this.#client, this.#plan, changeStreamOf(this.#plan, this.#pipeline(start)), this.#silenceMsMax, signal);
  }

  async #openCursor(start: Document, limits: OpenLimits = {}, large?: LargeStep): Promise<RawCursor> {
    // What is left out is left out last: the user's own conditions may be about it.
    const pipeline = [...this.#pipeline(start), ...(large === undefined ? [] : [{ $unset: large.without }])];
    return await RawCursor.open(this.#client, this.#plan, changeStreamOf(this.#plan, pipeline, limits), this.#silenceMsMax);
  }

  #pipeline(start: Document): readonly Document[] {
    return [{ $changeStream: { ...this.#plan.changeStream, ...start } }, ...this.#stages];
  }

  /** Where a stream that is opened like this begins, without reading an event. */
  async #pointOf(start: Document): Promise<ResumePoint> {
    const cursor = await this.#openCursor(start, { batchSize: 0 });
    await cursor.close();
    const token = encodeReply(cursor.reply, this.#encoder()).postBatchResumeToken;
    if (token === null) throw new SluiceError(SOURCE_PROTOCOL, 'a new change stream came without a post-batch resume token');
    return this.#seal.pointOf(token);
  }

  /** As {@link MongoSource.#pointOf}, once the server has looked whether its oplog reaches back: for a batch of none it does not. */
  async #reachablePoint(start: Document): Promise<ResumePoint> {
    try {
      const cursor = await this.#openCursor(start, { batchSize: 1, maxTimeMS: REACH_MS_MAX });
      // A `mongos` has opened the streams of its shards and need not have asked them anything.
      if (this.#isSharded) await cursor.more(cursor.reply, AbortSignal.timeout(REACH_MS_MAX));
      await cursor.close();
    } catch (error) {
      // It looks at the first entry before it searches for an event: while it searches, the entry is there.
      if (!(error instanceof MongoServerError && error.code === MAX_TIME_EXPIRED)) throw error;
    }
    const point = await this.#pointOf(start);
    await assertHasCome(this.#client, point);
    return point;
  }

  /** Rights and the user's own `$match` are tried before anything depends on them. */
  async #probe(): Promise<void> {
    try {
      await this.#pointOf({});
    } catch (error) {
      const verdict = judge(error);
      if (verdict.do === 'stop' && SluiceError.is(verdict.error, SOURCE_DENIED)) throw verdict.error;
      if (verdict.do === 'resume') throw connectError(error, 'opening the change stream');
      throw new SluiceError(
        CONFIG_INVALID,
        `the server does not accept this change stream (source.match, include, fullDocument): ${serverSays(error)}`,
        { cause: error },
      );
    }
  }

  async #oldest(): Promise<ResumePoint> {
    const ts = this.#isSharded ? await this.#oldestOfShards() : await oldestEntryOf(this.#client);
    // The very oldest entries may be cut away before the stream is open: a few seconds later is surely there.
    for (const margin of [0, 1, 10, 60]) {
      try {
        return await this.#reachablePoint({ startAtOperationTime: margin === 0 ? ts : new BsonTimestamp({ t: ts.t + margin, i: 1 }) });
      } catch (error) {
        const verdict = judge(error);
        if (verdict.do !== 'stop' || !SluiceError.is(verdict.error, HISTORY_LOST)) throw error;
      }
    }
    throw new SluiceError(HISTORY_LOST, 'the oplog is cut faster than it can be read');
  }

  async #oldestOfShards(): Promise<BsonTimestamp> {
    const { clusterTime } = await this.#pointOf({});
    const seconds = await oldestReachable(clusterTime.t, async (t) => {
      try {
        await this.#reachablePoint({ startAtOperationTime: new BsonTimestamp({ t, i: 1 }) });
        return true;
      } catch (error) {
        const verdict = judge(error);
        if (verdict.do === 'stop' && SluiceError.is(verdict.error, HISTORY_LOST)) return false;
        throw error;
      }
    });
    return new BsonTimestamp({ t: seconds, i: 1 });
  }

  async #backOff(failures: number, sinceMs: number, error: unknown, signal: AbortSignal): Promise<void> {
    const downMs = this.#clock.now() - sinceMs;
    const loud = downMs >= this.#options.unavailableAfterMs;
    this.#stats.state = 'reconnecting';
    this.#stats.reconnects += 1;
    const fields = { failures, downSeconds: Math.round(downMs / 1000), reason: serverSays(error) };
    if (loud) this.#log.error(fields, 'MongoDB has not answered for long: nothing is lost as long as the oplog reaches back');
    else this.#log.warn(fields, 'the change stream broke: opening it again after the last event');
    const ceiling = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 10));
    // Full jitter: many pipelines that lost one server do not come back as one.
    await this.#clock.sleep(Math.random() * ceiling, signal).catch(() => {});
  }
}

function bsonTimestamp(at: Timestamp): BsonTimestamp {
  return new BsonTimestamp({ t: at.t, i: at.i });
}
