/**
 * Extended JSON → BSON, for tests: shows that nothing is lost on the way, without asking the code under test or a library
 * that keeps objects. Keys keep their order, even numbers among them, and may come twice.
 *
 * It reads canonical and relaxed lines. A relaxed line does not keep the width of integers: a bare one is read as an
 * int64. An object with a wrapper's key anywhere is taken for that wrapper, as lenient readers do.
 */
import { arrayOf, binary, cstring, documentOf, double, element, int32, int64, string, timestamp } from './raw-bson.ts';

/** A JSON value whose objects are lists of members and whose numbers are their texts. */
export type Json = string | boolean | null | JsonNumber | readonly Json[] | { readonly members: Members };
export type Members = readonly (readonly [key: string, value: Json])[];
type Value = readonly [type: number, bytes: Uint8Array];

export interface JsonNumber {
  readonly digits: string;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS = { t: ['true', true], f: ['false', false], n: ['null', null] } as const;

/** Strict: no white space, and nothing after the value. */
export function parseJson(text: string): Json {
  const reader = new JsonReader(text);
  const value = reader.value();
  if (reader.at !== text.length) throw new Error(`something follows at ${reader.at}`);
  return value;
}

class JsonReader {
  readonly #text: string;
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): Json {
    const first = this.#text[this.at]!;
    if (first === '{') return { members: this.#list('}', () => this.#member()) };
    if (first === '[') return this.#list(']', () => this.value());
    if (first === '"') return this.#string();
    if (first === 't' || first === 'f' || first === 'n') {
      const [word, meaning] = WORDS[first];
      this.#expect(word);
      return meaning;
    }
    NUMBER.lastIndex = this.at;
    const digits = NUMBER.exec(this.#text)?.[0];
    if (digits === undefined) throw new Error(`no value at ${this.at}`);
    this.at += digits.length;
    return { digits };
  }

  #member(): readonly [string, Json] {
    const key = this.#string();
    this.#expect(':');
    return [key, this.value()];
  }

  #list<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    this.at++;
    while (this.#text[this.at] !== close) {
      if (items.length > 0) this.#expect(',');
      items.push(item());
    }
    this.at++;
    return items;
  }

  /** A string by itself is safe with JSON.parse; the keys of an object are not, in Node 26.10. */
  #string(): string {
    let end = this.at + 1;
    while (this.#text[end] !== '"' && end < this.#text.length) end += this.#text[end] === '\\' ? 2 : 1;
    const text = JSON.parse(this.#text.slice(this.at, end + 1)) as unknown;
    if (typeof text !== 'string') throw new Error(`no string at ${this.at}`);
    this.at = end + 1;
    return text;
  }

  #expect(word: string): void {
    if (!this.#text.startsWith(word, this.at)) throw new Error(`no ${word} at ${this.at}`);
    this.at += word.length;
  }
}

interface ReadLine {
  readonly meta: Members;
  readonly lossy: boolean;
  /** BSON of all other fields; `null` when a reader can make none of it. */
  readonly body: Buffer | null;
}

/** A whole line, taken apart. */
export function readLine(line: string): ReadLine {
  const [[first, inner], ...rest] = membersOf(parseJson(line)) as [Members[number], ...Members];
  if (first !== '_meta') throw new Error('a line that does not begin with _meta');
  const meta = membersOf(inner);
  return { meta, lossy: meta.some(([key, value]) => key === 'lossy' && value === true), body: readOrNull(rest) };
}

/** A document that only looks like a wrapper may hold what no wrapper does. */
export function readOrNull(members: Members): Buffer | null {
  try {
    return readMembers(members);
  } catch {
    return null;
  }
}

export function membersOf(json: Json): Members {
  if (json === null || typeof json !== 'object' || !('members' in json)) throw new Error('not an object');
  return json.members;
}

/** BSON of an object that is a document, whatever its keys. */
export function readMembers(members: Members): Buffer {
  return documentOf(
    ...members.map(([key, member]) => {
      const [type, bytes] = readValue(member);
      return element(type, key, bytes);
    }),
  );
}

function readValue(json: Json): Value {
  if (json === null) return [0x0a, Buffer.alloc(0)];
  if (typeof json === 'string') return [0x02, string(json)];
  if (typeof json === 'boolean') return [0x08, Buffer.from([json ? 1 : 0])];
  if ('digits' in json) return /[.eE]/.test(json.digits) ? [0x01, double(Number(json.digits))] : [0x12, int64(BigInt(json.digits))];
  if (!('members' in json)) return [0x04, arrayOf(...json.map(readValue))];
  const wrapped = json.members.find(([key]) => Object.hasOwn(WRAPPERS, key));
  return wrapped === undefined ? [0x03, readMembers(json.members)] : WRAPPERS[wrapped[0]]!(wrapped[1], json.members);
}

function textOf(json: Json | undefined): string {
  if (typeof json !== 'string') throw new Error('not a string');
  return json;
}

function textIn(json: Json, name: string): string {
  return textOf(memberOf(json, name));
}

function memberOf(json: Json, name: string): Json {
  const found = membersOf(json).find(([key]) => key === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found[1];
}

function integerIn(json: Json, name: string): number {
  return Number((memberOf(json, name) as JsonNumber).digits);
}

const nothing = Buffer.alloc(0);

const WRAPPERS: Readonly<Record<string, (value: Json, members: Members) => Value>> = {
  $numberDouble: (value) => [0x01, double(Number(textOf(value)))],
  $binary: (value) => readBinary(Number.parseInt(textIn(value, 'subType'), 16), Buffer.from(textIn(value, 'base64'), 'base64')),
  $uuid: (value) => [0x05, binary(4, Buffer.from(textOf(value).replaceAll('-', ''), 'hex'))],
  $undefined: () => [0x06, nothing],
  $oid: (value) => [0x07, Buffer.from(textOf(value), 'hex')],
  $date: (value) => [0x09, int64(typeof value === 'string' ? BigInt(Date.parse(value)) : BigInt(textIn(value, '$numberLong')))],
  $regularExpression: (value) => [0x0b, Buffer.concat([cstring(textIn(value, 'pattern')), cstring(textIn(value, 'options'))])],
  $regex: (value) => [0x0b, Buffer.concat([cstring(textOf(value)), cstring('')])],
  $dbPointer: (value) => [0x0c, Buffer.concat([string(textIn(value, '$ref')), readValue(memberOf(value, '$id'))[1]])],
  $code: (value, members) => readCode(textOf(value), members),
  $symbol: (value) => [0x0e, string(textOf(value))],
  $numberInt: (value) => [0x10, int32(Number(textOf(value)))],
  $timestamp: (value) => [0x11, timestamp(integerIn(value, 't'), integerIn(value, 'i'))],
  $numberLong: (value) => [0x12, int64(BigInt(textOf(value)))],
  $numberDecimal: (value) => [0x13, readDecimal(textOf(value))],
  $minKey: () => [0xff, nothing],
  $maxKey: () => [0x7f, nothing],
};

function readBinary(subtype: number, data: Buffer): Value {
  return [0x05, binary(subtype, subtype === 2 ? Buffer.concat([int32(data.length), data]) : data)];
}

function readCode(code: string, members: Members): Value {
  const scope = members.find(([key]) => key === '$scope');
  if (scope === undefined) return [0x0d, string(code)];
  const [type, document] = readValue(scope[1]);
  if (type !== 0x03) throw new Error('a scope that is no document');
  const body = Buffer.concat([string(code), document]);
  return [0x0f, Buffer.concat([int32(body.length + 4), body])];
}

/** The coefficient is the digits without the point, the exponent says where the last of them stands. */
function readDecimal(text: string): Buffer {
  if (text === 'NaN') return decimal(0x7cn << 56n, 0n);
  if (/^-?Infinity$/.test(text)) return decimal((text.startsWith('-') ? 0xf8n : 0x78n) << 56n, 0n);
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(text);
  if (match === null) throw new Error(`no decimal: ${text}`);
  const [, sign, whole, fraction = '', scale = '0'] = match;
  const coefficient = BigInt(whole! + fraction);
  const exponent = BigInt(Number(scale) - fraction.length + 6176);
  const high = (sign === '-' ? 1n << 63n : 0n) | (exponent << 49n) | (coefficient >> 64n);
  return decimal(high, coefficient & (2n ** 64n - 1n));
}

/** @param high @param low the two halves */
export function decimal(high: bigint, low: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(low, 0);
  bytes.writeBigUInt64LE(high, 8);
  return bytes;
}
