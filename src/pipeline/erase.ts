/**
 * Takes the documents of a subject out of everything that a pipeline has written, and keeps a record of it.
 *
 * Only hours that are over for good are touched: no owner looks at their files again (compaction-plan.ts). What lies in a later one, or
 * cannot be done now, is told and stays in the record, which is all that is needed to go on: so an erasure may be cut short anywhere.
 * Invariant: what is erased stays counted. Each file that is written anew says how many lines of the one before it are gone, and by which
 * record, so that a proof afterwards knows that nothing else is missing.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { ERASE_NONE, RETENTION_BUSY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { hoursPerPart, partHour } from '../core/layout.ts';
import { formatNamespace, NamespaceFilter } from '../core/namespace.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import { SECONDS_PER_HOUR, hourOf } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import { MAINTENANCE, checkpointPath } from './checkpoint.ts';
import { EraseElsewhere } from './erase-elsewhere.ts';
import { EraseLake, type WouldErase } from './erase-lake.ts';
import { countInWarehouse, eraseFromWarehouse } from './erase-warehouse.ts';
import { newErasure, readErasures, saveErasure, type Erasure, type ErasureRecord } from './erasure-record.ts';
import { parseCondition, searchFile, type FoundKeys } from './erasure-search.ts';
import { isGone, readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { redactLedger } from './ledger-redaction.ts';
import { identitiesTyped } from './subject.ts';
import { readWhole, type WholePipeline } from './whole.ts';

const PATHS_PER_QUESTION = 1_000;

export interface EraseRequest {
  /** Globs over `db.collection`. */
  readonly collections: readonly string[];
  /** As they are typed. One of the two. */
  readonly keys: readonly string[];
  /** `path=value`, all of which hold. */
  readonly where: readonly string[];
  readonly by: string;
  readonly reason: string | null;
}

export interface EraseOptions {
  readonly pipeline: string;
  /** `null`: only what is left of earlier ones. */
  readonly request: EraseRequest | null;
  /** Says what would go, and takes nothing. */
  readonly dryRun: boolean;
}

export interface EraseParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  readonly warehouse: Warehouse | null;
  /** @param folder for what does not fit into memory */
  readonly openWriter: (folder: string) => Promise<ParquetWriter>;
}

export interface EraseSummary {
  readonly dryRun: boolean;
  readonly would: readonly WouldErase[];
  /** Those that this call has worked on. */
  readonly erasures: readonly ErasureRecord[];
}

/** @throws ERASE_NONE, ERASE_TOO_MANY, ERASE_RECORD, RETENTION_BUSY */
export async function erase(options: EraseOptions, parts: EraseParts, signal: AbortSignal): Promise<EraseSummary> {
  const { lake } = parts;
  const { pipeline, request, dryRun } = options;
  const about = await readWhole(lake, pipeline, signal);
  if (about === null) return { dryRun, would: [], erasures: [] };
  if (dryRun) {
    const asked = request === null ? [] : [await begin(lake, about, request, parts.clock, signal)];
    const would: WouldErase[] = [];
    for (const { record } of asked) {
      const lakeOf = new EraseLake(parts, about, record);
      for (const each of await lakeOf.would(signal)) {
        const warehouseRows = parts.warehouse === null ? 0 : await countInWarehouse(parts.warehouse, record, each.namespace, lakeOf.before, signal);
        if (each.rows + each.rowsWaiting + warehouseRows > 0) would.push({ ...each, warehouseRows });
      }
    }
    return { dryRun, would, erasures: [] };
  }
  const ownership = await lake.own(checkpointPath(pipeline, MAINTENANCE), { takeOver: false }, signal);
  if (ownership === null) throw new SluiceError(RETENTION_BUSY, `of ${pipeline} in ${lake.description}`);
  await using owned = ownership;
  const until = AbortSignal.any([signal, owned.lost]);
  const all = await readErasures(lake, pipeline, until);
  const missed = request === null && parts.warehouse !== null ? await missedBy(parts.warehouse, lake, pipeline, until) : new Set();
  const open = all.filter(({ record }) => record.endedAt === null || missed.has(record.id));
  if (request !== null) {
    const erasure = await begin(lake, about, request, parts.clock, until);
    await saveErasure(lake, erasure);
    open.push(erasure);
  }
  for (const erasure of open) await finish(erasure, parts, about, until);
  return { dryRun, would: [], erasures: open.map(({ record }) => record) };
}

/** Erasures of which the warehouse does not know all files: it may not have been in the configuration then, and hold what was erased. */
async function missedBy(warehouse: Warehouse, lake: Lake, pipeline: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { lines } = await readSealed(lake, pipeline, ({ erased }) => erased !== undefined, signal);
  const missed = new Set<string>();
  for (let at = 0; at < lines.length; at += PATHS_PER_QUESTION) {
    const some = lines.slice(at, at + PATHS_PER_QUESTION);
    const known = await warehouse.loaded(some.map(({ path }) => path));
    for (const { path, erased } of some) if (!known.has(path)) missed.add(erased!.by);
  }
  return missed;
}

/** Finds whose documents they are. Nothing is written. */
async function begin(lake: Lake, about: WholePipeline, request: EraseRequest, clock: Clock, signal: AbortSignal): Promise<Erasure> {
  const { collections, keys, where, by, reason } = request;
  const globs = new NamespaceFilter(collections, []);
  const horizon = await readHorizon(lake, about.pipeline, signal);
  const { lines, superseded } = await readSealed(lake, about.pipeline, (line) => line.coll !== null && globs.matches(line), signal);
  const parts = about.parts.filter(({ ns }) => ns.coll !== null && globs.matches(ns));
  const namespaces = new Map([...lines, ...parts.map(({ ns }) => ns)].map(({ db, coll }) => [formatNamespace({ db, coll }), { db, coll }]));
  if (namespaces.size === 0) throw new SluiceError(ERASE_NONE, `no collection of the lake is called ${collections.join(' or ')}`);
  const documents: FoundKeys = new Map();
  if (where.length > 0) {
    const conditions = where.map(parseCondition);
    const inForce = lines.filter((line) => line.rows > 0 && !superseded.has(line.path) && !isGone(line, horizon));
    for (const line of inForce) await searchFile(lake, line, conditions, documents, signal);
    for (const { path, ns, eventBytes } of parts)
      await searchFile(lake, { path, ...ns, ...(eventBytes !== undefined && { eventBytes }) }, conditions, documents, signal);
  } else {
    const identities = new Set(keys.flatMap(identitiesTyped));
    for (const [name, ns] of namespaces) documents.set(name, { ns, identities });
  }
  const perPart = hoursPerPart(about.layout);
  // What has happened up to now is in files of this hour at the latest, by whatever clock.
  const last = Math.max(hourOf(clock.now() / 1000), hourOf(about.watermark.t));
  const until = { t: (partHour(about.layout, last) + perPart) * SECONDS_PER_HOUR, i: 0 };
  const how = where.length > 0 ? 'where' : 'key';
  const asked = JSON.stringify({ collections, keys, where });
  return newErasure(about.pipeline, { by, reason, how, asked, documents, until }, new Date(clock.now()).toISOString());
}

async function finish(erasure: Erasure, parts: EraseParts, about: WholePipeline, signal: AbortSignal): Promise<void> {
  const { record } = erasure;
  const { lake, log, clock, warehouse } = parts;
  const work = new EraseLake(parts, about, record);
  const left = await work.run(signal);
  const { lines: all } = await readSealed(lake, about.pipeline, () => true, signal);
  const files = all.filter(({ erased }) => erased?.by === record.id);
  record.files = files.length;
  record.rows = files.reduce((sum, { erased }) => sum + (erased?.rows ?? 0), 0);
  const save = (): Promise<void> => saveErasure(lake, erasure);
  left.push(...(await new EraseElsewhere(lake, about, record, save).run(work.before, signal)));
  if (warehouse !== null)
    left.push(...(await eraseFromWarehouse(warehouse, record, { files, all, before: work.before, apart: work.apart }, save, signal)));
  left.push(...(await redactLedger(lake, about, files, signal)));
  record.left = left;
  if (left.length === 0) record.endedAt = new Date(clock.now()).toISOString();
  await save();
  const { id, rows, dumps, warehouseRows } = record;
  log.info(
    { id, files: record.files, rows, dumps, warehouseRows, left: left.length },
    left.length === 0 ? 'erased' : 'erased, as far as it can be done now',
  );
}
