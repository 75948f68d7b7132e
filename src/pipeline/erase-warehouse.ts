/**
 * An erasure in the warehouse: the subject's rows go first, then each file that was written anew takes over what is left of the one before
 * it, so that it is neither loaded again nor held against rows that are gone.
 */
import { SluiceError } from '../core/error.ts';
import { ERASE_DIFFERS } from '../core/errors.ts';
import type { LakePath } from '../core/lake.ts';
import { dataBytes, type SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { parseJson } from '../core/extended-json.ts';
import type { Timestamp } from '../core/time.ts';
import type { Origin, Warehouse } from '../core/warehouse.ts';
import { keysOf } from './erase-lake.ts';
import type { ErasureRecord } from './erasure-record.ts';
import { digestOf, identityOf } from './subject.ts';

/** A load that was under way may be committed between looking for rows and taking its file over; hardly several in a row. */
const TRIES_MAX = 5;

export interface InWarehouse {
  /** That this erasure has written. */
  readonly files: readonly SealedLine[];
  /** Of the ledger. */
  readonly all: readonly SealedLine[];
  /** Seconds: what the lake has been rid of. */
  readonly before: number;
  /** Collections that wait. */
  readonly apart: ReadonlySet<string>;
}

/** @returns what could not be done, for people */
export async function eraseFromWarehouse(
  warehouse: Warehouse,
  record: ErasureRecord,
  { files, all, before, apart }: InWarehouse,
  save: () => Promise<void>,
  signal: AbortSignal,
): Promise<string[]> {
  const left: string[] = [];
  const byPath = new Map(all.map((line) => [line.path, line]));
  for (const { db, coll } of record.documents) {
    const ns = { db, coll };
    const name = formatNamespace(ns);
    if (apart.has(name)) continue;
    const own = files.filter((file) => formatNamespace(file) === name);
    for (let tries = 1; ; tries += 1) {
      try {
        await eraseRows(warehouse, record, ns, before, save, signal);
        left.push(...(await takeOverAll(warehouse, ns, own, byPath, signal)));
        break;
      } catch (error) {
        // Somebody has loaded a file since its rows were looked for: they are there now.
        if (!SluiceError.is(error, ERASE_DIFFERS) || tries === TRIES_MAX) throw error;
      }
    }
  }
  return left;
}

async function eraseRows(
  warehouse: Warehouse,
  record: ErasureRecord,
  ns: Namespace,
  before: number,
  save: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const keys = await keysIn(warehouse, record, formatNamespace(ns), { t: before, i: 0 }, signal);
  if (keys.length === 0) return;
  record.warehouseRows += await warehouse.eraseKeys(ns, keys, { t: before, i: 0 });
  await save();
}

/** @returns what could not be done, for people. @throws ERASE_DIFFERS */
async function takeOverAll(
  warehouse: Warehouse,
  ns: Namespace,
  own: readonly SealedLine[],
  byPath: ReadonlyMap<LakePath, SealedLine>,
  signal: AbortSignal,
): Promise<string[]> {
  const left: string[] = [];
  // Whose rows take the place of others' has to be in silver by then.
  if (own.length > 0) await warehouse.merge(ns, { rebuild: false }, signal);
  for (const line of own) {
    signal.throwIfAborted();
    const outcome = await warehouse.takeOver({ ...line, bytes: dataBytes(line) }, originOf(line.supersedes![0]!, byPath));
    if (outcome === 'partly')
      left.push(`${line.path}: the warehouse has loaded only some of what it replaces; \`sluice load\` first, \`sluice resume\` if it is paused`);
  }
  return left;
}

/** Rows of bronze that would go. */
export async function countInWarehouse(
  warehouse: Warehouse,
  record: ErasureRecord,
  name: string,
  before: number,
  signal: AbortSignal,
): Promise<number> {
  const [of] = record.documents.filter((each) => formatNamespace(each) === name);
  if (of === undefined) return 0;
  const keys = await keysIn(warehouse, record, name, { t: before, i: 0 }, signal);
  return keys.length === 0 ? 0 : await warehouse.countKeys({ db: of.db, coll: of.coll }, keys, { t: before, i: 0 });
}

/** As the warehouse writes them. */
async function keysIn(warehouse: Warehouse, record: ErasureRecord, name: string, before: Timestamp, signal: AbortSignal): Promise<string[]> {
  const digests = keysOf(record).get(name);
  const ns = record.documents.find((each) => formatNamespace(each) === name);
  const found: string[] = [];
  if (digests === undefined || ns === undefined) return found;
  for await (const key of warehouse.keys(ns, before, signal)) if (digests.has(digestOf(record.salt, ns, identityOf(parseJson(key))))) found.push(key);
  return found;
}

/** What the lines of a file were before it was compacted. */
function originOf(path: LakePath, byPath: ReadonlyMap<LakePath, SealedLine>): Origin {
  const line = byPath.get(path);
  const isCompacted = line?.lines !== undefined && line.erased === undefined;
  return { path, of: isCompacted ? (line.supersedes ?? []).map((each) => originOf(each, byPath)) : [] };
}
