/**
 * Retention: hours, dumps, claims and dead letters that are older than they need be kept are removed.
 *
 * Invariants: nothing goes that is not published, or that the warehouse has not loaded (holds.ts); what goes is recorded first
 * (horizon.ts), so that a proof afterwards knows of it; a crash leaves files that the next retention removes.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { RETENTION_BUSY } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { type SealedLine } from '../core/ledger.ts';
import { SECONDS_PER_HOUR, hourName, parseHourName, type Hour } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { MAINTENANCE, checkpointPath, hourKey } from './checkpoint.ts';
import { listDeadLetters } from './dead-letters.ts';
import { dumpLock, readRecords } from './dump-record.ts';
import { eventFileOf } from './event-files.ts';
import { holdsBefore, limitOf, type HeldHour, type KnowsLoaded } from './holds.ts';
import { isBelow, isGone, NO_HORIZON, reachIn, readHorizon, saveHorizon, type Apart, type Hold, type Horizon, type SavedHorizon } from './horizon.ts'; // prettier-ignore
import { readSealed } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { manifestPath } from './publish.ts';
import { linesOf, readDecoded } from './read-lines.ts';
import { readWhole, type WholePipeline } from './whole.ts';

const MS_PER_HOUR = SECONDS_PER_HOUR * 1000;
const REMOVALS_AT_ONCE = 16;

export interface RetainOptions {
  readonly pipeline: string;
  /** `null`: for ever. */
  readonly hoursMs: number | null;
  readonly dumpsMs: number | null;
  readonly claimsMs: number | null;
  readonly deadLettersMs: number | null;
  /** Says what would go, and removes nothing. */
  readonly dryRun: boolean;
}

export interface RetainParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  /** `null` without one. */
  readonly warehouse: KnowsLoaded | null;
}

/** A collection that keeps older hours than the others. */
interface HeldCollection {
  readonly collection: string;
  /** `YYYYMMDD-HH`: the first hour of it that is kept for that. */
  readonly hour: string;
  /** ISO 8601: when retention first met it. */
  readonly since: string;
  readonly reason: string;
}

export interface RetainSummary {
  readonly dryRun: boolean;
  /** `YYYYMMDD-HH`: hours before it are gone now, but for those of `held`; `null`: none is. */
  readonly hoursBefore: string | null;
  /** What keeps older hours of all collections, or `null`. */
  readonly heldBy: string | null;
  readonly held: readonly HeldCollection[];
  /** Files that were removed, of each kind. */
  readonly files: { readonly hours: number; readonly dumps: number; readonly claims: number; readonly deadLetters: number };
  readonly bytes: number;
}

interface Tally {
  readonly files: { hours: number; dumps: number; claims: number; deadLetters: number };
  bytes: number;
}

export async function retain(options: RetainOptions, parts: RetainParts, signal: AbortSignal): Promise<RetainSummary> {
  const { lake } = parts;
  const { pipeline, dryRun } = options;
  const tally: Tally = { files: { hours: 0, dumps: 0, claims: 0, deadLetters: 0 }, bytes: 0 };
  const ownership = await lake.own(checkpointPath(pipeline, MAINTENANCE), { takeOver: false }, signal);
  if (ownership === null) throw new SluiceError(RETENTION_BUSY, `of ${pipeline} in ${lake.description}`);
  await using owned = ownership;
  const until = AbortSignal.any([signal, owned.lost]);
  const about = await readWhole(lake, pipeline, until);
  const retention = new Retention(options, parts, tally);
  const hours = about === null ? { horizon: NO_HORIZON, heldBy: null } : await retention.hours(about, until);
  await retention.dumps(until);
  if (about !== null) await retention.claims(about, until);
  await retention.deadLetters(until);
  const { from } = hours.horizon;
  return { dryRun, hoursBefore: from === null ? null : hourName(from), heldBy: hours.heldBy, held: heldIn(hours.horizon), ...tally };
}

/** What is held back, the oldest first. */
export function heldIn({ apart }: Horizon): HeldCollection[] {
  const held = [...apart].flatMap(([collection, { hold }]) => (hold === null ? [] : [{ collection, ...hold }]));
  return held.toSorted((a, b) => (a.hour < b.hour ? -1 : a.hour > b.hour ? 1 : a.collection < b.collection ? -1 : 1));
}

class Retention {
  readonly #options: RetainOptions;
  readonly #parts: RetainParts;
  readonly #tally: Tally;

  constructor(options: RetainOptions, parts: RetainParts, tally: Tally) {
    this.#options = options;
    this.#parts = parts;
    this.#tally = tally;
  }

  async hours(about: WholePipeline, signal: AbortSignal): Promise<{ horizon: Horizon; heldBy: string | null }> {
    const { lake, log } = this.#parts;
    const { pipeline, hoursMs, dryRun } = this.#options;
    const before = await readHorizon(lake, pipeline, signal);
    const isWhole = before.from === before.removed && before.apart.size === 0;
    if (hoursMs === null && isWhole) return { horizon: before, heldBy: null };
    const { lines, superseded } = await readSealed(lake, pipeline, () => true, signal);
    const inForce = lines.filter((line) => !superseded.has(line.path) && !isGone(line, before));
    const { planned, heldBy } = hoursMs === null ? { planned: before, heldBy: null } : await this.#plan(about, before, inForce, hoursMs, signal);
    const { from, apart } = planned;
    const gone = lines.filter((line) => isGone(line, planned) && !isBelow(line, reachIn(planned, line).removed));
    if (from === null || (gone.length === 0 && before.there === null && apart.size === 0)) return { horizon: NO_HORIZON, heldBy };
    const done: Horizon = { from, removed: from, apart: removedIn(apart) };
    if (!dryRun) {
      const there = await this.#save(before, { ...planned, there: before.there });
      await this.#removeAll(about, gone, signal);
      await this.#save({ ...planned, there }, { ...done, there });
      if (gone.length > 0)
        log.info(
          { before: hourName(from), files: this.#tally.files.hours, held: heldIn(done).length },
          'hours older than lake.retention.hours are removed',
        );
    } else await this.#removeAll(about, gone, signal);
    return { horizon: done, heldBy };
  }

  /** Where the horizon is to be. */
  async #plan(
    about: WholePipeline,
    before: Horizon,
    inForce: readonly SealedLine[],
    hoursMs: number,
    signal: AbortSignal,
  ): Promise<{ planned: Horizon; heldBy: string | null }> {
    const { hour, heldBy } = limitOf(about, Math.floor((this.#parts.clock.now() - hoursMs) / MS_PER_HOUR));
    // It never falls: what is gone is gone, also when files are to be kept longer from now on.
    const from = Math.max(before.from ?? 0, hour);
    const holds = await holdsBefore(from, about, inForce, this.#parts.warehouse, signal);
    return { planned: { from, removed: before.removed, apart: this.#apart(before, from, holds) }, heldBy };
  }

  /** Collections that stay behind, and those that were: until their files are removed, too, they are not where the others are. */
  #apart(before: Horizon, from: Hour, holds: ReadonlyMap<string, HeldHour>): ReadonlyMap<string, Apart> {
    const apart = new Map<string, Apart>();
    for (const [name, { removed }] of before.apart) apart.set(name, { from, removed, hold: null });
    for (const [name, { hour, reason }] of holds) {
      const was = before.apart.get(name) ?? { ...before, hold: null };
      const hold: Hold = { hour: hourName(hour), since: was.hold?.since ?? this.#iso(), reason };
      apart.set(name, { from: Math.max(was.from ?? 0, hour), removed: was.removed, hold });
    }
    return apart;
  }

  async #save(before: SavedHorizon, now: SavedHorizon): Promise<LakeFile> {
    if (before.there !== null && isSame(before, now)) return before.there;
    return await saveHorizon(this.#parts.lake, this.#options.pipeline, now, this.#iso());
  }

  async #removeAll(about: WholePipeline, gone: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    for (const [, all] of Map.groupBy(gone, (line) => hourKey(line, line.hour))) await this.#removeHour(about, all, signal);
  }

  /** `_SUCCESS` before the manifest, the files of events before their index: what is left always looks like a part of an hour. */
  async #removeHour(about: WholePipeline, lines: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const [{ db, coll, hour }] = lines as [SealedLine];
    const manifest = manifestPath(this.#options.pipeline, about.layout, { db, coll }, hour);
    if (manifest.endsWith('/_manifest.json')) await this.#remove('hours', `${manifest.slice(0, -'_manifest.json'.length)}_SUCCESS`, signal);
    await this.#remove('hours', manifest, signal);
    for (const line of lines) {
      if (line.eventBytes !== undefined) await this.#removeEvents(line, signal);
      await this.#remove('hours', line.path, signal);
    }
  }

  async #removeEvents({ path }: SealedLine, signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    if ((await lake.stat(path)) === null) return;
    const files: LakePath[] = [];
    for await (const line of linesOf(readDecoded(lake, path, 0, signal))) {
      const file = eventFileOf(line);
      if (file !== null) files.push(file.path);
    }
    await inParallel(files, REMOVALS_AT_ONCE, (file) => this.#remove('hours', file, signal));
  }

  async dumps(signal: AbortSignal): Promise<void> {
    const { dumpsMs, pipeline } = this.#options;
    const { lake, clock, log } = this.#parts;
    if (dumpsMs === null) return;
    const ownership = await lake.own(dumpLock(pipeline), { takeOver: false }, signal);
    if (ownership === null) return log.info('dumps are being made: old ones are removed the next time');
    await using _owned = ownership;
    for await (const { path, record } of readRecords(lake, pipeline, signal)) {
      const endsMs = (parseHourName(record.hour)! + 1) * MS_PER_HOUR;
      if (endsMs > clock.now() - dumpsMs) continue;
      for (const file of record.files) await this.#remove('dumps', file.path, signal);
      if (record.writing !== null) await this.#remove('dumps', record.writing, signal);
      // Last: without it nobody would know of the files.
      if (!this.#options.dryRun) await lake.remove(path);
    }
  }

  /** Lines that were too large for the bus, of days that every partition is past. */
  async claims(about: WholePipeline, signal: AbortSignal): Promise<void> {
    const { claimsMs, pipeline } = this.#options;
    const { lake, clock } = this.#parts;
    if (claimsMs === null) return;
    const untilMs = Math.min(clock.now() - claimsMs, about.watermark.t * 1000);
    const old: LakePath[] = [];
    for await (const { path } of lake.list(`_sluice/${pipeline}/claims`, signal)) {
      const m = /\/claims\/(\d{4})(\d\d)(\d\d)\//.exec(path);
      if (m !== null && Date.parse(`${m[1]}-${m[2]}-${m[3]}T00:00:00Z`) + 24 * MS_PER_HOUR <= untilMs) old.push(path);
    }
    await inParallel(old, REMOVALS_AT_ONCE, (path) => this.#remove('claims', path, signal));
  }

  /** Messages that nobody has asked for since, of days that are past. */
  async deadLetters(signal: AbortSignal): Promise<void> {
    const { deadLettersMs, pipeline } = this.#options;
    const { lake, clock } = this.#parts;
    if (deadLettersMs === null) return;
    const old: LakePath[] = [];
    for (const { path } of await listDeadLetters(lake, pipeline, signal)) {
      const m = /\/(\d{4})\/(\d\d)\/(\d\d)\/[^/]*$/.exec(path);
      if (m !== null && Date.parse(`${m[1]}-${m[2]}-${m[3]}T00:00:00Z`) + 24 * MS_PER_HOUR <= clock.now() - deadLettersMs) old.push(path);
    }
    await inParallel(old, REMOVALS_AT_ONCE, (path) => this.#remove('deadLetters', path, signal));
  }

  async #remove(kind: keyof Tally['files'], path: LakePath, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { lake } = this.#parts;
    const there = await lake.stat(path);
    if (there === null) return;
    if (!this.#options.dryRun) await lake.remove(path);
    this.#tally.files[kind] += 1;
    this.#tally.bytes += there.size;
  }

  #iso(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}

/** Once all is removed, only what is held is apart. */
function removedIn(apart: ReadonlyMap<string, Apart>): ReadonlyMap<string, Apart> {
  return new Map([...apart].filter(([, { hold }]) => hold !== null).map(([name, each]) => [name, { ...each, removed: each.from }]));
}

function isSame(a: Horizon, b: Horizon): boolean {
  const textOf = ({ from, removed, apart }: Horizon): string => JSON.stringify([from, removed, [...apart].toSorted(([x], [y]) => (x < y ? -1 : 1))]);
  return textOf(a) === textOf(b);
}
