/**
 * `npm run sbom [-- <file>]`: a bill of materials in CycloneDX 1.6, from package-lock.json; to standard output without a file.
 * Scanners (grype, trivy, osv-scanner, Dependency-Track) read it and say which versions have known vulnerabilities.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dependencies, type Dependency } from './dependencies.ts';

const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly name: string;
  readonly version: string;
  readonly license: string;
};

export function sbom(): object {
  const all = dependencies();
  const byName = Map.groupBy(all, ({ name }) => name);
  const self = `pkg:npm/${own.name}@${own.version}`;
  const refs = (names: readonly string[]): string[] => names.flatMap((name) => (byName.get(name) ?? []).map(purlOf)).toSorted();
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    // The same packages make the same document: no time, no random number.
    serialNumber: `urn:uuid:${uuidOf(all)}`,
    version: 1,
    metadata: {
      component: {
        type: 'application',
        name: own.name,
        version: own.version,
        'bom-ref': self,
        purl: self,
        licenses: [{ license: { id: own.license } }],
      },
    },
    components: all.map((each) => ({
      type: 'library',
      'bom-ref': purlOf(each),
      ...groupOf(each.name),
      version: each.version,
      scope: each.isOptional ? 'optional' : 'required',
      purl: purlOf(each),
      ...(each.licence === 'NOASSERTION' ? {} : { licenses: [{ expression: each.licence }] }),
      ...(each.integrity === null ? {} : { hashes: hashesOf(each.integrity) }),
    })),
    dependencies: [
      { ref: self, dependsOn: refs(all.filter(({ isDirect }) => isDirect).map(({ name }) => name)) },
      ...all.map((each) => ({ ref: purlOf(each), dependsOn: refs(each.dependsOn) })),
    ],
  };
}

function purlOf({ name, version }: Dependency): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function groupOf(name: string): { readonly group?: string; readonly name: string } {
  const [scope, rest] = name.split('/');
  return rest === undefined ? { name } : { group: scope ?? '', name: rest };
}

function hashesOf(integrity: string): object[] {
  const [algorithm = '', value = ''] = integrity.split('-');
  return [{ alg: algorithm.replace('sha', 'SHA-'), content: Buffer.from(value, 'base64').toString('hex') }];
}

function uuidOf(all: readonly Dependency[]): string {
  const hex = createHash('sha256')
    .update(all.map((each) => `${each.name}@${each.version} ${each.integrity}`).join('\n'))
    .digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

if (import.meta.main) {
  const text = `${JSON.stringify(sbom(), null, 2)}\n`;
  const [file] = process.argv.slice(2);
  if (file === undefined) process.stdout.write(text);
  else writeFileSync(file, text);
}
