/**
 * Which rules of a mask fit where in a document: an automaton over field names, built as documents come.
 *
 * Most fields fit no rule at all: after one look in a map they are copied as they are. A dotted name is the hard case. In
 * `updatedFields` a dot parts a path, but a field's own name may hold dots as well, and servers before 6.1 do not say
 * which is meant. So every way to part such a name is followed at once. Invariant: a value that a rule fits in any
 * reading of its path is masked.
 */
import type { FieldRule, Redaction } from '../../../core/mask.ts';

/** Names remembered for one place in a document; keys may be data (a map by e-mail address), so there is a limit. */
const NAMES_MAX = 512;

const INDEX = /^\d+$/;

/** Reached: rule number and how much of its path has been met, as `rule * STRIDE + met`. */
const STRIDE = 1 << 16;

export interface Place {
  /** What becomes of a value here, or `null`. */
  readonly redaction: Redaction | null;
  /** The field's new name, or `null`. */
  readonly rename: string | null;
  /** Nothing here or below fits any rule. */
  readonly isDead: boolean;
  readonly states: readonly number[];
  readonly next: Map<string, Place>;
  /** `next`, for names that are read as dotted paths. */
  readonly paths: Map<string, PathPlace>;
}

/** Where a dotted path leads. */
interface PathPlace {
  readonly place: Place;
  /** The path with the new names of its fields, or `null` when it has none. */
  readonly renamed: string | null;
}

export class MaskPaths {
  readonly #rules: readonly FieldRule[];
  readonly root: Place;

  constructor(rules: readonly FieldRule[]) {
    this.#rules = rules;
    this.root = this.#place(rules.map((_, rule) => rule * STRIDE));
  }

  /** The field `name` of a document at `place`. A name with dots counts as the path that it looks like, too. */
  field(place: Place, name: string): Place {
    return remembered(place.next, name, () => this.#led(place, name));
  }

  /** Element `index` of an array at `place`: arrays are looked through, and an index may be named. */
  element(place: Place, index: number): Place {
    if (place.isDead) return place;
    const name = String(index);
    return remembered(place.next, `[${name}`, () => this.#place([...place.states, ...this.#step(place.states, name)]));
  }

  /** Where the dotted path `name`, from the root of the document, leads. */
  path(name: string): PathPlace {
    return remembered(this.root.paths, name, () => ({ place: this.#led(this.root, name), renamed: this.#renamed(name) }));
  }

  #led(from: Place, name: string): Place {
    if (!name.includes('.')) return this.#place(this.#step(from.states, name));
    const ways = this.#parted(from, name);
    const place = ways.at(-1)!;
    // What lies inside a value that is masked as a whole has no place of its own.
    return ways.slice(1, -1).some(({ redaction }) => redaction !== null) ? { ...place, redaction: { kind: 'drop' }, isDead: false } : place;
  }

  #renamed(name: string): string | null {
    let at = this.root;
    const pieces = name.split('.').map((piece) => {
      const next = this.#place([...this.#step(at.states, piece), ...(INDEX.test(piece) ? at.states : [])]);
      at = next;
      // An index that was looked through has the name of its array, which has been changed already.
      return INDEX.test(piece) ? piece : (next.rename ?? piece);
    });
    const renamed = pieces.join('.');
    return renamed === name ? null : renamed;
  }

  /** Where the first 0, 1, 2 … pieces of a dotted name lead, whichever of the dots part it. */
  #parted(from: Place, name: string): Place[] {
    const pieces = name.split('.');
    const ways: Place[] = [from];
    for (let end = 1; end <= pieces.length; end++) {
      const states: number[] = [];
      for (let begin = 0; begin < end; begin++) states.push(...this.#step(ways[begin]!.states, pieces.slice(begin, end).join('.')));
      if (end > 1 && INDEX.test(pieces[end - 1]!)) states.push(...ways[end - 1]!.states);
      ways.push(this.#place(states));
    }
    return ways;
  }

  #step(states: readonly number[], name: string): number[] {
    const found: number[] = [];
    for (const state of states) {
      const path = this.#rules[Math.floor(state / STRIDE)]!.path;
      const met = state % STRIDE;
      if (met === path.length) continue;
      const wanted = path[met]!;
      if (wanted === null) found.push(state);
      else if (wanted.test(name)) found.push(state + 1);
    }
    return found;
  }

  #place(reached: readonly number[]): Place {
    const states = new Set<number>();
    for (const state of reached) {
      let at = state;
      states.add(at);
      // Any number of names may be none.
      for (const { path } = this.#rules[Math.floor(state / STRIDE)]!; path[at % STRIDE] === null;) states.add(++at);
    }
    const ended = [...states]
      .map((state) => ({ rule: this.#rules[Math.floor(state / STRIDE)]!, met: state % STRIDE }))
      .filter(({ rule, met }) => met === rule.path.length);
    return {
      redaction: strictest(ended.map(({ rule }) => rule.redaction)),
      rename: ended.find(({ rule }) => rule.rename !== null)?.rule.rename ?? null,
      isDead: states.size === 0,
      states: [...states],
      next: new Map(),
      paths: new Map(),
    };
  }
}

function strictest(redactions: readonly (Redaction | null)[]): Redaction | null {
  for (const kind of ['drop', 'hash'] as const) if (redactions.some((redaction) => redaction?.kind === kind)) return { kind };
  const chars = redactions.flatMap((redaction) => (redaction?.kind === 'truncate' ? [redaction.chars] : []));
  return chars.length === 0 ? null : { kind: 'truncate', chars: Math.min(...chars) };
}

function remembered<T>(known: Map<string, T>, name: string, make: () => T): T {
  const found = known.get(name);
  if (found !== undefined) return found;
  const made = make();
  if (known.size < NAMES_MAX) known.set(name, made);
  return made;
}
