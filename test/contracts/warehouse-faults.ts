/**
 * Faults of a warehouse, for the suite in warehouse.ts: each is planted behind its back in one that is otherwise right, and
 * has exactly these names.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Namespace } from '../../src/core/namespace.ts';
import type { WarehouseCheck } from '../../src/core/warehouse-proof.ts';
import type { SealedFile, Warehouse } from '../../src/core/warehouse.ts';
import { lineOf, positionOf, type SealedFiles, type TestEvent } from './sealed-files.ts';
import { never, ORDERS } from './warehouse-bench.ts';

export const insert = (n: number, key: string): TestEvent => ({ n, op: 'insert', key, doc: `{"_id":${key},"n":${n}.0,"text":"Grüße \\u0001"}` });
export const update = (n: number, key: string): TestEvent => ({ ...insert(n, key), op: 'update' });
export const remove = (n: number, key: string): TestEvent => ({ n, op: 'delete', key });

/** Where a fault is planted: a database of its own, so that one proof finds them all. */
export interface Place {
  readonly warehouse: Warehouse;
  readonly files: SealedFiles;
  readonly orders: Namespace;
}

/** Orders in four files, one of them without rows; they were dropped once. */
export interface Small {
  readonly files: readonly SealedFile[];
  /** Rows: inserts of `"a"`, `"b"`, `"c"`, an update of `"a"`. */
  readonly first: string;
  /** Rows: update of `"a"`, delete of `"b"`. */
  readonly second: string;
}

export interface Fault {
  readonly name: string;
  /** Exactly these fail. */
  readonly checks: readonly WarehouseCheck[];
  /** Statements; `shop` stands for the database that the fault has for itself. */
  readonly damage?: (small: Small) => readonly string[];
  /** @returns files that are sealed by it */
  readonly change?: (small: Small, place: Place) => Promise<readonly SealedFile[] | void>;
}

const inFirst = ({ first }: Small, row: number): string => `file = '${first}' and row_number = ${row}`;
export const FAULTS: readonly Fault[] = [
  // Bronze against the files.
  {
    name: 'a row that is missing in bronze',
    checks: ['bronze-missing', 'registry', 'silver-extra'],
    damage: (small) => [`delete from bronze.shop__orders where ${inFirst(small, 3)}`],
  },
  {
    name: 'a row that is extra in bronze',
    checks: ['bronze-extra', 'registry', 'silver-version'],
    damage: (small) => [`insert into bronze.shop__orders select * replace (99 as row_number) from bronze.shop__orders where ${inFirst(small, 3)}`],
  },
  {
    name: 'a byte that has changed in bronze',
    checks: ['bronze-changed'],
    damage: (small) => [`update bronze.shop__orders set doc = replace(cast(doc as varchar), 'Grüße', 'Grüßt') where ${inFirst(small, 1)}`],
  },
  {
    name: 'two lines that have changed places in bronze',
    checks: ['bronze-changed'],
    damage: (small) => [`update bronze.shop__orders set row_number = 3 - row_number where file = '${small.first}' and row_number in (1, 2)`],
  },
  {
    name: 'a file that was loaded twice',
    checks: ['bronze-duplicate', 'registry', 'silver-version'],
    damage: ({ second }) => [`insert into bronze.shop__orders select * from bronze.shop__orders where file = '${second}'`],
  },
  {
    name: 'a file that was loaded twice, in a batch of its own that was merged',
    checks: ['bronze-columns', 'bronze-duplicate'],
    damage: ({ second }) => [
      `insert into bronze.shop__orders select * replace (999999 as batch) from bronze.shop__orders where file = '${second}'`,
      `update sluice.collection_registry set "rows" = "rows" + 2, last_batch = 999999, merged_batch = 999999 where collection = 'shop.orders'`,
      `update silver.shop__orders set version_number = version_number + 1 where key in ('"a"', '"b"')`,
    ],
  },
  {
    name: 'a row of the load ledger for a file of which nothing was loaded',
    checks: ['load-without-rows', 'registry', 'silver-document', 'silver-state', 'silver-version'],
    damage: ({ second }) => [`delete from bronze.shop__orders where file = '${second}'`],
  },
  {
    name: 'rows of a file that the load ledger does not know',
    checks: ['bronze-unknown', 'file-not-loaded'],
    damage: ({ second }) => [`delete from sluice.load_ledger where path = '${second}'`],
  },
  {
    name: 'rows of a file that nobody knows',
    checks: ['bronze-unknown', 'registry', 'silver-version'],
    damage: ({ second }) => [
      `insert into bronze.shop__orders select * replace ('shop/x.jsonl' as file) from bronze.shop__orders where file = '${second}'`,
    ],
  },
  {
    name: 'rows that were erased from the lake',
    checks: ['erased-loaded', 'file-not-loaded'],
    change: async ({ second }, { files, orders }) => {
      const claim = { erased: { rows: 1, by: 'e' } };
      return [
        await files.seal(orders, [update(6, '"a"')], { path: `${second.replace(/\.jsonl.*$/, '')}.erased-1.jsonl`, supersedes: [second], claim }),
      ];
    },
  },
  {
    name: 'a load ledger that says another hash',
    checks: ['load-ledger'],
    damage: ({ first }) => [`update sluice.load_ledger set sha256 = 'x' where path = '${first}'`],
  },
  {
    name: 'a load ledger that says another number of rows',
    checks: ['load-ledger'],
    damage: ({ first }) => [`update sluice.load_ledger set "rows" = 3 where path = '${first}'`],
  },
  {
    name: 'a load ledger that names a file which the lake does not know',
    checks: ['load-unknown'],
    damage: () => [`insert into sluice.load_ledger (path, collection, state, "rows") values ('shop/x.jsonl', 'shop.orders', 'LOADED', 0)`],
  },
  {
    name: 'a sealed file that is not loaded',
    checks: ['file-not-loaded'],
    change: async (_small, { files, orders }) => [await files.seal(orders, [insert(90, '"z"')])],
  },
  {
    name: 'a loaded file that the lake has no more',
    checks: ['file-missing'],
    change: async ({ first }, { files }) => rm(join(files.root, first)),
  },
  {
    name: 'a loaded file whose content is another one now',
    checks: ['bronze-changed'],
    change: async ({ first }, { files }) =>
      writeFile(join(files.root, first), [1, 2, 3, 4].map((n) => `${lineOf(ORDERS, insert(n, '"other"'))}\n`).join('')),
  },
  {
    name: 'a position in bronze that is not that of its line',
    checks: ['bronze-columns', 'silver-document', 'silver-stale', 'silver-state'],
    damage: (small) => [`update bronze.shop__orders set position = '${positionOf(80)}' where ${inFirst(small, 3)}`],
  },
  {
    name: 'a key in bronze that is not that of its line',
    checks: ['bronze-columns', 'silver-extra', 'silver-version'],
    damage: (small) => [`update bronze.shop__orders set key = '"a"' where ${inFirst(small, 3)}`],
  },
  {
    name: 'an hour in bronze that is not that of its line',
    checks: ['bronze-columns'],
    damage: (small) => [`update bronze.shop__orders set hour = 7 where ${inFirst(small, 3)}`],
  },
  {
    name: 'a row in bronze that was put into a batch which no merge has met',
    checks: ['bronze-columns', 'silver-extra'],
    damage: (small) => [`update bronze.shop__orders set batch = 999999 where ${inFirst(small, 3)}`],
  },
  // Silver against bronze.
  {
    name: 'a stale row in silver',
    checks: ['silver-document', 'silver-stale', 'silver-version'],
    damage: () => [
      `update silver.shop__orders set position = '${positionOf(4)}', "at" = "at" - interval '2 second', doc_position = '${positionOf(4)}',
         doc = '{"_id":"a","n":4.0,"text":"Grüße \\u0001"}', total = 4, version_number = 2 where key = '"a"'`,
    ],
  },
  {
    name: 'a row in silver that is stale in its state alone',
    checks: ['silver-stale'],
    damage: () => [`update silver.shop__orders set position = '${positionOf(4)}', "at" = "at" - interval '2 second' where key = '"a"'`],
  },
  {
    name: 'a document in silver that is stale',
    checks: ['silver-document'],
    damage: () => [
      `update silver.shop__orders set doc_position = '${positionOf(4)}', doc = '{"_id":"a","n":4.0,"text":"Grüße \\u0001"}', total = 4 where key = '"a"'`,
    ],
  },
  {
    name: 'a row that is extra in silver',
    checks: ['silver-extra'],
    damage: () => [`insert into silver.shop__orders select * replace ('"x"' as key) from silver.shop__orders where key = '"c"'`],
  },
  {
    name: 'a row in silver that was dropped with its collection',
    checks: ['silver-extra'],
    damage: () => [`insert into silver.shop__orders select * replace ('"gone"' as key) from silver.shop__orders where key = '"c"'`],
  },
  {
    name: 'a row that is missing in silver',
    checks: ['silver-missing'],
    damage: () => [`delete from silver.shop__orders where key = '"c"'`],
  },
  {
    name: 'a tombstone that is missing in silver',
    checks: ['silver-missing'],
    damage: () => [`delete from silver.shop__orders where key = '"b"'`],
  },
  {
    name: 'a key that is in silver twice',
    checks: ['silver-duplicate'],
    damage: () => [`insert into silver.shop__orders select * from silver.shop__orders where key = '"c"'`],
  },
  {
    name: 'a version number that is wrong',
    checks: ['silver-version'],
    damage: () => [`update silver.shop__orders set version_number = 2 where key = '"c"'`],
  },
  {
    name: 'a first sight that is wrong',
    checks: ['silver-version'],
    damage: () => [`update silver.shop__orders set first_seen_at = first_seen_at + interval '1 second' where key = '"c"'`],
  },
  {
    name: 'a deleted document that is current',
    checks: ['silver-current'],
    damage: () => [`update silver.shop__orders set is_current = true where key = '"b"'`],
  },
  {
    name: 'a document that is not current any more without a delete',
    checks: ['silver-current'],
    damage: () => [`update silver.shop__orders set is_current = false where key = '"c"'`],
  },
  {
    name: 'an operation in silver that was another one',
    checks: ['silver-state'],
    damage: () => [`update silver.shop__orders set operation = 'replace' where key = '"c"'`],
  },
  {
    name: 'a byte that has changed in a document of silver',
    checks: ['silver-document'],
    damage: () => [`update silver.shop__orders set doc = replace(cast(doc as varchar), '3.0', '3.00') where key = '"c"'`],
  },
  {
    name: 'a document that is gone from silver',
    checks: ['silver-column', 'silver-document'],
    damage: () => [`update silver.shop__orders set doc = null where key = '"c"'`],
  },
  {
    name: 'a column of yours that is not what the document says',
    checks: ['silver-column'],
    damage: () => [`update silver.shop__orders set total = 7 where key = '"c"'`],
  },
  // What the warehouse says of itself.
  {
    name: 'a drop that is no baseline',
    checks: ['baseline'],
    damage: () => [`delete from sluice.baselines where collection = 'shop.orders'`],
  },
  {
    name: 'a baseline that nothing in bronze speaks of',
    checks: ['baseline'],
    damage: ({ first }) => [
      `insert into sluice.baselines (collection, position, cause, "at", file) values ('shop.orders', '00', 'drop', current_timestamp, '${first}')`,
    ],
  },
  {
    name: 'a baseline of a file that was never loaded',
    checks: ['baseline'],
    damage: () => [
      `insert into sluice.baselines (collection, position, cause, "at", file) values ('shop.orders', '00', 'drop', current_timestamp, 'shop/x.jsonl')`,
    ],
  },
  {
    name: 'a registry that counts other rows',
    checks: ['registry'],
    damage: () => [`update sluice.collection_registry set "rows" = "rows" + 1 where collection = 'shop.orders'`],
  },
  {
    name: 'a collection in status ERROR',
    checks: ['status'],
    change: (_small, { warehouse, orders }) => warehouse.setStatus(orders, 'ERROR', 'by hand'),
  },
  {
    name: 'rows that nobody has merged',
    checks: ['not-merged'],
    change: async (_small, { warehouse, files, orders }) => {
      const file = await files.seal(orders, [insert(90, '"z"')]);
      await warehouse.load([file], never);
      return [file];
    },
  },
];

export async function sealSmall({ files, orders }: Place): Promise<Small> {
  const dropped = await files.seal(orders, [insert(-2, '"gone"'), { n: -1, op: 'drop' }], { compression: 'zst' });
  const first = await files.seal(orders, [insert(1, '"a"'), insert(2, '"b"'), insert(3, '"c"'), update(4, '"a"')]);
  const second = await files.seal(orders, [update(6, '"a"'), remove(7, '"b"')], { compression: 'gz', linesPerMember: 1 });
  const empty = await files.seal(orders, [], { compression: 'zst' });
  return { files: [dropped, first, second, empty], first: first.line.path, second: second.line.path };
}
