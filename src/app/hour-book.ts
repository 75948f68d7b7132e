/**
 * What the ledger says of each collection's hours, kept up to date by reading only what it has grown by.
 *
 * The ledger of 500 collections has 12,000 lines a day: reading a month of it for each look would cost the capture more than
 * the look is worth. It is read once, the newest day first and so much at a time; what is known so far is shown meanwhile.
 * Bounded: hours of a window, in typed arrays, 20 bytes per collection and hour.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { Lake, LakePath } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace } from '../core/namespace.ts';
import { parseHourName, type Hour } from '../core/time.ts';
import { ledgerFolder } from '../pipeline/checkpoint.ts';
import { parseLedger } from '../pipeline/ledger.ts';

const LINES_AT_ONCE = 2_000;
/** A book is begun anew when the window has moved on by so much. */
const SLACK_HOURS = 48;
/** New files are looked for this often; between, only the newest one is read on. */
const LIST_MS = 60_000;
const NEWLINE = 10;
const HOURS_PER_DAY = 24;

export interface HourSums {
  readonly files: Uint32Array;
  readonly rows: Float64Array;
  readonly bytes: Float64Array;
  /** Seconds since 1970; 0: none. */
  lastEvent: number;
  /** Changes with everything above. */
  version: number;
}

export class HourBook {
  readonly from: Hour;
  readonly #capacity: number;
  readonly #collections = new Map<string, HourSums>();
  /** Bytes of each ledger file that have been read, up to its last whole line. */
  readonly #read = new Map<LakePath, number>();
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #knownFrom: Hour = Number.POSITIVE_INFINITY;
  /** Paths that a later line has taken the place of, and whose own line has not been read yet. */
  readonly #replaced = new Set<LakePath>();

  constructor(from: Hour, hours: number) {
    this.from = from;
    this.#capacity = hours + SLACK_HOURS;
  }

  get collections(): ReadonlyMap<string, HourSums> {
    return this.#collections;
  }

  /** Whether it can hold these hours. */
  covers(from: Hour, hours: number): boolean {
    return from >= this.from && from + hours <= this.from + this.#capacity;
  }

  /** Index of an hour, or `null` outside of the window. */
  indexOf(hour: Hour): number | null {
    const at = hour - this.from;
    return at >= 0 && at < this.#capacity ? at : null;
  }

  /** Hours from this one on are known; those before are still to be read. */
  get knownFrom(): Hour {
    return this.#knownFrom;
  }

  /**
   * @param current the ledger files that grow now, as the checkpoint says, and how much of them is durable
   * @param budgetMs when the older days take longer, the rest is left to the next call
   */
  async refresh(
    lake: Lake,
    pipeline: string,
    current: readonly { readonly path: LakePath; readonly length: number }[],
    nowMs: number,
    budgetMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const isKnown = this.#knownFrom <= this.from;
    if (isKnown && current.length > 0 && current.every(({ path }) => this.#read.has(path)) && nowMs - this.#listedAtMs < LIST_MS) {
      for (const { path, length } of current) if (length > (this.#read.get(path) ?? 0)) await this.#readOn(lake, path, signal);
      return;
    }
    const since = Math.floor(this.from / HOURS_PER_DAY);
    const files: LakePath[] = [];
    for await (const { path, size } of lake.list(ledgerFolder(pipeline), signal)) {
      if (dayOfLedger(path) >= since && size > (this.#read.get(path) ?? 0)) files.push(path);
    }
    this.#listedAtMs = nowMs;
    if (isKnown) for (const path of files) await this.#readOn(lake, path, signal);
    else await this.#readBack(lake, files, budgetMs, signal);
  }

  /** The newest day first. Of the days that are there already nothing new is read until all are: order matters to what was replaced. */
  async #readBack(lake: Lake, files: readonly LakePath[], budgetMs: number, signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + budgetMs;
    const unread = files.filter((path) => !this.#read.has(path));
    const days = [...new Set(unread.map(dayOfLedger))].toSorted((a, b) => b - a);
    for (const [at, day] of days.entries()) {
      // One day at least, or it would never end.
      if (at > 0 && performance.now() > untilMs) return;
      const ofDay = unread.filter((path) => dayOfLedger(path) === day).toSorted((a, b) => (a < b ? 1 : -1));
      for (const path of ofDay) {
        const lines = await this.#linesOf(lake, path, signal);
        // From its end: what was replaced is known before it comes.
        for (let at = lines.length - 1; at >= 0; at -= 1) {
          const line = lines[at]!;
          for (const gone of line.supersedes ?? []) this.#replaced.add(gone);
          if (!this.#replaced.delete(line.path)) this.#note({ ...line, supersedes: [] });
          if (at % LINES_AT_ONCE === 0) await yieldToOthers(undefined, { signal });
        }
      }
      // An hour is sealed on its day or later.
      this.#knownFrom = Math.min(this.#knownFrom, day * HOURS_PER_DAY);
    }
    this.#knownFrom = this.from;
    this.#replaced.clear();
  }

  async #readOn(lake: Lake, path: LakePath, signal: AbortSignal): Promise<void> {
    for (const [at, line] of (await this.#linesOf(lake, path, signal)).entries()) {
      this.#note(line);
      if (at % LINES_AT_ONCE === LINES_AT_ONCE - 1) await yieldToOthers(undefined, { signal });
    }
  }

  /** Those that nobody has read yet. */
  async #linesOf(lake: Lake, path: LakePath, signal: AbortSignal): Promise<SealedLine[]> {
    const offset = this.#read.get(path) ?? 0;
    const chunks: Uint8Array[] = [];
    for await (const chunk of lake.read(path, offset, signal)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    // What is behind the last newline is being written.
    const whole = bytes.lastIndexOf(NEWLINE) + 1;
    const lines: SealedLine[] = [];
    let parsed = 0;
    for (const line of parseLedger(bytes.toString('utf8', 0, whole), path)) {
      if (isSealedLine(line) && !isSnapshotPath(line.path)) lines.push(line);
      parsed += 1;
      if (parsed % LINES_AT_ONCE === 0) await yieldToOthers(undefined, { signal });
    }
    this.#read.set(path, offset + whole);
    return lines;
  }

  #note(line: SealedLine): void {
    const hour = parseHourName(line.hour);
    const at = hour === null ? null : this.indexOf(hour);
    if (at === null) return;
    const sums = this.#of(formatNamespace({ db: line.db, coll: line.coll }));
    const replaced = line.supersedes?.length ?? 0;
    const before = sums.files[at] ?? 0;
    // What is replaced as a whole is not counted twice; of a part of an hour only the number of files is known.
    const kept = replaced === 0 ? 1 : replaced >= before ? 0 : (before - replaced) / before;
    sums.files[at] = Math.max(0, before - replaced) + 1;
    sums.rows[at] = Math.round((sums.rows[at] ?? 0) * kept) + line.rows;
    sums.bytes[at] = Math.round((sums.bytes[at] ?? 0) * kept) + dataBytes(line);
    if (line.lastAt !== null) sums.lastEvent = Math.max(sums.lastEvent, line.lastAt.t);
    sums.version += 1;
  }

  #of(namespace: string): HourSums {
    let sums = this.#collections.get(namespace);
    if (sums === undefined) {
      const n = this.#capacity;
      sums = { files: new Uint32Array(n), rows: new Float64Array(n), bytes: new Float64Array(n), lastEvent: 0, version: 0 };
      this.#collections.set(namespace, sums);
    }
    return sums;
  }
}

/** Days since 1970 of a ledger file, by its name: nothing of before that day is in it alone. */
export function dayOfLedger(path: LakePath): number {
  const m = /\/(\d{4})(\d{2})(\d{2})[^/]*$/.exec(path);
  return m === null ? 0 : Date.UTC(Number(m[1]), Number(m[2]) - 1, Number(m[3])) / 86_400_000;
}
