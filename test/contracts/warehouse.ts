/**
 * What every warehouse promises (src/core/warehouse.ts), sentence by sentence. Each implementation runs this suite from
 * a test file of its own. What is promised to people who write SQL (names of tables and columns) is asked with SQL.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe } from 'vitest';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { SealedFiles } from './sealed-files.ts';
import { never, type Bench, type WarehouseUnderTest } from './warehouse-bench.ts';
import { describeCompacted } from './warehouse-compacted.ts';
import { describeErased } from './warehouse-erased.ts';
import { describeLoading } from './warehouse-loading.ts';
import { describeLooking } from './warehouse-looking.ts';
import { describePlantedFaults, describeProof } from './warehouse-proof.ts';
import { describeRetention } from './warehouse-retention.ts';
import { describeReading } from './warehouse-reading.ts';
import { describeSchema } from './warehouse-schema.ts';
import { describeSilver } from './warehouse-silver.ts';
import { describeTables } from './warehouse-tables.ts';

/** @param how `thorough: false` where each step takes its time: one order of files for all, and no planted faults */
export function describeWarehouse(
  name: string,
  make: () => Promise<WarehouseUnderTest>,
  how: { readonly thorough: boolean } = { thorough: true },
): void {
  describe(`${name}, as every warehouse`, () => {
    let under: WarehouseUnderTest;
    let warehouse: Warehouse;
    let files: SealedFiles;
    beforeEach(async () => {
      under = await make();
      warehouse = await under.open();
      files = new SealedFiles(await mkdtemp(join(tmpdir(), 'sluice-lake-')));
    });
    afterEach(async () => {
      await warehouse[Symbol.asyncDispose]();
      await under[Symbol.asyncDispose]();
      await rm(files.root, { recursive: true, force: true });
    });

    const bench: Bench = {
      get warehouse() {
        return warehouse;
      },
      get files() {
        return files;
      },
      reopen: async (options) => {
        await warehouse[Symbol.asyncDispose]();
        warehouse = await under.open(options);
        return warehouse;
      },
      load: (...sealed) => warehouse.load(sealed, never),
      take: async (ns, events) => {
        await warehouse.load([await files.seal(ns, events)], never);
        for (const one of await warehouse.unmerged()) await warehouse.merge(one, { rebuild: false }, never);
      },
      merge: async (ns, rebuild = false) => (await warehouse.merge(ns, { rebuild }, never)).rows,
      rows: async (sql) => (await warehouse.query(sql, 1000, never)).rows,
      damage: (...statements) => under.damage(...statements),
    };
    describeLoading(bench);
    describeCompacted(bench);
    describeErased(bench, how);
    describeSilver(bench, how);
    describeReading(bench);
    describeSchema(bench);
    describeTables(bench, name, how);
    describeProof(bench);
    describeRetention(bench, how);
  });
  describeLooking(name, make);
  if (how.thorough) describePlantedFaults(name, make);
}
