/**
 * The warehouse against the source: silver has each document as it is now, and no other; bronze each line once.
 */
import { EJSON } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { silentLog } from '../../src/ops/log.ts';
import { openDuckDb } from '../../src/warehouse/duckdb/duckdb.ts';
import type { LakeLine } from './lake-files.ts';

const never = new AbortController().signal;
const FAULTS_SHOWN = 10;

/** Nobody may have the file open. The lake must be in canonical form, so that a document has one text. */
export async function openWarehouse(path: string): Promise<Warehouse> {
  return await openDuckDb({ path, deletes: 'soft', columns: {}, log: silentLog });
}

export async function silverFaults(warehouse: Warehouse, client: MongoClient, db: string, coll: string): Promise<string[]> {
  const silver = new Map<string, string>();
  const faults: string[] = [];
  for await (const { key, doc } of warehouse.silver({ db, coll }, never)) {
    if (silver.has(key)) faults.push(`${coll} ${key} is there twice`);
    silver.set(key, JSON.stringify(JSON.parse(doc ?? 'null')));
  }
  for await (const document of client.db(db).collection<Document>(coll).find({}, { promoteValues: false, promoteLongs: false, bsonRegExp: true })) {
    const key = EJSON.stringify(document['_id'], { relaxed: false });
    const text = JSON.stringify(JSON.parse(EJSON.stringify(document, { relaxed: false })));
    if (silver.get(key) !== text) faults.push(`${coll} ${key} is ${silver.get(key) ?? 'missing'}\n  the source has ${text}`);
    silver.delete(key);
  }
  for (const key of silver.keys()) faults.push(`${coll} ${key} is not in the source`);
  return faults.slice(0, FAULTS_SHOWN);
}

/** @param lines all that the lake has of the collection */
export async function bronzeFaults(warehouse: Warehouse, db: string, coll: string, lines: readonly LakeLine[]): Promise<string[]> {
  const { rows } = await warehouse.query(`select position from bronze.${db}__${coll} order by position`, lines.length + 1_000, never);
  const loaded = rows.map(([position]) => String(position));
  const wanted = lines.map(({ event }) => event._meta.position).toSorted();
  return loaded.join() === wanted.join() ? [] : [`${coll}: bronze has ${loaded.length} rows, the lake ${wanted.length} lines`];
}
