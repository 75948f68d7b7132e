/**
 * `npm run bench:check`: are the ratios that docs/performance.md gives still there, with a margin? Ratios of processor time within
 * one run, so that it does not matter what else the machine does.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { report, type Row } from './report.ts';

function rowsOf(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  try {
    const BENCH_JSON = join(folder, 'rows.jsonl');
    const program = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    const { status } = spawnSync(process.execPath, [program, ...args], { stdio: 'inherit', env: { ...process.env, ...env, BENCH_JSON } });
    if (status !== 0) throw new Error(`the benchmark ${name} ended with ${status}`);
    const lines = readFileSync(BENCH_JSON, 'utf8').trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line) as Row);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function figure(rows: readonly Row[], of: string, column: string): number {
  return Number(rows.find((row) => Object.values(row).includes(of))?.[column]);
}

const transcoder = rowsOf('transcoder', ['0.5']);
const capture = rowsOf('capture', ['1.2 KB'], { BENCH_EVENTS: '100000' });
const cpu = (reader: string): number => figure(capture, reader, 'µs CPU');
const ratios = [
  { ratio: 'transcoder, relaxed: times plain', is: figure(transcoder, 'sluice, relaxed', 'times plain'), 'at least': 3.5 },
  { ratio: 'transcoder, canonical: times plain', is: figure(transcoder, 'sluice, canonical', 'times plain'), 'at least': 3 },
  { ratio: 'capture: processor time of the plain way, in that of sluice', is: cpu('plain') / cpu('sluice'), 'at least': 1.3 },
];
console.log('');
report('check', ratios);
// Written so that a figure that is missing fails as well.
if (!ratios.every(({ is, 'at least': atLeast }) => is >= atLeast)) process.exitCode = 1;
