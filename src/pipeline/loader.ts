/**
 * Brings sealed files into the warehouse, merges them, and says up to where each collection is complete.
 *
 * It follows the ledger and nothing else: a listing shows files that are not promised, a manifest comes once an hour.
 * Invariant: `complete_through` of a collection never passes an event that is not loaded and merged. So the checkpoint
 * is read first: what its watermark covers is by then in a part that it names or in the ledger that is read after it.
 */
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_FAILED } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { hoursPerPart } from '../core/layout.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, parseHourName, type Hour, type Timestamp } from '../core/time.ts';
import type { SealedFile, Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { ledgerFolder, type Checkpoint } from './checkpoint.ts';
import { readEvents } from './event-files.ts';
import { parseLedger } from './ledger.ts';
import { readFile } from './read-file.ts';
import { readWhole } from './whole.ts';

export interface LoaderOptions {
  readonly pipeline: string;
  readonly filesPerLoadMax: number;
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
  /** Files that the warehouse did not take; they are tried again by the next call. */
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
}

const PATHS_PER_QUESTION = 1_000;

export class Loader {
  readonly #lake: Lake;
  readonly #warehouse: Warehouse;
  readonly #options: LoaderOptions;
  readonly #followed = new Map<LakePath, Followed>();
  /** Files that were rejected by the last call, with the reason: told once, not every few seconds. */
  #rejected = new Map<LakePath, string>();
  #hoursPerFile = 1;
  readonly #marked = new Map<string, Timestamp>();

  constructor(lake: Lake, warehouse: Warehouse, options: LoaderOptions) {
    this.#lake = lake;
    this.#warehouse = warehouse;
    this.#options = options;
  }

  /**
   * Loads and merges all that is sealed. Calls must not overlap.
   * @throws LEDGER_BAD, CHECKPOINT_BAD, and what the lake and the warehouse throw; all that was loaded stays loaded, and
   * a collection that cannot be merged does not keep the others from it
   */
  async catchUp(signal: AbortSignal): Promise<LoadTotals> {
    const checkpoint = await readWhole(this.#lake, this.#options.pipeline, signal);
    const tally: Tally = { files: 0, rows: 0, merged: 0, rejected: [], behind: new Set() };
    const paused = await this.#paused();
    this.#hoursPerFile = checkpoint === null ? 1 : hoursPerPart(checkpoint.layout);
    const ledgers: LakeFile[] = [];
    for await (const file of this.#lake.list(ledgerFolder(this.#options.pipeline), signal)) ledgers.push(file);
    for (const [index, file] of ledgers.entries()) {
      const next = ledgers[index + 1];
      await this.#follow(file, next === undefined || folderOf(next.path) !== folderOf(file.path), paused, tally, signal);
    }
    this.#tellRejected(tally);
    const failure = await this.#merge(paused, tally, signal);
    await this.#markComplete(checkpoint, paused, tally.behind);
    if (failure !== null) throw failure.error;
    const { files, rows, merged, rejected } = tally;
    return { files, rows, merged, rejected };
  }

  async #paused(): Promise<ReadonlySet<string>> {
    const rows = await this.#warehouse.collections();
    return new Set(rows.filter((row) => row.status === 'PAUSED').map((row) => formatNamespace(row.namespace)));
  }

  /**
   * Loads what a ledger file names and the warehouse lacks. A file that has changed is read whole: after a crash a local
   * lake cuts the last lines and writes them again, so an offset that was right before may be in the middle of a line.
   */
  async #follow(file: LakeFile, isNewest: boolean, paused: ReadonlySet<string>, tally: Tally, signal: AbortSignal): Promise<void> {
    const known = this.#followed.get(file.path);
    const loaded = new Set(known?.loaded);
    const open = known?.etag === file.etag ? known.pending : await this.#unloaded(file.path, loaded, signal);
    const pending = open.filter((line) => !this.#isDue(line, paused));
    const due = open.filter((line) => this.#isDue(line, paused));
    for (let at = 0; at < due.length; at += this.#options.filesPerLoadMax) {
      const batch = due.slice(at, at + this.#options.filesPerLoadMax);
      const rejected = await this.#load(batch, tally, signal);
      for (const line of batch) {
        if (rejected.has(line.path)) pending.push(line);
        else loaded.add(line.path);
      }
    }
    for (const line of pending) tally.behind.add(nameOf(line));
    this.#followed.set(file.path, { etag: file.etag, pending, loaded: isNewest ? loaded : new Set() });
  }

  /** Lines whose file is not loaded; what is found loaded is added to `loaded`. */
  async #unloaded(path: LakePath, loaded: Set<LakePath>, signal: AbortSignal): Promise<SealedLine[]> {
    const text = (await readFile(this.#lake, path, signal)).toString('utf8');
    const asked = [...parseLedger(text, path)].filter(isSealedLine).filter((line) => !loaded.has(line.path));
    for (let at = 0; at < asked.length; at += PATHS_PER_QUESTION) {
      const paths = asked.slice(at, at + PATHS_PER_QUESTION).map((line) => line.path);
      for (const each of await this.#warehouse.loaded(paths)) loaded.add(each);
    }
    return asked.filter((line) => !loaded.has(line.path));
  }

  #isDue(line: SealedLine, paused: ReadonlySet<string>): boolean {
    if (paused.has(nameOf(line))) return false;
    const { hour } = this.#options;
    const of = parseHourName(line.hour);
    return hour === undefined || (of !== null && of + this.#hoursPerFile > hour.from && of <= hour.to);
  }

  /** @returns the paths that were rejected */
  async #load(lines: readonly SealedLine[], tally: Tally, signal: AbortSignal): Promise<ReadonlySet<string>> {
    signal.throwIfAborted();
    const files = lines.map((line) => this.#fileOf(line));
    const { stats, log } = this.#options;
    const result = await this.#warehouse.load(files, signal);
    tally.files += result.files;
    tally.rows += result.rows;
    tally.rejected.push(...result.rejected);
    stats.filesLoaded += result.files;
    stats.rowsLoaded += result.rows;
    log.info({ files: result.files, rows: result.rows, rejected: result.rejected.length }, 'loaded');
    return new Set(result.rejected.map(({ path }) => path));
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

  /** Everything that no merge has folded yet, of this call or of one that was cut short. @returns the first failure */
  async #merge(paused: ReadonlySet<string>, tally: Tally, signal: AbortSignal): Promise<{ readonly error: unknown } | null> {
    const { stats, log } = this.#options;
    let failure: { readonly error: unknown } | null = null;
    for (const ns of await this.#warehouse.unmerged()) {
      const name = formatNamespace(ns);
      if (paused.has(name)) continue;
      signal.throwIfAborted();
      try {
        const { rows } = await this.#warehouse.merge(ns, { rebuild: false }, signal);
        tally.merged += rows;
        stats.rowsMerged += rows;
      } catch (error) {
        // Only what the statement itself met: a warehouse that is gone or busy fails for all.
        if (signal.aborted || !SluiceError.is(error, WAREHOUSE_FAILED)) throw error;
        log.error({ err: error, collection: name }, 'merging failed');
        tally.behind.add(name);
        failure ??= { error };
      }
    }
    return failure;
  }

  async #markComplete(checkpoint: Checkpoint | null, paused: ReadonlySet<string>, behind: ReadonlySet<string>): Promise<void> {
    if (checkpoint === null || checkpoint.watermark.t === 0) return;
    const marks: { readonly namespace: Namespace; readonly through: Timestamp }[] = [];
    const open = earliestOpen(checkpoint);
    for (const { namespace } of await this.#warehouse.collections()) {
      const name = formatNamespace(namespace);
      if (paused.has(name) || behind.has(name)) continue;
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

/** Cluster time of the first event of each collection that is in the lake and not sealed. */
function earliestOpen(checkpoint: Checkpoint): ReadonlyMap<string, Timestamp> {
  const earliest = new Map<string, Timestamp>();
  for (const { ns, firstAt } of checkpoint.parts) {
    if (firstAt === null) continue;
    const name = formatNamespace(ns);
    const known = earliest.get(name);
    if (known === undefined || compareTimestamps(firstAt, known) < 0) earliest.set(name, firstAt);
  }
  return earliest;
}

function nameOf(line: SealedLine): string {
  return formatNamespace({ db: line.db, coll: line.coll });
}

function folderOf(path: LakePath): LakePath {
  return path.slice(0, path.lastIndexOf('/'));
}
