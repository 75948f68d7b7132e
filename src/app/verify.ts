/**
 * `sluice verify`: the lake against its ledger and checkpoint, the warehouse against the lake.
 */
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { verifyLake, type VerifyProgress } from '../pipeline/verify-lake.ts';
import { lakeReportText, warehouseReportText } from '../pipeline/verify-report.ts';
import { verifyWarehouse } from '../pipeline/verify-warehouse.ts';
import { openLake, openWarehouse } from './compose.ts';
import type { CommandOptions, VerifyArgs, VerifyCheck, VerifyReport } from './types.ts';

/** Beside a running owner the lake can be proved; the warehouse is proved by who holds it. */
export async function verifyPipeline(config: Config, args: VerifyArgs, options: CommandOptions, signal: AbortSignal): Promise<VerifyReport> {
  await using lake = await openLake(config, options);
  const wanted = args.warehouse || (!args.lake && !args.source);
  await using warehouse = wanted ? await openWarehouse(config, options.log) : null;
  return await verifyWith(lake, config.pipeline, warehouse, args, signal);
}

export async function verifyWith(
  lake: Lake,
  pipeline: string,
  warehouse: Warehouse | null,
  args: VerifyArgs,
  signal: AbortSignal,
  onProgress?: (progress: VerifyProgress) => void,
): Promise<VerifyReport> {
  if (args.source) throw new SluiceError(NOT_BUILT, '`verify --source`; use `verify --lake --warehouse`');
  const all = !args.lake && !args.warehouse;
  const checks: VerifyCheck[] = [];
  if (all || args.lake) checks.push(await lakeCheck(lake, pipeline, signal, onProgress));
  if (all || args.warehouse) {
    if (warehouse !== null) checks.push(await warehouseCheck(lake, pipeline, warehouse, signal));
    else
      checks.push({ name: 'warehouse', outcome: args.warehouse ? 'failed' : 'skipped', detail: 'the configuration has no warehouse', findings: [] });
  }
  return { ok: checks.every((check) => check.outcome !== 'failed'), checks };
}

async function lakeCheck(lake: Lake, pipeline: string, signal: AbortSignal, onProgress?: (progress: VerifyProgress) => void): Promise<VerifyCheck> {
  const report = await verifyLake(lake, pipeline, onProgress === undefined ? { signal } : { signal, onProgress });
  return checkOf('lake', report, lakeReportText(report));
}

/** Bronze line by line against the sealed files, silver against bronze. */
async function warehouseCheck(lake: Lake, pipeline: string, warehouse: Warehouse, signal: AbortSignal): Promise<VerifyCheck> {
  const report = await verifyWarehouse(lake, pipeline, warehouse, signal);
  return checkOf('warehouse', report, warehouseReportText(report));
}

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly check: string; readonly path: string; readonly detail: string }[];
  readonly findingsTotal: number;
  readonly checks: Readonly<Partial<Record<string, number>>>;
}

function checkOf(name: string, report: Report, text: string): VerifyCheck {
  return {
    name,
    outcome: report.ok ? 'ok' : 'failed',
    detail: report.ok ? text.trimEnd() : `${report.findingsTotal} findings`,
    findings: report.findings.map(({ check, path, detail }) => `${check}: ${path}: ${detail}`),
    counts: report.checks,
  };
}
