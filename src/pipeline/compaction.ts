/**
 * Replaces the parts of hours that are over by Parquet files that hold the same lines. In which order, so that nobody loses a line
 * over it: swap.ts.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { COMPACT_BUSY, COMPACT_DIFFERS, COMPACT_LAYOUT, LAKE_CONFLICT, LAKE_DAMAGED, WAREHOUSE_FAILED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isPerEvent } from '../core/layout.ts';
import { type SealedLine } from '../core/ledger.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import { Scratch, sweepScratch } from '../core/scratch.ts';
import type { Logger } from '../ops/log.ts';
import { MAINTENANCE, checkpointPath } from './checkpoint.ts';
import { planCompaction, type CompactionRange, type HourPlan } from './compaction-plan.ts';
import { readHorizon } from './horizon.ts';
import { readLedger } from './ledger.ts';
import { makeParquet, type Compacted } from './parquet-file.ts';
import { hasBegun, withSwap, type Swap } from './swap.ts';
import { readWhole, type WholePipeline } from './whole.ts';

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
  const until = AbortSignal.any([signal, owned.lost]);
  const { clock, log } = parts;
  await withSwap(
    { lake, clock, log, pipeline, layout: about.layout },
    (swap) => new Compaction(options, parts, about, totals).run(swap, until),
    until,
  );
  return totals;
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

  async run(swap: Swap, signal: AbortSignal): Promise<void> {
    // Also when there is nothing left to do but what a killed one had begun.
    await sweepScratch(SCRATCH);
    const finished = await swap.goOn(signal);
    this.#count(finished);
    await this.#all(swap, signal);
  }

  async #all(swap: Swap, signal: AbortSignal): Promise<void> {
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
        for (const merge of hour.merges) made.push(await makeParquet(lake, merge, swap.epoch, { writer, folder }, signal));
        await swap.replace(made, plan.inForce.get(hour.key) ?? [], signal);
        this.#count(made.map(({ line }) => line));
        this.#weigh(hour, made);
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

  /** Files that are in their place. */
  #count(lines: readonly SealedLine[]): void {
    const totals = this.#totals;
    if (lines.length > 0) totals.hours += 1;
    totals.files += lines.length;
    for (const { supersedes = [] } of lines) totals.replaced += supersedes.length;
  }

  #weigh({ merges }: HourPlan, made: readonly Compacted[]): void {
    for (const { originals } of merges) this.#totals.bytesBefore += originals.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { line } of made) {
      this.#totals.rows += line.rows;
      this.#totals.bytesAfter += line.bytes;
    }
  }
}
