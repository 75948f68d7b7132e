/**
 * What a proof of a warehouse looks for, and how both sides add up the lines of a file.
 *
 * The lines themselves are not compared: a lake of a terabyte would travel through one process. Each side adds up a
 * digest of every line together with its number, so that a missing, extra, changed or swapped line changes the sum;
 * only a file whose sums differ is looked at line by line, digest by digest.
 */
import { hash } from 'node:crypto';

/** Each check with the sentence that it proves. The names are stable: scripts may ask for them. */
export const WAREHOUSE_CHECKS = {
  'file-not-loaded': 'every sealed file is loaded',
  'file-missing': 'every loaded file can be read in the lake, to be compared',
  'load-ledger': 'the load ledger says of each file what the ledger of the lake says',
  'load-unknown': 'the load ledger names no file that the ledger of the lake does not know',
  'load-without-rows': 'every file that the load ledger calls loaded has its rows in bronze',
  'erased-loaded': 'nothing that was erased from the lake is in the warehouse (`sluice erase --finish`)',
  'bronze-unknown': 'no row of bronze is of a file that is not loaded',
  'bronze-missing': 'every line of a loaded file is in bronze',
  'bronze-extra': 'bronze has no row that its file has not',
  'bronze-duplicate': 'no line is in bronze twice',
  'bronze-changed': 'every row of bronze holds its line, byte for byte',
  'bronze-columns': 'the columns of bronze say what the line says',
  'not-merged': 'everything in bronze is merged',
  baseline: 'every drop, rename, dropDatabase and end of a snapshot in bronze is a baseline, and nothing else is',
  'silver-missing': 'every document that bronze speaks of has a row in silver',
  'silver-extra': 'silver has no row that bronze does not speak of',
  'silver-duplicate': 'no key is in silver twice',
  'silver-stale': 'no row of silver is older than the newest event of its key',
  'silver-state': 'every row of silver stands on an event of bronze: operation, position and time',
  'silver-current': 'is_current and deleted_at follow the newest event',
  'silver-document': 'every document of silver is the newest one that bronze has of its key',
  'silver-version': 'version_number and first_seen_at count every event of the key since the last baseline',
  'silver-column': 'your own columns hold what the document holds',
  registry: 'the registry counts the rows that are there',
  status: 'no collection is in status ERROR',
} as const;
export type WarehouseCheck = keyof typeof WAREHOUSE_CHECKS;

/** What one check of a warehouse on itself has found. */
export interface WarehouseFault {
  readonly check: WarehouseCheck;
  readonly total: number;
  /** The first of them: where (a file's row, a document's key) and what is off. */
  readonly examples: readonly { readonly where: string; readonly detail: string }[];
}

/** What the load ledger says of a file. */
export interface LoadRecord {
  /** SUPERSEDED, SKIPPED and ERASED files have no rows in bronze, on purpose. */
  readonly state: 'LOADED' | 'SUPERSEDED' | 'SKIPPED' | 'ERASED';
  readonly hour: string | null;
  readonly bytes: number | null;
  readonly rows: number | null;
  readonly sha256: string | null;
  readonly first: string | null;
  readonly last: string | null;
}

/** What bronze and the load ledger hold of one file. */
export interface LoadedFile {
  readonly path: string;
  /** `null`: the load ledger does not know it, and its rows are there all the same. */
  readonly record: LoadRecord | null;
  /**
   * What retention has left of it, and the sum of what it was before; `null` when an erasure has come in between, or, as a whole, when
   * retention has taken nothing.
   */
  readonly left: { readonly rows: number; readonly sum: string; readonly whole: string | null } | null;
  /** Rows in bronze, and their sum as {@link LineSum} makes it; `0` and `0:0` when there are none. */
  readonly rows: number;
  readonly sum: string;
}

/** A row of bronze by its number in its file, from 1, with its {@link digestOf}. */
export interface LoadedLine {
  readonly number: number;
  readonly digest: string;
}

/** MD5 of `number:line` in hex. Not against an adversary: against everything that goes wrong by itself. */
export function digestOf(number: number, line: Uint8Array): string {
  return hash('md5', numbered(number, line), 'hex');
}

/** Adds up the digests of lines: the sums of their first and of their last 8 bytes, each read as a little-endian number. */
export class LineSum {
  rows = 0;
  #first = 0n;
  #last = 0n;

  /** @param line the next line, without its newline */
  add(line: Uint8Array): void {
    this.rows += 1;
    const digest = hash('md5', numbered(this.rows, line), 'buffer');
    this.#first += digest.readBigUInt64LE(0);
    this.#last += digest.readBigUInt64LE(8);
  }

  toString(): string {
    return `${this.#first}:${this.#last}`;
  }
}

function numbered(number: number, line: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${number}:`), line]);
}
