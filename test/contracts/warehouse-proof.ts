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
import { digestOf, LineSum, WAREHOUSE_CHECKS, type LoadedFile, type LoadedLine } from '../../src/core/warehouse-proof.ts';
import type { SealedFile, Warehouse } from '../../src/core/warehouse.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { ledgerFolder } from '../../src/pipeline/checkpoint.ts';
import { warehouseReportText } from '../../src/pipeline/verify-report.ts';
import { verifyWarehouse, type WarehouseReport } from '../../src/pipeline/verify-warehouse.ts';
import { lineOf, SealedFiles, timeOf } from './sealed-files.ts';
import { never, ORDERS, type Bench, type WarehouseUnderTest } from './warehouse-bench.ts';
import { FAULTS, insert, remove, sealSmall, update, type Fault, type Place, type Small } from './warehouse-faults.ts';

const TOTAL = { total: 'fullDocument.n DOUBLE' };
export async function writeLedger(root: string, files: readonly SealedFile[]): Promise<void> {
  const path = join(root, ledgerFolder('shop'), '20261121.jsonl');
  const lines: LedgerLine[] = [{ epoch: 1, at: '2026-11-21T00:00:00.000Z' }, ...files.map((file) => file.line)];
  await mkdir(dirname(path), { recursive: true });
  // In one step: somebody may be reading it.
  await writeFile(`${root}/.ledger`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  await rename(`${root}/.ledger`, path);
}

export async function prove(root: string, warehouse: Warehouse): Promise<WarehouseReport> {
  await using lake = await openLocalLake(root);
  return await verifyWarehouse(lake, 'shop', warehouse, never);
}

export async function mergeAll(warehouse: Warehouse): Promise<void> {
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
      expect(there).toEqual([{ path, record, left: null, rows: 2, sum: sum.toString() }]);
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
