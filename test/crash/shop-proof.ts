/**
 * What must hold after a shop was captured, whatever happened meanwhile: every acknowledged write once and in order, the
 * same events that an independent reader of the change stream gets, sealed files that never changed, hours that are
 * published, silver as the source is.
 */
import { join } from 'node:path';
import type { MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { expect } from 'vitest';
import type { ShopWrite } from '../../src/app/demo/shop.ts';
import type { Timestamp } from '../../src/core/time.ts';
import { SHOP_COLLECTIONS } from '../../src/app/demo/shop-writer.ts';
import { differences, readStream } from '../e2e/change-stream.ts';
import { hourFileFaults, ledgerFaults, placeFaults, unpublished, writeFaults, type SealedGuard } from '../e2e/lake-faults.ts';
import { byPosition, linesOf, readLake } from '../e2e/lake-files.ts';
import { bronzeFaults, openWarehouse, silverFaults } from '../e2e/silver-faults.ts';
import { PIPELINE, type Workspace } from '../e2e/workspace.ts';

export interface CapturedShop {
  readonly client: MongoClient;
  readonly work: Workspace;
  readonly guard: SealedGuard;
  /** Acknowledged. */
  readonly writes: readonly ShopWrite[];
  readonly from: BsonTimestamp;
  readonly to: Timestamp;
  /** What the last process has said, to explain what is missing. */
  readonly log: string;
}

/** Nobody runs the pipeline any more, and everything is sealed and loaded. @returns how many events there are */
export async function provenShop({ client, work, guard, writes, from, to, log }: CapturedShop): Promise<number> {
  const files = await readLake(work.lake);
  expect(guard.changed(files)).toEqual([]);
  const lines = linesOf(files).filter(({ event }) => event._meta.ns.db === 'shop');
  expect(placeFaults(lines)).toEqual([]);
  expect(ledgerFaults(files)).toEqual([]);
  expect(hourFileFaults(files)).toEqual([]);
  expect(writeFaults(writes, lines), log).toEqual([]);
  expect(unpublished(files, PIPELINE, from.t, to.t), log).toEqual([]);
  const told = await readStream(client, { db: 'shop', from, to });
  expect(told.length).toBeGreaterThanOrEqual(writes.length);
  expect(differences(lines.toSorted(byPosition), told)).toEqual([]);
  expect(await work.verify()).toEqual([]);
  await using warehouse = await openWarehouse(join(work.folder, 'warehouse.duckdb'));
  for (const coll of SHOP_COLLECTIONS) {
    const ofCollection = lines.filter(({ event }) => event._meta.ns.coll === coll);
    expect(await silverFaults(warehouse, client, 'shop', coll)).toEqual([]);
    expect(await bronzeFaults(warehouse, 'shop', coll, ofCollection)).toEqual([]);
  }
  return lines.length;
}
