/**
 * Retention: hours, dumps, claims and dead letters that are older than they need be kept are removed.
 *
 * Invariants: nothing goes that is not published, or that the warehouse has not loaded; what goes is recorded first
 * (horizon.ts), so that a proof afterwards knows of it; a crash leaves files that the next retention removes.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { RETENTION_BUSY } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { partHour } from '../core/layout.ts';
import { type SealedLine } from '../core/ledger.ts';
import { formatNamespace } from '../core/namespace.ts';
import { SECONDS_PER_HOUR, hourName, parseHourName, type Hour } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { MAINTENANCE, checkpointPath, hourKey } from './checkpoint.ts';
import { listDeadLetters } from './dead-letters.ts';
import { dumpLock, readRecords } from './dump-record.ts';
import { eventFileOf } from './event-files.ts';
import { isGone, readHorizon, saveHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { manifestPath } from './publish.ts';
import { linesOf, readDecoded } from './read-lines.ts';
import { readWhole, type WholePipeline } from './whole.ts';

const MS_PER_HOUR = SECONDS_PER_HOUR * 1000;
const REMOVALS_AT_ONCE = 16;
const PATHS_PER_QUESTION = 1_000;

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
  /** Which of these files the warehouse holds; `null` without one. */
  readonly loaded: ((paths: readonly LakePath[]) => Promise<ReadonlySet<string>>) | null;
}

export interface RetainSummary {
  readonly dryRun: boolean;
  /** `YYYYMMDD-HH`: hours before it are gone now; `null`: none is. */
  readonly hoursBefore: string | null;
  /** What keeps older hours, or `null`. */
  readonly heldBy: string | null;
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
  const hours = about === null ? { from: null, heldBy: null } : await retention.hours(about, until);
  await retention.dumps(until);
  if (about !== null) await retention.claims(about, until);
  await retention.deadLetters(until);
  return { dryRun, hoursBefore: hours.from === null ? null : hourName(hours.from), heldBy: hours.heldBy, ...tally };
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

  async hours(about: WholePipeline, signal: AbortSignal): Promise<{ from: Hour | null; heldBy: string | null }> {
    const { lake, clock, log } = this.#parts;
    const { pipeline, hoursMs, dryRun } = this.#options;
    const horizon = await readHorizon(lake, pipeline, signal);
    if (hoursMs === null && horizon.from === horizon.removed) return { from: horizon.from, heldBy: null };
    const { lines, superseded } = await readSealed(lake, pipeline, () => true, signal);
    const wanted = hoursMs === null ? (horizon.from ?? 0) : Math.floor((clock.now() - hoursMs) / MS_PER_HOUR);
    const { hour, heldBy } = await this.#limit(
      about,
      lines.filter((line) => !superseded.has(line.path) && !isGone(line, horizon)),
      wanted,
    );
    // It never falls: what is gone is gone, also when files are to be kept longer from now on.
    const from = Math.max(horizon.from ?? 0, hour);
    const gone = lines.filter((line) => isGone(line, { from }) && !isGone(line, { from: horizon.removed }));
    if (gone.length === 0 && horizon.from === null) return { from: null, heldBy };
    const saved = { from, removed: horizon.removed, there: horizon.there };
    if (!dryRun && horizon.from !== from) saved.there = await saveHorizon(lake, pipeline, saved, this.#iso());
    for (const [, all] of Map.groupBy(gone, (line) => hourKey(line, line.hour))) await this.#removeHour(about, all, signal);
    if (!dryRun && horizon.removed !== from) await saveHorizon(lake, pipeline, { ...saved, removed: from }, this.#iso());
    if (!dryRun && gone.length > 0)
      log.info({ before: hourName(from), files: this.#tally.files.hours }, 'hours older than lake.retention.hours are removed');
    return { from, heldBy };
  }

  /** The first hour that must stay. */
  async #limit(about: WholePipeline, lines: readonly SealedLine[], wanted: Hour): Promise<{ hour: Hour; heldBy: string | null }> {
    let [hour, heldBy] = [partHour(about.layout, wanted), null as string | null];
    const hold = (at: Hour, why: string): void => {
      if (at < hour) [hour, heldBy] = [at, why];
    };
    hold(partHour(about.layout, about.nextHour), 'later hours are not published yet');
    const { loaded } = this.#parts;
    if (loaded === null) return { hour, heldBy };
    const old = lines.filter((line) => isGone(line, { from: hour }));
    for (let at = 0; at < old.length; at += PATHS_PER_QUESTION) {
      const some = old.slice(at, at + PATHS_PER_QUESTION);
      const known = await loaded(some.flatMap(({ path, supersedes = [] }) => [path, ...supersedes]));
      for (const line of some)
        if (!isLoaded(line, known)) hold(parseHourName(line.hour)!, `the warehouse has not loaded ${line.path} of ${formatNamespace(line)}`);
    }
    return { hour, heldBy };
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

/** Itself, or all the files that it took the place of. */
function isLoaded({ path, supersedes = [], erased }: SealedLine, known: ReadonlySet<LakePath>): boolean {
  return known.has(path) || (erased === undefined && supersedes.length > 0 && supersedes.every((each) => known.has(each)));
}
