/**
 * The failpoints as the source has them: a new one is tested, and asked for in the docs, from the day it is written.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../../src', import.meta.url));

/** Names in `failpoint('…')`, and those before and after each `save('…')` of the checkpoint. */
export async function failpointNames(): Promise<string[]> {
  const entries = await readdir(SOURCES, { recursive: true });
  const names = new Set<string>();
  for (const entry of entries.filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))) {
    const text = await readFile(join(SOURCES, entry), 'utf8');
    for (const [, name = ''] of text.matchAll(/\bfailpoint\('([^']+)'\)/g)) names.add(name);
    for (const [, why = ''] of text.matchAll(/\bcommitter\.save\('([^']+)'\)/g)) names.add(`checkpoint.before-${why}`).add(`checkpoint.after-${why}`);
  }
  return [...names].toSorted();
}
