/**
 * Puts batches into parts: plans where each line goes, names new parts in the checkpoint, appends, moves the position.
 *
 * Invariants: a part is created only after a durable checkpoint has named it; appends of one collection-hour come one
 * after another (its parts are a sequence), those of different ones in parallel; the position moves only when every
 * line up to it is durable.
 */
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { WRITE_ORDER } from '../core/errors.ts';
import { OPERATIONS, comparePositions, positionAt, type ChangeBatch, type EventBatch, type Position } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { partPath } from '../core/layout.ts';
import type { Namespace } from '../core/namespace.ts';
import { compareTimestamps, endOfHour, hourName, hourOf, laterTimestamp, type Hour, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { hourKey, type HourRecord, type PartRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import type { Floors } from './floor.ts';
import type { Ledger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { newPart, recordAppend, type LivePart } from './parts.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

export interface WriterLimits {
  readonly layout: string;
  readonly compression: Compression;
  readonly rollBytesMax: number;
  readonly rollAgeMs: number;
  readonly partsOpenMax: number;
}

export interface WriterOptions extends WriterLimits {
  /** Of the stream that is read. */
  readonly fingerprint: string;
}

export const SUFFIX: Readonly<Record<Compression, string>> = { none: '', gzip: '.gz', zstd: '.zst' };
const COMPRESS: Readonly<Record<Exclude<Compression, 'none'>, (bytes: Uint8Array) => Promise<Buffer>>> = {
  gzip: promisify(gzip),
  zstd: promisify(zstdCompress),
};
const APPENDS_AT_ONCE = 16;

/** Lines on their way into one part. */
interface Pending {
  readonly part: LivePart;
  /** Runs of lines that lie next to each other in a batch. */
  readonly chunks: Uint8Array[];
  rows: number;
  bytes: number;
  first: Position;
  firstAt: Timestamp;
  /** Where the last line is, for its position, read once at the flush. */
  lines: Buffer;
  lastStart: number;
  lastAt: Timestamp;
  readonly ops: Uint32Array;
  /** Offset in `lines` where the last chunk ends: the next line may only lengthen it. */
  runStart: number;
  runEnd: number;
}

/** Where the events of a collection go in one hour. */
interface Route {
  readonly key: string;
  readonly ns: Namespace;
  readonly hour: Hour;
  part: LivePart | null;
  pending: Pending | null;
  /** Of this hour in order: one flush may fill several parts. */
  readonly queue: Pending[];
}

export class Writer {
  readonly #lake: Lake;
  readonly #committer: Committer;
  readonly #ledger: Ledger;
  readonly #floors: Floors;
  readonly #options: WriterOptions;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  /** Open parts that take events, by hour key. Parts of former owners are not here. */
  readonly #routes = new Map<string, Route>();
  /** Routes with lines to append. */
  readonly #dirty = new Set<Route>();
  readonly #fresh: LivePart[] = [];
  /** Parts that take no more events, until the sealer takes them. */
  #rolled: LivePart[] = [];
  #last: { lines: Buffer; start: number } | null = null;
  #planned: ChangeBatch | null = null;
  #plannedEvents = 0;
  #plannedBytes = 0;

  constructor(lake: Lake, committer: Committer, ledger: Ledger, floors: Floors, options: WriterOptions, clock: Clock, stats: PipelineStats) {
    this.#lake = lake;
    this.#committer = committer;
    this.#ledger = ledger;
    this.#floors = floors;
    this.#options = options;
    this.#clock = clock;
    this.#stats = stats;
  }

  /** A part that a clean stop left, to be continued. */
  adopt(part: LivePart, hour: Hour): void {
    const route = this.#route(part.record.ns, hour);
    route.part = part;
  }

  /** Bytes that were added and are not durable yet. */
  get plannedBytes(): number {
    return this.#plannedBytes;
  }

  /** Ends the writing: files are closed, their parts stay open for the next owner. */
  async close(): Promise<void> {
    for (const route of this.#routes.values()) await route.part?.appender?.[Symbol.asyncDispose]();
    for (const part of this.#rolled) await part.appender?.[Symbol.asyncDispose]();
    this.#routes.clear();
  }

  /** Plans a batch; nothing is written before `flush`. @throws WRITE_ORDER */
  add(batch: ChangeBatch): void {
    const { events } = batch;
    this.#planned = batch;
    if (events.count === 0) return;
    this.#assertNotPassed(events);
    const routes: (Route | undefined)[] = [];
    let start = 0;
    for (let i = 0; i < events.count; i += 1) {
      if (this.#last !== null && comparePositions(events.lines, start, this.#last.lines, this.#last.start) <= 0)
        throw this.#outOfOrder(events, start);
      this.#last = { lines: events.lines, start };
      const ns = events.ns[i]!;
      const hour = hourOf(events.seconds[i]!);
      let route = routes[ns];
      if (route === undefined || route.hour !== hour) routes[ns] = route = this.#route(events.namespaces[ns]!, hour);
      if (!this.#floors.none && this.#floors.concerns(route.key) && this.#floors.holds(events, i, start, route.key)) this.#stats.eventsReplayed += 1;
      else this.#plan(route, events, i, start);
      start = events.ends[i]!;
    }
    // Keeps the last line alone, not the whole batch that it lies in.
    const from = events.count === 1 ? 0 : events.ends[events.count - 2]!;
    this.#last = { lines: Buffer.from(events.lines.subarray(from, start)), start: 0 };
  }

  /** Makes everything that was added durable and moves the position over it. */
  async flush(signal: AbortSignal): Promise<void> {
    const batch = this.#planned;
    if (batch === null) return;
    if (this.#dirty.size > 0) {
      await this.#createFresh(signal);
      const routes = [...this.#dirty];
      this.#dirty.clear();
      await inParallel(routes, APPENDS_AT_ONCE, (route) => this.#appendRoute(route, signal));
      this.#stats.lastEventAtMs = this.#clock.now();
      this.#stats.events += this.#plannedEvents;
      this.#stats.eventBytes += this.#plannedBytes;
    }
    const { state } = this.#committer;
    // Not within the replay's first cluster time: what the lake holds of that is told only to an owner that finds the old
    // fingerprint, or parts of it, and the parts may be sealed by now.
    if (!this.#floors.isAtStart(batch.resume.clusterTime)) {
      state.resume = batch.resume;
      // Never before: with the old position the new fingerprint would tell the next owner that the two belong together.
      state.fingerprint = this.#options.fingerprint;
    }
    state.watermark = laterTimestamp(state.watermark, batch.watermark);
    this.#stats.watermark = state.watermark;
    this.#stats.batches += 1;
    this.#planned = null;
    this.#plannedEvents = 0;
    this.#plannedBytes = 0;
    this.#retire();
  }

  /** Rolls every open part: they are sealed as soon as the position covers them. */
  rollAll(): void {
    for (const route of this.#routes.values()) this.#roll(route);
  }

  /** Rolls the parts of hours that can get no more events. Nothing may be planned. */
  rollThrough(watermark: Timestamp): void {
    for (const [key, route] of this.#routes) {
      if (compareTimestamps(watermark, endOfHour(route.hour)) < 0) continue;
      this.#roll(route);
      this.#routes.delete(key);
    }
  }

  #route(ns: Namespace, hour: Hour): Route {
    const name = hourName(hour);
    const key = hourKey(ns, name);
    let route = this.#routes.get(key);
    if (route !== undefined) return route;
    route = { key, ns, hour, part: null, pending: null, queue: [] };
    this.#routes.set(key, route);
    return route;
  }

  #plan(route: Route, events: EventBatch, i: number, start: number): void {
    const end = events.ends[i]!;
    let { part } = route;
    if (part !== null && part.record.length + part.planned >= this.#options.rollBytesMax) {
      this.#roll(route);
      part = null;
    }
    part ??= this.#newPart(route);
    const at = { t: events.seconds[i]!, i: events.ordinals[i]! };
    let { pending } = route;
    if (pending === null) {
      const ops = new Uint32Array(OPERATIONS.length);
      pending = {
        part,
        chunks: [],
        rows: 0,
        bytes: 0,
        first: positionAt(events.lines, start),
        firstAt: at,
        lines: events.lines,
        lastStart: start,
        lastAt: at,
        ops,
        runStart: start,
        runEnd: start,
      };
      route.pending = pending;
      route.queue.push(pending);
      this.#dirty.add(route);
    }
    if (pending.lines !== events.lines || pending.runEnd !== start) {
      endRun(pending);
      pending.lines = events.lines;
      pending.runStart = start;
    }
    pending.runEnd = end;
    pending.lastStart = start;
    pending.lastAt = at;
    pending.rows += 1;
    pending.bytes += end - start;
    pending.ops[events.ops[i]!]! += 1;
    part.planned += end - start;
    this.#plannedEvents += 1;
    this.#plannedBytes += end - start;
  }

  #newPart(route: Route): LivePart {
    const { ns } = route;
    const { state } = this.#committer;
    const hour = this.#hourRecord(route);
    const number = hour.next;
    hour.next += 1;
    const path = partPath(this.#options.layout, ns, route.hour, number, SUFFIX[this.#options.compression]);
    const record: PartRecord = {
      path,
      ns,
      hour: hour.hour,
      number,
      length: 0,
      rows: 0,
      first: null,
      firstAt: null,
      last: null,
      lastAt: null,
      ops: {},
      fingerprint: this.#options.fingerprint,
      epoch: state.epoch,
      rolled: false,
      state: 'open',
    };
    const part = newPart(record, this.#clock.now());
    state.parts.push(record);
    route.part = part;
    this.#fresh.push(part);
    return part;
  }

  #hourRecord(route: Route): HourRecord {
    const { hours } = this.#committer.state;
    const name = hourName(route.hour);
    let record = hours.find((h) => h.hour === name && h.ns.db === route.ns.db && h.ns.coll === route.ns.coll);
    if (record === undefined) hours.push((record = { ns: route.ns, hour: name, next: 0, since: this.#ledger.day, state: 'open' }));
    return record;
  }

  #roll(route: Route): void {
    if (route.part === null) return;
    route.part.record.rolled = true;
    this.#rolled.push(route.part);
    route.part = null;
    route.pending = null;
  }

  takeRolled(): LivePart[] {
    const rolled = this.#rolled;
    this.#rolled = [];
    return rolled;
  }

  async #createFresh(signal: AbortSignal): Promise<void> {
    if (this.#fresh.length === 0) return;
    await this.#committer.save('intent');
    const fresh = this.#fresh.splice(0);
    await inParallel(fresh, APPENDS_AT_ONCE, async (part) => {
      failpoint('part.before-create');
      part.appender = await this.#lake.open(part.record.path, { epoch: part.record.epoch, expect: 'absent' }, signal);
      failpoint('part.after-create');
    });
    await this.#committer.assertOwner();
  }

  async #appendRoute(route: Route, signal: AbortSignal): Promise<void> {
    const queue = route.queue.splice(0);
    route.pending = null;
    for (const pending of queue) {
      endRun(pending);
      const { part, chunks, rows, first, firstAt, lastAt, ops } = pending;
      const { compression } = this.#options;
      const stored = compression === 'none' ? chunks : [await COMPRESS[compression](Buffer.concat(chunks))];
      failpoint('part.before-append');
      await part.appender!.append(stored, signal);
      failpoint('part.after-append');
      let bytes = 0;
      for (const chunk of stored) {
        part.hash?.update(chunk);
        bytes += chunk.length;
      }
      recordAppend(part.record, { bytes, rows, first, firstAt, last: positionAt(pending.lines, pending.lastStart), lastAt, ops });
      part.planned = 0;
      part.usedAtMs = this.#clock.now();
      this.#stats.appends += 1;
    }
  }

  /** Rolls what is too old, and the least recently used when too many are open. */
  #retire(): void {
    const now = this.#clock.now();
    const open: Route[] = [];
    for (const route of this.#routes.values()) {
      if (route.part === null) continue;
      if (hasPassed(this.#options.rollAgeMs, route.part.openedAtMs, now)) this.#roll(route);
      else open.push(route);
    }
    const excess = open.length - this.#options.partsOpenMax;
    if (excess <= 0) return;
    open.sort((a, b) => a.part!.usedAtMs - b.part!.usedAtMs);
    for (const route of open.slice(0, excess)) this.#roll(route);
  }

  /** Hours before the watermark may be published: whatever still came for them would be left out of their manifests. */
  #assertNotPassed(events: EventBatch): void {
    const { watermark } = this.#committer.state;
    const first = { t: events.seconds[0]!, i: events.ordinals[0]! };
    if (compareTimestamps(first, watermark) >= 0) return;
    throw new SluiceError(
      WRITE_ORDER,
      `${positionAt(events.lines, 0)} is before ${watermark.t}.${watermark.i}, up to which everything was said to be read`,
    );
  }

  #outOfOrder(events: EventBatch, start: number): SluiceError {
    const last = this.#last!;
    return new SluiceError(WRITE_ORDER, `${positionAt(events.lines, start)} after ${positionAt(last.lines, last.start)}`);
  }
}

function endRun(pending: Pending): void {
  if (pending.runEnd > pending.runStart) pending.chunks.push(pending.lines.subarray(pending.runStart, pending.runEnd));
  pending.runStart = pending.runEnd;
}
