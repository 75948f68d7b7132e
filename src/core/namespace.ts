/**
 * Namespaces and the globs that choose them.
 *
 * Globs: `*` any run of characters, `?` one character; the first dot parts database and collection (a collection may
 * hold more dots). `shop` alone means `shop.*`.
 */

/** A collection; `coll: null` is the database itself (dropDatabase). */
export interface Namespace {
  readonly db: string;
  readonly coll: string | null;
}

/** `db.coll`, or `db` for the database itself. Database names cannot hold a dot, so this is reversible. */
export function formatNamespace(ns: Namespace): string {
  return ns.coll === null ? ns.db : `${ns.db}.${ns.coll}`;
}

export function parseNamespace(text: string): Namespace {
  const dot = text.indexOf('.');
  return dot < 0 ? { db: text, coll: null } : { db: text.slice(0, dot), coll: text.slice(dot + 1) };
}

/** A glob over `db.coll`, split at its first dot. */
export interface NamespaceGlob {
  readonly db: string;
  readonly coll: string;
}

export function parseGlob(text: string): NamespaceGlob {
  const { db, coll } = parseNamespace(text);
  return { db, coll: coll ?? '*' };
}

export function isLiteral(glob: string): boolean {
  return !/[*?]/.test(glob);
}

/** Anchored regular expression source, valid in JavaScript and in MongoDB's `$regex` (PCRE). */
export function globToRegex(glob: string): string {
  return `^${glob
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '[\\s\\S]*')
    .replaceAll('?', '[\\s\\S]')}$`;
}

/** Decides on the client which collections a pipeline covers: the same answer as the server's `$match`. */
export class NamespaceFilter {
  readonly include: readonly NamespaceGlob[];
  readonly exclude: readonly NamespaceGlob[];
  readonly #in: readonly { db: RegExp; coll: RegExp }[];
  readonly #out: readonly { db: RegExp; coll: RegExp }[];

  constructor(include: readonly string[], exclude: readonly string[]) {
    this.include = include.map(parseGlob);
    this.exclude = exclude.map(parseGlob);
    const compile = (g: NamespaceGlob) => ({ db: new RegExp(globToRegex(g.db)), coll: new RegExp(globToRegex(g.coll)) });
    this.#in = this.include.map(compile);
    this.#out = this.exclude.map(compile);
  }

  matches(ns: Namespace): boolean {
    const { db, coll } = ns;
    // A database event belongs to whoever watches anything in that database.
    if (coll === null) return this.#in.some((g) => g.db.test(db));
    const hit = (g: { db: RegExp; coll: RegExp }): boolean => g.db.test(db) && g.coll.test(coll);
    return this.#in.some(hit) && !this.#out.some(hit);
  }
}
