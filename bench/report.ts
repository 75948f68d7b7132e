/**
 * How results are told: a table for people, and with `BENCH_JSON=<file>` one JSON line per row for machines.
 */
import { appendFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';

export type Row = Readonly<Record<string, string | number>>;

export function report(benchmark: string, rows: readonly Row[]): void {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))];
  const widths = columns.map((_, n) => Math.max(...cells.map((line) => line[n]!.length)));
  for (const line of cells) console.log(line.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join('  '));
  const file = process.env['BENCH_JSON'];
  if (file === undefined) return;
  const machine = { at: new Date().toISOString(), node: process.version, cores: availableParallelism(), memoryGiB: Math.round(totalmem() / 2 ** 30) };
  for (const row of rows) appendFileSync(file, `${JSON.stringify({ benchmark, ...row, ...machine })}\n`);
}

function shown(value: string | number | undefined): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toLocaleString('en', { maximumFractionDigits: 2 });
}

/** Value below which `share` of the sorted values lie. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
