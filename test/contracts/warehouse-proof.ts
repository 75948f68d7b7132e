/**
 * Part of the suite in warehouse.ts: what a proof of the warehouse against the lake finds. Each fault is planted behind the
 * warehouse's back in one that is otherwise right, and must be found by its name, alone.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LedgerLine } from '../../src/core/ledger.ts';
import type { Namespace } from '../../src/core/namespace.ts';
import { digestOf, LineSum, WAREHOUSE_CHECKS, type LoadedFile, type LoadedLine, type WarehouseCheck } from '../../src/core/warehouse-proof.ts';
import type { SealedFile, Warehouse } from '../../src/core/warehouse.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { ledgerFolder } from '../../src/pipeline/checkpoint.ts';
import { warehouseReportText } from '../../src/pipeline/verify-report.ts';
import { verifyWarehouse, type WarehouseReport } from '../../src/pipeline/verify-warehouse.ts';
import { lineOf, positionOf, SealedFiles, timeOf, type TestEvent } from './sealed-files.ts';
import { never, ORDERS, type Bench, type WarehouseUnderTest } from './warehouse-bench.ts';

const TOTAL = { total: 'fullDocument.n DOUBLE' };
const insert = (n: number, key: string): TestEvent => ({ n, op: 'insert', key, doc: `{"_id":${key},"n":${n}.0,"text":"Grüße \\u0001"}` });
const update = (n: number, key: string): TestEvent => ({ ...insert(n, key), op: 'update' });
const remove = (n: number, key: string): TestEvent => ({ n, op: 'delete', key });

/** Where a fault is planted: a database of its own, so that one proof finds them all. */
interface Place {
  readonly warehouse: Warehouse;
  readonly files: SealedFiles;
  readonly orders: Namespace;
}

/** Orders in four files, one of them without rows; they were dropped once. */
interface Small {
  readonly files: readonly SealedFile[];
  /** Rows: inserts of `"a"`, `"b"`, `"c"`, an update of `"a"`. */
  readonly first: string;
  /** Rows: update of `"a"`, delete of `"b"`. */
  readonly second: string;
}

interface Fault {
  readonly name: string;
  /** Exactly these fail. */
  readonly checks: readonly WarehouseCheck[];
  /** Statements; `shop` stands for the database that the fault has for itself. */
  readonly damage?: (small: Small) => readonly string[];
  /** @returns files that are sealed by it */
  readonly change?: (small: Small, place: Place) => Promise<readonly SealedFile[] | void>;
}

const inFirst = ({ first }: Small, row: number): string => `file = '${first}' and row_number = ${row}`;
const FAULTS: readonly Fault[] = [
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
    damage: (small) => [
      `update bronze.shop__orders set doc = cast(replace(cast(doc as varchar), 'Grüße', 'Grüßt') as json) where ${inFirst(small, 1)}`,
    ],
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
      `update sluice.collection_registry set rows = rows + 2, last_batch = 999999, merged_batch = 999999 where collection = 'shop.orders'`,
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
    name: 'a load ledger that says another hash',
    checks: ['load-ledger'],
    damage: ({ first }) => [`update sluice.load_ledger set sha256 = 'x' where path = '${first}'`],
  },
  {
    name: 'a load ledger that says another number of rows',
    checks: ['load-ledger'],
    damage: ({ first }) => [`update sluice.load_ledger set rows = 3 where path = '${first}'`],
  },
  {
    name: 'a load ledger that names a file which the lake does not know',
    checks: ['load-unknown'],
    damage: () => [`insert into sluice.load_ledger (path, collection, state, rows) values ('shop/x.jsonl', 'shop.orders', 'LOADED', 0)`],
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
      `update silver.shop__orders set position = '${positionOf(4)}', "at" = "at" - interval 2 second, doc_position = '${positionOf(4)}',
         doc = '{"_id":"a","n":4.0,"text":"Grüße \\u0001"}', total = 4, version_number = 2 where key = '"a"'`,
    ],
  },
  {
    name: 'a row in silver that is stale in its state alone',
    checks: ['silver-stale'],
    damage: () => [`update silver.shop__orders set position = '${positionOf(4)}', "at" = "at" - interval 2 second where key = '"a"'`],
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
    damage: () => [`update silver.shop__orders set first_seen_at = first_seen_at + interval 1 second where key = '"c"'`],
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
    damage: () => [`update silver.shop__orders set doc = cast(replace(cast(doc as varchar), '3.0', '3.00') as json) where key = '"c"'`],
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
    damage: ({ first }) => [`insert into sluice.baselines values ('shop.orders', '00', 'drop', now(), '${first}')`],
  },
  {
    name: 'a baseline of a file that was never loaded',
    checks: ['baseline'],
    damage: () => [`insert into sluice.baselines values ('shop.orders', '00', 'drop', now(), 'shop/x.jsonl')`],
  },
  {
    name: 'a registry that counts other rows',
    checks: ['registry'],
    damage: () => [`update sluice.collection_registry set rows = rows + 1 where collection = 'shop.orders'`],
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

async function writeLedger(root: string, files: readonly SealedFile[]): Promise<void> {
  const path = join(root, ledgerFolder('shop'), '20261121.jsonl');
  const lines: LedgerLine[] = [{ epoch: 1, at: '2026-11-21T00:00:00.000Z' }, ...files.map((file) => file.line)];
  await mkdir(dirname(path), { recursive: true });
  // In one step: somebody may be reading it.
  await writeFile(`${root}/.ledger`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  await rename(`${root}/.ledger`, path);
}

async function sealSmall({ files, orders }: Place): Promise<Small> {
  const dropped = await files.seal(orders, [insert(-2, '"gone"'), { n: -1, op: 'drop' }], { compression: 'zst' });
  const first = await files.seal(orders, [insert(1, '"a"'), insert(2, '"b"'), insert(3, '"c"'), update(4, '"a"')]);
  const second = await files.seal(orders, [update(6, '"a"'), remove(7, '"b"')], { compression: 'gz', linesPerMember: 1 });
  const empty = await files.seal(orders, [], { compression: 'zst' });
  return { files: [dropped, first, second, empty], first: first.line.path, second: second.line.path };
}

async function prove(root: string, warehouse: Warehouse): Promise<WarehouseReport> {
  await using lake = await openLocalLake(root);
  return await verifyWarehouse(lake, 'shop', warehouse, never);
}

async function mergeAll(warehouse: Warehouse): Promise<void> {
  for (const ns of await warehouse.unmerged()) await warehouse.merge(ns, { rebuild: false }, never);
}

/** Every fault in a database of its own, of one warehouse. */
export function describePlantedFaults(name: string, make: () => Promise<WarehouseUnderTest>): void {
  const dbOf = (fault: Fault): string => `f${FAULTS.indexOf(fault)}`;

  describe(`the proof of a warehouse, ${name}`, () => {
    let under: WarehouseUnderTest;
    let warehouse: Warehouse;
    let files: SealedFiles;
    let report: WarehouseReport;
    beforeAll(async () => {
      under = await make();
      files = new SealedFiles(await mkdtemp(join(tmpdir(), 'sluice-lake-')));
      warehouse = await under.open({ columns: Object.fromEntries(FAULTS.map((fault) => [`${dbOf(fault)}.orders`, TOTAL])) });
      const places = new Map(FAULTS.map((fault) => [fault, placeOf(fault)]));
      const smalls = new Map<Fault, Small>();
      for (const [fault, place] of places) smalls.set(fault, await sealSmall(place));
      const sealed = [...smalls.values()].flatMap((small) => small.files);
      await warehouse.load(sealed, never);
      await mergeAll(warehouse);
      for (const [fault, small] of smalls) {
        await under.damage(...(fault.damage?.(small) ?? []).map((statement) => statement.replaceAll('shop', dbOf(fault))));
        sealed.push(...((await fault.change?.(small, places.get(fault)!)) ?? []));
      }
      await writeLedger(files.root, sealed);
      report = await prove(files.root, warehouse);
    });
    afterAll(async () => {
      await warehouse[Symbol.asyncDispose]();
      await under[Symbol.asyncDispose]();
      await rm(files.root, { recursive: true, force: true });
    });
    const placeOf = (fault: Fault): Place => {
      return { warehouse, files, orders: { db: dbOf(fault), coll: 'orders' } };
    };

    it.each(FAULTS)('finds $name', (fault) => {
      const db = dbOf(fault);
      const found = report.findings.filter(({ path }) => path.startsWith(`${db}.`) || path.startsWith(`${db}/`));
      const names = [...new Set(found.map(({ check }) => check))].toSorted();
      expect(names, JSON.stringify(found, null, 1)).toEqual(fault.checks.toSorted());
    });

    it('names every check in its report', () => {
      const text = warehouseReportText(report);
      expect(text).toContain('does NOT hold what the lake holds');
      for (const [check, sentence] of Object.entries(WAREHOUSE_CHECKS)) {
        expect(text).toContain(`FAIL  ${sentence}`);
        expect(text).toContain(`(${check})`);
      }
    });
  });
}

export function describeProof(bench: Bench): void {
  const faultsOf = (report: WarehouseReport): string[] => Object.keys(report.checks).toSorted();
  const proved = async (sealed: readonly SealedFile[]): Promise<WarehouseReport> => {
    await writeLedger(bench.files.root, sealed);
    return prove(bench.files.root, bench.warehouse);
  };

  describe('the proof of a warehouse', () => {
    it('finds nothing where collections were renamed, and taken with their database', async () => {
      const { files } = bench;
      const sealed = [
        await files.seal({ db: 'shop', coll: null }, [{ n: 3, op: 'dropDatabase' }]),
        await files.seal({ db: 'shop', coll: 'archive' }, [insert(2, '"gone"'), { n: 10, op: 'rename', rest: '"to":{"db":"shop","coll":"later"}' }]),
        await files.seal({ db: 'shop', coll: 'later' }, [insert(4, '"gone"'), insert(11, '"new"')]),
        await files.seal(ORDERS, [
          insert(1, '"gone"'),
          { n: 5, op: 'snapshot', key: '"a"', doc: '{}' },
          { n: 5, op: 'snapshot', key: '"b"', doc: '{}' },
        ]),
      ];
      await bench.load(...sealed.toReversed());
      await mergeAll(bench.warehouse);
      const report = await proved(sealed);
      expect(report.findings).toEqual([]);
      expect(warehouseReportText(report)).toContain('holds exactly what the lake holds');
    });

    it('finds nothing where deleted documents were taken out for good', async () => {
      await bench.reopen({ deletes: 'hard' });
      const files = [
        await bench.files.seal(ORDERS, [insert(1, '"k"'), remove(2, '"k"'), insert(3, '"l"')]),
        await bench.files.seal(ORDERS, [insert(20, '"k"'), update(21, '"l"'), remove(22, '"l"')]),
      ] as const;
      for (const file of files) {
        await bench.load(file);
        await bench.merge(ORDERS);
        await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(10) }]);
      }
      expect((await proved(files)).findings).toEqual([]);
      await bench.damage(`delete from silver.shop__orders where key = '"l"'`);
      expect(faultsOf(await proved(files))).toEqual(['silver-missing']);
    });

    it('finds nothing where a file has replaced others', async () => {
      const [a, b] = [await bench.files.seal(ORDERS, [insert(1, '"a"')]), await bench.files.seal(ORDERS, [insert(2, '"b"')])];
      const both = await bench.files.seal(ORDERS, [insert(1, '"a"'), insert(2, '"b"')], { supersedes: [a.line.path, b.line.path] });
      await bench.load(both, a);
      await bench.merge(ORDERS);
      expect((await proved([a, b, both])).findings).toEqual([]);
    });

    it('shows some of many faults of a kind and counts all', async () => {
      const file = await bench.files.seal(
        ORDERS,
        Array.from({ length: 50 }, (_, n) => insert(n, `"${n}"`)),
      );
      await bench.load(file);
      await bench.merge(ORDERS);
      await bench.damage(`delete from silver.shop__orders where key <> '"7"'`);
      const report = await proved([file]);
      expect(report).toMatchObject({ findingsTotal: 49, checks: { 'silver-missing': 49 } });
      expect(report.findings).toHaveLength(20);
      expect(warehouseReportText(report)).toContain('and 29 more');
    });

    it('is not misled by what is sealed, loaded and merged meanwhile', async () => {
      const files: SealedFile[] = [];
      const stop = new AbortController();
      const loading = (async () => {
        for (let n = 1; !stop.signal.aborted; n += 1) {
          files.push(await bench.files.seal(ORDERS, [insert(n, `"${n % 7}"`), update(n, `"${n % 5}"`)]));
          await writeLedger(bench.files.root, files);
          await bench.load(files.at(-1)!);
          await bench.merge(ORDERS);
        }
      })();
      for (let proofs = 0; proofs < 3; proofs += 1) {
        const report = await prove(bench.files.root, bench.warehouse);
        // What is on its way is told as such; nothing that is there is called wrong.
        const wrong = report.findings.filter(({ check }) => check !== 'file-not-loaded' && check !== 'not-merged');
        expect(wrong).toEqual([]);
      }
      stop.abort();
      await loading;
      expect((await proved(files)).findings).toEqual([]);
    });

    it('rests on sums and digests that both sides make alike', async () => {
      const events = [insert(1, '"a"'), update(2, '"é😀\\u0000"')];
      const file = await bench.files.seal(ORDERS, events);
      await bench.load(file);
      const sum = new LineSum();
      const lines = events.map((event) => Buffer.from(lineOf(ORDERS, event)));
      for (const line of lines) sum.add(line);
      const { path, hour, bytes, rows, sha256, first, last } = file.line;
      const record = { state: 'LOADED', hour, bytes, rows, sha256, first, last };
      const there: LoadedFile[] = [];
      for await (const each of bench.warehouse.loadedFiles(ORDERS, never)) there.push(each);
      expect(there).toEqual([{ path, record, rows: 2, sum: sum.toString() }]);
      const digests: LoadedLine[] = [];
      for await (const each of bench.warehouse.loadedLines(ORDERS, path, never)) digests.push(each);
      expect(digests).toEqual(lines.map((line, i) => ({ number: i + 1, digest: digestOf(i + 1, line) })));
      const md5 = createHash('md5')
        .update(`1:${lineOf(ORDERS, events[0]!)}`)
        .digest('hex');
      expect(digests[0]!.digest).toBe(md5);
    });
  });
}
