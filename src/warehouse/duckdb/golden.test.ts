/**
 * Every statement as DuckDB gets it, kept as files: a change of a builder shows as a change of SQL. Each file is also put
 * to DuckDB, which must be able to prepare it.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foundationsOf, goldenText, statementsOf } from '../../../test/contracts/warehouse-statements.ts';
import { insertRows } from '../sql/bronze.ts';
import { takeBatch } from '../sql/schema.ts';
import type { Statement } from '../sql/statement.ts';
import { duckDbDialect as dialect } from './dialect.ts';
import { foldInParts } from './fold.ts';

const lines: Statement = { text: "SELECT 1 AS number, CAST('{}' AS JSON) AS line, ['', '', '', '', ''] AS facts", values: [] };
const files = statementsOf(dialect, {
  renamed: 'orders_then',
  begin: (catalog) => [takeBatch(catalog)],
  insert: (catalog, tables, line) => [insertRows(catalog, tables, line.path, 8, lines)],
  fold: (catalog, tables, range, columns) => foldInParts(catalog, tables, range, columns, 1),
});

describe('the statements', () => {
  let instance: DuckDBInstance;
  let connection: DuckDBConnection;
  beforeAll(async () => {
    instance = await DuckDBInstance.create(':memory:', { storage_compatibility_version: 'v1.2.0' });
    connection = await instance.connect();
    const between = (files['merge'] ?? []).filter(({ text }) => text.startsWith('CREATE TEMPORARY TABLE'));
    for (const { text, values } of [...foundationsOf(dialect), ...between]) await connection.run(text, [...values]);
  });
  afterAll(() => {
    connection.closeSync();
    instance.closeSync();
  });

  it.each(Object.entries(files))('of golden/%s.sql are as they were', async (name, statements) => {
    await expect(goldenText(statements)).toMatchFileSnapshot(`golden/${name}.sql`);
  });

  it.each(Object.entries(files))('of golden/%s.sql are understood by DuckDB', async (_name, statements) => {
    for (const { text, values } of statements) {
      const prepared = await connection.prepare(text);
      expect(prepared.parameterCount, text).toBe(values.length);
      prepared.destroySync();
    }
  });
});
