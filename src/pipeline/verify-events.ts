/**
 * Proves the files of single events (`per-event`) against the indexes that name them.
 *
 * Memory is bounded by the events of one collection and day: files come out of a listing folder by folder, with the indexes
 * of the folder before its events.
 */
import { createHash } from 'node:crypto';
import { SluiceError, reasonOf } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import { folderOf, type Lake, type LakePath } from '../core/lake.ts';
import { eventFileTime, isSnapshotPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { documentKeyOf, parseLine } from '../core/line.ts';
import { compareTimestamps, hourOf } from '../core/time.ts';
import type { Checkpoint } from './checkpoint.ts';
import { eventFileOf, pathOf } from './event-files.ts';
import type { Extent } from './horizon.ts';
import { inParallel } from './parallel.ts';
import { readFile } from './read-file.ts';
import { linesOf, readDecoded } from './read-lines.ts';
import type { Findings } from './verify-findings.ts';
import type { LedgerView } from './verify-ledger.ts';

const READS_AT_ONCE = 32;
const LINES_AT_ONCE = 1024;
/** How often the indexes of a folder are looked at again, of which some are being replaced. */
const LOOKS_MAX = 5;

/** Every line of the index against its file. @returns the bytes of the files */
export async function proveEvents(lake: Lake, index: SealedLine, findings: Findings, signal: AbortSignal): Promise<number> {
  const sum = { bytes: 0 };
  let lines: Buffer[] = [];
  const prove = async (): Promise<void> => {
    await inParallel(lines, READS_AT_ONCE, async (line) => {
      const bytes = await proveEvent(lake, index.path, line, findings, signal);
      sum.bytes += bytes;
    });
    lines = [];
  };
  try {
    for await (const line of linesOf(lake.read(index.path, 0, signal))) {
      // The buffer is good for one step alone.
      lines.push(Buffer.from(line));
      if (lines.length === LINES_AT_ONCE) await prove();
    }
  } catch (error) {
    // An index that is missing has a finding of its own by now.
    if (!SluiceError.is(error, LAKE_DAMAGED)) throw error;
    return 0;
  }
  await prove();
  if (sum.bytes !== index.eventBytes) {
    findings.add('event-file', index.path, `its events are ${sum.bytes} bytes, the ledger says ${index.eventBytes ?? 'nothing'}`);
  }
  return sum.bytes;
}

/** @returns the bytes that the index says */
async function proveEvent(lake: Lake, index: LakePath, line: Buffer, findings: Findings, signal: AbortSignal): Promise<number> {
  const file = whatItNames(line);
  if (file === null) {
    findings.add('event-file', index, 'has a line that names no file');
    return 0;
  }
  const fault = (detail: string): void => findings.add('event-file', file.path, `${detail} (${index})`);
  try {
    const stored = await readFile(lake, file.path, signal);
    if (stored.length !== file.bytes) fault(`${stored.length} bytes, the index says ${file.bytes}`);
    else if (createHash('sha256').update(stored).digest('hex') !== file.sha256) fault('its SHA-256 is not what the index says');
    else if (stored.indexOf('\n') !== stored.length - 1) fault('is not one line');
    else {
      const is = { ...parseLine(stored), key: documentKeyOf(stored) };
      const said = { ...parseLine(line), key: documentKeyOf(line) };
      if (JSON.stringify(is) !== JSON.stringify(said)) fault(`holds ${JSON.stringify(is)}, the index says ${JSON.stringify(said)}`);
      else if (pathOf(is, is.key) !== file.path) findings.add('file-path', file.path, `the layout puts it at ${pathOf(is, is.key)}`);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SluiceError && error.kind !== LAKE_DAMAGED) throw error;
    fault(error instanceof SluiceError ? 'is missing' : `is not an event: ${reasonOf(error)}`);
  }
  return file.bytes;
}

function whatItNames(line: Buffer): ReturnType<typeof eventFileOf> {
  try {
    return eventFileOf(line);
  } catch {
    return null;
  }
}

/**
 * No event has a file that no index names. Beyond the watermark there may be some: put a moment ago, or by an owner that
 * crashed before it came to the index; the events come again and take them in.
 * @param checkpoint read before this is called, so that all before its watermark is in the indexes
 */
export async function proveNoOthers(lake: Lake, checkpoint: Checkpoint, now: IndexesNow, findings: Findings, signal: AbortSignal): Promise<void> {
  const { ledger, extent } = now;
  const open = new Set(checkpoint.parts.map((part) => part.path));
  let folder = '';
  let known = new Set<LakePath>();
  let unknown: LakePath[] = [];
  const settle = async (): Promise<void> => {
    if (unknown.length > 0) await addNamedSince(lake, folder, known, now, signal);
    for (const path of unknown) if (!known.has(path)) findings.add('unknown-file', path, 'is an event that no index names');
  };
  for await (const { path } of lake.list('', signal)) {
    const inFolder = folderOf(path);
    if (inFolder !== folder) {
      await settle();
      [folder, known, unknown] = [inFolder, new Set(), []];
    }
    if (isSnapshotPath(path)) continue;
    if (ledger.paths.has(path) || open.has(path)) {
      await addNames(lake, path, known, signal);
      continue;
    }
    const at = eventFileTime(path);
    if (at === null || !extent.hasEvent(path, hourOf(at.t)) || known.has(path) || compareTimestamps(at, checkpoint.watermark) >= 0) continue;
    unknown.push(path);
  }
  await settle();
}

/** The ledger, read after the checkpoint, and how to read it again: an erasure may put other indexes in the place of those that it knows. */
interface IndexesNow {
  readonly ledger: LedgerView;
  readonly reread: () => Promise<LedgerView>;
  readonly extent: Extent;
}

/** What the indexes of a folder name by now. */
async function addNamedSince(lake: Lake, folder: string, known: Set<LakePath>, { reread }: IndexesNow, signal: AbortSignal): Promise<void> {
  for (let look = 1; look <= LOOKS_MAX; look += 1) {
    const { lines } = await reread();
    let isWhole = true;
    for (const { path } of lines) if (folderOf(path) === folder && !(await addNames(lake, path, known, signal))) isWhole = false;
    // One that is gone was replaced after the ledger was read, or is missing, of which there is a finding.
    if (isWhole) return;
  }
}

/** Files that an index names. @returns `false`: it is gone */
async function addNames(lake: Lake, index: LakePath, known: Set<LakePath>, signal: AbortSignal): Promise<boolean> {
  try {
    for await (const line of linesOf(readDecoded(lake, index, 0, signal))) {
      const file = whatItNames(line);
      if (file !== null) known.add(file.path);
    }
    return true;
  } catch (error) {
    if (!SluiceError.is(error, LAKE_DAMAGED)) throw error;
    return false;
  }
}
