/**
 * The warehouse against the source: silver has each document as it is now, and no other; bronze each line once. Every
 * fault begins with its name and a colon: silver-faults.test.ts plants each of them.
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
  const documents = client.db(db).collection<Document>(coll).find({}, { promoteValues: false, promoteLongs: false, bsonRegExp: true });
  return await differencesOf(warehouse, db, coll, documents);
}

/** @param documents all that the source has of the collection */
export async function differencesOf(
  warehouse: Warehouse,
  db: string,
  coll: string,
  documents: AsyncIterable<Document> | Iterable<Document>,
): Promise<string[]> {
  const silver = new Map<string, string>();
  const faults: string[] = [];
  for await (const { key, doc } of warehouse.silver({ db, coll }, never)) {
    if (silver.has(key)) faults.push(`duplicate in silver: ${coll} ${key}`);
    silver.set(key, JSON.stringify(JSON.parse(doc ?? 'null')));
  }
  for await (const document of documents) {
    const key = EJSON.stringify(document['_id'], { relaxed: false });
    const text = JSON.stringify(JSON.parse(EJSON.stringify(document, { relaxed: false })));
    const there = silver.get(key);
    if (there === undefined) faults.push(`missing in silver: ${coll} ${key}`);
    else if (there !== text) faults.push(`stale in silver: ${coll} ${key} is ${there}\n  the source has ${text}`);
    silver.delete(key);
  }
  for (const key of silver.keys()) faults.push(`extra in silver: ${coll} ${key} is not in the source`);
  return faults.slice(0, FAULTS_SHOWN);
}

/** @param lines all that the lake has of the collection */
export async function bronzeFaults(warehouse: Warehouse, db: string, coll: string, lines: readonly LakeLine[]): Promise<string[]> {
  const faults: string[] = [];
  const wanted = new Map(lines.map((line) => [`${line.path}:${line.number}`, line.text]));
  const seen = new Set<string>();
  // Twice as many and more are surely too many.
  const limit = 2 * lines.length + 1_000;
  const { rows } = await warehouse.query(`select file, row_number - 1, cast(doc as varchar) from bronze.${db}__${coll}`, limit, never);
  for (const [file, number, doc] of rows) {
    const place = `${String(file)}:${String(number)}`;
    const text = wanted.get(place);
    if (text === undefined) faults.push(`extra in bronze: ${place}`);
    else if (seen.has(place)) faults.push(`duplicate in bronze: ${place}`);
    else if (text !== doc) faults.push(`changed in bronze: ${place} is ${String(doc)}\n  the lake has ${text}`);
    seen.add(place);
  }
  for (const place of wanted.keys()) if (!seen.has(place)) faults.push(`missing in bronze: ${place}`);
  return faults.slice(0, FAULTS_SHOWN);
}
