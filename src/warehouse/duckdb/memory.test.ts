/**
 * Merges that are large beside `warehouse.memoryLimit`. The limit and the tables are small here; `npm run bench -- duckdb` has
 * the sizes that people have.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SealedFiles, type TestEvent } from '../../../test/contracts/sealed-files.ts';
import { never, ORDERS } from '../../../test/contracts/warehouse-bench.ts';
import { WAREHOUSE_FAILED } from '../../core/errors.ts';
import type { Warehouse } from '../../core/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { untilItFits } from '../steps/fold.ts';
import { Database } from './database.ts';
import { openDuckDb } from './duckdb.ts';
import { isOutOfMemory } from './errors.ts';

const MIB = 1024 ** 2;
const SMALL_BYTES = 128 * MIB;
const LARGE_BYTES = 2048 * MIB;
const DOCUMENTS = 30_000;
const CHANGES = 37_000;

const columns = { 'shop.orders': { n: 'fullDocument.n BIGINT' } };

let folder: string;
let files: SealedFiles;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-memory-'));
  files = new SealedFiles(join(folder, 'lake'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A kilobyte, most of which does not repeat. */
function docOf(n: number): string {
  return JSON.stringify({ n, noise: Array.from({ length: 50 }, (_, i) => Math.sin(n * 31 + i)) });
}

/** Changes of every kind, spread over all documents: newer ones, deletes, updates that found no document, older ones that come late. */
function changeOf(i: number): TestEvent {
  const key = `"${(i * 7919) % DOCUMENTS}"`;
  const n = 2 * DOCUMENTS + i;
  if (i % 10 === 1) return { n, op: 'delete', key };
  if (i % 10 === 2) return { n, op: 'update', key, doc: null };
  if (i % 10 === 3) return { n: i, op: 'insert', key, doc: docOf(i) };
  return { n, op: 'update', key, doc: docOf(n) };
}

/** All of silver, in a row of numbers. */
async function silverOf(path: string): Promise<unknown> {
  await using warehouse = await openDuckDb({ path, deletes: 'soft', columns, log: silentLog });
  const { rows } = await warehouse.query(
    `select count(*), count(*) filter (is_current), sum(version_number), sum(n), count(deleted_at), min(first_seen_at), bit_xor(md5_number(concat_ws('|', key, doc, doc_position, operation, position)))
     from silver.shop__orders`,
    1,
    never,
  );
  return rows;
}

async function withMemory(path: string, memoryLimitBytes: number, work: (warehouse: Warehouse) => Promise<void>): Promise<void> {
  await using warehouse = await openDuckDb({ path, deletes: 'soft', columns, log: silentLog, memoryLimitBytes });
  await warehouse.migrate();
  await work(warehouse);
}

describe('a merge with little memory', { timeout: 300_000 }, () => {
  it('takes changes that are spread over all documents, in parts, and so does one of all of bronze', async () => {
    const inserts = Array.from({ length: DOCUMENTS }, (_, n): TestEvent => ({ n: DOCUMENTS + n, op: 'insert', key: `"${n}"`, doc: docOf(n) }));
    const changes = Array.from({ length: CHANGES }, (_, i) => changeOf(i));
    const batches = [await files.seal(ORDERS, inserts), await files.seal(ORDERS, changes)];
    // Each is larger than what a piece may have, so its keys must be divided.
    for (const { line } of batches) expect(line.bytes).toBeGreaterThan(SMALL_BYTES / 4);
    const takeAll = async (warehouse: Warehouse): Promise<void> => {
      for (const batch of batches) {
        expect(await warehouse.load([batch], never)).toMatchObject({ files: 1, rejected: [] });
        await warehouse.merge(ORDERS, { rebuild: false }, never);
      }
      expect(await warehouse.unlearnt()).toEqual([]);
    };
    const [small, large] = [join(folder, 'small.duckdb'), join(folder, 'large.duckdb')];
    await withMemory(large, LARGE_BYTES, takeAll);
    const expected = await silverOf(large);
    await withMemory(small, SMALL_BYTES, takeAll);
    expect(await silverOf(small)).toEqual(expected);
    await withMemory(small, SMALL_BYTES, async (warehouse) => {
      await warehouse.merge(ORDERS, { rebuild: true }, never);
    });
    expect(await silverOf(small)).toEqual(expected);
    await withMemory(small, LARGE_BYTES, async (warehouse) => {
      expect(await warehouse.prove(ORDERS, 3, never)).toEqual([]);
    });
  });

  it('halves what does not fit until it does, and gives up where that is no help', async () => {
    await using database = await Database.open(join(folder, 'halves.duckdb'), SMALL_BYTES);
    const isTooLarge = isOutOfMemory;
    const fold = { statements: () => [], isTooLarge };
    const tried: number[] = [];
    const listOf = (bytes: number): Promise<unknown> =>
      database.read((session) =>
        session.all({ text: `SELECT length(string_agg(repeat('x', 1000), '')) AS size FROM range(${Math.ceil(bytes / 1000)})`, values: [] }),
      );
    await untilItFits(fold, (factor) => {
      tried.push(factor);
      return listOf((SMALL_BYTES * 4) / factor);
    });
    expect(tried.length).toBeGreaterThan(2);
    expect(tried).toEqual(tried.map((_, i) => 2 ** i));
    const error = await untilItFits(fold, () => listOf(SMALL_BYTES * 4)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: WAREHOUSE_FAILED, next: expect.stringContaining('warehouse.memoryLimit') as string });
  });
});
