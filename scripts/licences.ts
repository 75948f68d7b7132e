/**
 * The part of SECURITY.md on what the package brings with it, between two marks; the rest of the page is written by people.
 */
import { readFileSync } from 'node:fs';
import { dependencies } from './dependencies.ts';

const BEGIN = '<!-- Written by scripts/licences.ts from package-lock.json. -->';
const END = '<!-- End of what is written by scripts/licences.ts. -->';

export function securityPage(): string {
  const page = readFileSync(new URL('../SECURITY.md', import.meta.url), 'utf8');
  const [head, rest] = page.split(BEGIN);
  const tail = rest?.split(END)[1];
  if (head === undefined || tail === undefined) throw new Error(`SECURITY.md has lost its marks: ${BEGIN} … ${END}`);
  return `${head}${BEGIN}\n\n${section()}\n${END}${tail}`;
}

function section(): string {
  const all = dependencies();
  const byLicence = [...Map.groupBy(all, ({ licence }) => licence)].toSorted(([, a], [, b]) => b.length - a.length);
  const direct = all.filter(({ isDirect }) => isDirect);
  const usual = new Set(['MIT', 'Apache-2.0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD']);
  const unusual = all.filter(({ licence }) => !usual.has(licence));
  return [
    `${all.length} packages, ${direct.length} of them named by sluice itself; \`npm run sbom\` lists each with its hash (CycloneDX).`,
    '',
    '| licence | packages |',
    '|---|---|',
    ...byLicence.map(([licence, own]) => `| ${licence} | ${own.length} |`),
    '',
    ...(unusual.length === 0
      ? []
      : [`Other than the usual ones: ${unusual.map(({ name, version, licence }) => `\`${name}@${version}\` (${licence})`).join(', ')}.`, '']),
    '| named by sluice | version | licence |',
    '|---|---|---|',
    ...direct.map(({ name, version, licence }) => `| \`${name}\` | ${version} | ${licence} |`),
    '',
  ].join('\n');
}
