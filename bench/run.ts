/**
 * `npm run bench [-- <name> [arguments]]`: runs one benchmark, or all of them, one after another. Each compares sluice with the
 * plain way or with a ceiling in the same run, and prints a table; `BENCH_JSON=<file>` keeps the rows as JSON lines.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const NAMES = [
  'transcoder',
  'capture',
  'snapshot',
  'collections',
  'lag',
  'duckdb',
  'compact',
  'reshape',
  'registry',
  'azure',
  'away',
  'bus',
  'cli',
  'dashboard',
];
const [wanted, ...rest] = process.argv.slice(2);
if (wanted !== undefined && !NAMES.includes(wanted)) {
  console.log(`npm run bench [-- <name>], one of: ${NAMES.join(', ')}`);
  process.exitCode = 2;
} else {
  for (const name of wanted === undefined ? NAMES : [wanted]) {
    if (wanted === undefined) console.log(`\n${name}`);
    const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(`${name}.ts`, import.meta.url)), ...rest], { stdio: 'inherit' });
    if (status !== 0) process.exitCode = 1;
  }
}
