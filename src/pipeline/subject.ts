/**
 * Whose documents they are, without keeping who it is: what an erasure remembers of keys.
 *
 * A record must tell an erased key from others for as long as the lake lives (to finish after a crash, and to know that what is
 * missing was erased), and must not hold it. So it keeps digests with a salt of its own: good for asking about a key that one has, of no
 * use to read one. MongoDB takes 42, NumberLong(42) and 42.0 for one `_id`; so does this, whatever they look like in a line or in a dump.
 */
import { createHash } from 'node:crypto';
import { isObject, jsonText, parseJson, type Json, type JsonObject } from '../core/extended-json.ts';
import { documentKeyOf } from '../core/line.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';

const DIGEST_CHARS = 32;
const NUMBERS = ['$numberInt', '$numberLong', '$numberDouble', '$numberDecimal'];
const INTEGER = /^-?\d+(?:\.0*)?$/;

/** The same text for keys that MongoDB takes for one. */
export function identityOf(id: Json): string {
  if (Array.isArray(id)) return `[${id.map(identityOf).join(',')}]`;
  if (typeof id !== 'object' || id === null) return jsonText(id);
  if ('digits' in id) return numberIdentity(id.digits);
  const [first] = id.members;
  if (id.members.length === 1 && first !== undefined) {
    const [name, value] = first;
    if (NUMBERS.includes(name) && typeof value === 'string') return numberIdentity(value);
    if (name === '$date') return dateIdentity(value);
    if (name === '$uuid' && typeof value === 'string') return identityOf(uuid(value));
  }
  return `{${id.members.map(([name, value]) => `${JSON.stringify(name)}:${identityOf(value)}`).join(',')}}`;
}

function numberIdentity(digits: string): string {
  if (INTEGER.test(digits)) return `number ${BigInt(digits.replace(/\..*/, ''))}`;
  const number = Number(digits);
  if (Number.isInteger(number) && Math.abs(number) < 2 ** 63) return `number ${BigInt(number)}`;
  return `number ${Number.isNaN(number) || /e/i.test(digits) ? String(number) : digits.replace(/0+$/, '')}`;
}

function dateIdentity(value: Json): string {
  const inner = isObject(value) ? value.members[0]?.[1] : value;
  const ms = isObject(value) ? Number(inner) : Date.parse(typeof inner === 'string' ? inner : '');
  return `date ${ms}`;
}

function uuid(text: string): JsonObject {
  const base64 = Buffer.from(text.replaceAll('-', ''), 'hex').toString('base64');
  return { members: [['$binary', { members: [['base64', base64], ['subType', '04']] }]] }; // prettier-ignore
}

/** What somebody may mean who types a key: a text may be an ObjectId or a UUID, too. */
export function identitiesTyped(typed: string): string[] {
  const text = typed.trim();
  if (/^[[{"]/.test(text)) return [identityOf(parseJson(compact(text)))];
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return [identityOf({ digits: text }), identityOf(typed)];
  const found = [identityOf(typed)];
  if (/^[0-9a-f]{24}$/i.test(text)) found.push(identityOf({ members: [['$oid', text.toLowerCase()]] }));
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) found.push(identityOf(uuid(text)));
  return found;
}

/** @throws SyntaxError it is not JSON */
function compact(text: string): string {
  return JSON.stringify(JSON.parse(text));
}

/** `_id` of a line's document; `null`: it speaks of none. */
export function identityIn(line: Buffer): string | null {
  const key = documentKeyOf(line);
  return key === null ? null : identityOfKey(key);
}

/** @param documentKey its text */
export function identityOfKey(documentKey: string): string | null {
  const json = parseJson(documentKey);
  const id = isObject(json) ? json.members.find(([name]) => name === '_id') : undefined;
  return id === undefined ? null : identityOf(id[1]);
}

export function digestOf(salt: string, ns: Pick<Namespace, 'db' | 'coll'>, identity: string): string {
  return createHash('sha256')
    .update(`${salt}\n${formatNamespace(ns)}\n${identity}`)
    .digest('hex')
    .slice(0, DIGEST_CHARS);
}
