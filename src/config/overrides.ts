/**
 * Keys of the configuration set from the environment: `SLUICE_LAKE__ROLL__MAX_BYTES=64MiB` is `lake.roll.maxBytes`.
 *
 * A double underscore goes one level down, a single one joins the words of a camelCase name. Values are texts; lists
 * and documents are written as JSON (or YAML in one line).
 */
import { parseDocument } from 'yaml';

const PREFIX = 'SLUICE_';

export interface Override {
  /** Name of the variable, for messages. */
  readonly variable: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * @param sections names of the top-level keys: `SLUICE_X` without `__` counts only if `x` is one of them, because sluice
 * has variables that are no keys
 */
export function readOverrides(env: Readonly<Record<string, string | undefined>>, sections: readonly string[]): Override[] {
  const found: Override[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (value === undefined || !variable.startsWith(PREFIX)) continue;
    const path = variable.slice(PREFIX.length).split('__').map(camelCase);
    if (path.length === 1 && !sections.includes(path[0] ?? '')) continue;
    found.push({ variable, path, value: readValue(value) });
  }
  // Shorter paths first: SLUICE_LAKE gives the whole section, SLUICE_LAKE__URL then changes a key of it.
  return found.toSorted((a, b) => a.path.length - b.path.length || a.variable.localeCompare(b.variable));
}

function camelCase(words: string): string {
  return words.toLowerCase().replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function readValue(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  const doc = parseDocument(text);
  return doc.errors.length > 0 ? text : (doc.toJS() as unknown);
}

/** Puts each override into `root` in place; documents on the way are made when they are missing. */
export function applyOverrides(root: Record<string, unknown>, overrides: readonly Override[]): void {
  for (const { path, value } of overrides) {
    let at = root;
    for (const key of path.slice(0, -1)) {
      const next = Object.hasOwn(at, key) ? at[key] : undefined;
      const inner = next !== null && typeof next === 'object' && !Array.isArray(next) ? (next as Record<string, unknown>) : {};
      Object.defineProperty(at, key, { value: inner, writable: true, enumerable: true, configurable: true });
      at = inner;
    }
    Object.defineProperty(at, path.at(-1) ?? '', { value, writable: true, enumerable: true, configurable: true });
  }
}
