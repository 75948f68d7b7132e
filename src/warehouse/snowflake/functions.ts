/**
 * The functions of the `sluice` schema in Snowflake, in JavaScript.
 *
 * A VARIANT does not keep a text: `1.0` becomes `1`, digits beyond 38 are rounded, an object with a key twice is an error.
 * What is stored must be what MongoDB sent, so lines and documents are text, and these functions cut values out of the
 * text. They scan, they do not parse: a value far into a line costs no more than reading up to it.
 */
import { sql, text, type Statement } from '../sql/statement.ts';

/** Finds the text of the value at a JSON pointer. Not a validator: `problem` is. */
const SCANNER = `
  function space(s, i) { while (i < s.length && ' \\t\\r\\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \\t\\r\\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }`;

const BODIES: readonly (readonly [name: string, parameters: readonly string[], body: string])[] = [
  ['member', ['line', 'name'], 'return find(line, [name]);'],
  ['document_key', ['line'], "return find(line, ['documentKey', '_id']);"],
  ['value_at', ['doc', 'pointer'], 'return at(doc, pointer);'],
  ['text_at', ['doc', 'pointer'], 'return plain(at(doc, pointer));'],
  [
    'type_at',
    ['doc', 'pointer'],
    `var v = at(doc, pointer);
  if (v === null) return null;
  switch (v[0]) {
    case '{': return 'OBJECT';
    case '[': return 'ARRAY';
    case '"': return 'VARCHAR';
    case 't': case 'f': return 'BOOLEAN';
    case 'n': return 'NULL';
    default: return /[.eE]/.test(v) ? 'DOUBLE' : 'BIGINT';
  }`,
  ],
  [
    'scalar',
    ['value'],
    `if (value[0] !== '{') return plain(value);
  var wrappers = ['$numberDecimal', '$numberLong', '$numberInt', '$numberDouble', '$oid', '$symbol'];
  for (var i = 0; i < wrappers.length; i++) {
    var inner = plain(find(value, [wrappers[i]]));
    if (inner !== null) return inner;
  }
  var date = find(value, ['$date']);
  if (date === null) return value;
  if (date[0] !== '{') return plain(date);
  var ms = plain(find(date, ['$numberLong']));
  var moment = new Date(ms === null ? NaN : Number(ms));
  if (isNaN(moment.getTime())) return null;
  return /^\\d{4}-/.test(moment.toISOString()) ? moment.toISOString() : null;`,
  ],
  [
    'uuid_text',
    ['value'],
    `if (value[0] !== '{') return plain(value);
  var written = plain(find(value, ['$uuid']));
  if (written !== null) return written;
  var base64 = plain(find(value, ['$binary', 'base64']));
  if (base64 === null) return null;
  var digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', bits = 0, held = 0, hex = '';
  for (var i = 0; i < base64.length && base64[i] !== '='; i++) {
    bits = (bits << 6) | digits.indexOf(base64[i]);
    held += 6;
    if (held >= 8) {
      held -= 8;
      hex += ('0' + ((bits >> held) & 255).toString(16)).slice(-2);
      bits &= (1 << held) - 1;
    }
  }
  return hex.toUpperCase();`,
  ],
  // Any way to write one as the usual one; NULL for what is none.
  [
    'uuid',
    ['written'],
    `var hex = written.replace(/[-{}]/g, '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) return null;
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');`,
  ],
  // The texts of an array's elements, as a JSON array of strings; NULL for what is no array.
  [
    'elements',
    ['doc', 'pointer'],
    `var v = at(doc, pointer), list = [], e;
  if (v === null || v[0] !== '[') return null;
  for (var i = space(v, 1); i < v.length && v[i] !== ']';) {
    e = end(v, i);
    list.push(v.slice(i, e));
    i = space(v, e);
    if (v[i] === ',') i = space(v, i + 1);
  }
  return JSON.stringify(list);`,
  ],
  // As DuckDB's json_structure; a name that occurs twice has the types of both.
  [
    'structure',
    ['value'],
    `function number(t) {
    if (/[.eE]/.test(t)) return 'DOUBLE';
    var n = t.replace('-', '');
    return n.length < 19 || (n.length === 19 && n <= (t[0] === '-' ? '9223372036854775808' : '9223372036854775807')) ? 'BIGINT' : 'DOUBLE';
  }
  function merged(a, b) {
    if (a === 'NULL') return b;
    if (b === 'NULL' || a === b) return a;
    if (typeof a === 'string' || typeof b === 'string') {
      return (a === 'DOUBLE' && b === 'BIGINT') || (a === 'BIGINT' && b === 'DOUBLE') ? 'DOUBLE' : 'JSON';
    }
    if ((a.element === undefined) !== (b.element === undefined)) return 'JSON';
    if (a.element !== undefined) return { element: merged(a.element, b.element) };
    for (var name in b.members) put(a, name, b.members[name]);
    return a;
  }
  function put(object, name, shape) {
    var known = object.members[name];
    object.members[name] = known === undefined ? shape : merged(known, shape);
  }
  function shapeOf(s) {
    var i, e, k, out;
    switch (s[0]) {
      case '"': return 'VARCHAR';
      case 't': case 'f': return 'BOOLEAN';
      case 'n': return 'NULL';
      case '[':
        out = { element: 'NULL' };
        for (i = space(s, 1); i < s.length && s[i] !== ']'; i = s[e] === ',' ? space(s, e + 1) : e) {
          e = end(s, i);
          out.element = merged(out.element, shapeOf(s.slice(i, e)));
          e = space(s, e);
        }
        return out;
      case '{':
        out = { members: Object.create(null) };
        for (i = space(s, 1); i < s.length && s[i] !== '}'; i = s[e] === ',' ? space(s, e + 1) : e) {
          e = end(s, i);
          k = unquoted(s.slice(i, e));
          i = space(s, space(s, e) + 1);
          e = end(s, i);
          put(out, k, shapeOf(s.slice(i, e)));
          e = space(s, e);
        }
        return out;
      default: return number(s);
    }
  }
  function written(shape) {
    if (typeof shape === 'string') return '"' + shape + '"';
    if (shape.element !== undefined) return '[' + written(shape.element) + ']';
    var names = Object.keys(shape.members);
    if (names.length === 0) return '"JSON"';
    return '{' + names.map(function (name) { return JSON.stringify(name) + ':' + written(shape.members[name]); }).join(',') + '}';
  }
  return written(shapeOf(find(value, [])));`,
  ],
  // Why a line cannot be taken, or NULL. Each line of a file is put to it before the file is.
  [
    'problem',
    ['line'],
    `var meta;
  try { meta = JSON.parse(line)._meta; } catch (e) { return 'is not JSON'; }
  var time = meta && meta.clusterTime && meta.clusterTime.$timestamp;
  if (!meta || typeof meta.position !== 'string') return 'is no event: its position is null';
  if (typeof meta.operationType !== 'string') return 'is no event: its operation is null';
  return time && Number.isInteger(time.t) && Number.isInteger(time.i) ? null : 'is no event: its cluster time is null';`,
  ],
];

export function createFunctions(schema: string): readonly Statement[] {
  return BODIES.map(([name, parameters, body]) => {
    const uses = body.includes('find(') || body.includes('at(') || body.includes('plain(');
    return sql`
      CREATE OR REPLACE FUNCTION ${text(schema)}.${text(name)}(${text(parameters.map((parameter) => `"${parameter}" VARCHAR`).join(', '))})
      RETURNS VARCHAR
      LANGUAGE JAVASCRIPT
      RETURNS NULL ON NULL INPUT
      IMMUTABLE
      AS $$${text(uses ? SCANNER : '')}
        ${text(body)}
      $$`;
  });
}
