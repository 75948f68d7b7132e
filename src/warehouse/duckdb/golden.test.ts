/**
 * Every statement as DuckDB gets it, kept as files: a change of a builder shows as a change of SQL. Each file is also put
 * to DuckDB, which must be able to prepare it.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asPosition } from '../../core/event.ts';
import type { SealedLine } from '../../core/ledger.ts';
import { insertBaselines, insertLedger, insertRows, insertSkipped, insertSuperseded, selectBatches } from '../sql/bronze.ts';
import { addColumns, createHistory, createTables, dropColumn } from '../sql/collection.ts';
import { parseColumns } from '../sql/columns.ts';
import { SCHEMAS } from '../sql/dialect.ts';
import { catalogOf, tableStem } from '../sql/names.ts';
import { countFaults, firstFaults, proofStatements, selectLoadedFiles, selectLoadedLines } from '../sql/proof.ts';
import { countFailedCasts, createChildView, createView, insertView, selectViews } from '../sql/gold.ts';
import * as registry from '../sql/registry.ts';
import * as history from '../sql/schema-history.ts';
import { createSchema, takeBatch } from '../sql/schema.ts';
import { applyBaseline, countLive, emptySilver, mergeRange, purgeDeleted, selectCurrent } from '../sql/silver.ts';
import type { Statement } from '../sql/statement.ts';
import type { ViewPlan } from '../sql/view-plan.ts';
import { duckDbDialect as dialect } from './dialect.ts';

const ns = { db: 'shop', coll: 'Orders of 2026' };
const catalog = catalogOf(dialect, SCHEMAS);
const tables = catalog.tables(tableStem(ns, []));
const columns = parseColumns({ 'shop.Orders of 2026': { total: 'fullDocument.total DECIMAL(18,2)', order: 'fullDocument.items.0.order id UUID' } });
const own = columns.get('shop.Orders of 2026') ?? [];
const position = asPosition('826B00DF00000000012B0229296E04');
const range = { after: 3, upTo: 7, baseline: position };
const at = { t: 1_795_219_200, i: 1 };
const line: SealedLine = {
  path: 'shop/Orders of 2026/events.jsonl',
  ...ns,
  hour: '20261121-00',
  bytes: 4096,
  rows: 12,
  sha256: 'e3b0c442',
  first: position,
  last: position,
  firstAt: at,
  lastAt: at,
  ops: { insert: 12 },
  epoch: 2,
};
const entry: registry.Entry = {
  ...ns,
  collection: 'shop.Orders of 2026',
  table_name: tables.stem,
  last_batch: 8,
  merged_batch: 7,
  learnt_batch: 6,
  baseline_applied: position,
  baseline: position,
  complete_through: '2026-11-21T00:00:00.000Z',
};
const version = { version: 2, hash: 'e3b0c442', documents: 12, fields: '[]', plan: '{"columns":[],"children":[]}' };
const plan: ViewPlan = {
  columns: [
    { name: 'total', path: ['total'], type: 'DECIMAL(38,2)', guarded: true },
    { name: 'order', path: ['order'], type: 'VARCHAR', guarded: false },
    { name: 'address_city', path: ['address', 'city'], type: 'JSON', guarded: false },
    { name: "it's", path: ["it's", 'a/b~c'], type: 'HEX', guarded: false },
  ],
  children: [
    {
      path: ['items'],
      columns: [
        { name: 'value', path: [], type: 'BIGINT', guarded: true },
        { name: 'sku', path: ['sku'], type: 'VARCHAR', guarded: false },
      ],
    },
  ],
};
const { cleared, recover } = registry.clearFailures(catalog, ns, [line.path]);
const lines: Statement = { text: "SELECT 1 AS number, CAST('{}' AS JSON) AS line, ['', '', '', '', ''] AS facts", values: [] };

const files: Readonly<Record<string, readonly Statement[]>> = {
  schema: createSchema(dialect, catalog),
  collection: [...createTables(dialect, tables, ns), createHistory(dialect, catalog, tables, ns)],
  columns: [
    ...addColumns(dialect, catalog, tables, own),
    dialect.columnComments(SCHEMAS.silver, tables.stem),
    dialect.columnComments(SCHEMAS.silver, null),
    dropColumn(dialect, tables, 'total'),
  ],
  load: [
    takeBatch(catalog),
    registry.selectKnown(catalog, [line.path, 'other.jsonl']),
    insertRows(catalog, tables, line.path, 8, lines),
    insertLedger(catalog, line, 8, 250),
    insertSuperseded(catalog, ns, 'old.jsonl', line.path),
    insertSkipped(catalog, line),
    insertBaselines(dialect, catalog, tables, ns, 8),
    registry.addLoaded(catalog, ns, { rows: 12, bytes: 4096, lastAt: at }, 8),
    ...registry.recordFailure(catalog, ns, line.path, 'it has 11 rows'),
    cleared,
    recover,
  ],
  merge: [
    takeBatch(catalog),
    registry.selectEntry(catalog, ns),
    selectBatches(catalog, ns, 3),
    countLive(tables, range),
    ...applyBaseline(dialect, tables, range, own),
    mergeRange(dialect, catalog, tables, range, own),
    registry.markMerged(catalog, ns, 7, position),
    emptySilver(tables),
    purgeDeleted(tables, '2026-11-21T00:00:00.000Z'),
    selectCurrent(tables),
  ],
  learn: [
    history.selectShapes(dialect, catalog, tables, { after: 3, upTo: 7 }, 100),
    history.selectDecimalWidths(dialect, tables, { after: 3, upTo: 7 }, [['total'], ['price', 'net']]),
    history.selectNewestSchema(catalog, ns),
    history.selectHistory(catalog, ns),
    history.selectPlans(catalog),
    history.insertVersion(catalog, ns, version),
    history.updateVersion(catalog, ns, version),
    history.markLearnt(catalog, ns, 7),
  ],
  gold: [
    createView(dialect, catalog, tables, plan),
    createChildView(dialect, catalog, tables, catalog.view('shop__Orders of 2026__items'), plan.children[0]!),
    countFailedCasts(dialect, catalog, tables, plan.columns),
    selectViews(catalog),
    insertView(catalog, 'shop__Orders of 2026__items', 'shop.Orders of 2026', '["items"]'),
  ],
  proof: [
    selectLoadedFiles(dialect, catalog, tables, ns),
    selectLoadedFiles(dialect, catalog, null, ns),
    selectLoadedLines(dialect, tables, line.path),
    ...proofStatements({ dialect, catalog, tables, entry, columns: own, deletes: 'soft' }).map(({ faults }) => firstFaults(faults, 20)),
    ...proofStatements({ dialect, catalog, tables, entry, columns: [], deletes: 'hard' }).map(({ faults }) => countFaults(faults)),
  ],
  registry: [
    registry.selectStems(catalog),
    registry.insertEntry(catalog, ns, tables.stem),
    registry.selectEntries(catalog),
    registry.selectCollections(catalog),
    registry.updateSourceCount(catalog, ns, 12),
    registry.updateStatus(catalog, ns, 'PAUSED', 'by hand'),
    registry.markCompleteThrough(catalog, [
      { namespace: ns, through: at },
      { namespace: { db: 'shop', coll: 'b' }, through: at },
    ]),
  ],
};

describe('the statements', () => {
  let instance: DuckDBInstance;
  let connection: DuckDBConnection;
  beforeAll(async () => {
    instance = await DuckDBInstance.create(':memory:', { storage_compatibility_version: 'v1.2.0' });
    connection = await instance.connect();
    const columnsAdded = addColumns(dialect, catalog, tables, own);
    for (const { text, values } of [...(files['schema'] ?? []), ...(files['collection'] ?? []), ...columnsAdded])
      await connection.run(text, [...values]);
  });
  afterAll(() => {
    connection.closeSync();
    instance.closeSync();
  });

  it.each(Object.entries(files))('of golden/%s.sql are as they were', async (name, statements) => {
    const written = statements.map(({ text, values }) => `${text};\n${values.length === 0 ? '' : `-- ${JSON.stringify(values)}\n`}`).join('\n');
    await expect(written).toMatchFileSnapshot(`golden/${name}.sql`);
  });

  it.each(Object.entries(files))('of golden/%s.sql are understood by DuckDB', async (_name, statements) => {
    for (const { text, values } of statements) {
      const prepared = await connection.prepare(text);
      expect(prepared.parameterCount, text).toBe(values.length);
      prepared.destroySync();
    }
  });
});
