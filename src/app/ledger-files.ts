/**
 * The ledger of one collection, for who looks into it: of an hour, or the newest files.
 */
import type { Lake } from '../core/lake.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { parseNamespace } from '../core/namespace.ts';
import { hourName, type Hour, type Timestamp } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { ledgerFolder } from '../pipeline/checkpoint.ts';
import { parseLedger } from '../pipeline/ledger.ts';
import { readFile } from '../pipeline/read-file.ts';
import { dayOfLedger } from './hour-book.ts';
import type { FilesArgs, FilesReport } from './overview-types.ts';

const FILES_MAX = 200;
/** Ledger files that are read for the newest files of a collection that is seldom written. */
const FILES_READ_MAX = 31;

export async function ledgerFiles(
  lake: Lake,
  pipeline: string,
  warehouse: Warehouse | null,
  args: FilesArgs,
  signal: AbortSignal,
): Promise<FilesReport> {
  const paths: string[] = [];
  for await (const { path } of lake.list(ledgerFolder(pipeline), signal)) paths.push(path);
  const { collection, hour } = args;
  const found = hour === null ? await newest(lake, paths, collection, signal) : await ofHour(lake, paths, { collection, hour }, signal);
  const shown = found.slice(0, FILES_MAX);
  const loaded = warehouse === null ? null : await warehouse.loaded(shown.map(({ path }) => path));
  const files = shown.map((line) => ({
    path: line.path,
    hour: line.hour,
    rows: line.rows,
    bytes: dataBytes(line),
    sha256: line.sha256,
    firstAt: iso(line.firstAt),
    lastAt: iso(line.lastAt),
    ops: line.ops,
    epoch: line.epoch,
    loaded: loaded?.has(line.path) ?? null,
  }));
  return { files, truncated: found.length > FILES_MAX };
}

/** No file of an hour is sealed before the hour's day. */
async function ofHour(
  lake: Lake,
  paths: readonly string[],
  { collection, hour }: { readonly collection: string; readonly hour: Hour },
  signal: AbortSignal,
): Promise<SealedLine[]> {
  const name = hourName(hour);
  const found: SealedLine[] = [];
  for (const path of paths.filter((each) => dayOfLedger(each) >= Math.floor(hour / 24))) {
    for (const line of await linesOf(lake, path, collection, signal)) if (line.hour === name) found.push(line);
  }
  return current(found);
}

async function newest(lake: Lake, paths: readonly string[], collection: string, signal: AbortSignal): Promise<SealedLine[]> {
  let found: SealedLine[] = [];
  // With a bus there are several files of a day.
  const newestFirst = paths.toSorted((a, b) => dayOfLedger(b) - dayOfLedger(a) || (a < b ? 1 : -1));
  for (const path of newestFirst.slice(0, FILES_READ_MAX)) {
    found = [...(await linesOf(lake, path, collection, signal)), ...found];
    if (found.length > FILES_MAX) break;
  }
  return current(found).toReversed();
}

/** Without what later lines have taken the place of. */
function current(lines: readonly SealedLine[]): SealedLine[] {
  const gone = new Set(lines.flatMap((line) => line.supersedes ?? []));
  return lines.filter(({ path }) => !gone.has(path));
}

async function linesOf(lake: Lake, path: string, collection: string, signal: AbortSignal): Promise<SealedLine[]> {
  const { db, coll } = parseNamespace(collection);
  const found: SealedLine[] = [];
  // A day of 500 collections is 12,000 lines: only those that can be meant are parsed.
  const needle = `"coll":${JSON.stringify(coll)}`;
  const text = (await readFile(lake, path, signal)).toString('utf8').split('\n').slice(0, -1);
  const meant = text.filter((line) => line.includes(needle)).map((line) => `${line}\n`);
  for (const line of parseLedger(meant.join(''), path)) {
    if (isSealedLine(line) && line.db === db && line.coll === coll) found.push(line);
  }
  return found;
}

function iso(at: Timestamp | null): string | null {
  return at === null ? null : new Date(at.t * 1000).toISOString();
}
