/** The functions in JavaScript, run by this engine, against what DuckDB makes of the same documents. */
import { runInNewContext } from 'node:vm';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import fc from '../../../test/fast-check.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DocumentSchema } from '../../core/document-schema.ts';
import { createFunctions } from './functions.ts';

function compiled(name: string): (...args: readonly string[]) => string | null {
  const written = createFunctions('sluice').find(({ text }) => text.includes(`FUNCTION sluice.${name}(`))?.text ?? '';
  const [, parameters = '', body = ''] = /\(([^)]*)\)[\s\S]*?\$\$([\s\S]*)\$\$/.exec(written) ?? [];
  const names = [...parameters.matchAll(/"(\w+)"/g)].map((match) => match[1]);
  return runInNewContext(`(function (${names.join(', ')}) {${body}})`) as (...args: readonly string[]) => string | null;
}

const name = fc.constantFrom('a', 'b', '', 'a"b\\c', '__proto__', 'é 🐟', 'a/b~c', '$oid', '$numberLong');
const scalar = fc.oneof(
  fc.constantFrom('null', 'true', 'false', '{}', '[]', '-0', '1.0', '1e3', '-2.5E-7', '9223372036854775807', '-9223372036854775808'),
  fc.integer().map(String),
  fc.string({ unit: 'grapheme' }).map((value) => JSON.stringify(value)),
);
/** JSON texts, with white space and names that occur twice. */
const { json } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
  json: fc.oneof({ maxDepth: 4 }, scalar, tie('list'), tie('object')),
  list: fc.array(tie('json'), { maxLength: 4 }).map((items) => `[${items.join(' , ')}]`),
  object: fc
    .array(fc.tuple(name, tie('json')), { maxLength: 4 })
    .map((members) => `{ ${members.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(',')}}`),
}));
const document = fc
  .array(fc.tuple(name, json), { maxLength: 5 })
  .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`);

describe('the functions of Snowflake', () => {
  let connection: DuckDBConnection;
  let instance: DuckDBInstance;
  beforeAll(async () => {
    instance = await DuckDBInstance.create(':memory:');
    connection = await instance.connect();
  });
  afterAll(() => {
    connection.closeSync();
    instance.closeSync();
  });

  const learnt = (shape: string): readonly unknown[] => {
    const schema = new DocumentSchema();
    schema.addShape(JSON.parse(shape), 1);
    return schema
      .records()
      .map((record) => JSON.stringify(record))
      .toSorted();
  };

  it('see the same shape in a document as DuckDB does', async () => {
    const structure = compiled('structure');
    await fc.assert(
      fc.asyncProperty(document, async (text) => {
        const reader = await connection.runAndReadAll('SELECT CAST(json_structure(CAST($1 AS JSON)) AS VARCHAR) AS shape', [text]);
        expect(learnt(structure(text) ?? 'null')).toEqual(learnt((reader.getRowsJson() as string[][])[0]?.[0] ?? 'null'));
      }),
      { numRuns: 500 },
    );
  });

  it('give the elements of an array as they are written', () => {
    const elements = compiled('elements');
    fc.assert(
      fc.property(fc.array(json, { maxLength: 5 }), (items) => {
        expect(JSON.parse(elements(`{"x":1,"list": [ ${items.join(' , ')} ]}`, '/list') ?? 'null')).toEqual(items);
      }),
    );
    expect([elements('{"list":{"a":1}}', '/list'), elements('{}', '/list')]).toEqual([null, null]);
  });

  it('know a UUID however it is written', () => {
    const [uuidText, uuid] = [compiled('uuid_text'), compiled('uuid')];
    const written = '00112233-4455-6677-8899-aabbccddeeff';
    for (const value of [
      `{"$uuid":"${written}"}`,
      '{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}',
      `"{${written.toUpperCase()}}"`,
    ]) {
      expect(uuid(uuidText(value) ?? '')).toBe(written);
    }
    expect(uuidText('{"$binary":{"base64":"AAEC","subType":"00"}}')).toBe('000102');
    expect(uuid('000102')).toBeNull();
  });
});
