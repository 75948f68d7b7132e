/**
 * What the ledger says of each collection's hours, kept up to date by reading only what it has grown by.
 *
 * The ledger of 500 collections has 12,000 lines a day: reading a month of it for each look would cost the capture more than
 * the look is worth. Bounded: hours of a window, in typed arrays, 20 bytes per collection and hour.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { Lake, LakePath } from '../core/lake.ts';
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

export interface HourSums {
  readonly files: Uint32Array;
  readonly rows: Float64Array;
  readonly bytes: Float64Array;
  /** Latest day, since 1970, on which a file of the hour was sealed. */
  readonly sealedDay: Uint32Array;
  /** Seconds since 1970; 0: none. */
  lastEvent: number;
}

export class HourBook {
  readonly from: Hour;
  readonly #capacity: number;
  readonly #collections = new Map<string, HourSums>();
  /** Bytes of each ledger file that have been read, up to its last whole line. */
  readonly #read = new Map<LakePath, number>();
  #listedAtMs = Number.NEGATIVE_INFINITY;

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

  /** @param current the ledger files that grow now, as the checkpoint says, and how much of them is durable */
  async refresh(
    lake: Lake,
    pipeline: string,
    current: readonly { readonly path: LakePath; readonly length: number }[],
    nowMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (current.length > 0 && current.every(({ path }) => this.#read.has(path)) && nowMs - this.#listedAtMs < LIST_MS) {
      for (const { path, length } of current) if (length > (this.#read.get(path) ?? 0)) await this.#readOn(lake, path, signal);
      return;
    }
    const since = Math.floor(this.from / 24);
    for await (const { path, size } of lake.list(ledgerFolder(pipeline), signal)) {
      if (dayOfLedger(path) >= since && size > (this.#read.get(path) ?? 0)) await this.#readOn(lake, path, signal);
    }
    this.#listedAtMs = nowMs;
  }

  async #readOn(lake: Lake, path: LakePath, signal: AbortSignal): Promise<void> {
    const offset = this.#read.get(path) ?? 0;
    const chunks: Uint8Array[] = [];
    for await (const chunk of lake.read(path, offset, signal)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    // What is behind the last newline is being written.
    const whole = bytes.lastIndexOf(NEWLINE) + 1;
    let lines = 0;
    for (const line of parseLedger(bytes.toString('utf8', 0, whole), path)) {
      if (isSealedLine(line)) this.#note(line, dayOfLedger(path));
      lines += 1;
      if (lines % LINES_AT_ONCE === 0) await yieldToOthers(undefined, { signal });
    }
    this.#read.set(path, offset + whole);
  }

  #note(line: SealedLine, day: number): void {
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
    sums.sealedDay[at] = Math.max(sums.sealedDay[at] ?? 0, day);
    if (line.lastAt !== null) sums.lastEvent = Math.max(sums.lastEvent, line.lastAt.t);
  }

  #of(namespace: string): HourSums {
    let sums = this.#collections.get(namespace);
    if (sums === undefined) {
      const n = this.#capacity;
      sums = { files: new Uint32Array(n), rows: new Float64Array(n), bytes: new Float64Array(n), sealedDay: new Uint32Array(n), lastEvent: 0 };
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
