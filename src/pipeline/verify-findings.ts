/**
 * What a proof of a lake looks for, and what it has found.
 *
 * A finding stands for one check on one file, however many lines of it are off: the first of them is in its detail. So a
 * file that is wrong from end to end does not hide the others.
 */
import type { LakePath } from '../core/lake.ts';

/** Each check with the sentence that it proves. */
export const LAKE_CHECKS = {
  checkpoint: 'the checkpoint can be read and is not behind its ledger',
  'ledger-line': 'every line of the ledger is whole and can be read',
  'ledger-duplicate': 'no file has two lines in the ledger',
  'ledger-epoch': 'epochs in the ledger never fall',
  'file-missing': 'every file of the ledger is there',
  'file-size': 'every file has its size',
  'file-hash': 'every file has its SHA-256',
  'file-path': 'every file lies where its collection and hour belong',
  line: 'every line is valid JSON and begins as lines do',
  'torn-line': 'every line ends in a newline',
  'row-count': 'every file has its number of rows',
  'op-count': 'every file has its number of rows per operation',
  'first-last': 'every file begins and ends at its positions and cluster times',
  'same-lines': 'every Parquet file holds the lines of the files that it has replaced, byte for byte',
  'erased-rows': 'every file that an erasure has rewritten has the rows of the one before it, but for those that were erased',
  hour: 'every event lies in the hour of its cluster time',
  namespace: 'every event lies with its collection',
  order: 'positions rise within each file and from file to file of a collection',
  duplicate: 'no position is there twice in a collection',
  'event-file': 'every file that an index names is there and holds its event',
  manifest: 'manifests list exactly the files of their hour',
  success: 'collections of complete hours have _SUCCESS, and none without a manifest or while a part of its hour is open',
  'hour-file': 'every hour that is over has its file, which names exactly its collections and is right about gaps',
  'open-part': 'open parts hold at least what the checkpoint says',
  'unknown-file': 'no file of data is in neither the ledger nor the checkpoint, nor in an index of theirs',
} as const;
export type LakeCheck = keyof typeof LAKE_CHECKS;

export interface Finding<Check extends string> {
  readonly check: Check;
  readonly path: LakePath;
  readonly detail: string;
}
export type LakeFinding = Finding<LakeCheck>;

/** Findings beyond this are counted and not kept. */
const FINDINGS_MAX = 1000;

export class Findings<Check extends string = LakeCheck> {
  readonly list: Finding<Check>[] = [];
  readonly counts = new Map<Check, number>();
  total = 0;

  add(check: Check, path: LakePath, detail: string): void {
    this.count(check, 1);
    if (this.list.length < FINDINGS_MAX) this.list.push({ check, path, detail });
  }

  /** All that others have found. */
  take({ list, counts }: Findings<Check>): void {
    for (const [check, count] of counts) this.count(check, count);
    this.list.push(...list.slice(0, Math.max(0, FINDINGS_MAX - this.list.length)));
  }

  /** Such as are not kept, because somebody else has kept the first of them. */
  count(check: Check, more: number): void {
    this.total += more;
    this.counts.set(check, (this.counts.get(check) ?? 0) + more);
  }
}

/** Findings on the lines of one file: the first of each check and how many more there are. */
export class LineFindings {
  readonly #first = new Map<LakeCheck, { readonly detail: string; more: number }>();

  add(check: LakeCheck, detail: string): void {
    const known = this.#first.get(check);
    if (known === undefined) this.#first.set(check, { detail, more: 0 });
    else known.more += 1;
  }

  moveTo(findings: Findings, path: LakePath): void {
    for (const [check, { detail, more }] of this.#first) findings.add(check, path, more === 0 ? detail : `${detail} (and ${more} more in this file)`);
  }
}
