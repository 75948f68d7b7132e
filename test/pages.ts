/** The pages that a person reads: README.md and docs/*.md, and what stands in their fences. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

export interface Fence {
  /** File and line, to find it. */
  readonly at: string;
  /** What stands behind the three marks: `sh`, `sh run`. */
  readonly kind: string;
  readonly text: string;
}

export function pages(): readonly string[] {
  return [
    'README.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
}

export function fencesOf(page: string): readonly Fence[] {
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  const fences: Fence[] = [];
  let open: { readonly line: number; readonly indent: number; readonly kind: string } | null = null;
  for (const [i, line] of lines.entries()) {
    const [, indent, kind] = /^( *)```(.*)$/.exec(line) ?? [];
    if (indent === undefined || kind === undefined) continue;
    if (open === null) open = { line: i, indent: indent.length, kind: kind.trim() };
    else {
      const { line: from, indent: cut } = open;
      fences.push({
        at: `${page}:${from + 1}`,
        kind: open.kind,
        text: lines
          .slice(from + 1, i)
          .map((one) => one.slice(cut))
          .join('\n'),
      });
      open = null;
    }
  }
  return fences;
}
