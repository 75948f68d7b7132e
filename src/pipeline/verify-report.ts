/**
 * The report of a lake's proof as a person reads it: the result first, then each check, then what was found.
 */
import { LAKE_CHECKS, type LakeCheck } from './verify-findings.ts';
import type { LakeReport } from './verify-lake.ts';

const EXAMPLES_PER_CHECK = 20;

export function lakeReportText(report: LakeReport): string {
  const { files, rows, bytes, hours, collections, openParts } = report;
  const count = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
  const out = [
    report.ok
      ? `The lake of pipeline ${report.pipeline} is complete and correct.`
      : `The lake of pipeline ${report.pipeline} is NOT as it should be: ${count(report.findingsTotal, 'finding')}.`,
    `Read ${count(files, 'sealed file')} with ${count(rows, 'row')}, ${bytesText(bytes)}: ${count(collections, 'collection')}, ${count(hours, 'hour')}.`,
    ...(openParts === 0 ? [] : [`${count(openParts, 'part is', 'parts are')} open: proved once sealed.`]),
    '',
  ];
  for (const [check, sentence] of Object.entries(LAKE_CHECKS)) {
    const found = report.checks[check as LakeCheck] ?? 0;
    out.push(found === 0 ? `  ok    ${sentence}` : `  FAIL  ${sentence}: ${count(found, 'finding')} (${check})`);
    const examples = report.findings.filter((finding) => finding.check === check);
    for (const { path, detail } of examples.slice(0, EXAMPLES_PER_CHECK)) out.push(`          ${path}: ${detail}`);
    if (found > Math.min(examples.length, EXAMPLES_PER_CHECK))
      out.push(`          and ${found - Math.min(examples.length, EXAMPLES_PER_CHECK)} more`);
  }
  return `${out.join('\n')}\n`;
}

function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
