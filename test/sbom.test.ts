import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dependencies } from '../scripts/dependencies.ts';
import { sbom } from '../scripts/sbom.ts';

interface Component {
  readonly 'bom-ref': string;
  readonly purl: string;
  readonly version: string;
  readonly licenses?: readonly { readonly expression: string }[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

const bom = sbom() as {
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  readonly metadata: { readonly component: { readonly 'bom-ref': string } };
};

describe('the bill of materials', () => {
  it('has everything that sluice names, and what the dashboard is built from', () => {
    const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { dependencies: Record<string, string> };
    const named = Object.entries(own.dependencies).map(([name, version]) => `pkg:npm/${name.replace('@', '%40')}@${version}`);
    const purls = new Set(bom.components.map(({ purl }) => purl));
    expect(named.filter((purl) => !purls.has(purl))).toEqual([]);
    expect([...purls].filter((purl) => /\/(?:preact|uplot)@/.test(purl))).toHaveLength(2);
    // Nothing that is for development alone.
    expect([...purls].filter((purl) => /\/(?:vitest|typescript|vite)@/.test(purl))).toEqual([]);
  });

  it('gives each package once, with a licence and the hash of what is downloaded', () => {
    expect(new Set(bom.components.map((each) => each['bom-ref'])).size).toBe(bom.components.length);
    expect(bom.components.filter(({ licenses }) => licenses === undefined).map(({ purl }) => purl)).toEqual([]);
    for (const { hashes } of bom.components) expect(hashes?.[0]).toMatchObject({ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) });
  });

  it('says what leads to what, so that each package can be reached from sluice', () => {
    const edges = new Map(bom.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
    const reached = new Set<string>();
    const visit = (ref: string): void => {
      if (reached.has(ref)) return;
      reached.add(ref);
      for (const next of edges.get(ref) ?? []) visit(next);
    };
    visit(bom.metadata.component['bom-ref']);
    const lost = bom.components.map((each) => each['bom-ref']).filter((ref) => !reached.has(ref));
    expect(lost).toEqual([]);
  });

  it('is the same for the same packages', () => {
    expect(JSON.stringify(sbom())).toBe(JSON.stringify(sbom()));
    expect(dependencies().length).toBe(bom.components.length);
  });
});
