/**
 * Every statement that the shared builders make, for one dialect: kept as golden files, put to the database or to a parser.
 */
import { asPosition } from '../../src/core/event.ts';
import type { SealedLine } from '../../src/core/ledger.ts';
import { insertBaselines, insertLedger, insertSkipped, insertSuperseded, selectBatches } from '../../src/warehouse/sql/bronze.ts';
import { addColumns, createHistory, createTables, dropColumn } from '../../src/warehouse/sql/collection.ts';
import { parseColumns } from '../../src/warehouse/sql/columns.ts';
import { SCHEMAS, type Dialect } from '../../src/warehouse/sql/dialect.ts';
import { catalogOf, tableStem, type Catalog, type Tables } from '../../src/warehouse/sql/names.ts';
import { countFaults, firstFaults, proofStatements, selectLoadedFiles, selectLoadedLines } from '../../src/warehouse/sql/proof.ts';
import * as registry from '../../src/warehouse/sql/registry.ts';
import { createSchema } from '../../src/warehouse/sql/schema.ts';
import { applyBaseline, countLive, emptySilver, mergeRange, purgeDeleted, selectCurrent } from '../../src/warehouse/sql/silver.ts';
import type { Statement } from '../../src/warehouse/sql/statement.ts';

const ns = { db: 'shop', coll: 'Orders of 2026' };
const columns = parseColumns({ 'shop.Orders of 2026': { total: 'fullDocument.total DECIMAL(18,2)', order: 'fullDocument.items.0.order id UUID' } });
const named = columns.get('shop.Orders of 2026') ?? [];
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
  table_name: tableStem(ns, []),
  last_batch: 8,
  merged_batch: 7,
  baseline_applied: position,
  baseline: position,
  complete_through: '2026-11-21T00:00:00.000Z',
};

/** What differs: how a transaction begins, and how the rows of a file come in. */
export interface OwnStatements {
  begin(catalog: Catalog): readonly Statement[];
  insert(catalog: Catalog, tables: Tables, line: SealedLine): readonly Statement[];
}

export function statementsOf(dialect: Dialect, own: OwnStatements): Readonly<Record<string, readonly Statement[]>> {
  const catalog = catalogOf(dialect, SCHEMAS);
  const tables = catalog.tables(tableStem(ns, []));
  const { cleared, recover } = registry.clearFailures(catalog, ns, [line.path]);
  return {
    schema: createSchema(dialect, catalog),
    collection: [...createTables(dialect, tables, ns), createHistory(dialect, catalog, tables, ns)],
    columns: [
      ...addColumns(dialect, catalog, tables, named),
      dialect.columnComments(SCHEMAS.silver, tables.stem),
      dropColumn(dialect, tables, 'total'),
    ],
    load: [
      ...own.begin(catalog),
      registry.selectKnown(catalog, [line.path, 'other.jsonl']),
      ...own.insert(catalog, tables, line),
      insertLedger(catalog, [line], 8, 250),
      insertSuperseded(catalog, ns, 'old.jsonl', line.path),
      insertSkipped(catalog, line),
      insertBaselines(dialect, catalog, tables, ns, 8),
      registry.addLoaded(catalog, ns, { rows: 12, bytes: 4096, lastAt: at }, 8),
      ...registry.recordFailure(catalog, ns, line.path, 'it has 11 rows'),
      cleared,
      recover,
    ],
    merge: [
      ...own.begin(catalog),
      registry.selectEntry(catalog, ns),
      selectBatches(catalog, ns, 3),
      countLive(tables, range),
      ...applyBaseline(dialect, tables, range, named),
      mergeRange(dialect, catalog, tables, range, named),
      registry.markMerged(catalog, ns, 7, position),
      emptySilver(tables),
      purgeDeleted(tables, '2026-11-21T00:00:00.000Z'),
      selectCurrent(tables),
    ],
    proof: [
      selectLoadedFiles(dialect, catalog, tables, ns),
      selectLoadedFiles(dialect, catalog, null, ns),
      selectLoadedLines(dialect, tables, line.path),
      ...proofStatements({ dialect, catalog, tables, entry, columns: named, deletes: 'soft' }).map(({ faults }) => firstFaults(faults, 20)),
      ...proofStatements({ dialect, catalog, tables, entry, columns: [], deletes: 'hard' }).map(({ faults }) => countFaults(faults)),
    ],
    registry: [
      registry.selectStems(catalog),
      registry.insertEntry(catalog, ns, tables.stem),
      registry.selectEntries(catalog),
      registry.selectCollections(catalog),
      registry.updateStatus(catalog, ns, 'PAUSED', 'by hand'),
      registry.markCompleteThrough(catalog, ns, at),
    ],
  };
}

/** What must be there for the others to be prepared. */
export function foundationsOf(dialect: Dialect): readonly Statement[] {
  const catalog = catalogOf(dialect, SCHEMAS);
  const tables = catalog.tables(tableStem(ns, []));
  return [
    ...createSchema(dialect, catalog),
    ...createTables(dialect, tables, ns),
    createHistory(dialect, catalog, tables, ns),
    ...addColumns(dialect, catalog, tables, named),
  ];
}

/** Statements as a golden file has them. */
export function goldenText(statements: readonly Statement[]): string {
  return statements.map(({ text, values }) => `${text};\n${values.length === 0 ? '' : `-- ${JSON.stringify(values)}\n`}`).join('\n');
}
