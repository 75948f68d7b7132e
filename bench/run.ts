/**
 * `npm run bench -- <name>`: runs one benchmark, or lists them. Each prints ratios against the plain way of the same run.
 */
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== basename(import.meta.filename))
  .map((file) => basename(file, '.ts'));
const [wanted] = process.argv.slice(2);
if (wanted === undefined || !names.includes(wanted)) {
  console.log(`npm run bench -- <name>, one of: ${names.join(', ')}`);
  process.exitCode = wanted === undefined ? 0 : 2;
} else {
  // What is left on the command line is the benchmark's own.
  process.argv.splice(2, 1);
  await import(`./${wanted}.ts`);
}
