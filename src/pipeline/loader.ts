/**
 * Brings sealed files into the warehouse, merges them, and says up to where each collection is complete.
 *
 * It follows the ledger and nothing else: a listing shows files that are not promised, a manifest comes once an hour.
 * Invariant: `complete_through` of a collection never passes an event that is not loaded and merged. So the checkpoint
 * is read first: what its watermark covers is by then in a part that it names or in the ledger that is read after it.
 *
 * A warehouse may cost money while it is awake. When the last call left nothing to do and the ledger is as it was, it is
 * not asked anything; only `complete_through` moves on now and then. Collections do not wait for each other: what one of them
 * fails with is its status, and the others go on.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { WAREHOUSE_FAILED } from '../core/errors.ts';
import { folderOf, type Lake, type LakeFile, type LakePath } from '../core/lake.ts';
import { hoursPerPart } from '../core/layout.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, parseHourName, type Hour, type Timestamp } from '../core/time.ts';
import type { CollectionRow, LoadResult, SealedFile, Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import { timed } from '../ops/histogram.ts';
import { recordLoad, type PipelineStats } from '../ops/stats.ts';
import { earliestOpen, isMaintenance, ledgerFolder, type Checkpoint } from './checkpoint.ts';
import { readEvents } from './event-files.ts';
import { isGone, NO_HORIZON, readHorizon, type Horizon } from './horizon.ts';
import { parseLedger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { Quarantine } from './quarantine.ts';
import { readFile } from './read-file.ts';
import { erasedPaths, goneOf, Replaced } from './replaced.ts';
import { readWhole } from './whole.ts';

export interface LoaderOptions {
  readonly pipeline: string;
  readonly filesPerLoadMax: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: PipelineStats;
  /** Loads the files of these hours alone, both included. */
  readonly hour?: { readonly from: Hour; readonly to: Hour };
}

export interface LoadTotals {
  /** Files and rows that became bronze. */
  readonly files: number;
  readonly rows: number;
  /** Bronze rows that were folded into silver. */
  readonly merged: number;
  /** Files that the warehouse did not take. */
  readonly rejected: readonly { readonly path: string; readonly reason: string }[];
}

/** What is known of a ledger file, so that it is read again only when it has changed. */
interface Followed {
  readonly etag: string;
  /** Lines whose file is not loaded: rejected, paused, or of another hour than was asked for. */
  readonly pending: readonly SealedLine[];
  /** Paths that are loaded; empty once a newer ledger file has begun. */
  readonly loaded: ReadonlySet<LakePath>;
}

/** One call's sums. */
interface Tally {
  files: number;
  rows: number;
  merged: number;
  readonly rejected: { readonly path: string; readonly reason: string }[];
  /** Collections with a file that is not loaded or rows that are not merged: nothing may be said of them. */
  readonly behind: Set<string>;
  /** Collections that failed as a whole, with the first failure. */
  readonly failed: Map<string, unknown>;
  /** Whether what is set aside is tried again now. */
  readonly retry: boolean;
  /** Files have gone since the ledger was read: it is read once more, and has those in which their lines are. */
  isStale: boolean;
}

const PATHS_PER_QUESTION = 1_000;
/** Somebody may pause a collection at any time, and that stands. */
const NOT_PAUSED = ['DISCOVERED', 'ACTIVE', 'ERROR'] as const;

export class Loader {
  readonly #lake: Lake;
  readonly #warehouse: Warehouse;
  readonly #options: LoaderOptions;
  readonly #followed = new Map<LakePath, Followed>();
  /** Files that were rejected by the last call, with the reason: told once, not every few seconds. */
  #rejected = new Map<LakePath, string>();
  #hoursPerFile = 1;
  /** Files of the lake may have been replaced and be gone. */
  #maintained = false;
  /** Files of which something was erased: what is left of them comes with the files that replace them. */
  readonly #erased = new Set<LakePath>();
  #horizon: Horizon = NO_HORIZON;
  /** Collections that the warehouse knows, by name. */
  readonly #known = new Map<string, Namespace>();
  readonly #quarantine = new Quarantine();
  /** The last call left nothing to do but what is in quarantine or paused. */
  #settled = false;
  #quietExcept: { readonly paused: ReadonlySet<string>; readonly behind: ReadonlySet<string> } = { paused: new Set(), behind: new Set() };
  #markedAtMs = 0;
  readonly #marked = new Map<string, Timestamp>();
  /** As they were told to the warehouse. */
  #toldGaps: string | null = null;

  constructor(lake: Lake, warehouse: Warehouse, options: LoaderOptions) {
    this.#lake = lake;
    this.#warehouse = warehouse;
    this.#options = options;
  }

  /**
   * Loads and merges all that is sealed. Calls must not overlap.
   * @param how.retry also tries what was rejected a moment ago; else that waits, longer each time
   * @throws LEDGER_BAD, CHECKPOINT_BAD, and what the lake and the warehouse throw; all that was loaded stays loaded, and
   * a collection that cannot be loaded or merged does not keep the others from it
   */
  async catchUp(signal: AbortSignal, how: { readonly retry: boolean } = { retry: true }): Promise<LoadTotals> {
    const checkpoint = await readWhole(this.#lake, this.#options.pipeline, signal);
    const tally: Tally = { files: 0, rows: 0, merged: 0, rejected: [], behind: new Set(), failed: new Map(), retry: how.retry, isStale: false };
    this.#hoursPerFile = checkpoint === null ? 1 : hoursPerPart(checkpoint.layout);
    this.#horizon = await readHorizon(this.#lake, this.#options.pipeline, signal);
    const ledgers: LakeFile[] = [];
    for await (const file of this.#lake.list(ledgerFolder(this.#options.pipeline), signal)) ledgers.push(file);
    // What replaces other files comes before them: where none of those is loaded they never are, else it is the one that never is.
    ledgers.sort((a, b) => Number(isMaintenance(b.path)) - Number(isMaintenance(a.path)));
    this.#maintained = ledgers.some(({ path }) => isMaintenance(path));
    if (!how.retry && this.#isQuiet(ledgers, checkpoint)) {
      await this.#markWhileIdle(checkpoint);
      return totalsOf(tally);
    }
    this.#settled = false;
    await this.#tellGaps(checkpoint);
    const known = await this.#registry(checkpoint);
    const paused = namesIn(known, 'PAUSED');
    for (const [index, file] of ledgers.entries()) {
      const next = ledgers[index + 1];
      await this.#follow(file, next === undefined || folderOf(next.path) !== folderOf(file.path), paused, tally, signal);
    }
    this.#tellRejected(tally);
    await this.#merge(paused, tally, signal);
    await this.#tellFailed(namesIn(known, 'ERROR'), tally);
    await this.#markComplete(checkpoint, paused, tally.behind);
    this.#quietExcept = { paused, behind: tally.behind };
    for (const error of tally.failed.values()) throw error;
    this.#settled = !tally.isStale;
    if (this.#settled) return totalsOf(tally);
    const { files, rows, merged, rejected } = await this.catchUp(signal, { retry: false });
    return { files: tally.files + files, rows: tally.rows + rows, merged: tally.merged + merged, rejected: [...tally.rejected, ...rejected] };
  }

  /** What the warehouse knows, after collections that only the checkpoint knows were told to it: a new one shows at once. */
  async #registry(checkpoint: Checkpoint | null): Promise<readonly CollectionRow[]> {
    const rows = await this.#warehouse.collections();
    for (const { namespace } of rows) this.#known.set(formatNamespace(namespace), namespace);
    const found = (checkpoint?.parts ?? []).map((part) => part.ns).filter((ns) => !this.#known.has(formatNamespace(ns)));
    if (found.length === 0) return rows;
    await this.#warehouse.discover(found);
    for (const ns of found) this.#known.set(formatNamespace(ns), ns);
    return this.#warehouse.collections();
  }

  /** A gap may be found, closed, or taken back. */
  async #tellGaps(checkpoint: Checkpoint | null): Promise<void> {
    const gaps = gapsOf(checkpoint);
    if (checkpoint === null || gaps === this.#toldGaps) return;
    await this.#warehouse.noteGaps(this.#options.pipeline, checkpoint.gaps);
    this.#toldGaps = gaps;
  }

  /** Nothing has come since a call that left nothing to do. */
  #isQuiet(ledgers: readonly LakeFile[], checkpoint: Checkpoint | null): boolean {
    if (!this.#settled || this.#quarantine.isDue(this.#options.clock.now())) return false;
    if (gapsOf(checkpoint) !== this.#toldGaps) return false;
    const same = ledgers.every((file) => this.#followed.get(file.path)?.etag === file.etag);
    return same && (checkpoint?.parts ?? []).every((part) => this.#known.has(formatNamespace(part.ns)));
  }

  async #markWhileIdle(checkpoint: Checkpoint | null): Promise<void> {
    if (!hasPassed(this.#warehouse.idleMarkMs, this.#markedAtMs, this.#options.clock.now())) return;
    await this.#markComplete(checkpoint, this.#quietExcept.paused, this.#quietExcept.behind);
  }

  /**
   * Loads what a ledger file names and the warehouse lacks. A file that has changed is read whole: after a crash a local
   * lake cuts the last lines and writes them again, so an offset that was right before may be in the middle of a line.
   */
  async #follow(file: LakeFile, isNewest: boolean, paused: ReadonlySet<string>, tally: Tally, signal: AbortSignal): Promise<void> {
    const known = this.#followed.get(file.path);
    const loaded = new Set(known?.loaded);
    const unloaded = known?.etag === file.etag ? known.pending : await this.#unloaded(file.path, loaded, signal);
    const open = unloaded.filter(({ path }) => !this.#erased.has(path));
    const pending = open.filter((line) => !this.#isDue(line, paused, tally.retry));
    const due = open.filter((line) => this.#isDue(line, paused, tally.retry));
    await inParallel(this.#batches(due), this.#warehouse.atOnce, async (batch) => {
      const rejected = await this.#load(batch, tally, signal);
      for (const line of batch) {
        if (rejected.has(line.path)) pending.push(line);
        else loaded.add(line.path);
      }
    });
    for (const line of pending) tally.behind.add(nameOf(line));
    this.#followed.set(file.path, { etag: file.etag, pending, loaded: isNewest ? loaded : new Set() });
  }

  /** Lines whose file is not loaded; what is found loaded is added to `loaded`. */
  async #unloaded(path: LakePath, loaded: Set<LakePath>, signal: AbortSignal): Promise<SealedLine[]> {
    const text = (await readFile(this.#lake, path, signal)).toString('utf8');
    const lines = [...parseLedger(text, path)].filter(isSealedLine);
    // Those of the maintenance come first, and so are known by the time that the files they speak of are met.
    for (const erased of erasedPaths(lines)) this.#erased.add(erased);
    const asked = lines.filter((line) => !loaded.has(line.path) && !this.#erased.has(line.path) && !isGone(line, this.#horizon));
    for (let at = 0; at < asked.length; at += PATHS_PER_QUESTION) {
      const paths = asked.slice(at, at + PATHS_PER_QUESTION).map((line) => line.path);
      for (const each of await this.#warehouse.loaded(paths)) loaded.add(each);
    }
    return asked.filter((line) => !loaded.has(line.path));
  }

  /** A warehouse that takes several collections at once gets them one by one. */
  #batches(due: readonly SealedLine[]): SealedLine[][] {
    const { filesPerLoadMax } = this.#options;
    const lists = this.#warehouse.atOnce > 1 ? [...Map.groupBy(due, nameOf).values()] : [due];
    return lists.flatMap((list) =>
      Array.from({ length: Math.ceil(list.length / filesPerLoadMax) }, (_, i) => list.slice(i * filesPerLoadMax, (i + 1) * filesPerLoadMax)),
    );
  }

  #isDue(line: SealedLine, paused: ReadonlySet<string>, retry: boolean): boolean {
    if (paused.has(nameOf(line))) return false;
    if (!retry && this.#quarantine.holds(line.path, this.#options.clock.now())) return false;
    const { hour } = this.#options;
    const of = parseHourName(line.hour);
    return hour === undefined || (of !== null && of + this.#hoursPerFile > hour.from && of <= hour.to);
  }

  /** @returns the paths that are not loaded */
  async #load(lines: readonly SealedLine[], tally: Tally, signal: AbortSignal): Promise<ReadonlySet<string>> {
    signal.throwIfAborted();
    const files = await this.#filesOf(lines, signal);
    const { stats, log } = this.#options;
    const begunMs = this.#options.clock.now();
    let result;
    try {
      result = await timed(stats.loadSeconds, () => this.#warehouse.load(files, signal));
    } catch (error) {
      if (!signal.aborted) this.#record(lines, begunMs, { files: 0, rows: 0, rejected: [] }, reasonOf(error));
      return await this.#loadApart(lines, error, tally, signal);
    }
    const gone = await goneOf(files, result.rejected, this.#lake, this.#options.pipeline, signal);
    if (gone.size > 0) tally.isStale = true;
    const told = result.rejected.filter(({ path }) => !gone.has(path));
    this.#record(lines, begunMs, { ...result, rejected: told }, null);
    tally.files += result.files;
    tally.rows += result.rows;
    tally.rejected.push(...told);
    stats.filesLoaded += result.files;
    stats.rowsLoaded += result.rows;
    if (result.files > 0) stats.lastLoadAtMs = this.#options.clock.now();
    const names = [...new Set(lines.map(nameOf))];
    const of = names.length === 1 ? { collection: names[0] } : { collections: names.length };
    log.info({ ...of, files: result.files, rows: result.rows, rejected: told.length }, 'loaded');
    for (const { db, coll } of lines) this.#known.set(formatNamespace({ db, coll }), { db, coll });
    const rejected = new Set(told.map(({ path }) => path));
    const nowMs = this.#options.clock.now();
    for (const { path } of lines) {
      if (rejected.has(path)) this.#quarantine.add(path, nowMs);
      else this.#quarantine.remove(path);
    }
    return rejected.union(gone);
  }

  #record(lines: readonly SealedLine[], begunMs: number, result: Pick<LoadResult, 'files' | 'rows' | 'rejected'>, error: string | null): void {
    const { files, rows, rejected } = result;
    if (files === 0 && rejected.length === 0 && error === null) return;
    const names = new Set(lines.map(nameOf));
    const of = names.size === 1 ? [...names].join() : `${names.size} collections`;
    const atMs = this.#options.clock.now();
    recordLoad(this.#options.stats, { atMs, seconds: (atMs - begunMs) / 1000, files, rows, rejected: rejected.length, of, error });
  }

  /** A statement failed and no file is to blame: each collection by itself, so that one does not hold the others. */
  async #loadApart(lines: readonly SealedLine[], error: unknown, tally: Tally, signal: AbortSignal): Promise<ReadonlySet<string>> {
    // Only what the statement itself met: a warehouse that is gone or busy fails for all.
    if (signal.aborted || !SluiceError.is(error, WAREHOUSE_FAILED)) throw error;
    const collections = [...Map.groupBy(lines, nameOf)];
    const [[name] = ['']] = collections;
    if (collections.length > 1) {
      const left = new Set<string>();
      for (const [, own] of collections) for (const path of await this.#load(own, tally, signal)) left.add(path);
      return left;
    }
    this.#options.log.error({ err: error, collection: name }, 'loading failed');
    tally.failed.set(name, error);
    return new Set(lines.map((line) => line.path));
  }

  /** Of a file that was compacted before it was loaded the warehouse is given the lines as they were. */
  async #filesOf(lines: readonly SealedLine[], signal: AbortSignal): Promise<SealedFile[]> {
    const files = lines.map((line) => this.#fileOf(line));
    if (!this.#maintained) return files;
    let replaced: Replaced | null = null;
    for (const [index, line] of lines.entries()) {
      if (line.rows === 0 || (await this.#lake.stat(line.path)) !== null) continue;
      replaced ??= await Replaced.read(this.#lake, this.#options.pipeline, signal);
      if (!replaced.has(line.path)) continue;
      const from = replaced;
      let plainBytes = 0;
      for await (const each of from.lines(line, signal)) plainBytes += each.length;
      files[index] = { line, localPath: null, plainBytes, read: (until) => from.lines(line, until) };
    }
    return files;
  }

  /** Of an index the warehouse is given the events that it names, as if they were one file. */
  #fileOf(line: SealedLine): SealedFile {
    const { path } = line;
    if (line.eventBytes === undefined) return { line, localPath: this.#lake.localPath(path), read: (until) => this.#lake.read(path, 0, until) };
    return { line: { ...line, bytes: dataBytes(line) }, localPath: null, read: (until) => readEvents(this.#lake, path, until) };
  }

  #tellRejected({ rejected }: Tally): void {
    const { stats, log } = this.#options;
    for (const { path, reason } of rejected) {
      if (this.#rejected.get(path) === reason) continue;
      stats.loadErrors += 1;
      log.error({ path, reason }, 'the warehouse does not take this file: its collection is in status ERROR, the others go on');
    }
    this.#rejected = new Map(rejected.map(({ path, reason }) => [path, reason]));
  }

  /** Everything that no merge has folded yet, of this call or of one that was cut short. */
  async #merge(paused: ReadonlySet<string>, tally: Tally, signal: AbortSignal): Promise<void> {
    const { stats, log } = this.#options;
    const open = [...(await this.#warehouse.unmerged()), ...(await this.#warehouse.unlearnt())].map((ns) => [formatNamespace(ns), ns] as const);
    const waiting = [...new Map(open)].filter(([name]) => !paused.has(name)).map(([, ns]) => ns);
    await inParallel(waiting, this.#warehouse.atOnce, async (ns) => {
      signal.throwIfAborted();
      const name = formatNamespace(ns);
      try {
        const { rows } = await timed(stats.mergeSeconds, () => this.#warehouse.merge(ns, { rebuild: false }, signal));
        tally.merged += rows;
        stats.rowsMerged += rows;
        if (rows > 0) log.info({ collection: name, rows }, 'merged');
      } catch (error) {
        if (signal.aborted || !SluiceError.is(error, WAREHOUSE_FAILED)) throw error;
        log.error({ err: error, collection: name }, 'merging failed');
        tally.behind.add(name);
        if (!tally.failed.has(name)) tally.failed.set(name, error);
      }
    });
  }

  /** A collection that failed is in status ERROR until it has caught up. */
  async #tellFailed(inError: ReadonlySet<string>, { failed, behind }: Tally): Promise<void> {
    for (const [name, error] of failed) await this.#warehouse.setStatus(parseNamespace(name), 'ERROR', reasonOf(error), NOT_PAUSED);
    for (const name of inError) if (!behind.has(name)) await this.#warehouse.setStatus(parseNamespace(name), 'ACTIVE', null, ['ERROR']);
  }

  async #markComplete(checkpoint: Checkpoint | null, paused: ReadonlySet<string>, behind: ReadonlySet<string>): Promise<void> {
    if (checkpoint === null || checkpoint.watermark.t === 0) return;
    this.#markedAtMs = this.#options.clock.now();
    const marks: { readonly namespace: Namespace; readonly through: Timestamp }[] = [];
    const open = earliestOpen(checkpoint);
    // What was there before the beginning, or was lost in a gap, is not all in the lake while it is being read.
    const unread = new Set(checkpoint.snapshots.filter(({ cause }) => cause !== 'asked').map(({ ns }) => formatNamespace(ns)));
    for (const [name, namespace] of this.#known) {
      if (paused.has(name) || behind.has(name) || unread.has(name)) continue;
      const first = open.get(name);
      const through = first !== undefined && compareTimestamps(first, checkpoint.watermark) < 0 ? first : checkpoint.watermark;
      const marked = this.#marked.get(name);
      if (marked !== undefined && compareTimestamps(through, marked) <= 0) continue;
      marks.push({ namespace, through });
    }
    if (marks.length === 0) return;
    await this.#warehouse.markComplete(marks);
    for (const { namespace, through } of marks) this.#marked.set(formatNamespace(namespace), through);
  }
}

function gapsOf(checkpoint: Checkpoint | null): string {
  return JSON.stringify(checkpoint?.gaps ?? []);
}

function totalsOf({ files, rows, merged, rejected }: Tally): LoadTotals {
  return { files, rows, merged, rejected };
}

function namesIn(rows: readonly CollectionRow[], status: CollectionRow['status']): ReadonlySet<string> {
  return new Set(rows.filter((row) => row.status === status).map((row) => formatNamespace(row.namespace)));
}

function nameOf(line: SealedLine): string {
  return formatNamespace({ db: line.db, coll: line.coll });
}
