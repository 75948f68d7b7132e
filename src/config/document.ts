/**
 * From the text of a configuration file to plain values, remembering where each stood.
 *
 * Messages never quote the text: a line of this file may hold a password. What the YAML reader says is therefore
 * replaced by our own words for its error codes.
 */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, visit, type Document, type ErrorCode, type Node } from 'yaml';
import { interpolate, type InterpolateFrom } from './interpolate.ts';

/** Something that is wrong with a configuration. */
export interface Problem {
  /** `secret`: a value that the file refers to is missing; `conflict`: keys that do not go together. */
  readonly kind: 'syntax' | 'invalid' | 'secret' | 'conflict';
  /** Dotted key, `''` for the whole file. */
  readonly key: string;
  readonly message: string;
  /** From 1; `null` when it is not in the file. */
  readonly line: number | null;
  readonly column: number | null;
  /** The environment variable that set the key, if one did. */
  readonly variable: string | null;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

const YAML_WORDS: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias (`*name`) cannot carry an anchor or tag',
  BAD_ALIAS: 'an alias (`*name`) has no name; put a text that begins with `*` in quotes',
  BAD_COLLECTION_TYPE: 'a list or document stands where its tag does not allow one',
  BAD_DIRECTIVE: 'a line that begins with `%` is not a directive that YAML knows',
  BAD_DQ_ESCAPE: 'a text in double quotes has a `\\` that means nothing; use single quotes or `\\\\`',
  BAD_INDENT: 'the indentation is not that of the lines around it',
  BAD_PROP_ORDER: 'an anchor or tag stands in the wrong place',
  BAD_SCALAR_START: 'a text begins with a sign that has a meaning in YAML; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a list or document stands where a key should be; is a text with `: ` in it missing its quotes?',
  BLOCK_IN_FLOW: 'indented lines cannot stand inside [ ] or { }',
  DUPLICATE_KEY: 'this key is there twice',
  IMPOSSIBLE: 'this cannot be read',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters; is a quote missing?',
  MISSING_CHAR: 'a sign is missing here: a quote, a comma, a colon or a closing bracket',
  MULTILINE_IMPLICIT_KEY: 'a key goes over more than one line; is a colon or a quote missing?',
  MULTIPLE_ANCHORS: 'there are two anchors',
  MULTIPLE_DOCS: 'there is more than one document (`---`) in the file',
  MULTIPLE_TAGS: 'there are two tags',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'the file is nested too deeply or repeats itself too often',
  TAB_AS_INDENT: 'a tab is used to indent; use spaces',
  TAG_RESOLVE_FAILED: 'this tag (`!name`) is not known here',
  UNEXPECTED_TOKEN: 'something stands here that does not belong here',
};

export class ConfigDocument {
  readonly #doc: Document;
  readonly #lines: LineCounter;

  constructor(text: string) {
    this.#lines = new LineCounter();
    // Without `prettyErrors` no message can quote a line.
    this.#doc = parseDocument(text.replace(/^\uFEFF/, ''), { lineCounter: this.#lines, prettyErrors: false, merge: true, stringKeys: false });
  }

  get syntaxProblems(): Problem[] {
    return [...this.#doc.errors, ...this.#doc.warnings].map((error) => {
      const { line, col } = this.#lines.linePos(error.pos[0]);
      return { kind: 'syntax', key: '', message: YAML_WORDS[error.code], line, column: col, variable: null };
    });
  }

  /**
   * Puts values in place of `${…}`.
   * @param skip keys that something else sets: what they refer to need not exist
   */
  interpolate(from: InterpolateFrom, skip: (path: readonly string[]) => boolean): Problem[] {
    const problems: Problem[] = [];
    visit(this.#doc, {
      Scalar: (key, scalar, ancestors) => {
        if (key === 'key' || typeof scalar.value !== 'string' || !scalar.value.includes('${')) return;
        const path = pathOf(key, ancestors);
        if (skip(path)) return;
        const result = interpolate(scalar.value, from);
        scalar.value = result.text;
        const at = this.#placeOf(scalar);
        const place = { key: path.join('.'), line: at?.line ?? null, column: at?.column ?? null, variable: null };
        for (const message of result.missing) problems.push({ ...place, kind: 'secret', message });
      },
    });
    return problems;
  }

  /** The values; an empty file is an empty document. */
  toRecord(): { readonly record: Record<string, unknown> } | { readonly problem: Problem } {
    const whole = { key: '', line: 1, column: 1, variable: null } as const;
    let value: unknown;
    try {
      value = this.#doc.toJS();
    } catch {
      // yaml throws a ReferenceError whose text may quote the file.
      const message = 'an alias (`*name`) has no anchor (`&name`); put a text that begins with `*` in quotes';
      return { problem: { ...whole, kind: 'syntax', message } };
    }
    if (value === null || value === undefined) return { record: {} };
    if (typeof value === 'object' && !Array.isArray(value)) return { record: value as Record<string, unknown> };
    return { problem: { ...whole, kind: 'invalid', message: 'the file must hold keys and values, such as `pipeline: shop`' } };
  }

  /** Integers that a double cannot hold: they would silently be another number. */
  unsafeIntegers(): Problem[] {
    const problems: Problem[] = [];
    visit(this.#doc, {
      Scalar: (key, scalar, ancestors) => {
        if (typeof scalar.value !== 'number' || !Number.isInteger(scalar.value) || Number.isSafeInteger(scalar.value)) return;
        const at = this.#placeOf(scalar);
        const message = 'is too large for a plain number; write { $numberLong: "…" }';
        problems.push({
          kind: 'invalid',
          key: pathOf(key, ancestors).join('.'),
          message,
          line: at?.line ?? null,
          column: at?.column ?? null,
          variable: null,
        });
      },
    });
    return problems;
  }

  has(path: readonly string[]): boolean {
    return this.#doc.hasIn(path);
  }

  /** Where the value at `path` stands, or the nearest document around it. With `key`, where that key of it stands. */
  placeOf(path: readonly PropertyKey[], key?: string): Place | null {
    let node: unknown = this.#doc.contents;
    for (const step of path) {
      const next = isMap(node) || isSeq(node) ? node.get(typeof step === 'symbol' ? String(step) : step, true) : undefined;
      const target = isAlias(next) ? next.resolve(this.#doc) : next;
      if (target === undefined || target === null) break;
      node = target;
    }
    if (key !== undefined && isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair !== undefined) node = pair.key;
    }
    return this.#placeOf(node as Node | null);
  }

  #placeOf(node: Node | null): Place | null {
    const start = node?.range?.[0];
    if (start === undefined) return null;
    const { line, col } = this.#lines.linePos(start);
    return { line, column: col };
  }
}

function pathOf(key: unknown, ancestors: readonly unknown[]): string[] {
  const path: string[] = [];
  ancestors.forEach((ancestor, depth) => {
    if (isPair(ancestor)) path.push(isScalar(ancestor.key) ? String(ancestor.key.value) : '?');
    else if (isSeq(ancestor)) {
      const child = ancestors[depth + 1];
      path.push(String(child === undefined ? key : ancestor.items.indexOf(child)));
    }
  });
  return path;
}
