/**
 * SQL text with its values beside it. A plain value that is put into a template becomes a bind (`?`), never text: only
 * what was built by {@link sql} or marked by {@link text} gets into the statement itself.
 */

export type SqlValue = string | number | boolean | null;

export interface Statement {
  readonly text: string;
  readonly values: readonly SqlValue[];
}

type Part = SqlValue | Statement | readonly Statement[];

/** A template: statements are spliced in, several with `, ` between them; values become binds. */
export function sql(strings: TemplateStringsArray, ...parts: readonly Part[]): Statement {
  let out = strings[0] ?? '';
  const values: SqlValue[] = [];
  for (const [i, part] of parts.entries()) {
    const piece = pieceOf(part);
    // A fragment of several lines keeps the indentation of the place that it is put in.
    const indent = /\n([ ]*)[^\n]*$/.exec(out)?.[1] ?? '';
    out += piece.text.replaceAll('\n', `\n${indent}`) + (strings[i + 1] ?? '');
    values.push(...piece.values);
  }
  return { text: dedent(out), values };
}

/** Text that is SQL already: identifiers, types, literals that a dialect has quoted. */
export function text(trusted: string): Statement {
  return { text: trusted, values: [] };
}

export function join(parts: readonly Statement[], separator: string): Statement {
  return { text: parts.map((part) => part.text).join(separator), values: parts.flatMap((part) => part.values) };
}

function pieceOf(part: Part): Statement {
  if (part === null || typeof part !== 'object') return { text: '?', values: [part] };
  return 'text' in part ? part : join(part, ', ');
}

/** Takes off the indentation that the first line after a leading newline has: golden files then read like SQL. */
function dedent(template: string): string {
  const first = /^\n([ ]*)/.exec(template);
  return first === null ? template : template.replaceAll(`\n${first[1] ?? ''}`, '\n').trim();
}
