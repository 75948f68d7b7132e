/**
 * Replaces the parts of hours that are over by Parquet files that hold the same lines.
 *
 * A second writer beside the owner of the pipeline, with a checkpoint, a lock or lease, an epoch and a ledger of its own, by the rules of
 * docs/specs/lake.md. For each collection-hour, in this order: the checkpoint names the new files → they are put → their ledger lines,
 * which say what they supersede, are durable together → the manifest is swapped → the old files go.
 *
 * Invariant: whoever follows the ledger can read every line at every moment, in the old files or in the new; a crash anywhere leaves a
 * checkpoint from which the next compaction goes on. Nothing of an hour is touched before its new files are whole on the lake.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { COMPACT_BUSY, COMPACT_DIFFERS, COMPACT_LAYOUT, LAKE_CONFLICT, LAKE_DAMAGED, WAREHOUSE_FAILED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isPerEvent, isSnapshotPath } from '../core/layout.ts';
import { type SealedLine } from '../core/ledger.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import { Scratch, sweepScratch } from '../core/scratch.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { MAINTENANCE, checkpointPath, hourKey, type PartRecord } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { planCompaction, type CompactionRange, type HourPlan } from './compaction-plan.ts';
import { isGone, readHorizon } from './horizon.ts';
import { Ledger, readLedger, readSealed } from './ledger.ts';
import { makeParquet, type Compacted } from './parquet-file.ts';
import { manifestPath } from './publish.ts';
import { readFile } from './read-file.ts';
import { readWhole, type WholePipeline } from './whole.ts';
import { readCheckpoint } from './read-checkpoint.ts';

export interface CompactionOptions extends CompactionRange {
  readonly pipeline: string;
  /** Breaks the lease of a compaction that is gone. */
  readonly takeOver: boolean;
}

export interface CompactionParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  /** @param folder for what does not fit into memory */
  readonly openWriter: (folder: string) => Promise<ParquetWriter>;
  /** Which of these files the warehouse holds; `null` without one. What it lacks it is left to load first. */
  readonly loaded: ((paths: readonly LakePath[]) => Promise<ReadonlySet<string>>) | null;
  readonly onProgress?: (progress: CompactionProgress) => void;
}

export interface CompactionProgress {
  readonly hours: number;
  readonly hoursTotal: number;
}

export interface CompactionTotals {
  /** Collection-hours that were compacted, by this call or by one that was cut short. */
  hours: number;
  /** Parquet files that were made, and files that they have replaced. */
  files: number;
  replaced: number;
  rows: number;
  bytesBefore: number;
  bytesAfter: number;
  /** Collection-hours with files that the warehouse has not loaded yet. */
  readonly waiting: string[];
  /** Collection-hours that stay as they are. */
  readonly failed: { readonly hour: string; readonly reason: string }[];
}

export async function compact(options: CompactionOptions, parts: CompactionParts, signal: AbortSignal): Promise<CompactionTotals> {
  const totals: CompactionTotals = { hours: 0, files: 0, replaced: 0, rows: 0, bytesBefore: 0, bytesAfter: 0, waiting: [], failed: [] };
  const { lake } = parts;
  const { pipeline, takeOver } = options;
  const about = await readWhole(lake, pipeline, signal);
  if (about === null) return totals;
  if (isPerEvent(about.layout)) throw new SluiceError(COMPACT_LAYOUT, `${lake.description} has one file per event`);
  // Most calls find nothing to do, and write nothing then.
  const horizon = await readHorizon(lake, pipeline, signal);
  const { hours } = await planCompaction(readLedger(lake, pipeline, '', signal), about, horizon, options);
  if (hours.length === 0 && !(await hasBegun(lake, pipeline, signal))) return totals;
  const ownership = await lake.own(checkpointPath(pipeline, MAINTENANCE), { takeOver }, signal);
  if (ownership === null) throw new SluiceError(COMPACT_BUSY, `${pipeline} in ${lake.description}`);
  await using owned = ownership;
  await new Compaction(options, parts, about, totals).run(AbortSignal.any([signal, owned.lost]));
  return totals;
}

/** Did a compaction end in the middle? */
async function hasBegun(lake: Lake, pipeline: string, signal: AbortSignal): Promise<boolean> {
  const checkpoint = await readCheckpoint(lake, pipeline, MAINTENANCE, signal);
  return checkpoint !== null && checkpoint.parts.length > 0;
}

/** Begins the names of folders for what does not fit into memory. */
const SCRATCH = 'sluice-compact';
/** What is wrong with this hour alone. */
const OF_ONE_HOUR = [LAKE_DAMAGED, COMPACT_DIFFERS, WAREHOUSE_FAILED, LAKE_CONFLICT] as const;

class Compaction {
  readonly #options: CompactionOptions;
  readonly #parts: CompactionParts;
  readonly #about: WholePipeline;
  readonly #totals: CompactionTotals;

  constructor(options: CompactionOptions, parts: CompactionParts, about: WholePipeline, totals: CompactionTotals) {
    this.#options = options;
    this.#parts = parts;
    this.#about = about;
    this.#totals = totals;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { lake, clock } = this.#parts;
    const { pipeline } = this.#options;
    // Also when there is nothing left to do but what a killed one had begun.
    await sweepScratch(SCRATCH);
    const committer = await Committer.load(lake, pipeline, this.#about.layout, clock, newStats(), signal, MAINTENANCE);
    committer.state.epoch += 1;
    committer.state.cleanStop = false;
    await committer.save('compact-epoch');
    const ledger = new Ledger(lake, committer, clock);
    try {
      await ledger.recover(signal);
      await this.#goOn(committer, ledger, signal);
      await this.#all(committer, ledger, signal);
    } finally {
      await ledger.close();
    }
    committer.state.cleanStop = true;
    await committer.save('compact-end');
  }

  /** What a compaction before this one had begun: what is on the lake is finished, what is not is forgotten. */
  async #goOn(committer: Committer, ledger: Ledger, signal: AbortSignal): Promise<void> {
    const lines = committer.state.parts.map(({ line }) => line!);
    const [first] = lines;
    if (first === undefined) return;
    const { lake, log } = this.#parts;
    const key = hourKey(first, first.hour);
    // Retention has come in between, and taken away what was there of the hour.
    if (isGone(first, await readHorizon(lake, this.#options.pipeline, signal))) {
      for (const { path } of lines) await lake.remove(path);
      this.#clear(committer, ledger, key);
      return;
    }
    const isOurs = async ({ path, bytes, sha256 }: SealedLine): Promise<boolean> =>
      (await lake.stat(path))?.size === bytes &&
      createHash('sha256')
        .update(await readFile(lake, path, signal))
        .digest('hex') === sha256;
    const found: SealedLine[] = [];
    // Lines of an hour are written together: one tells of all.
    const isTold = ledger.has(first.path);
    if (!isTold) for (const line of lines) if (await isOurs(line)) found.push(line);
    if (isTold || found.length === lines.length) {
      log.info({ files: lines.map(({ path }) => path) }, 'finishing what another compaction had begun');
      await ledger.append(lines, signal);
      await this.#finish(committer, ledger, lines, await this.#inForce(key, signal), signal);
      return;
    }
    for (const { path } of found) await lake.remove(path);
    this.#clear(committer, ledger, key);
  }

  async #inForce(key: string, signal: AbortSignal): Promise<SealedLine[]> {
    const isOfHour = (line: SealedLine): boolean => !isSnapshotPath(line.path) && hourKey(line, line.hour) === key;
    const { lines, superseded } = await readSealed(this.#parts.lake, this.#options.pipeline, isOfHour, signal);
    return lines.filter(({ path }) => !superseded.has(path));
  }

  async #all(committer: Committer, ledger: Ledger, signal: AbortSignal): Promise<void> {
    const { lake, onProgress, openWriter, log } = this.#parts;
    const { pipeline } = this.#options;
    // Nobody moves it while we own the maintenance.
    const horizon = await readHorizon(lake, pipeline, signal);
    const plan = await planCompaction(readLedger(lake, pipeline, '', signal), this.#about, horizon, this.#options);
    const hours = await this.#loadedHours(plan.hours);
    if (hours.length === 0) return;
    await using scratch = await Scratch.make(SCRATCH);
    const { folder } = scratch;
    await using writer = await openWriter(folder);
    for (const [index, hour] of hours.entries()) {
      signal.throwIfAborted();
      onProgress?.({ hours: index, hoursTotal: hours.length });
      try {
        const made: Compacted[] = [];
        for (const merge of hour.merges) made.push(await makeParquet(lake, merge, committer.state.epoch, { writer, folder }, signal));
        await this.#replace(committer, ledger, hour, made, plan.inForce.get(hour.key) ?? [], signal);
      } catch (error) {
        if (signal.aborted || !SluiceError.is(error, ...OF_ONE_HOUR)) throw error;
        this.#totals.failed.push({ hour: hour.key, reason: `${error.code}: ${reasonOf(error)}` });
        log.error({ err: error, hour: hour.key }, 'this hour stays as it is');
      }
    }
    onProgress?.({ hours: hours.length, hoursTotal: hours.length });
  }

  /** The warehouse takes the files that it knows of: those of an hour that it has not loaded whole stay until it has. */
  async #loadedHours(hours: readonly HourPlan[]): Promise<readonly HourPlan[]> {
    const { loaded } = this.#parts;
    if (loaded === null) return hours;
    const pathsOf = (hour: HourPlan): LakePath[] => hour.merges.flatMap(({ originals }) => originals.map(({ path }) => path));
    const known = await loaded(hours.flatMap(pathsOf));
    const isWaiting = (hour: HourPlan): boolean => pathsOf(hour).some((path) => !known.has(path));
    this.#totals.waiting.push(...hours.filter(isWaiting).map(({ key }) => key));
    return hours.filter((hour) => !isWaiting(hour));
  }

  async #replace(
    committer: Committer,
    ledger: Ledger,
    { merges }: HourPlan,
    made: readonly Compacted[],
    inForce: readonly SealedLine[],
    signal: AbortSignal,
  ): Promise<void> {
    const { lake } = this.#parts;
    const lines = made.map(({ line }) => line);
    const [{ db, coll, hour }] = lines as [SealedLine];
    const manifest = this.#manifestOf(lines[0]!);
    if ((await lake.stat(manifest)) === null) throw new SluiceError(LAKE_DAMAGED, `${manifest} is missing`);
    const { state } = committer;
    state.parts = lines.map((line, number) => intentOf(line, number));
    state.hours = [{ ns: { db, coll }, hour, next: lines.length, since: ledger.day, state: 'publishing' }];
    await committer.save('compact-intent');
    try {
      for (const { line, bytes } of made) await putOnce(lake, line.path, bytes, signal);
    } catch (error) {
      if (SluiceError.is(error, LAKE_CONFLICT)) this.#clear(committer, ledger, hourKey(lines[0]!, hour));
      throw error;
    }
    await committer.assertOwner();
    await ledger.append(lines, signal);
    const gone = new Set(merges.flatMap(({ originals }) => originals.map(({ path }) => path)));
    await this.#finish(committer, ledger, lines, [...inForce.filter(({ path }) => !gone.has(path)), ...lines], signal);
    for (const { originals } of merges) this.#totals.bytesBefore += originals.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { rows, bytes } of lines) {
      this.#totals.rows += rows;
      this.#totals.bytesAfter += bytes;
    }
  }

  /** The ledger has the lines. From here on every step may be done again. */
  async #finish(
    committer: Committer,
    ledger: Ledger,
    lines: readonly SealedLine[],
    inForce: readonly SealedLine[],
    signal: AbortSignal,
  ): Promise<void> {
    const { lake } = this.#parts;
    const [first] = lines as [SealedLine];
    await this.#swapManifest(first, inForce, signal);
    // Who was cut off for a while must not take anything away.
    await committer.assertOwner();
    for (const { supersedes = [] } of lines) {
      for (const path of supersedes) {
        failpoint('compact.before-remove');
        await lake.remove(path);
        failpoint('compact.after-remove');
      }
    }
    this.#clear(committer, ledger, hourKey(first, first.hour));
    const totals = this.#totals;
    totals.hours += 1;
    totals.files += lines.length;
    for (const { supersedes = [] } of lines) totals.replaced += supersedes.length;
  }

  /** Durable with the next save: until then whoever comes finds everything done. */
  #clear({ state }: Committer, ledger: Ledger, key: string): void {
    state.parts = [];
    state.hours = [];
    ledger.forget(key);
  }

  #manifestOf({ db, coll, hour }: SealedLine): LakePath {
    return manifestPath(this.#options.pipeline, this.#about.layout, { db, coll }, hour);
  }

  async #swapManifest(of: SealedLine, inForce: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    const path = this.#manifestOf(of);
    const files = inForce.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    for (;;) {
      const there = await lake.stat(path);
      if (there === null) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
      const manifest = JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as { revision: number; files: unknown };
      if (JSON.stringify(manifest.files) === JSON.stringify(files)) return;
      const bytes = Buffer.from(`${JSON.stringify({ ...manifest, revision: manifest.revision + 1, files }, null, 1)}\n`);
      failpoint('compact.before-manifest');
      try {
        await lake.put(path, bytes, there);
      } catch (error) {
        // Somebody else has changed it in between, and only adds to it: looked at again.
        if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
        continue;
      }
      failpoint('compact.after-manifest');
      return;
    }
  }
}

/** As it is named by the checkpoint before it is made. */
function intentOf(line: SealedLine, number: number): PartRecord {
  const { path, db, coll, hour, bytes, rows, first, firstAt, last, lastAt, ops, epoch } = line;
  const counted = { length: bytes, rows, first, firstAt, last, lastAt, ops };
  return { path, ns: { db, coll }, hour, number, ...counted, fingerprint: '', epoch, rolled: true, state: 'sealing', line };
}

async function putOnce(lake: Lake, path: LakePath, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  failpoint('compact.before-put');
  try {
    await lake.put(path, bytes, 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    const there = await readFile(lake, path, signal);
    if (!there.equals(bytes)) throw new SluiceError(LAKE_CONFLICT, `${path} is there, and sluice did not put it there`, { cause: error });
  }
  failpoint('compact.after-put');
}
