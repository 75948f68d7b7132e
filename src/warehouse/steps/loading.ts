/**
 * Which files are loaded together, and which are loaded at all: the rules that every loader keeps.
 */
import { isSnapshotPath } from '../../core/layout.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { LoadResult, SealedFile } from '../../core/warehouse.ts';
import { completeSnapshots, insertSkipped, insertSnapshots, insertSuperseded } from '../sql/bronze.ts';
import type { Tables } from '../sql/names.ts';
import { selectKnown } from '../sql/registry.ts';
import type { Context } from './collections.ts';
import type { Session } from './session.ts';

/** A transaction takes files up to these limits, at least one. */
const GROUP_FILES_MAX = 64;
const GROUP_BYTES_MAX = 256 * 1024 ** 2;
/** The merge takes whole transactions, and holds their documents. */
const GROUP_SHARE_OF_MEMORY = 1 / 8;
/** Paths that one statement names. */
const PATHS_MAX = 1000;

export interface Tally {
  files: number;
  rows: number;
  readonly namespaces: Map<string, Namespace>;
  readonly rejected: { path: string; reason: string }[];
}

export function namespaceOf(file: SealedFile | undefined): Namespace {
  if (file === undefined) throw new Error('a group of files is never empty');
  return { db: file.line.db, coll: file.line.coll };
}

/** For each file, the paths that it replaces, and those that they replace. */
export type Coverage = ReadonlyMap<string, ReadonlySet<string>>;

function coverage(files: readonly SealedFile[]): Coverage {
  const direct = new Map(files.map((file) => [file.line.path, file.line.supersedes ?? []]));
  return new Map(
    files.map(({ line }) => {
      const all = new Set<string>();
      const add = (path: string): void => {
        if (path === line.path || all.has(path)) return;
        all.add(path);
        for (const below of direct.get(path) ?? []) add(below);
      };
      for (const path of line.supersedes ?? []) add(path);
      return [line.path, all];
    }),
  );
}

/** Loads those of `files` that are not known, group by group. @param how.mixed groups may be of several collections */
export async function loadGroups(
  files: readonly SealedFile[],
  known: ReadonlySet<string>,
  { memoryLimitBytes }: Context,
  load: (group: readonly SealedFile[], covered: Coverage, tally: Tally) => Promise<void>,
  how: { readonly mixed: boolean },
): Promise<LoadResult> {
  const tally: Tally = { files: 0, rows: 0, namespaces: new Map(), rejected: [] };
  const covered = coverage(files);
  const unknown = files.filter((file) => !known.has(file.line.path));
  const bytesMax = Math.min(GROUP_BYTES_MAX, memoryLimitBytes * GROUP_SHARE_OF_MEMORY);
  const list = groups(unknown, covered, bytesMax);
  for (const group of how.mixed ? mixed(list, bytesMax) : list) await load(group, covered, tally);
  return { files: tally.files, rows: tally.rows, namespaces: [...tally.namespaces.values()], rejected: tally.rejected };
}

/** Files by collection, those that replace most first, cut where a transaction would grow too large. */
function groups(files: readonly SealedFile[], covered: Coverage, bytesMax: number): SealedFile[][] {
  const weight = (file: SealedFile): number => covered.get(file.line.path)?.size ?? 0;
  const byCollection = Map.groupBy(files, (file) => formatNamespace(namespaceOf(file)));
  const out: SealedFile[][] = [];
  for (const list of byCollection.values()) {
    let group: SealedFile[] = [];
    let bytes = 0;
    for (const file of list.toSorted((a, b) => weight(b) - weight(a))) {
      if (group.length > 0 && (group.length >= GROUP_FILES_MAX || bytes + file.line.bytes > bytesMax)) {
        out.push(group);
        group = [];
        bytes = 0;
      }
      group.push(file);
      bytes += file.line.bytes;
    }
    out.push(group);
  }
  return out;
}

/** Small groups together, as long as they fit: with many new collections the commits would cost more than the rows. */
function mixed(list: readonly SealedFile[][], bytesMax: number): SealedFile[][] {
  const out: SealedFile[][] = [];
  let room = { files: 0, bytes: 0 };
  for (const group of list) {
    const bytes = group.reduce((sum, file) => sum + file.line.bytes, 0);
    if (group.length > room.files || bytes > room.bytes) {
      out.push([]);
      room = { files: GROUP_FILES_MAX, bytes: bytesMax };
    }
    out.at(-1)?.push(...group);
    room = { files: room.files - group.length, bytes: room.bytes - bytes };
  }
  return out;
}

/**
 * Reads the ledger again, now that no other loader can write, and says which files are to be loaded. A file that replaces
 * others is loaded only if none of them is; then they never are. Otherwise it is the one that never is.
 */
export async function settle<T extends { readonly file: SealedFile }>(
  session: Session,
  context: Context,
  staged: readonly T[],
  covered: Coverage,
): Promise<T[]> {
  const { catalog } = context;
  const states = await knownStates(
    session,
    context,
    staged.flatMap(({ file: { line } }) => withReplaced(line.path, covered)),
  );
  const known = new Set(states.keys());
  const plan: T[] = [];
  for (const one of staged) {
    const { line } = one.file;
    if (known.has(line.path)) continue;
    const [, ...replaced] = withReplaced(line.path, covered);
    // A file of which something was erased has no rows any more: what is left of it comes with the one that replaces it.
    const some = replaced.some((path) => known.has(path) && states.get(path) !== 'ERASED');
    known.add(line.path);
    if (some) {
      await session.run(insertSkipped(catalog, line));
      continue;
    }
    plan.push(one);
    for (const path of replaced) {
      if (known.has(path)) continue;
      known.add(path);
      await session.run(insertSuperseded(catalog, line, path, line.path));
    }
  }
  return plan;
}

/** With files of snapshots in it, a transaction may have made one of them whole. */
export async function settleSnapshots(
  session: Session,
  { dialect, catalog }: Context,
  { ns, tables, batch }: { readonly ns: Namespace; readonly tables: Tables; readonly batch: number },
  plan: readonly { readonly file: SealedFile }[],
  covered: Coverage,
): Promise<void> {
  if (!plan.some(({ file }) => withReplaced(file.line.path, covered).some(isSnapshotPath))) return;
  await session.run(insertSnapshots(dialect, catalog, tables, ns, batch));
  await session.run(completeSnapshots(catalog, ns, batch));
}

export function withReplaced(path: string, covered: Coverage): string[] {
  return [path, ...(covered.get(path) ?? [])];
}

export async function knownPaths(session: Session, context: Context, paths: readonly string[]): Promise<ReadonlySet<string>> {
  return new Set((await knownStates(session, context, paths)).keys());
}

async function knownStates(session: Session, context: Context, paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const known = new Map<string, string>();
  for (let from = 0; from < paths.length; from += PATHS_MAX) {
    const rows = await session.all<{ path: string; state: string }>(selectKnown(context.catalog, paths.slice(from, from + PATHS_MAX)));
    for (const { path, state } of rows) known.set(path, state);
  }
  return known;
}
