/**
 * Extended JSON → BSON, so that what a line holds can be given back.
 *
 * Objects are lists of members: keys keep their order, numbers among them, and may come twice, which objects of JavaScript
 * cannot keep. Numbers stay text until they are written. A canonical text gives the bytes that it was made from (unless its
 * line is `lossy`); in a relaxed one a whole number becomes an int when it fits, else a long.
 */
export type Json = string | boolean | null | JsonNumber | Json[] | JsonObject;

export interface JsonObject {
  members: [key: string, value: Json][];
}

export interface JsonNumber {
  readonly digits: string;
}

export function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === 'object' && json !== null && 'members' in json;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: Readonly<Record<string, readonly [string, boolean | null]>> = { t: ['true', true], f: ['false', false], n: ['null', null] };

/** @throws SyntaxError anything but one JSON value without white space around its parts */
export function parseJson(text: string): Json {
  const reader = new JsonReader(text);
  const value = reader.value();
  if (reader.at !== text.length) throw new SyntaxError(`something follows at ${reader.at}`);
  return value;
}

class JsonReader {
  readonly #text: string;
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): Json {
    const first = this.#text[this.at] ?? '';
    if (first === '{') return { members: this.#list('}', () => this.#member()) };
    if (first === '[') return this.#list(']', () => this.value());
    if (first === '"') return this.#string();
    const word = WORDS[first];
    if (word !== undefined) {
      this.#expect(word[0]);
      return word[1];
    }
    NUMBER.lastIndex = this.at;
    const digits = NUMBER.exec(this.#text)?.[0];
    if (digits === undefined) throw new SyntaxError(`no value at ${this.at}`);
    this.at += digits.length;
    return { digits };
  }

  #member(): [string, Json] {
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

  #string(): string {
    let end = this.at + 1;
    while (this.#text[end] !== '"' && end < this.#text.length) end += this.#text[end] === '\\' ? 2 : 1;
    const text = JSON.parse(this.#text.slice(this.at, end + 1)) as unknown;
    if (typeof text !== 'string') throw new SyntaxError(`no string at ${this.at}`);
    this.at = end + 1;
    return text;
  }

  #expect(word: string): void {
    if (!this.#text.startsWith(word, this.at)) throw new SyntaxError(`no ${word} at ${this.at}`);
    this.at += word.length;
  }
}

export function jsonText(json: Json): string {
  if (typeof json !== 'object' || json === null) return JSON.stringify(json);
  if ('digits' in json) return json.digits;
  if (Array.isArray(json)) return `[${json.map(jsonText).join(',')}]`;
  return `{${json.members.map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(',')}}`;
}

type Value = readonly [type: number, bytes: Buffer];

const NOTHING = Buffer.alloc(0);
const INT32_MAX = 2n ** 31n;

/** BSON of an object that is a document, whatever its keys are. @throws SyntaxError or TypeError it is no Extended JSON */
export function bsonOf({ members }: JsonObject): Buffer {
  return document(members.map(([key, member]) => elementOf(key, member)));
}

function document(parts: readonly Buffer[]): Buffer {
  const length = 5 + parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([int32(length), ...parts, Buffer.alloc(1)], length);
}

function elementOf(key: string, member: Json): Buffer {
  const [type, bytes] = valueOf(member);
  return Buffer.concat([Buffer.from([type]), cstring(key), bytes]);
}

function valueOf(json: Json): Value {
  if (json === null) return [0x0a, NOTHING];
  if (typeof json === 'string') return [0x02, string(json)];
  if (typeof json === 'boolean') return [0x08, Buffer.from([json ? 1 : 0])];
  if ('digits' in json) return numberOf(json.digits);
  if (Array.isArray(json)) return [0x04, document(json.map((item, index) => elementOf(String(index), item)))];
  const wrapped = json.members.find(([key]) => Object.hasOwn(WRAPPERS, key));
  return wrapped === undefined ? [0x03, bsonOf(json)] : WRAPPERS[wrapped[0]]!(wrapped[1], json);
}

function numberOf(digits: string): Value {
  if (/[.eE]/.test(digits)) return [0x01, double(Number(digits))];
  const n = BigInt(digits);
  return n >= -INT32_MAX && n < INT32_MAX ? [0x10, int32(Number(n))] : [0x12, int64(n)];
}

const WRAPPERS: Readonly<Record<string, (value: Json, whole: JsonObject) => Value>> = {
  $numberDouble: (value) => [0x01, double(Number(textOf(value)))],
  $binary: (value) => binary(Number.parseInt(textIn(value, 'subType'), 16), Buffer.from(textIn(value, 'base64'), 'base64')),
  $undefined: () => [0x06, NOTHING],
  $oid: (value) => [0x07, Buffer.from(textOf(value), 'hex')],
  $date: (value) => [0x09, int64(typeof value === 'string' ? BigInt(Date.parse(value)) : BigInt(textIn(value, '$numberLong')))],
  $regularExpression: (value) => [0x0b, Buffer.concat([cstring(textIn(value, 'pattern')), cstring(textIn(value, 'options'))])],
  $dbPointer: (value) => [0x0c, Buffer.concat([string(textIn(value, '$ref')), valueOf(memberOf(value, '$id'))[1]])],
  $code: (value, whole) => codeOf(textOf(value), whole),
  $symbol: (value) => [0x0e, string(textOf(value))],
  $numberInt: (value) => [0x10, int32(Number(textOf(value)))],
  $timestamp: (value) => [0x11, timestamp(integerIn(value, 't'), integerIn(value, 'i'))],
  $numberLong: (value) => [0x12, int64(BigInt(textOf(value)))],
  $numberDecimal: (value) => [0x13, decimalOf(textOf(value))],
  $minKey: () => [0xff, NOTHING],
  $maxKey: () => [0x7f, NOTHING],
};

function textOf(json: Json): string {
  if (typeof json !== 'string') throw new TypeError('a wrapper of Extended JSON that holds no text');
  return json;
}

function memberOf(json: Json, name: string): Json {
  const found = isObject(json) ? json.members.find(([key]) => key === name) : undefined;
  if (found === undefined) throw new TypeError(`a wrapper of Extended JSON without ${name}`);
  return found[1];
}

function textIn(json: Json, name: string): string {
  return textOf(memberOf(json, name));
}

function integerIn(json: Json, name: string): number {
  return Number((memberOf(json, name) as JsonNumber).digits);
}

function binary(subtype: number, data: Buffer): Value {
  // The old generic subtype repeats its length inside.
  const inner = subtype === 2 ? Buffer.concat([int32(data.length), data]) : data;
  return [0x05, Buffer.concat([int32(inner.length), Buffer.from([subtype]), inner])];
}

function codeOf(code: string, { members }: JsonObject): Value {
  const scope = members.find(([key]) => key === '$scope')?.[1];
  if (scope === undefined) return [0x0d, string(code)];
  if (!isObject(scope)) throw new TypeError('a scope that is no document');
  const body = Buffer.concat([string(code), bsonOf(scope)]);
  return [0x0f, Buffer.concat([int32(body.length + 4), body])];
}

const EXPONENT_BIAS = 6176;

/** The coefficient is the digits without the point, the exponent says where the last of them stands. */
function decimalOf(text: string): Buffer {
  if (text === 'NaN') return decimal(0x7cn << 56n, 0n);
  if (/^-?Infinity$/.test(text)) return decimal((text.startsWith('-') ? 0xf8n : 0x78n) << 56n, 0n);
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(text);
  if (match === null) throw new TypeError(`no decimal: ${text}`);
  const [, sign, whole = '', fraction = '', scale = '0'] = match;
  const coefficient = BigInt(whole + fraction);
  const exponent = BigInt(Number(scale) - fraction.length + EXPONENT_BIAS);
  return decimal((sign === '-' ? 1n << 63n : 0n) | (exponent << 49n) | (coefficient >> 64n), coefficient & (2n ** 64n - 1n));
}

function decimal(high: bigint, low: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(low, 0);
  bytes.writeBigUInt64LE(high, 8);
  return bytes;
}

function int32(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(n);
  return bytes;
}

function int64(n: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(n);
  return bytes;
}

function double(n: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(n);
  return bytes;
}

function timestamp(t: number, i: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(i, 0);
  bytes.writeUInt32LE(t, 4);
  return bytes;
}

function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}

function string(text: string): Buffer {
  const bytes = cstring(text);
  return Buffer.concat([int32(bytes.length), bytes]);
}
