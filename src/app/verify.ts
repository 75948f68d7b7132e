/**
 * `sluice verify`: the lake against its ledger and checkpoint, the warehouse against the lake, both against the source.
 */
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_EMPTY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { ErasedKeys, readErasures } from '../pipeline/erasure-record.ts';
import { verifyLake, type VerifyProgress } from '../pipeline/verify-lake.ts';
import { lakeReportText, warehouseReportText } from '../pipeline/verify-report.ts';
import { newStats } from '../ops/stats.ts';
import { verifyDocuments, type DocumentsReport } from '../pipeline/verify-documents.ts';
import { verifyStream, type StreamReport } from '../pipeline/verify-stream.ts';
import { verifyWarehouse } from '../pipeline/verify-warehouse.ts';
import { makeSnapshots, makeSource, openLake, openWarehouse } from './compose.ts';
import type { CommandOptions, VerifyArgs, VerifyCheck, VerifyReport } from './types.ts';

/** How far back the change stream is read again, and how many events of it. */
const WINDOW_MS = 3_600_000;
const WINDOW_EVENTS_MAX = 2_000_000;

/** Beside a running owner the lake can be proved; the warehouse is proved by who holds it. */
export async function verifyPipeline(config: Config, args: VerifyArgs, options: CommandOptions, signal: AbortSignal): Promise<VerifyReport> {
  await using lake = await openLake(config, options);
  const wanted = args.warehouse || args.source || !args.lake;
  await using warehouse = wanted ? await warehouseToProve(config, args, options) : null;
  return await verifyAll(config, lake, warehouse, args, options, signal);
}

/** One of which nothing is there yet is proved only by who asks for it. */
async function warehouseToProve(config: Config, { warehouse }: VerifyArgs, { log }: CommandOptions): Promise<Warehouse | null> {
  try {
    return await openWarehouse(config, log, 'look');
  } catch (error) {
    if (warehouse || !SluiceError.is(error, WAREHOUSE_EMPTY)) throw error;
    log.warn({ err: error }, 'the warehouse is not verified: nothing has been loaded into it');
    return null;
  }
}

/** What `verify` was asked for, the source included. */
export async function verifyAll(
  config: Config,
  lake: Lake,
  warehouse: Warehouse | null,
  args: VerifyArgs,
  options: CommandOptions,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { checks } = args.source && !args.lake && !args.warehouse ? { checks: [] } : await verifyWith(config, lake, warehouse, args, signal);
  const all = args.source ? [...checks, ...(await sourceChecks(config, lake, warehouse, options, signal))] : checks;
  return { ok: all.every((check) => check.outcome !== 'failed'), checks: all };
}

export async function verifyWith(
  config: Config,
  lake: Lake,
  warehouse: Warehouse | null,
  args: VerifyArgs,
  signal: AbortSignal,
  onProgress?: (progress: VerifyProgress) => void,
): Promise<VerifyReport> {
  const { pipeline } = config;
  const all = !args.lake && !args.warehouse;
  const checks: VerifyCheck[] = [];
  if (all || args.lake) checks.push(await lakeCheck(lake, pipeline, signal, onProgress));
  if (all || args.warehouse) {
    if (warehouse !== null) checks.push(await warehouseCheck(lake, pipeline, warehouse, signal));
    else checks.push({ name: 'warehouse', outcome: args.warehouse ? 'failed' : 'skipped', detail: withoutWarehouse(config), findings: [] });
  }
  return { ok: checks.every((check) => check.outcome !== 'failed'), checks };
}

function withoutWarehouse({ warehouse }: Config): string {
  return warehouse === null ? 'the configuration has no warehouse' : 'nothing has been loaded yet, or this process does not hold the warehouse';
}

async function lakeCheck(lake: Lake, pipeline: string, signal: AbortSignal, onProgress?: (progress: VerifyProgress) => void): Promise<VerifyCheck> {
  const report = await verifyLake(lake, pipeline, onProgress === undefined ? { signal } : { signal, onProgress });
  return checkOf('lake', report, report.rows, lakeReportText(report));
}

/** Bronze line by line against the sealed files, silver against bronze. */
async function warehouseCheck(lake: Lake, pipeline: string, warehouse: Warehouse, signal: AbortSignal): Promise<VerifyCheck> {
  const report = await verifyWarehouse(lake, pipeline, warehouse, signal);
  return checkOf('warehouse', report, report.rows, warehouseReportText(report));
}

/** The lake against the change stream, and silver against the documents. */
async function sourceChecks(
  config: Config,
  lake: Lake,
  warehouse: Warehouse | null,
  { log }: CommandOptions,
  signal: AbortSignal,
): Promise<readonly VerifyCheck[]> {
  const stats = newStats();
  await using source = await makeSource(config, systemClock, stats, log);
  await using documents = await makeSnapshots(config, systemClock, stats, log);
  const events = await verifyStream(
    lake,
    config.pipeline,
    source,
    { seconds: (config.verify?.windowMs ?? WINDOW_MS) / 1000, eventsMax: WINDOW_EVENTS_MAX },
    signal,
  );
  const checks = [eventsCheck(events)];
  const skipped = (detail: string): VerifyCheck => ({ name: 'documents', outcome: 'skipped', detail, findings: [] });
  if (warehouse === null) checks.push(skipped(withoutWarehouse(config)));
  else if (Object.keys(config.source.match).length > 0)
    checks.push(skipped('`source.match` leaves events out, so that silver need not be as the source is'));
  else
    checks.push(
      documentsCheck(await verifyDocuments({ source, documents, warehouse, erased: await erasedKeys(lake, config.pipeline, signal) }, signal)),
    );
  return checks;
}

async function erasedKeys(lake: Lake, pipeline: string, signal: AbortSignal): Promise<ErasedKeys> {
  return new ErasedKeys((await readErasures(lake, pipeline, signal)).map(({ record }) => record));
}

function eventsCheck(report: StreamReport): VerifyCheck {
  const { window, reason, events, erased } = report;
  if (window === null) return { name: 'events', outcome: 'skipped', detail: reason ?? '', findings: [] };
  const text = `${events.toLocaleString('en')} events from ${window.from} to ${window.to}: the lake has what the change stream says, each once${erased === 0 ? '' : `, but for ${erased.toLocaleString('en')} that were erased`}`;
  return checkOf('events', { ...report, ok: report.ok }, events, text);
}

function documentsCheck(report: DocumentsReport): VerifyCheck {
  const { documents, collections, changing, erased, leftOut } = report;
  const text = [
    `${documents.toLocaleString('en')} documents in ${collections.toLocaleString('en')} collections are the same in MongoDB and in silver`,
    ...(changing === 0 ? [] : [`${changing.toLocaleString('en')} have changed since what is loaded, and were not compared`]),
    ...(erased === 0 ? [] : [`${erased.toLocaleString('en')} were erased here and are still in MongoDB`]),
    ...leftOut.map((reason) => `left out ${reason}`),
  ].join('\n  ');
  return checkOf('documents', report, documents, text);
}

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly check: string; readonly path: string; readonly detail: string }[];
  readonly findingsTotal: number;
  readonly checks: Readonly<Partial<Record<string, number>>>;
}

function checkOf(name: string, report: Report, checked: number, text: string): VerifyCheck {
  return {
    name,
    outcome: report.ok ? 'ok' : 'failed',
    detail: report.ok ? text.trimEnd() : `${report.findingsTotal} findings`,
    findings: report.findings.map(({ check, path, detail }) => `${check}: ${path}: ${detail}`),
    counts: report.checks,
    checked,
  };
}
