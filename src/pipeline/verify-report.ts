/**
 * The report of a proof as a person reads it: the result first, then each check, then what was found.
 */
import { WAREHOUSE_CHECKS } from '../core/warehouse-proof.ts';
import { LAKE_CHECKS, type Finding } from './verify-findings.ts';
import type { LakeReport } from './verify-lake.ts';
import type { WarehouseReport } from './verify-warehouse.ts';

const EXAMPLES_PER_CHECK = 20;

export function lakeReportText(report: LakeReport): string {
  const { files, rows, bytes, hours, collections, openParts, removedBefore, heldBack } = report;
  const head = [
    report.ok
      ? `The lake of pipeline ${report.pipeline} is complete and correct.`
      : `The lake of pipeline ${report.pipeline} is NOT as it should be: ${count(report.findingsTotal, 'finding')}.`,
    `Read ${count(files, 'sealed file')} with ${count(rows, 'row')}, ${bytesText(bytes)}: ${count(collections, 'collection')}, ${count(hours, 'hour')}.`,
    ...(openParts === 0 ? [] : [`${count(openParts, 'part is', 'parts are')} open: proved once sealed.`]),
    ...(removedBefore === null ? [] : [`Hours before ${removedBefore} were removed on purpose, by retention.`]),
    ...heldBack.map(
      ({ collection, removedBefore: own }) =>
        `Of ${collection} it has removed ${own === null ? 'nothing' : `only those before ${own}`}: it is held back.`,
    ),
  ];
  return reportText(head, LAKE_CHECKS, report.checks, report.findings);
}

export function warehouseReportText(report: WarehouseReport): string {
  const { pipeline, files, filesLoaded, rows, collections } = report;
  const head = [
    report.ok
      ? `The warehouse of pipeline ${pipeline} holds exactly what the lake holds.`
      : `The warehouse of pipeline ${pipeline} does NOT hold what the lake holds: ${count(report.findingsTotal, 'finding')}.`,
    `${count(filesLoaded, 'file is', 'files are')} loaded of ${count(files, 'sealed file')}, compared line by line: ${count(rows, 'row')} of bronze, and silver with bronze, in ${count(collections, 'collection')}.`,
  ];
  return reportText(head, WAREHOUSE_CHECKS, report.checks, report.findings);
}

function reportText<Check extends string>(
  head: readonly string[],
  sentences: Readonly<Record<Check, string>>,
  counts: Readonly<Partial<Record<Check, number>>>,
  findings: readonly Finding<Check>[],
): string {
  const out = [...head, ''];
  for (const check of Object.keys(sentences) as Check[]) {
    const found = counts[check] ?? 0;
    out.push(found === 0 ? `  ok    ${sentences[check]}` : `  FAIL  ${sentences[check]}: ${count(found, 'finding')} (${check})`);
    const examples = findings.filter((finding) => finding.check === check).slice(0, EXAMPLES_PER_CHECK);
    for (const { path, detail } of examples) out.push(`          ${path}: ${detail}`);
    if (found > examples.length) out.push(`          and ${found - examples.length} more`);
  }
  return `${out.join('\n')}\n`;
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}

function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
