/**
 * What is known of a dump: one small file for each collection, hour and content, written before the dump begins and again
 * when it is whole.
 *
 * Invariant: a file of a dump exists only after its record has named it, and is whole only when its record says so. Whoever
 * finds a record of a dump that is not whole, and holds the lock of the dumps, may take the file away.
 */
import { SluiceError, reasonOf } from '../core/error.ts';
import { DUMP_RECORD } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { escapeSegment } from '../core/layout.ts';
import type { Namespace } from '../core/namespace.ts';
import type { Hour, Timestamp } from '../core/time.ts';
import { dumpsFolder } from './checkpoint.ts';
import { readFile, readIfThere } from './read-file.ts';

export type DumpContent = 'documents' | 'changes';

export interface DumpFile {
  readonly path: LakePath;
  readonly bytes: number;
  /** Documents or changes. */
  readonly rows: number;
  /** Of its bytes, hex. */
  readonly sha256: string;
}

export interface DumpRecord {
  readonly v: 1;
  readonly ns: { readonly db: string; readonly coll: string };
  /** `YYYYMMDD-HH`, UTC: of the moment at which documents were read; of the changes. */
  readonly hour: string;
  readonly content: DumpContent;
  /** The file that is being written; `null`: none. */
  writing: LakePath | null;
  /** Whole files, in order. Further ones of an hour hold what came after the ones before. */
  files: DumpFile[];
  /** Nothing will be added. */
  done: boolean;
  /** Documents: the moment that all of them are of; `null` when they were read while others wrote. */
  at: Timestamp | null;
  /** Changes: position of the last one that is in a file. */
  through: string | null;
  /** ISO 8601. */
  startedAt: string;
  endedAt: string | null;
}

/** The owner of the dumps holds a lock or lease beside this path. */
export const dumpLock = (pipeline: string): LakePath => `${dumpsFolder(pipeline)}/dumps.json`;

const FOLDER: Readonly<Record<DumpContent, string>> = { documents: 'documents', changes: 'changes' };

export function recordFolder(pipeline: string, content: DumpContent): LakePath {
  return `${dumpsFolder(pipeline)}/${FOLDER[content]}`;
}

export function recordPath(
  pipeline: string,
  { db, coll }: { readonly db: string; readonly coll: string },
  hour: string,
  content: DumpContent,
): LakePath {
  return `${recordFolder(pipeline, content)}/${escapeSegment(db)}/${escapeSegment(coll)}/${hour}.json`;
}

export function newRecord(ns: Namespace, hour: string, content: DumpContent, startedAt: string): DumpRecord {
  return {
    v: 1,
    ns: { db: ns.db, coll: ns.coll ?? '' },
    hour,
    content,
    writing: null,
    files: [],
    done: false,
    at: null,
    through: null,
    startedAt,
    endedAt: null,
  };
}

/** @throws DUMP_RECORD */
export async function readRecord(lake: Lake, path: LakePath, signal: AbortSignal): Promise<DumpRecord> {
  return recordIn(await readFile(lake, path, signal), path);
}

function recordIn(bytes: Buffer, path: LakePath): DumpRecord {
  try {
    const record = JSON.parse(bytes.toString('utf8')) as DumpRecord;
    if (record.v === 1 && Array.isArray(record.files)) return record;
  } catch (error) {
    throw new SluiceError(DUMP_RECORD, `${path}: ${reasonOf(error)}`, { cause: error });
  }
  throw new SluiceError(DUMP_RECORD, path);
}

/** Every record, in order of path. Who holds no lock of the dumps may find fewer: retention removes records, after their files. */
export async function* readRecords(lake: Lake, pipeline: string, signal: AbortSignal): AsyncGenerator<{ path: LakePath; record: DumpRecord }> {
  for (const content of ['documents', 'changes'] as const) {
    for await (const { path } of lake.list(recordFolder(pipeline, content), signal)) {
      const bytes = await readIfThere(lake, path, signal);
      if (bytes !== null) yield { path, record: recordIn(bytes, path) };
    }
  }
}

/** Every path that a dump may have made. */
export async function dumpPaths(lake: Lake, pipeline: string, signal: AbortSignal): Promise<ReadonlySet<LakePath>> {
  const paths = new Set<LakePath>();
  for await (const { record } of readRecords(lake, pipeline, signal)) {
    for (const { path } of record.files) paths.add(path);
    if (record.writing !== null) paths.add(record.writing);
  }
  return paths;
}

/** What of it is wanted. */
export interface DumpAsked {
  /** Globs, within those of the options; empty: all. */
  readonly collections: readonly string[];
  /** Of changes: this hour alone. `null`: hours that are over and not dumped yet. */
  readonly hour: Hour | null;
  /** Of changes: what there is of hours that are not over, too. */
  readonly interim: boolean;
}

/** Paths of dumps: below their collection, with its database in front where there are several. */
export interface DumpNames {
  readonly layout: 'ndjson' | 'document' | 'array';
  readonly withDatabase: boolean;
}

/** @param part 0: the file that closes the hour, or is the only one */
export function dumpPath(
  { layout, withDatabase }: DumpNames,
  { db, coll }: { readonly db: string; readonly coll: string },
  hour: string,
  content: DumpContent,
  part: number,
  id: string,
): LakePath {
  const name = escapeSegment(coll);
  const folder = withDatabase ? `${escapeSegment(db)}/${name}` : name;
  const shown = `${hour.slice(0, 4)}-${hour.slice(4, 6)}-${hour.slice(6)}`;
  const suffix = part === 0 ? '' : `.part-${String(part).padStart(4, '0')}`;
  if (layout === 'document') return `${folder}/${shown}${suffix}.json`;
  if (layout === 'array') return `${folder}/${shown}/${id}.json`;
  return content === 'documents' ? `${folder}/${shown}/${name}.ndjson` : `${folder}/${shown}/${name}.changes${suffix}.ndjson`;
}
