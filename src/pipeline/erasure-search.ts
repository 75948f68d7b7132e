/**
 * Finds the documents that a condition names: any version of them counts, also one that a change has replaced since.
 *
 * A condition is a path and a text. What stands at the path is compared as text, whatever type it is of, and an array holds what any
 * of its elements is. Several conditions must hold in one version of the document.
 */
import { SluiceError } from '../core/error.ts';
import { ERASE_NONE, ERASE_TOO_MANY } from '../core/errors.ts';
import { isObject, parseJson, type Json } from '../core/extended-json.ts';
import type { Lake } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { sealedEvents } from './event-files.ts';
import { identityIn, identityOf } from './subject.ts';

export interface Condition {
  readonly path: readonly string[];
  readonly value: string;
}

/** What is held in memory of it, and in the record. */
const KEYS_MAX = 100_000;

export type FoundKeys = Map<string, { readonly ns: Namespace; readonly identities: Set<string> }>;

/** `customer.email=ann@example.org` @throws ERASE_NONE */
export function parseCondition(text: string): Condition {
  const at = text.indexOf('=');
  const path = text.slice(0, at).trim();
  if (at < 1 || path.split('.').includes('')) throw new SluiceError(ERASE_NONE, `\`${text}\` is not \`path=value\``);
  return { path: path.replace(/^fullDocument\./, '').split('.'), value: text.slice(at + 1).trim() };
}

/** Adds the documents of a file, of which a version is as the conditions say. @throws ERASE_TOO_MANY */
export async function searchFile(
  lake: Lake,
  file: Pick<SealedLine, 'path' | 'db' | 'coll' | 'eventBytes'>,
  conditions: readonly Condition[],
  found: FoundKeys,
  signal: AbortSignal,
): Promise<void> {
  const ns = { db: file.db, coll: file.coll };
  const own = found.get(formatNamespace(ns)) ?? { ns, identities: new Set<string>() };
  // Most lines are told by their bytes; only what may be meant is parsed.
  const needles = conditions.map(({ value }) => Buffer.from(JSON.stringify(value).slice(1, -1)));
  for await (const event of sealedEvents(lake, file, signal)) {
    const line = Buffer.from(event.buffer, event.byteOffset, event.byteLength);
    if (needles.some((needle) => isPlain(needle) && !line.includes(needle)) || !isMeant(line, conditions)) continue;
    const identity = identityIn(line);
    if (identity !== null) own.identities.add(identity);
    if (own.identities.size > KEYS_MAX) throw new SluiceError(ERASE_TOO_MANY, `more than ${KEYS_MAX.toLocaleString('en')} in ${formatNamespace(ns)}`);
  }
  if (own.identities.size > 0) found.set(formatNamespace(ns), own);
}

/** Letters and digits stand in a line as they are; numbers, dates and what is escaped may be written in another way. */
function isPlain(needle: Buffer): boolean {
  return /^[ !#-[\]-~]*[A-Za-z@_][ !#-[\]-~]*$/.test(needle.toString('latin1')) && !/^(?:[-+.\deE]+|\d{4}-.*)$/.test(needle.toString('latin1'));
}

function isMeant(line: Buffer, conditions: readonly Condition[]): boolean {
  const event = parseJson(line.toString('utf8').trimEnd());
  const versions = ['fullDocument', 'fullDocumentBeforeChange'].map((name) => memberOf(event, name));
  const changed = memberOf(memberOf(event, 'updateDescription'), 'updatedFields');
  const isIn = (version: Json | undefined): boolean =>
    conditions.every(({ path, value }) => valuesAt(version, path).some((each) => isValue(each, value)));
  return versions.some(isIn) || isIn(changed);
}

function memberOf(json: Json | undefined, name: string): Json | undefined {
  return isObject(json) ? json.members.find(([key]) => key === name)?.[1] : undefined;
}

/** Members of `updatedFields` have dots in their names: each name may be the beginning of the path. */
function valuesAt(json: Json | undefined, path: readonly string[]): Json[] {
  if (json === undefined) return [];
  if (path.length === 0) return Array.isArray(json) ? [json, ...json] : [json];
  if (Array.isArray(json)) return json.flatMap((each, index) => (path[0] === String(index) ? valuesAt(each, path.slice(1)) : valuesAt(each, path)));
  if (!isObject(json)) return [];
  return json.members.flatMap(([name, value]) => {
    const parts = name.split('.');
    const begins = parts.length <= path.length && parts.every((part, index) => part === path[index]);
    return begins ? valuesAt(value, path.slice(parts.length)) : [];
  });
}

function isValue(json: Json, text: string): boolean {
  if (typeof json === 'string') return json === text;
  if (json === null || typeof json === 'boolean') return String(json) === text;
  if ('digits' in json || isNumberWrapper(json))
    return /^[-+.\deE]+$/.test(text) && Number.isFinite(Number(text)) && identityOf(json) === identityOf({ digits: text });
  if (!isObject(json) || json.members.length !== 1) return false;
  const [[name, value]] = json.members as [[string, Json]];
  if (name === '$date') return identityOf(json) === `date ${Date.parse(text)}`;
  return name.startsWith('$') && typeof value === 'string' && value === text;
}

function isNumberWrapper(json: Json): boolean {
  return isObject(json) && json.members.length === 1 && json.members[0]![0].startsWith('$number');
}
