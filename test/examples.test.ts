/**
 * A configuration that is shown must be one that works: the files in examples/, and every one in README.md and docs/.
 */
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkConfig, parseConfig } from '../src/config/load.ts';
import { knownKeys } from '../src/config/reference.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDER = join(ROOT, 'examples');
const ENV = {
  MONGODB_URI: 'mongodb://127.0.0.1:27017/?replicaSet=rs0',
  SLUICE_TOKEN: 'a-token-of-the-test',
  EVENTHUBS_CONNECTION: 'Endpoint=sb://x/',
};

/** Keys of what this version cannot serve (src/config/built.ts). */
const NOT_SHOWN = /^(bus|lake\.(writer|auth)|warehouse\.auth)(\.|$)/;

const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.yaml'));

describe('the examples', () => {
  it('are there', () => expect(files.toSorted()).toEqual(['full.yaml', 'minimal.yaml']));

  it.each(files)('%s is valid', async (name) => {
    const { problems } = await checkConfig({ file: join(FOLDER, name), env: ENV, cwd: ROOT });
    expect(problems).toEqual([]);
  });

  it('show every key that this version can serve', async () => {
    const text = await readFile(join(FOLDER, 'full.yaml'), 'utf8');
    const keys = knownKeys(null).filter((key) => !NOT_SHOWN.test(key));
    expect(keys.length).toBeGreaterThan(30);
    expect(keys.filter((key) => !new RegExp(String.raw`^\s*${key.split('.').at(-1)}:`, 'm').test(text))).toEqual([]);
  });
});

/** YAML fences that are a whole configuration: they begin with a pipeline. */
async function shown(): Promise<[page: string, text: string][]> {
  const pages = [
    join(ROOT, 'README.md'),
    ...(await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => join(ROOT, 'docs', name)),
  ];
  const found: [string, string][] = [];
  for (const page of pages) {
    for (const [, fence] of (await readFile(page, 'utf8')).matchAll(/```yaml\n([^`]*)```/g)) {
      if (/^pipeline:/m.test(fence ?? '')) found.push([basename(page), fence ?? '']);
    }
  }
  return found;
}

describe('the configurations that the pages show', async () => {
  const configurations = await shown();

  it('begin in the README', () => expect(configurations.map(([page]) => page)).toContain('README.md'));

  it.each(configurations)('%s: is valid', (_page, text) => {
    expect(() => parseConfig(text, { folder: ROOT, env: ENV })).not.toThrow();
  });
});
