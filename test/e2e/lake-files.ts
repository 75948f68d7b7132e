/**
 * What lies in a lake, read without any of the product's code.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Document } from 'mongodb';

/** A line of a data file, as JSON: Extended JSON stays as it is written. */
export interface LakeLine {
  readonly path: string;
  /** From 0. */
  readonly number: number;
  /** Without its newline. */
  readonly text: string;
  readonly event: LakeEvent;
}

export interface LakeEvent extends Document {
  readonly _meta: {
    readonly position: string;
    readonly operationType: string;
    readonly ns: { readonly db: string; readonly coll?: string };
    readonly at: string;
    readonly clusterTime: { readonly $timestamp: { readonly t: number; readonly i: number } };
  } & Document;
}

/** The end of a file is not there. */
class CutShort extends Error {}

/** Paths of all files, in order; without the owner's lock and what a crash left of a put. */
export async function listLake(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath, entry.name)));
  return paths.filter((path) => !path.endsWith('/lock') && !/(^|\/)\.tmp-/.test(path)).toSorted();
}

export async function readAll(root: string, paths: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const files = await Promise.all(paths.map(async (path) => [path, await readFile(join(root, path))] as const));
  return new Map(files);
}

/** All files by path, in order. */
export async function readLake(root: string): Promise<ReadonlyMap<string, Buffer>> {
  return await readAll(root, await listLake(root));
}

/** A part with lines of events, or a file of one event; not an index. */
export function isData(path: string): boolean {
  return !path.startsWith('_sluice/') && /\/(events-[^/]*\.jsonl(\.gz|\.zst)?|[a-zA-Z]+-[^/]*-[0-9a-f]{16}\.json)$/.test(path);
}

/** Rows of snapshots, and the lines that say that one is whole, in order of path and line. */
export function snapshotLinesOf(files: ReadonlyMap<string, Buffer>): LakeLine[] {
  return linesIn(files, (path) => path.startsWith('_snapshots/'));
}

/** Every line of every data file, in order of path and line. @throws when the last one of a file is cut */
export function linesOf(files: ReadonlyMap<string, Buffer>): LakeLine[] {
  return linesIn(files, isData);
}

function linesIn(files: ReadonlyMap<string, Buffer>, isWanted: (path: string) => boolean): LakeLine[] {
  const lines: LakeLine[] = [];
  for (const [path, bytes] of files) {
    if (!isWanted(path)) continue;
    const texts = decoded(path, bytes).split('\n');
    if (texts.pop() !== '') throw new CutShort(`${path} does not end in a newline`);
    for (const [number, text] of texts.entries()) lines.push({ path, number, text, event: JSON.parse(text) as LakeEvent });
  }
  return lines;
}

function decoded(path: string, bytes: Buffer): string {
  // A part that its owner has named and not written to is open with no bytes; compressed, it is sealed with an empty member.
  if (bytes.length === 0) return '';
  try {
    if (path.endsWith('.gz')) return gunzipSync(bytes).toString('utf8');
    return (path.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes).toString('utf8');
  } catch (cause) {
    throw new CutShort(`${path} cannot be decompressed`, { cause });
  }
}

/** The lines of a lake in the order in which their events happened. */
export async function eventsOf(root: string): Promise<LakeLine[]> {
  return linesOf(await readLake(root)).toSorted(byPosition);
}

/** As {@link eventsOf}, for a poll: `null` while a file is seen in the middle of a write, which may be any time while its owner runs. */
export async function eventsSoFar(root: string): Promise<LakeLine[] | null> {
  try {
    return await eventsOf(root);
  } catch (error) {
    if (error instanceof CutShort) return null;
    throw error;
  }
}

export function byPosition(a: LakeLine, b: LakeLine): number {
  const [x, y] = [a.event._meta.position, b.event._meta.position];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** `insert shop.orders`: what happened, in short. */
export function inShort({ event }: LakeLine): string {
  const { operationType, ns } = event._meta;
  return `${operationType} ${ns.coll === undefined ? ns.db : `${ns.db}.${ns.coll}`}`;
}
