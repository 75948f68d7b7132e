/**
 * Proves that a Parquet file holds the lines of the files that it has replaced.
 *
 * Those files are gone. What is left of them are their lines in the ledger, written when they were sealed and never since: of a
 * file that was not compressed the SHA-256 is that of its lines. Of a compressed one it is not, so there the sum that was taken when
 * its lines were read for the last time stands in for it.
 */
import { createHash, type Hash } from 'node:crypto';
import { isCompressed } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';

export interface Sum {
  readonly bytes: number;
  readonly sha256: string;
}

/** What the lines of a file come to, if its ledger line tells it. */
function sumOf(original: SealedLine): Sum | null {
  if (original.lines !== undefined) return original.lines;
  return isCompressed(original.path) ? null : { bytes: original.bytes, sha256: original.sha256 };
}

/** Of bytes as they come; good for one answer. */
export class RunningSum {
  #bytes = 0;
  readonly #hash: Hash = createHash('sha256');

  add(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
  }

  sum(): Sum {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** What is off, or `null`. */
  against(said: Sum): string | null {
    const { bytes, sha256 } = this.sum();
    if (bytes !== said.bytes) return `${bytes} bytes, the ledger says ${said.bytes}`;
    return sha256 === said.sha256 ? null : `SHA-256 ${sha256}, the ledger says ${said.sha256}`;
  }
}

export class CompactedLines {
  readonly #said: Sum;
  readonly #originals: readonly SealedLine[];
  readonly #all = new RunningSum();
  readonly #faults: string[] = [];
  #index = 0;
  #rows = 0;
  #sum = new RunningSum();

  /** @param originals in the order of their lines */
  constructor(said: Sum, originals: readonly SealedLine[]) {
    this.#said = said;
    this.#originals = originals;
  }

  /** @param line with its newline */
  add(line: Uint8Array): void {
    this.#all.add(line);
    this.#skipEnded();
    this.#sum.add(line);
    this.#rows += 1;
  }

  /** What is off. */
  end(): readonly string[] {
    this.#skipEnded();
    if (this.#index < this.#originals.length || this.#rows > 0) {
      const rows = this.#originals.reduce((sum, original) => sum + original.rows, 0);
      this.#faults.push(`the files that it has replaced had ${rows} rows together`);
    }
    const fault = this.#all.against(this.#said);
    if (fault !== null) this.#faults.push(`its lines: ${fault}`);
    return this.#faults;
  }

  /** The next line is of another original, once this one has all its rows. */
  #skipEnded(): void {
    for (
      let original = this.#originals[this.#index];
      original !== undefined && this.#rows >= original.rows;
      original = this.#originals[this.#index]
    ) {
      const said = sumOf(original);
      const fault = said === null ? null : this.#sum.against(said);
      if (fault !== null) this.#faults.push(`the lines of ${original.path}: ${fault}`);
      this.#index += 1;
      this.#rows = 0;
      this.#sum = new RunningSum();
    }
  }
}
