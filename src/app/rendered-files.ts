/**
 * Rendered files and the folder that they go to: written, or compared with what lies there.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { systemCode } from '../core/error.ts';
import type { TextFile } from '../render/text-file.ts';

export type { TextFile };

export async function writeRendered(files: readonly TextFile[], folder: string): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true });
  for (const { name, text } of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return files.map((file) => join(folder, file.name));
}

export interface Difference {
  readonly name: string;
  readonly what: 'new' | 'changed' | 'gone';
  /** Lines that are only in the file, and only in what is rendered now. */
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

/** What would be written now, against what lies in the folder. @param ours names that this command writes with other options */
export async function compareRendered(files: readonly TextFile[], folder: string, ours: RegExp): Promise<readonly Difference[]> {
  const differences: Difference[] = [];
  for (const { name, text } of files) {
    const before = await readFile(join(folder, name), 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return null;
      throw error;
    });
    if (before === text) continue;
    const [old, fresh] = [(before ?? '').split('\n'), text.split('\n')];
    differences.push({
      name,
      what: before === null ? 'new' : 'changed',
      removed: old.filter((line) => !fresh.includes(line)),
      added: fresh.filter((line) => !old.includes(line)),
    });
  }
  const there = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const names = there.filter((one) => one.isFile()).map((one) => relative(folder, join(one.parentPath, one.name)).replaceAll(sep, '/'));
  const gone = names.filter((name) => ours.test(name) && !files.some((file) => file.name === name)).toSorted();
  return [...differences, ...gone.map((name) => ({ name, what: 'gone' as const, removed: [], added: [] }))];
}
