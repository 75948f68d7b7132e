/**
 * `sluice verify`: the lake against its ledger and checkpoint, the warehouse against the lake.
 */
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { readLedger } from '../pipeline/ledger.ts';
import { verifyLake, type VerifyProgress } from '../pipeline/verify-lake.ts';
import { lakeReportText } from '../pipeline/verify-report.ts';
import { openLake, openWarehouse } from './compose.ts';
import type { CommandOptions, VerifyArgs, VerifyCheck, VerifyReport } from './types.ts';

const FINDINGS_MAX = 1_000;

/** Beside a running owner the lake can be proved; the warehouse is proved by who holds it. */
export async function verifyPipeline(config: Config, args: VerifyArgs, options: CommandOptions, signal: AbortSignal): Promise<VerifyReport> {
  await using lake = await openLake(config);
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
  const findings = report.findings.map(({ check, path, detail }) => `${check}: ${path}: ${detail}`);
  return {
    name: 'lake',
    outcome: report.ok ? 'ok' : 'failed',
    detail: report.ok ? lakeReportText(report).trimEnd() : `${report.findingsTotal} findings`,
    findings,
  };
}

/** Every sealed file is loaded, and each collection has as many rows as its files. */
async function warehouseCheck(lake: Lake, pipeline: string, warehouse: Warehouse, signal: AbortSignal): Promise<VerifyCheck> {
  const lines = new Map<string, SealedLine>();
  for await (const line of readLedger(lake, pipeline, '', signal)) if (isSealedLine(line)) lines.set(line.path, line);
  const loaded = await warehouse.loaded([...lines.keys()]);
  const findings: string[] = [];
  const rows = new Map<string, number>();
  let total = 0;
  for (const line of lines.values()) {
    if (!loaded.has(line.path)) findings.push(`not loaded: ${line.path} (${line.rows} rows)`);
    const name = formatNamespace({ db: line.db, coll: line.coll });
    rows.set(name, (rows.get(name) ?? 0) + (loaded.has(line.path) ? line.rows : 0));
    total += line.rows;
  }
  const registry = new Map((await warehouse.collections()).map((row) => [formatNamespace(row.namespace), row]));
  for (const [name, expected] of rows) {
    const row = registry.get(name);
    if ((row?.rows ?? 0) !== expected) findings.push(`${name}: bronze has ${row?.rows ?? 0} rows, its loaded files have ${expected}`);
    if (row?.status === 'ERROR') findings.push(`${name}: status ERROR: ${row.reason ?? ''}`);
  }
  const detail = `${loaded.size} of ${lines.size} sealed files are loaded, ${total} rows in ${rows.size} collections.`;
  return { name: 'warehouse', outcome: findings.length === 0 ? 'ok' : 'failed', detail, findings: findings.slice(0, FINDINGS_MAX) };
}
