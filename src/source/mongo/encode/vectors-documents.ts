/**
 * Documents and arrays for tests, as {@link import('./vectors.ts').SCALARS} has single values: keys of every kind, what
 * looks like a wrapper, arrays whose keys are none, deep chains.
 */
import { nested } from './arbitrary-bson.ts';
import { arrayOf, documentOf, element, int32, string } from './raw-bson.ts';
import { vector, type Vector } from './vectors.ts';

const ONE_EACH = 'an object has each key once, and those that are numbers first';
const ONE = '{"$numberInt":"1"}';

const keyed = (...keys: readonly (string | Uint8Array)[]): Buffer => documentOf(...keys.map((key) => element(0x10, key, int32(1))));

/** @param json the keys as JSON has them */
function keys(name: string, of: readonly (string | Uint8Array)[], json: readonly string[], rest: Partial<Vector> = {}): Vector {
  const text = (value: string): string => `{${json.map((key) => `${key}:${value}`).join(',')}}`;
  return vector(`keys: ${name}`, 0x03, keyed(...of), text('1'), text(ONE), rest);
}

const LONG = 'k'.repeat(10_000);
const CONTROLS = String.fromCharCode(...Array.from({ length: 31 }, (_, i) => i + 1));

const keyVectors = [
  keys('none', [], []),
  keys('empty', [''], ['""']),
  keys('dotted', ['a.b', '.', 'a.', '.b', 'a..b'], ['"a.b"', '"."', '"a."', '".b"', '"a..b"']),
  keys('with a dollar that mean nothing to a reader', ['$', '$set', '$oidx', '$scope', 'a$'], ['"$"', '"$set"', '"$oidx"', '"$scope"', '"a$"']),
  keys('twice', ['a', 'b', 'a', 'a'], ['"a"', '"b"', '"a"', '"a"'], { library: ONE_EACH }),
  keys('that are numbers', ['b', '10', '9', '-1', '01'], ['"b"', '"10"', '"9"', '"-1"', '"01"'], { library: ONE_EACH }),
  keys('of control characters', [CONTROLS], [JSON.stringify(CONTROLS)]),
  keys('of what is escaped', ['"', '\\', '\t', '/'], [String.raw`"\""`, String.raw`"\\"`, String.raw`"\t"`, '"/"']),
  keys('long', [LONG, `${LONG}é`], [`"${LONG}"`, `"${LONG}é"`]),
  keys('of other scripts', ['größe', '€', '文', '🙂', '\ufeff', '\u2028'], ['"größe"', '"€"', '"文"', '"🙂"', '"\ufeff"', '"\u2028"']),
  keys('that JavaScript keeps for itself', ['__proto__', 'constructor', 'toString'], ['"__proto__"', '"constructor"', '"toString"']),
  keys(
    'of a line',
    ['_meta', 'documentKey', 'fullDocument', 'updateDescription'],
    ['"_meta"', '"documentKey"', '"fullDocument"', '"updateDescription"'],
  ),
  keys('that differ in how they are composed', ['é', 'e\u0301'], ['"é"', '"e\u0301"']),
  keys('of broken text', [Buffer.from('61ff', 'hex'), Buffer.from('61fe', 'hex')], ['"a\ufffd"', '"a\ufffd"'], { lossy: true, library: ONE_EACH }),
  keys('of a lone surrogate', [Buffer.from('eda080', 'hex')], ['"\ufffd\ufffd\ufffd"'], { lossy: true }),
];

const reference = (...order: readonly string[]): Buffer => documentOf(...order.map((key) => element(0x02, key, string(key))));
const referenceText = (...order: readonly string[]): string => `{${order.map((key) => `"${key}":"${key}"`).join(',')}}`;
const dbRef = (name: string, order: readonly string[], rest: Partial<Vector> = {}): Vector =>
  vector(`DBRef ${name}`, 0x03, reference(...order), referenceText(...order), undefined, rest);
const REORDERS = 'it puts the keys of a DBRef into an order of its own';

const references = [
  dbRef('of a collection', ['$ref', '$id']),
  dbRef('of a database', ['$ref', '$id', '$db']),
  dbRef('with more', ['$ref', '$id', '$db', 'more']),
  dbRef('in another order', ['$id', '$ref'], { library: REORDERS }),
  dbRef('without its id', ['$ref']),
];

const TEXTS = '$oid $uuid $symbol $numberInt $numberLong $numberDouble $numberDecimal $date $regex $code $binary $timestamp'.split(' ');
/** What the library makes of these differs from key to key, and is never the document. */
const lookalikes = [...TEXTS, '$regularExpression', '$dbPointer', '$undefined', '$minKey', '$maxKey'].map((key) =>
  vector(`a document that looks like ${key}`, 0x03, reference(key), referenceText(key), undefined, { lossy: true }),
);

const arrayWith = (...of: readonly string[]): Buffer => documentOf(...of.map((key) => element(0x0a, key)));
const hundred = Array.from({ length: 101 }, () => [0x0a, Buffer.alloc(0)] as const);

const arrays = [
  vector('array: empty', 0x04, arrayOf(), '[]'),
  vector(
    'array: of arrays and documents',
    0x04,
    arrayOf([0x04, arrayOf()], [0x03, documentOf()], [0x04, arrayOf([0x0a, Buffer.alloc(0)])]),
    '[[],{},[null]]',
  ),
  vector('array: of 101', 0x04, arrayOf(...hundred), `[${Array.from({ length: 101 }, () => 'null').join(',')}]`),
  vector('array: whose keys begin late', 0x04, arrayWith('1', '2'), '[null,null]', undefined, { lossy: true }),
  vector('array: whose keys are words', 0x04, arrayWith('a', ''), '[null,null]', undefined, { lossy: true }),
  vector('array: whose keys have zeros before them', 0x04, arrayWith('00', '01'), '[null,null]', undefined, { lossy: true }),
  vector('array: whose keys are twice the same', 0x04, arrayWith('0', '0'), '[null,null]', undefined, { lossy: true }),
];

/** @param levels of documents, the outermost one included */
function chain(levels: number, rest: Partial<Vector> = {}): Vector {
  const [type, bytes] = nested(levels, false, [0x08, Buffer.from([1])]);
  return vector(`nested ${levels} levels`, type, bytes, `${'{"d":'.repeat(levels)}true${'}'.repeat(levels)}`, undefined, rest);
}

function alternating(levels: number): Vector {
  const [type, bytes] = nested(levels, true, [0x08, Buffer.from([0])]);
  const half = levels / 2;
  return vector(`nested ${levels} levels, arrays in between`, type, bytes, `${'{"d":['.repeat(half)}false${']}'.repeat(half)}`);
}

/** A server stores up to 180 levels, the document's own included. */
const deep = [chain(100), alternating(100), chain(179), chain(200, { unstorable: true })];

export const DOCUMENTS: readonly Vector[] = [...keyVectors, ...references, ...lookalikes, ...arrays, ...deep];
