/**
 * One text for one value, whether it comes from MongoDB or from a line: for comparing documents by what they mean.
 *
 * On purpose it shares nothing with the encoder that it checks: BSON is read by the `bson` library, the line by
 * `JSON.parse`. Integers are written with their digits, whatever their width (relaxed lines do not keep it).
 */
import { EJSON, type Binary, type Decimal128, type Document, type Double, type Long } from 'bson';

/** A document as `bson` gives it with `promoteValues: false`. */
export function canonicalOfBson(document: Document): string {
  return write(document, ofBsonValue);
}

/** The text of a relaxed line's document. @throws SyntaxError */
export function canonicalOfLine(text: string): string {
  // The reviver sees the digits as they stand: a double would lose those of a long.
  const keepDigits = (_key: string, parsed: unknown, context?: { readonly source?: string }): unknown =>
    typeof parsed === 'number' && context?.source !== undefined ? new Digits(context.source) : parsed;
  const value = JSON.parse(text, keepDigits) as unknown;
  return write(value, ofLineValue);
}

class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Leaf = (value: unknown) => string | null;

function write(value: unknown, leaf: Leaf): string {
  const own = leaf(value);
  if (own !== null) return own;
  if (Array.isArray(value)) return `[${value.map((item) => write(item, leaf)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}:${write(item, leaf)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

function double(value: number): string {
  if (Number.isNaN(value)) return 'double NaN';
  return `double ${Object.is(value, -0) ? '-0' : String(value)}`;
}

/** By tag and not by class: the driver has a copy of the `bson` library of its own. */
function ofBsonValue(value: unknown): string | null {
  if (value instanceof Date) return `date ${value.getTime()}`;
  if (typeof value !== 'object' || value === null || !('_bsontype' in value)) return null;
  switch (value._bsontype) {
    case 'Int32':
    case 'Long':
      return `integer ${(value as Long).toString()}`;
    case 'Double':
      return double((value as Double).value);
    case 'Decimal128':
      return `decimal ${(value as Decimal128).toString()}`;
    case 'Binary': {
      const { sub_type, buffer, position } = value as Binary;
      return `binary ${sub_type} ${Buffer.from(buffer.subarray(0, position)).toString('base64')}`;
    }
    default:
      return EJSON.stringify(value, { relaxed: false });
  }
}

function ofLineValue(value: unknown): string | null {
  if (value instanceof Digits) return /[.eE]/.test(value.text) ? double(Number(value.text)) : `integer ${value.text}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const [first, ...more] = Object.entries(value);
  if (first === undefined || more.length > 0) return null;
  const [key, inner] = first as [string, unknown];
  switch (key) {
    case '$numberDouble':
      return double(Number(inner));
    case '$numberDecimal':
      return `decimal ${String(inner)}`;
    case '$date':
      return `date ${typeof inner === 'string' ? Date.parse(inner) : Number((inner as { $numberLong: string }).$numberLong)}`;
    case '$binary': {
      const { base64, subType } = inner as { base64: string; subType: string };
      return `binary ${Number.parseInt(subType, 16)} ${base64}`;
    }
    case '$oid':
    case '$regularExpression':
    case '$minKey':
    case '$maxKey':
    case '$timestamp':
      return JSON.stringify(value, (_k, v: unknown) => (v instanceof Digits ? Number(v.text) : v));
    default:
      return null;
  }
}
