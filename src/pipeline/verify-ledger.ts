/**
 * Reads a whole ledger as a checker does: what is wrong in it becomes a finding, and the reading goes on.
 *
 * Memory grows with the number of sealed files (some hundred bytes each), not with their content.
 */
import { folderOf, type Lake, type LakePath } from '../core/lake.ts';
import { isSealedLine, readLedgerLine, type LedgerLine, type SealedLine } from '../core/ledger.ts';
import { hourKey, isMaintenance, ledgerFolder } from './checkpoint.ts';
import type { Extent } from './horizon.ts';
import { readFile } from './read-file.ts';
import type { Findings } from './verify-findings.ts';
import type { WholePipeline } from './whole.ts';

export interface LedgerView {
  /** Every path that has a line, superseded ones and those of earlier hours too. */
  readonly paths: ReadonlySet<LakePath>;
  /** What is in force: lines of the hours that were asked for, without those that another file supersedes. */
  readonly lines: readonly SealedLine[];
  /** Lines that another file supersedes, of whatever hour. */
  readonly superseded: ReadonlyMap<LakePath, SealedLine>;
  /** Of the owners; who maintains the lake counts by itself. */
  readonly epochLast: number;
}

/**
 * @param extent what lies outside of it is left out of `lines`
 * @param checkpoint read before this is called; `null` when there is none
 */
export async function viewLedger(
  lake: Lake,
  pipeline: string,
  extent: Extent,
  checkpoint: WholePipeline | null,
  findings: Findings,
  signal: AbortSignal,
): Promise<LedgerView> {
  const folder = ledgerFolder(pipeline);
  const files: LakePath[] = [];
  for await (const file of lake.list(folder, signal)) files.push(file.path);
  const paths = new Set<LakePath>();
  const superseded = new Set<LakePath>();
  const all = new Map<LakePath, SealedLine>();
  /** Last epoch, per folder: bus partitions and maintenance have sequences of their own. */
  const epochs = new Map<string, number>();
  for (const [index, path] of files.entries()) {
    const inFolder = folderOf(path);
    const next = files[index + 1];
    const isNewest = next === undefined || folderOf(next) !== inFolder;
    const bytes = await readFile(lake, path, signal);
    checkEnd(path, bytes, isNewest, checkpoint, findings);
    for (const { line, where } of linesIn(path, bytes, findings)) {
      const epoch = epochs.get(inFolder) ?? 0;
      if (!isSealedLine(line)) {
        if (line.epoch < epoch) findings.add('ledger-epoch', path, `${where}: epoch ${line.epoch} after ${epoch}`);
        epochs.set(inFolder, Math.max(epoch, line.epoch));
        continue;
      }
      // A line may be of an earlier epoch: a new owner writes what its predecessor had sealed and could not tell any more.
      if (line.epoch > epoch) findings.add('ledger-epoch', path, `${where}: a file of epoch ${line.epoch}, but the owner is ${epoch}`);
      if (paths.has(line.path)) findings.add('ledger-duplicate', line.path, `again in ${path}, ${where}`);
      else all.set(line.path, line);
      paths.add(line.path);
      for (const old of line.supersedes ?? []) superseded.add(old);
    }
  }
  for (const old of superseded) if (!paths.has(old)) findings.add('ledger-line', old, 'is superseded, but has no line of its own');
  return {
    paths,
    lines: [...all.values()].filter((line) => !superseded.has(line.path) && extent.has(line)),
    superseded: new Map([...all].filter(([path]) => superseded.has(path))),
    epochLast: Math.max(0, ...[...epochs].filter(([inFolder]) => !isMaintenance(`${inFolder}/`)).map(([, epoch]) => epoch)),
  };
}

/** Lines in force by collection-hour, in path order. */
export function byCollectionHour(lines: readonly SealedLine[]): Map<string, SealedLine[]> {
  const groups = new Map<string, SealedLine[]>();
  for (const line of lines) {
    const key = hourKey({ db: line.db, coll: line.coll }, line.hour);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [line]);
    else group.push(line);
  }
  for (const group of groups.values()) group.sort((a, b) => (a.path < b.path ? -1 : 1));
  return groups;
}

/**
 * A ledger file ends in a newline and holds what the checkpoint knows to be durable. One exception: what lies beyond
 * that in the newest file may be half a line, being written or left by a crash; the next owner settles it.
 */
function checkEnd(path: LakePath, bytes: Buffer, isNewest: boolean, checkpoint: WholePipeline | null, findings: Findings): void {
  const durable = checkpoint?.ledgers.find((ledger) => ledger.path === path)?.length ?? 0;
  if (bytes.length < durable) findings.add('ledger-line', path, `${bytes.length} bytes, ${durable} were durable`);
  const whole = bytes.lastIndexOf(0x0a) + 1;
  if (whole === bytes.length) return;
  const mayBeTorn = isNewest && whole >= durable && checkpoint !== null && !checkpoint.cleanStop;
  if (!mayBeTorn) findings.add('ledger-line', path, `the last line is torn: ${bytes.length - whole} bytes after the last newline`);
}

function* linesIn(path: LakePath, bytes: Buffer, findings: Findings): Generator<{ line: LedgerLine; where: string }> {
  let number = 0;
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
    number += 1;
    const line = readLedgerLine(bytes.toString('utf8', start, end));
    const where = `line ${number}`;
    start = end + 1;
    if (line === null) findings.add('ledger-line', path, `${where} cannot be read`);
    else yield { line, where };
  }
}
