import { describe, expect, it } from 'vitest';
import { DocumentSchema } from '../core/document-schema.ts';
import type { SchemaVersion } from '../core/warehouse.ts';
import { ddlOf, fieldRows, jsonSchemaOf } from './schema-text.ts';

const schema = new DocumentSchema();
schema.addShape({ _id: 'VARCHAR', total: 'UBIGINT', 'a"b': { c: 'NULL' }, items: [{ sku: 'VARCHAR' }], odd: ['JSON'] }, 3);
schema.addShape({ _id: { $oid: 'VARCHAR' }, total: 'VARCHAR', __proto__: null, items: [] }, 1);
const version: SchemaVersion = {
  version: 2,
  hash: 'x',
  documents: schema.documents,
  fields: schema.records(),
  columns: [
    { view: 'shop__orders', name: '_id', path: ['_id'], type: 'VARCHAR', conflicts: 0 },
    { view: 'shop__orders', name: 'a"b_c', path: ['a"b', 'c'], type: 'BIGINT', conflicts: 1 },
    { view: 'shop__orders__items', name: 'sku', path: ['items', null, 'sku'], type: 'VARCHAR', conflicts: 0 },
  ],
  validFrom: '2026-11-21T00:00:00.000Z',
  updatedAt: '2026-11-21T00:00:00.000Z',
};

describe('a schema', () => {
  it('as a table has a row per field, with its share of the documents and its column', () => {
    const rows = fieldRows(version, [{ column: 'a"b_c', documents: 7 }]);
    expect(rows.slice(0, 4)).toEqual([
      ['_id', 'string 3, objectId 1', '100 %', 'shop__orders', '_id', 'VARCHAR', 0, null],
      ['total', 'long 3, string 1', '100 %', null, null, null, null, null],
      ['a"b', 'object 3', '75 %', null, null, null, null, null],
      ['a"b.c', 'null 3', '75 %', 'shop__orders', 'a"b_c', 'BIGINT', 1, 7],
    ]);
    expect(rows.find(([path]) => path === 'items[].sku')).toEqual([
      'items[].sku',
      'string 3',
      '75 %',
      'shop__orders__items',
      'sku',
      'VARCHAR',
      0,
      null,
    ]);
    expect(fieldRows(version, null)[0]).toHaveLength(7);
  });

  it('as JSON schema says what every document has, and nothing of elements that it does not know', () => {
    expect(jsonSchemaOf('shop.orders', version)).toEqual({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: 'shop.orders, version 2',
      bsonType: 'object',
      required: ['_id', 'total', 'items'],
      properties: {
        _id: { bsonType: ['string', 'objectId'] },
        total: { bsonType: ['long', 'string'] },
        'a"b': { bsonType: 'object', properties: { c: { bsonType: 'null' } }, required: ['c'] },
        items: { bsonType: 'array', items: { bsonType: 'object', properties: { sku: { bsonType: 'string' } } } },
        odd: { bsonType: 'array', items: {} },
      },
    });
  });

  it('as DDL quotes every name', () => {
    expect(ddlOf(version)).toBe(
      'CREATE TABLE "shop__orders" (\n  "_id" VARCHAR,\n  "a""b_c" BIGINT\n);\n\nCREATE TABLE "shop__orders__items" (\n  "sku" VARCHAR\n);\n',
    );
  });
});
