/**
 * Seals parts and publishes hours.
 *
 * Invariants: a part is sealed only when a durable checkpoint covers all that it holds and has its ledger line; an hour
 * is published only when the watermark has passed its end, all its parts are sealed, and a durable checkpoint says so.
 * Every step may be done again by the next owner: a line that the ledger has is not written twice, a manifest that is
 * there must have the same bytes.
 */
import type { Lake } from '../core/lake.ts';
import { hoursPerPart, partHour } from '../core/layout.ts';
import { formatNamespace } from '../core/namespace.ts';
import { compareTimestamps, endOfHour, hourName, hourOf } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { hourKey, type Checkpoint, type PartRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { compressionOf, storedForm } from './compression.ts';
import type { Ledger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { appenderOf, sealedLine, type LivePart } from './parts.ts';
import { publishCollectionHour, publishHour, type Published } from './publish.ts';
import type { PartitionHours } from './partition-hours.ts';
import type { Writer } from './writer.ts';

const SEALS_AT_ONCE = 8;

export class Sealer {
  readonly #lake: Lake;
  readonly #committer: Committer;
  readonly #ledger: Ledger;
  readonly #stats: PipelineStats;
  /** Parts that take no more events and are not sealed yet. */
  #waiting: LivePart[] = [];
  readonly #log: Logger;
  /** Of a bus partition, whose hours are published together with those of the others. */
  readonly #partition: PartitionHours | null;

  constructor(lake: Lake, committer: Committer, ledger: Ledger, stats: PipelineStats, log: Logger, partition: PartitionHours | null = null) {
    this.#lake = lake;
    this.#committer = committer;
    this.#ledger = ledger;
    this.#stats = stats;
    this.#log = log;
    this.#partition = partition;
  }

  /** A part of a former owner: sealed as it is once the position covers it. */
  take(part: LivePart): void {
    this.#waiting.push(part);
  }

  /** What a former owner had begun: its parts are closed and its lines written before anything new is. */
  async finishPredecessor(parts: readonly LivePart[], signal: AbortSignal): Promise<void> {
    await this.#finish(parts, signal);
    await this.#publish(signal);
  }

  /** Seals and publishes what may be. Called when nothing is planned that is not durable. Returns how many parts were sealed. */
  async settle(writer: Writer, signal: AbortSignal): Promise<number> {
    const { state } = this.#committer;
    writer.rollThrough(state.watermark);
    this.#waiting.push(...writer.takeRolled());
    const due = this.#waiting.filter((part) => isCovered(part.record, state));
    if (due.length > 0) {
      await inParallel(due, SEALS_AT_ONCE, async (part) => {
        await this.#makeValid(part, signal);
        part.record.line = await sealedLine(part, this.#lake, state.epoch, signal);
        part.record.state = 'sealing';
      });
      await this.#committer.save('sealing');
      await this.#finish(due, signal);
      const sealed = new Set(due);
      this.#waiting = this.#waiting.filter((part) => !sealed.has(part));
    }
    await (this.#partition === null ? this.#publishReady(signal) : this.#partition.settle(signal));
    this.#stats.partsOpen = state.parts.length;
    return due.length;
  }

  /** Closes files that wait for their seal; the next owner seals them. */
  async close(): Promise<void> {
    for (const part of this.#waiting) await part.appender?.[Symbol.asyncDispose]();
  }

  /** No bytes at all are neither gzip nor zstd: what a former owner has named and never written to gets an empty member. */
  async #makeValid(part: LivePart, signal: AbortSignal): Promise<void> {
    const { record } = part;
    const compression = compressionOf(record.path);
    if (record.length > 0 || compression === 'none') return;
    const appender = await appenderOf(part, this.#lake, this.#committer, signal);
    await appender.append(await storedForm([], compression), signal);
    record.length = appender.length;
    // It is read again: whoever made the part may not have kept a hash.
    part.hash = null;
  }

  async #finish(parts: readonly LivePart[], signal: AbortSignal): Promise<void> {
    if (parts.length === 0) return;
    await inParallel(parts, SEALS_AT_ONCE, async (part) => {
      const appender = await appenderOf(part, this.#lake, this.#committer, signal);
      failpoint('part.before-close');
      await appender.close();
      part.appender = null;
      failpoint('part.after-close');
    });
    const lines = parts.map((part) => part.record.line!).toSorted((a, b) => (a.path < b.path ? -1 : 1));
    await this.#ledger.append(lines, signal);
    const done = new Set(parts.map((part) => part.record));
    const { state } = this.#committer;
    state.parts = state.parts.filter((record) => !done.has(record));
    this.#stats.partsSealed += parts.length;
    for (const line of lines) {
      const { path, hour, rows, bytes } = line;
      this.#log.info({ collection: formatNamespace(line), path, hour, rows, bytes }, 'sealed');
    }
  }

  async #publishReady(signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    // Names of hours sort as the hours do. Called for every batch: nothing is built while no hour is over.
    const now = hourName(partHour(state.layout, hourOf(state.watermark.t)));
    const over = state.hours.filter((h) => h.state === 'open' && h.hour < now);
    const held = over.length === 0 ? new Set<string>() : new Set(state.parts.map((part) => hourKey(part.ns, part.hour)));
    const ready = over.filter((h) => !held.has(hourKey(h.ns, h.hour)));
    for (const hour of ready) hour.state = 'publishing';
    // An hour in which nothing came is published too. Without the save a crash could take the position back into it, and
    // what a wider filter or a gap then makes of that hour would contradict the file that is there.
    if (ready.length > 0 || hourName(state.nextHour) < now) await this.#committer.save('publishing');
    await this.#publish(signal);
  }

  get #about(): Published {
    return this.#committer.state;
  }

  async #publish(signal: AbortSignal): Promise<void> {
    if (this.#partition !== null) return;
    const { state } = this.#committer;
    const publishing = state.hours.filter((h) => h.state === 'publishing');
    await inParallel(publishing, SEALS_AT_ONCE, async (hour) => {
      const files = this.#ledger.ofHour(hourKey(hour.ns, hour.hour));
      await publishCollectionHour(this.#lake, this.#about, { ...hour, parts: hour.next, files }, signal);
      hour.state = 'published';
      this.#ledger.forget(hourKey(hour.ns, hour.hour));
    });
    const hours = hoursPerPart(state.layout);
    for (;;) {
      const first = partHour(state.layout, state.nextHour);
      if (compareTimestamps(state.watermark, endOfHour(first + hours - 1)) < 0) break;
      const name = hourName(first);
      if (state.hours.some((h) => h.hour <= name && h.state !== 'published')) break;
      const collections = state.hours.filter((h) => h.hour === name).map((h) => h.ns);
      await publishHour(this.#lake, this.#about, { hour: state.nextHour, collections }, signal);
      state.nextHour += 1;
      const next = hourName(partHour(state.layout, state.nextHour));
      if (next !== name) state.hours = state.hours.filter((h) => h.hour >= next);
      this.#stats.hoursComplete += 1;
      this.#log.info({ hour: hourName(state.nextHour - 1), collections: collections.length }, 'an hour is complete');
    }
  }
}

function isCovered(part: PartRecord, state: Checkpoint): boolean {
  if (part.last === null || part.lastAt === null) return true;
  if (part.fingerprint === state.fingerprint) return state.resume !== null && part.last <= state.resume.position;
  return compareTimestamps(state.watermark, part.lastAt) > 0;
}
