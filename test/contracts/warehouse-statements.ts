/**
 * Every statement that the shared builders make, for one dialect: kept as golden files, put to the database or to a parser.
 */
import { asPosition } from '../../src/core/event.ts';
import type { SealedLine } from '../../src/core/ledger.ts';
import {
  completeSnapshots,
  insertBaselines,
  insertLedger,
  insertSkipped,
  insertSnapshots,
  insertSuperseded,
  selectBatches,
} from '../../src/warehouse/sql/bronze.ts';
import { addColumns, createHistory, createTables, dropColumn, upgradeBronze } from '../../src/warehouse/sql/collection.ts';
import { parseColumns, type UserColumn } from '../../src/warehouse/sql/columns.ts';
import { SCHEMAS, type Dialect } from '../../src/warehouse/sql/dialect.ts';
import { catalogOf, tableStem, type Catalog, type Tables } from '../../src/warehouse/sql/names.ts';
import { countFaults, firstFaults, proofStatements, selectLoadedFiles, selectLoadedLines } from '../../src/warehouse/sql/proof.ts';
import { countFailedCasts, createChildView, createView, insertView, selectViews } from '../../src/warehouse/sql/gold.ts';
import * as erasure from '../../src/warehouse/sql/erase.ts';
import * as gaps from '../../src/warehouse/sql/gaps.ts';
import * as records from '../../src/warehouse/sql/history.ts';
import * as made from '../../src/warehouse/sql/new-table.ts';
import * as retention from '../../src/warehouse/sql/retention.ts';
import * as registry from '../../src/warehouse/sql/registry.ts';
import * as history from '../../src/warehouse/sql/schema-history.ts';
import { createSchema, raiseVersion } from '../../src/warehouse/sql/schema.ts';
import { applyBaseline, emptySilver, endVanished, purgeDeleted, selectCurrent, selectRange, type Range } from '../../src/warehouse/sql/silver.ts';
import { sql, text, type Statement } from '../../src/warehouse/sql/statement.ts';
import type { ViewPlan } from '../../src/warehouse/sql/view-plan.ts';

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
  learnt_batch: 6,
  baseline_applied: position,
  baseline: position,
  complete_through: '2026-11-21T00:00:00.000Z',
  bronze_from: null,
};

const span = { from: 1_795_219_200, before: 1_795_305_600 };
const gap = { from: at, to: null, detectedAt: '2026-11-21T00:00:00.000Z', collections: ['shop.*'], cause: 'the oplog was overtaken' };
const version = { version: 2, hash: 'e3b0c442', documents: 12, fields: '[]', plan: '{"columns":[],"children":[]}' };
const items = {
  path: ['items'],
  columns: [
    { name: 'value', path: [], type: 'BIGINT', guarded: true },
    { name: 'sku', path: ['sku'], type: 'VARCHAR', guarded: false },
  ],
} as const;
const plan: ViewPlan = {
  columns: [
    { name: 'total', path: ['total'], type: 'DECIMAL(38,2)', guarded: true },
    { name: 'order', path: ['order'], type: 'VARCHAR', guarded: false },
    { name: 'address_city', path: ['address', 'city'], type: 'JSON', guarded: false },
    { name: "it's", path: ["it's", 'a/b~c'], type: 'HEX', guarded: false },
  ],
  children: [items],
};

const restored = text('restored.orders_before');

function typedOf(dialect: Dialect): readonly made.TypedColumn[] {
  return made.typedColumns(dialect, catalogOf(dialect, SCHEMAS), named, plan.columns);
}

/** What differs: how a transaction begins, how the rows of a file come in, and how they are folded. */
export interface OwnStatements {
  /** A new name for a table: in its schema, or in another one where that can be. */
  readonly renamed: string;
  begin(catalog: Catalog): readonly Statement[];
  insert(catalog: Catalog, tables: Tables, line: SealedLine): readonly Statement[];
  fold(catalog: Catalog, tables: Tables, range: Range, columns: readonly UserColumn[]): readonly Statement[];
}

export function statementsOf(dialect: Dialect, own: OwnStatements): Readonly<Record<string, readonly Statement[]>> {
  const catalog = catalogOf(dialect, SCHEMAS);
  const tables = catalog.tables(tableStem(ns, []));
  const { cleared, recover } = registry.clearFailures(catalog, ns, [line.path]);
  return {
    schema: [...createSchema(dialect, catalog), raiseVersion(catalog)],
    collection: [...createTables(dialect, tables, ns), createHistory(dialect, catalog, tables, ns)],
    columns: [
      ...addColumns(dialect, catalog, tables, named),
      dialect.columnComments(SCHEMAS.silver, tables.stem),
      dialect.columnComments(SCHEMAS.silver, null),
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
      insertSnapshots(dialect, catalog, tables, ns, 8),
      completeSnapshots(catalog, ns, 8),
      registry.addLoaded(catalog, ns, { rows: 12, bytes: 4096, lastAt: at }, 8),
      ...registry.recordFailure(catalog, ns, line.path, 'it has 11 rows'),
      cleared,
      recover,
    ],
    merge: [
      ...own.begin(catalog),
      registry.selectEntry(catalog, ns),
      selectBatches(catalog, ns, 3),
      selectRange(catalog, tables, ns, range),
      ...applyBaseline(dialect, tables, range, named),
      ...own.fold(catalog, tables, range, named),
      endVanished(catalog, tables, ns, range, 'range'),
      endVanished(catalog, tables, ns, range, 'all'),
      registry.markMerged(catalog, ns, 7, position),
      emptySilver(tables),
      purgeDeleted(tables, '2026-11-21T00:00:00.000Z'),
      selectCurrent(tables),
    ],
    erase: [
      erasure.selectKeys(tables, at),
      erasure.countRowsOf(tables, ['"a"', '"b"'], at),
      erasure.deleteRowsOf(tables, ['"a"', '"b"'], at),
      erasure.deleteDocuments(tables, ['"a"', '"b"']),
      selectRange(catalog, tables, ns, { ...range, keys: ['"a"', '"b"'] }),
      ...own.fold(catalog, tables, { after: 0, upTo: 7, baseline: position, keys: ['"a"', '"b"'] }, named),
      erasure.selectLedger(catalog, [line.path, 'old.jsonl']),
      erasure.deleteLedger(catalog, [line.path, 'old.jsonl']),
      erasure.insertErased(catalog, ns, ['old.jsonl', 'older.jsonl'], line.path),
      erasure.moveRows(tables, ['old.jsonl', 'older.jsonl'], line.path, 7),
      erasure.moveBaselines(catalog, ['old.jsonl', 'older.jsonl'], line.path),
      erasure.countRowsIn(tables, line.path),
      erasure.addToRegistry(catalog, ns, -3, 0),
    ],
    retain: [
      retention.selectHours(tables, span),
      retention.selectEnded(catalog, ns, '2026-11-21T00:00:00.000Z'),
      retention.countSuperseded({ dialect, catalog, tables, deletes: 'hard' }, span, position),
      retention.clearSuperseded(catalog),
      retention.insertSuperseded({ dialect, catalog, tables, deletes: 'soft' }, span, ''),
      retention.selectNotWhole(catalog, tables),
      retention.updateFiles({ dialect, catalog, tables, deletes: 'soft' }),
      retention.countRemoved(catalog, tables, span),
      retention.deleteSuperseded(catalog, tables),
      retention.recordRetention(catalog, ns, '2026-11-21T00:00:00.000Z', 12),
      retention.updateLeft({ dialect, catalog, tables }, [line.path, 'old.jsonl']),
      erasure.noteErased(catalog, tables, ['"a"', '"b"'], at),
      erasure.selectLeftFiles(catalog, tables, ['"a"', '"b"'], at),
      ...upgradeBronze(tables),
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
      createChildView(dialect, catalog, tables, catalog.view('shop__Orders of 2026__items'), items),
      countFailedCasts(dialect, catalog, tables, plan.columns),
      selectViews(catalog),
      insertView(catalog, 'shop__Orders of 2026__items', 'shop.Orders of 2026', '["items"]'),
    ],
    history: [
      records.selectMarks(tables),
      records.selectSnapshotEnds(catalog, tables, ns),
      records.countSnapshotRows(tables),
      records.selectOtherEnds(catalog, [tables, tables], ns),
      records.selectAllGaps(catalog),
      records.selectComplete(catalog),
      records.countErased(catalog, ns),
      records.selectSnapshotLines(tables, '_snapshots/shop/orders/1795219200-1-abcd'),
      records.selectEventLines(tables, position, at),
    ],
    table: [
      made.countTables('restored', 'orders_before'),
      made.countSchemas('restored'),
      made.createSchemaOf(dialect, 'restored'),
      made.dropTable(restored),
      made.createTable(dialect, text('restored.orders_new'), typedOf(dialect)),
      made.insertDocuments(dialect, catalog, restored, typedOf(dialect), sql`SELECT '{}' AS line`),
      made.countRows(restored),
      made.commentOn(dialect, restored, "shop.orders as of 1795219200.1, it's restored"),
      made.renameTable(restored, text(own.renamed)),
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
      registry.rebuildOlder(catalog),
      registry.selectCollections(catalog),
      registry.updateSourceCount(catalog, ns, 12),
      gaps.selectGaps(catalog, 'shop'),
      gaps.deleteGaps(catalog, 'shop'),
      gaps.insertGaps(catalog, 'shop', [gaps.rowOfGap(gap)]),
      registry.updateStatus(catalog, ns, 'PAUSED', 'by hand'),
      registry.markCompleteThrough(catalog, [
        { namespace: ns, through: at },
        { namespace: { db: 'shop', coll: 'b' }, through: at },
      ]),
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
    made.createSchemaOf(dialect, 'restored'),
    made.createTable(dialect, restored, typedOf(dialect)),
  ];
}

/** Statements as a golden file has them. */
export function goldenText(statements: readonly Statement[]): string {
  return statements.map(({ text, values }) => `${text};\n${values.length === 0 ? '' : `-- ${JSON.stringify(values)}\n`}`).join('\n');
}
