/**
 * Puts batches into parts: plans where each line goes, names new parts in the checkpoint, appends, moves the position.
 *
 * Invariants: a part is created only after a durable checkpoint has named it; appends of one collection-hour come one
 * after another (its parts are a sequence), those of different ones in parallel; the position moves only when every
 * line up to it is durable.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { WRITE_ORDER } from '../core/errors.ts';
import { comparePositions, positionAt, type ChangeBatch, type EventBatch } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { hoursPerPart, isPerEvent, partHour, partPath } from '../core/layout.ts';
import type { Namespace } from '../core/namespace.ts';
import { compareTimestamps, endOfHour, hourName, hourOf, laterTimestamp, type Hour, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { timed } from '../ops/histogram.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { hourKey, type HourRecord, type PartRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { SUFFIX, storedForm, type Compression } from './compression.ts';
import { putEvents } from './event-files.ts';
import type { Floors } from './floor.ts';
import type { Ledger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { newPart, putAside, recordAppend, type LivePart } from './parts.ts';
import { addLine, chunksOf, newPending, type Pending, type Route } from './pending.ts';

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

const APPENDS_AT_ONCE = 16;

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
  /** Collection-hours of the checkpoint, by hour key. */
  readonly #hours = new Map<string, HourRecord>();
  /** Parts are planned that no checkpoint names yet. */
  #hasFresh = false;
  /** Parts that take no more events, until the sealer takes them. */
  #rolled: LivePart[] = [];
  #last: { lines: Buffer; start: number } | null = null;
  #planned: ChangeBatch | null = null;
  /** Of the batches that were added: their lines may be overwritten once these are appended. */
  readonly #releases: (() => void)[] = [];
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
    for (const hour of committer.state.hours) this.#hours.set(hourKey(hour.ns, hour.hour), hour);
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
    if (batch.release !== undefined) this.#releases.push(batch.release);
    if (events.count === 0) return;
    this.#assertNotPassed(events);
    const routes: (Route | undefined)[] = [];
    const { layout } = this.#options;
    let start = 0;
    for (let i = 0; i < events.count; i += 1) {
      if (this.#last !== null && comparePositions(events.lines, start, this.#last.lines, this.#last.start) <= 0)
        throw this.#outOfOrder(events, start);
      this.#last = { lines: events.lines, start };
      const ns = events.ns[i]!;
      const hour = partHour(layout, hourOf(events.seconds[i]!));
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
      await timed(this.#stats.flushSeconds, () => this.#writePending(signal));
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
    } else if (state.resume?.position === batch.resume.position) {
      // The same place in the stream, and another one in what carries it (an offset of a bus).
      state.resume = batch.resume;
    }
    state.watermark = laterTimestamp(state.watermark, batch.watermark);
    this.#stats.watermark = state.watermark;
    this.#stats.batches += 1;
    this.#planned = null;
    this.#plannedEvents = 0;
    this.#plannedBytes = 0;
    for (const release of this.#releases.splice(0)) release();
    this.#retire();
  }

  /** Rolls every open part: they are sealed as soon as the position covers them. */
  rollAll(): void {
    for (const route of this.#routes.values()) this.#roll(route);
  }

  /** Rolls the parts of hours that can get no more events. Nothing may be planned. */
  rollThrough(watermark: Timestamp): void {
    for (const [key, route] of this.#routes) {
      if (compareTimestamps(watermark, endOfHour(route.hour + hoursPerPart(this.#options.layout) - 1)) < 0) continue;
      this.#roll(route);
      this.#routes.delete(key);
      this.#hours.delete(key);
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
    if (route.pending === null) {
      route.pending = newPending(route, part, events, i, start);
      route.queue.push(route.pending);
      this.#dirty.add(route);
    }
    addLine(route.pending, events, i, start);
    // Of an index nobody knows yet how much it grows: it may cross its limit by a flush.
    if (!isPerEvent(this.#options.layout)) part.planned += end - start;
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
      ...(isPerEvent(this.#options.layout) && { eventBytes: 0 }),
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
    this.#hasFresh = true;
    return part;
  }

  #hourRecord(route: Route): HourRecord {
    let record = this.#hours.get(route.key);
    if (record === undefined) {
      record = { ns: route.ns, hour: hourName(route.hour), next: 0, since: this.#ledger.day, state: 'open' };
      this.#hours.set(route.key, record);
      this.#committer.state.hours.push(record);
    }
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

  /** In waves, so that no more files are open than twice the limit, however many parts one flush fills. */
  async #writePending(signal: AbortSignal): Promise<void> {
    if (this.#hasFresh) await this.#committer.save('intent');
    this.#hasFresh = false;
    const all = [...this.#dirty].flatMap((route) => {
      route.pending = null;
      return route.queue.splice(0);
    });
    // Of a collection-hour only the first part can be open already: its parts stay in order.
    const queue = [...all.filter(({ part }) => part.appender !== null), ...all.filter(({ part }) => part.appender === null)];
    this.#dirty.clear();
    const size = Math.max(this.#options.partsOpenMax, APPENDS_AT_ONCE);
    for (let at = 0; at < queue.length; at += size) {
      await this.#writeWave(queue.slice(at, at + size), signal);
      const left = new Set(queue.slice(at + size).map(({ part }) => part));
      if (left.size > 0) await this.#makeRoom(left);
    }
  }

  async #writeWave(wave: readonly Pending[], signal: AbortSignal): Promise<void> {
    await this.#create(
      wave.map(({ part }) => part).filter((part) => part.appender === null),
      signal,
    );
    const indexes = isPerEvent(this.#options.layout) ? await putEvents(this.#lake, wave.map(chunksOf), signal) : null;
    const writes = wave.map((pending, n) => ({ pending, ...(indexes?.[n] ?? { chunks: chunksOf(pending) }) }));
    const byRoute = [...Map.groupBy(writes, ({ pending }) => pending.route).values()];
    await inParallel(byRoute, APPENDS_AT_ONCE, async (ofRoute) => {
      for (const { pending, chunks, ...size } of ofRoute) await this.#append(pending, chunks, size, signal);
    });
  }

  async #create(parts: readonly LivePart[], signal: AbortSignal): Promise<void> {
    if (parts.length === 0) return;
    await inParallel(parts, APPENDS_AT_ONCE, async (part) => {
      failpoint('part.before-create');
      part.appender = await this.#lake.open(part.record.path, { epoch: part.record.epoch, expect: 'absent' }, signal);
      failpoint('part.after-create');
    });
    await this.#committer.assertOwner();
  }

  async #append(pending: Pending, chunks: readonly Uint8Array[], size: { readonly eventBytes?: number }, signal: AbortSignal): Promise<void> {
    const { part, rows, first, firstAt, lastAt, ops } = pending;
    const stored = await storedForm(chunks, this.#options.compression);
    failpoint('part.before-append');
    await part.appender!.append(stored, signal);
    failpoint('part.after-append');
    let bytes = 0;
    for (const chunk of stored) {
      part.hash?.update(chunk);
      bytes += chunk.length;
    }
    recordAppend(part.record, { ...size, bytes, rows, first, firstAt, last: positionAt(pending.lines, pending.lastStart), lastAt, ops });
    part.planned = 0;
    part.usedAtMs = this.#clock.now();
    this.#stats.appends += 1;
  }

  /** In the middle of a flush: parts beyond the limit roll, and what is rolled gives its handle back until it is sealed. */
  async #makeRoom(left: ReadonlySet<LivePart>): Promise<void> {
    this.#rollExcess([...this.#routes.values()].filter(({ part }) => part !== null && !left.has(part)));
    for (const part of this.#rolled) if (!left.has(part)) await putAside(part);
  }

  /** Rolls what is too old, what takes no more appends, and the least recently used when too many are open. */
  #retire(): void {
    const now = this.#clock.now();
    const open: Route[] = [];
    for (const route of this.#routes.values()) {
      if (route.part === null) continue;
      if (route.part.appender?.isFull === true || hasPassed(this.#options.rollAgeMs, route.part.openedAtMs, now)) this.#roll(route);
      else open.push(route);
    }
    this.#rollExcess(open);
  }

  #rollExcess(open: Route[]): void {
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
