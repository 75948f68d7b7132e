/**
 * Canonical Extended JSON → BSON, for tests: shows that nothing is lost on the way, without asking the code under test or
 * a library that keeps objects. Keys keep their order, even numbers among them, and may come twice.
 */
import { Decimal128 } from 'bson';
import { arrayOf, binary, cstring, documentOf, double, element, int32, int64, string, timestamp } from './raw-bson.ts';

/** A JSON value whose objects are lists of members. */
type Json = string | number | boolean | null | readonly Json[] | { readonly members: readonly (readonly [key: string, value: Json])[] };
type Members = readonly (readonly [key: string, value: Json])[];
type Value = readonly [type: number, bytes: Uint8Array];

const TOKEN = /[{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/gy;

export function parseJson(text: string): Json {
  const tokens = text.match(TOKEN) ?? [];
  let at = 0;
  const value = (): Json => {
    const token = tokens[at++]!;
    if (token === '{') return { members: list('}', () => [JSON.parse(tokens[at++]!) as string, (at++, value())] as const) };
    if (token === '[') return list(']', value);
    return JSON.parse(token) as string | number | boolean | null;
  };
  const list = <T>(close: string, item: () => T): T[] => {
    const items: T[] = [];
    while (tokens[at] !== close) {
      items.push(item());
      if (tokens[at] === ',') at++;
    }
    at++;
    return items;
  };
  return value();
}

export function membersOf(json: Json): Members {
  if (json === null || typeof json !== 'object' || !('members' in json)) throw new Error('not an object');
  return json.members;
}

/** BSON of an object that is a document, whatever its keys. */
export function readDocument(json: Json): Buffer {
  return documentOf(
    ...membersOf(json).map(([key, member]) => {
      const [type, bytes] = readValue(member);
      return element(type, key, bytes);
    }),
  );
}

function readValue(json: Json): Value {
  if (json === null) return [0x0a, Buffer.alloc(0)];
  if (typeof json === 'string') return [0x02, string(json)];
  if (typeof json === 'boolean') return [0x08, Buffer.from([json ? 1 : 0])];
  if (typeof json === 'number') throw new Error('a bare number in canonical JSON');
  if (!('members' in json)) return [0x04, arrayOf(...json.map(readValue))];
  return readWrapper(json.members) ?? [0x03, readDocument(json)];
}

function readWrapper(members: Members): Value | null {
  const [first, second] = members;
  if (first === undefined) return null;
  const [key, value] = first;
  if (key === '$code' && second?.[0] === '$scope') {
    const body = Buffer.concat([string(value as string), readDocument(second[1])]);
    return [0x0f, Buffer.concat([int32(body.length + 4), body])];
  }
  if (members.length !== 1) return null;
  const inner = (name: string): Json => membersOf(value).find(([key]) => key === name)![1];
  const textOf = (name: string): string => inner(name) as string;
  const read: Record<string, () => Value> = {
    $numberDouble: () => [0x01, double(Number(value))],
    $binary: () => readBinary(Number.parseInt(textOf('subType'), 16), Buffer.from(textOf('base64'), 'base64')),
    $undefined: () => [0x06, Buffer.alloc(0)],
    $oid: () => [0x07, Buffer.from(value as string, 'hex')],
    $date: () => [0x09, int64(BigInt(textOf('$numberLong')))],
    $regularExpression: () => [0x0b, Buffer.concat([cstring(textOf('pattern')), cstring(textOf('options'))])],
    $dbPointer: () => [0x0c, Buffer.concat([string(textOf('$ref')), readValue(inner('$id'))[1]])],
    $code: () => [0x0d, string(value as string)],
    $symbol: () => [0x0e, string(value as string)],
    $numberInt: () => [0x10, int32(Number(value))],
    $timestamp: () => [0x11, timestamp(inner('t') as number, inner('i') as number)],
    $numberLong: () => [0x12, int64(BigInt(value as string))],
    $numberDecimal: () => [0x13, Decimal128.fromString(value as string).bytes],
    $minKey: () => [0xff, Buffer.alloc(0)],
    $maxKey: () => [0x7f, Buffer.alloc(0)],
  };
  return Object.hasOwn(read, key) ? read[key]!() : null;
}

function readBinary(subtype: number, data: Buffer): Value {
  return [0x05, binary(subtype, subtype === 2 ? Buffer.concat([int32(data.length), data]) : data)];
}
