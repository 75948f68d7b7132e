/**
 * The mistakes that `npm run test:mutations` makes can still be made: their texts are where they were. What the mistakes
 * do to the tests is seen there, and every night.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BROADER, MUTATIONS } from '../scripts/mutation-list.ts';

const ROOT = join(import.meta.dirname, '..');

describe('each deliberate mistake', () => {
  it.each(MUTATIONS)('can be made in one place: $name', ({ file, find, replace, tests }) => {
    const parts = readFileSync(join(ROOT, file), 'utf8').split(find);
    expect(parts).toHaveLength(2);
    expect(parts.join(replace)).not.toBe(parts.join(find));
    for (const path of tests.flat()) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });

  it('has a name of its own, and there are enough of them', () => {
    expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(20);
    for (const path of BROADER) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });
});
