/**
 * The ledger of one collection, for who looks into it: of an hour, or the newest files.
 */
import type { Lake } from '../core/lake.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { parseNamespace } from '../core/namespace.ts';
import { dayName, hourName, SECONDS_PER_HOUR, type Timestamp } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { ledgerFolder } from '../pipeline/checkpoint.ts';
import { parseLedger } from '../pipeline/ledger.ts';
import { readFile } from '../pipeline/read-file.ts';
import type { FilesArgs, FilesReport } from './overview-types.ts';

const FILES_MAX = 200;
/** Days with a ledger file that are read for the newest files of a collection that is seldom written. */
const DAYS_MAX = 31;

export async function ledgerFiles(
  lake: Lake,
  pipeline: string,
  warehouse: Warehouse | null,
  args: FilesArgs,
  signal: AbortSignal,
): Promise<FilesReport> {
  const folder = ledgerFolder(pipeline);
  const paths: string[] = [];
  for await (const { path } of lake.list(folder, signal)) paths.push(path);
  const found = args.hour === null ? await newest(lake, paths, args.collection, signal) : await ofHour(lake, folder, paths, args, signal);
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
async function ofHour(lake: Lake, folder: string, paths: readonly string[], args: FilesArgs, signal: AbortSignal): Promise<SealedLine[]> {
  const hour = args.hour ?? 0;
  const since = `${folder}/${dayName(new Date(hour * SECONDS_PER_HOUR * 1000))}`;
  const name = hourName(hour);
  const found: SealedLine[] = [];
  for (const path of paths.filter((each) => each >= since)) {
    for (const line of await linesOf(lake, path, args.collection, signal)) if (line.hour === name) found.push(line);
  }
  return current(found);
}

async function newest(lake: Lake, paths: readonly string[], collection: string, signal: AbortSignal): Promise<SealedLine[]> {
  let found: SealedLine[] = [];
  for (const path of paths.toReversed().slice(0, DAYS_MAX)) {
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
  for (const line of parseLedger((await readFile(lake, path, signal)).toString('utf8'), path)) {
    if (isSealedLine(line) && line.db === db && line.coll === coll) found.push(line);
  }
  return found;
}

function iso(at: Timestamp | null): string | null {
  return at === null ? null : new Date(at.t * 1000).toISOString();
}
