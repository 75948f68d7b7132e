/**
 * JSON of another producer, taken apart as text: a document holds a user's keys, and objects cannot keep those (each key once,
 * numbers first), nor all digits of a number.
 */

export type Members = readonly (readonly [key: string, value: string])[];

/** @throws SyntaxError when it is no JSON. Without white space outside of strings. */
export function compact(json: string): string {
  JSON.parse(json);
  if (!/\s/.test(json)) return json;
  let out = '';
  for (let at = 0; at < json.length;) {
    const char = json[at]!;
    const end = char === '"' ? endOfString(json, at) : at + 1;
    if (char > ' ') out += json.slice(at, end);
    at = end;
  }
  return out;
}

/** Members of an object in their order, values as they stand there. `null`: it is none. @param json compact */
export function membersOf(json: string): Members | null {
  if (!json.startsWith('{')) return null;
  const members: (readonly [string, string])[] = [];
  for (let at = 1; json[at] === '"';) {
    const colon = endOfString(json, at);
    const end = endOfValue(json, colon + 1);
    members.push([JSON.parse(json.slice(at, colon)) as string, json.slice(colon + 1, end)]);
    at = end + 1;
  }
  return members;
}

/** A text; `null`: another value, or none. */
export function textOf(json: string | undefined): string | null {
  return json?.startsWith('"') === true ? (JSON.parse(json) as string) : null;
}

/**
 * Relaxed Extended JSON made canonical, as far as relaxed says what a number was: one without a point is of 32 bits if it fits.
 * @param json compact
 */
export function canonical(json: string): string {
  if (/^-?\d/.test(json)) return numberOf(json);
  if (json.startsWith('[')) return `[${itemsOf(json).map(canonical).join(',')}]`;
  const members = membersOf(json);
  if (members === null) return json;
  const [[name, value] = ['', '']] = members;
  if (name === '$date' && !value.startsWith('{')) return `{"$date":{"$numberLong":"${new Date(JSON.parse(value) as string | number).getTime()}"}}`;
  // As the legacy form has it, which the Kafka connector writes unless it is told otherwise.
  if (name === '$binary' && value.startsWith('"')) return `{"$binary":{"base64":${value},"subType":${new Map(members).get('$type') ?? '"00"'}}}`;
  if (WRAPPERS.has(name)) return json;
  return `{${members.map(([key, text]) => `${JSON.stringify(key)}:${canonical(text)}`).join(',')}}`;
}

/** Those whose bare numbers are part of the form. */
const WRAPPERS: ReadonlySet<string> = new Set(['$timestamp', '$minKey', '$maxKey', '$regularExpression', '$binary']);
const INT32_MAX = 2 ** 31 - 1;

function numberOf(text: string): string {
  if (/[.eE]/.test(text)) return `{"$numberDouble":"${text}"}`;
  return Math.abs(Number(text)) <= INT32_MAX ? `{"$numberInt":"${text}"}` : `{"$numberLong":"${text}"}`;
}

function itemsOf(json: string): string[] {
  const items: string[] = [];
  for (let at = 1; json[at] !== ']';) {
    const end = endOfValue(json, at);
    items.push(json.slice(at, end));
    at = json[end] === ',' ? end + 1 : end;
  }
  return items;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

function endOfValue(json: string, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length;) {
    const char = json[at]!;
    if (char === '"') {
      at = endOfString(json, at);
      continue;
    }
    if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') depth -= 1;
    if (depth < 0 || (depth === 0 && char === ',')) return at;
    at += 1;
  }
  return json.length;
}
