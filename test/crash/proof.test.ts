/**
 * The proof in docs/guarantees.md is whole: each failpoint of the source has its place in the table, and each test that the
 * table points to is there under that name.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { failpointNames } from './failpoint-names.ts';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string): Promise<string> => readFile(fileURLToPath(new URL(path, ROOT)), 'utf8');

let proof: string;
beforeAll(async () => {
  proof = /## The proof, crash point by crash point\n(.*?)\n## /s.exec(await read('docs/guarantees.md'))![1]!;
});

describe('the proof, crash point by crash point', () => {
  it('has every failpoint of the source, and no other', async () => {
    const listed = [
      ...proof.matchAll(
        /`((?:checkpoint|swap|erase|owner|pipeline|produce|claim|dead-letter|recovery|event|part|ledger|hour|lake|reshape|snapshot|warehouse)\.(?:before|after|[a-z]+\.before|[a-z]+\.after)-[a-z-]+)`/g,
      ),
    ];
    const names = listed.map(([, name = '']) => name);
    expect(names.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(await failpointNames());
  });

  it('points to tests that are there', async () => {
    const tests = [...proof.matchAll(/^- \*\*([A-Z])\*\* `([^`]+)`: "([^"]+)"/gm)];
    expect(tests.length).toBeGreaterThan(5);
    for (const [, letter, path = '', title = ''] of tests) expect(await read(path), `${letter}: ${path}`).toContain(title);
    const letters = new Set(tests.map(([, letter]) => letter));
    const rows = [...proof.matchAll(/^\| .* \| ([A-Z](?: [A-Z])*) \|$/gm)];
    expect(rows.length).toBeGreaterThan(20);
    for (const [row, used = ''] of rows) for (const letter of used.split(' ')) expect(letters, row).toContain(letter);
  });
});
