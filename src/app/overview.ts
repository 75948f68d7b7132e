/**
 * The picture of a pipeline that the dashboard draws: per collection one letter for each of the last 720 hours.
 *
 * It must cost the capture nothing that matters: it is made while somebody looks, at most once a second, from what the
 * ledger has grown by; the server is asked for its oplog, and a warehouse for its collections, only now and then.
 */
import { reasonOf } from '../core/error.ts';
import type { Lake } from '../core/lake.ts';
import { hourOf, type Hour, type Timestamp } from '../core/time.ts';
import type { CollectionRow, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { newCheckpoint } from '../pipeline/checkpoint.ts';
import { listDeadLetters } from '../pipeline/dead-letters.ts';
import { readWhole, type WholePipeline } from '../pipeline/whole.ts';
import { Drawing } from './drawing.ts';
import { HourBook } from './hour-book.ts';
import { canSnapshot } from './snapshot.ts';
import { snapshotReport } from './status.ts';
import { readOplog } from './oplog-watch.ts';
import type { Overview, VerificationOverview } from './overview-types.ts';
import type { VerifyReport } from './types.ts';
import { keepVerification, readVerification, statsOf } from './verification.ts';
import { productVersion } from './version.ts';

export const WINDOW_HOURS = 30 * 24;
const MADE_MS_MIN = 1_000;
/** Reading a month of a large ledger takes a while: so much of each second. */
const READ_MS_MAX = 300;
const OPLOG_MS = 60_000;
/** Dead letters that this process did not write itself: another one may have, or sent them again. */
const LETTERS_MS = 60_000;
/** Of a registry that nothing has changed since. */
const REGISTRY_MS = 10_000;
const FINDINGS_SHOWN = 20;

/** What is looked at; the warehouse comes when the pipeline is owned. */
export interface Looked {
  readonly config: Config;
  readonly stats: PipelineStats;
  readonly lake: Lake;
  readonly warehouse: Warehouse | null;
  readonly capture: object | null;
}

interface Kept<T> {
  readonly atMs: number;
  readonly of: string;
  readonly value: T;
}

export class Overviews {
  readonly #looked: Looked;
  readonly #drawing = new Drawing(WINDOW_HOURS);
  #book: HourBook | null = null;
  #made: { readonly atMs: number; readonly overview: Promise<Overview> } | null = null;
  readonly #oplog: { askedAtMs: number; hours: number | null } = { askedAtMs: Number.NEGATIVE_INFINITY, hours: null };
  #registry: Kept<readonly CollectionRow[]> | null = null;
  #letters: Kept<number> | null = null;
  #verification: VerificationOverview | null = null;
  /** What a former process has found is there. */
  #hasAskedLake = false;
  #changes = 0;

  constructor(looked: Looked) {
    this.#looked = looked;
  }

  /** Differs whenever the overview would. */
  get revision(): string {
    const { stats } = this.#looked;
    const { state, epoch, partsOpen, partsSealed, hoursComplete, filesLoaded, rowsMerged, loadErrors, gaps, gapsOpen, snapshotsOpen, deadLetters } =
      stats;
    const counts = [partsOpen, partsSealed, hoursComplete, filesLoaded, rowsMerged, loadErrors, gaps, gapsOpen, snapshotsOpen, deadLetters];
    return [state, epoch, ...counts, this.#changes].join('.');
  }

  /** Something was changed that no counter tells: a collection was paused. */
  changed(): void {
    this.#changes += 1;
    this.#registry = null;
    this.#made = null;
  }

  /** One at a time, whoever asks. */
  async read(): Promise<Overview> {
    const nowMs = Date.now();
    const made = this.#made;
    if (made !== null && nowMs - made.atMs < MADE_MS_MIN) return await made.overview;
    // It is shared: one asker who leaves must not end it for the others.
    const overview = this.#make(nowMs, new AbortController().signal);
    const mine = { atMs: nowMs, overview };
    this.#made = mine;
    try {
      return await overview;
    } catch (error) {
      if (this.#made === mine) this.#made = null;
      throw error;
    }
  }

  /** Remembers what a proof said. */
  async verifying(work: () => Promise<VerifyReport>): Promise<VerifyReport> {
    const begunAt = new Date().toISOString();
    // A checkpoint that cannot be read is for the proof itself to tell.
    const { nextHour } = await this.#checkpoint(new AbortController().signal).catch(() => ({ nextHour: 0 }));
    const begun: VerificationOverview = { begunAt, endedAt: null, ok: null, failure: null, before: nextHour, checks: [] };
    const before = this.#verification;
    this.#note(begun);
    try {
      const report = await work();
      const checks = report.checks.map((check) => ({ ...check, findings: check.findings.slice(0, FINDINGS_SHOWN) }));
      await this.#ended({ ...begun, endedAt: new Date().toISOString(), ok: report.ok, checks });
      return report;
    } catch (error) {
      // One that somebody has stopped says nothing: what was known before still holds.
      if (this.#verification === begun) {
        const stopped = error instanceof Error && error.name === 'AbortError';
        if (stopped) this.#note(before);
        else await this.#ended({ ...begun, endedAt: new Date().toISOString(), failure: reasonOf(error) });
      }
      throw error;
    }
  }

  /** Kept on the lake, where the next process finds it. */
  async #ended(verification: VerificationOverview): Promise<void> {
    const { lake, config, stats } = this.#looked;
    this.#note(verification);
    stats.verification = statsOf(verification);
    // What was found is told all the same, by whoever has asked.
    await keepVerification(lake, config.pipeline, verification, new AbortController().signal).catch(() => {});
  }

  #note(verification: VerificationOverview | null): void {
    this.#verification = verification;
    this.#changes += 1;
    this.#made = null;
  }

  async #checkpoint(signal: AbortSignal): Promise<WholePipeline> {
    const { lake, config } = this.#looked;
    return (await readWhole(lake, config.pipeline, signal)) ?? { ...newCheckpoint(config.pipeline, ''), ledgers: [], isStopped: true };
  }

  async #make(nowMs: number, signal: AbortSignal): Promise<Overview> {
    const { config, stats, lake, warehouse, capture } = this.#looked;
    this.#askOplog(nowMs);
    const { revision } = this;
    const checkpoint = await this.#checkpoint(signal);
    if (!this.#hasAskedLake) {
      const former = await readVerification(lake, config.pipeline, signal);
      this.#verification ??= former;
      this.#hasAskedLake = true;
    }
    const { watermark, startedAt, resume, gaps } = checkpoint;
    const last = Math.max(hourOf(nowMs / 1000), hourOf(watermark.t));
    const from = last - WINDOW_HOURS + 1;
    const book = await this.#read(checkpoint, from, nowMs, signal);
    const captures = capture !== null && stats.epoch > 0;
    const registry = warehouse === null ? [] : await this.#readRegistry(warehouse, nowMs);
    return {
      revision,
      at: new Date(nowMs).toISOString(),
      version: productVersion(),
      pipeline: config.pipeline,
      pid: process.pid,
      state: stats.state,
      epoch: checkpoint.epoch,
      include: config.source.include,
      lake: lake.description,
      warehouse: config.warehouse === null ? null : (warehouse?.description ?? config.warehouse.kind),
      abilities: {
        captures,
        loads: warehouse !== null,
        snapshots: captures && canSnapshot(config),
        sends: config.bus !== null,
      },
      position: resume?.position ?? null,
      startedAt: isoOf(startedAt),
      watermark: isoOf(watermark),
      checkpointSavedAt: checkpoint.epoch === 0 ? null : checkpoint.savedAt,
      oplogHours: this.#oplog.hours,
      hours: { from, count: WINDOW_HOURS, published: checkpoint.nextHour, knownFrom: Math.max(from, Math.min(book.knownFrom, last + 1)) },
      collections: this.#drawing.collections({ checkpoint, book, registry, hasWarehouse: config.warehouse !== null, from, nowMs }),
      gaps: gaps.map((gap) => ({
        from: new Date(gap.from.t * 1000).toISOString(),
        to: gap.to === null ? null : isoOf(gap.to),
        cause: gap.cause,
        collections: gap.collections,
        repaired: gap.repaired ?? null,
      })),
      snapshots: checkpoint.snapshots.map((record) => snapshotReport(record, Date.parse(checkpoint.savedAt))),
      deadLetters: config.bus === null ? null : await this.#countLetters(nowMs, signal),
      loads: stats.loads.slice(0, 50),
      verification: this.#verification,
    };
  }

  async #read({ ledgers }: WholePipeline, from: Hour, nowMs: number, signal: AbortSignal): Promise<HourBook> {
    if (this.#book === null || !this.#book.covers(from, WINDOW_HOURS)) this.#book = new HourBook(from, WINDOW_HOURS);
    await this.#book.refresh(this.#looked.lake, this.#looked.config.pipeline, ledgers, nowMs, READ_MS_MAX, signal);
    // There is more to say as soon as somebody asks again.
    if (this.#book.knownFrom > this.#book.from) this.#changes += 1;
    return this.#book;
  }

  /** Nobody waits for a server that is away: what it said last is shown, and its answer with the next overview. */
  #askOplog(nowMs: number): void {
    if (nowMs - this.#oplog.askedAtMs < OPLOG_MS) return;
    this.#oplog.askedAtMs = nowMs;
    void readOplog(this.#looked.config, new AbortController().signal).then((oplog) => {
      const hours = oplog === null ? null : (oplog.lastSeconds - oplog.firstSeconds) / 3600;
      if (hours !== this.#oplog.hours) this.#changes += 1;
      this.#oplog.hours = hours;
    });
  }

  async #countLetters(nowMs: number, signal: AbortSignal): Promise<number> {
    const of = `${this.#looked.stats.deadLetters}.${this.#changes}`;
    const kept = this.#letters;
    if (kept !== null && kept.of === of && nowMs - kept.atMs < LETTERS_MS) return kept.value;
    const value = (await listDeadLetters(this.#looked.lake, this.#looked.config.pipeline, signal)).length;
    this.#letters = { atMs: nowMs, of, value };
    return value;
  }

  /** A warehouse that costs money while it is awake is asked only when something was loaded or changed. */
  async #readRegistry(warehouse: Warehouse, nowMs: number): Promise<readonly CollectionRow[]> {
    const { filesLoaded, rowsMerged, loadErrors } = this.#looked.stats;
    const of = [filesLoaded, rowsMerged, loadErrors, this.#changes].join('.');
    const kept = this.#registry;
    if (kept !== null && kept.of === of && nowMs - kept.atMs < Math.max(REGISTRY_MS, warehouse.idleMarkMs)) return kept.value;
    const value = await warehouse.collections();
    this.#registry = { atMs: nowMs, of, value };
    return value;
  }
}

function isoOf(at: Timestamp): string | null {
  return at.t === 0 ? null : new Date(at.t * 1000).toISOString();
}
