/**
 * A look at a few documents of a collection, for their shape alone: no value leaves this file.
 *
 * Load on the server has bounds: so many documents, so long, one collection at a time, from a secondary where there is one.
 */
import { deserialize } from 'bson';
import type { MongoClient } from 'mongodb';
import { DocumentSchema, type BsonType, type FieldPath } from '../../core/document-schema.ts';
import type { Namespace } from '../../core/namespace.ts';
import { Masker, type MaskOptions } from './mask/masker.ts';

const SAMPLE_MS_MAX = 10_000;
const COUNT_MS_MAX = 5_000;
const BATCH_DOCUMENTS = 100;

export interface SampleOptions {
  readonly documents: number;
  /** Lines will have int32 and int64 alike, so the sample has, too. */
  readonly relaxed: boolean;
  /** Names of fields may be data: a masked value's are not told. */
  readonly mask: MaskOptions | null;
}

export async function sampleSchema(client: MongoClient, ns: Namespace, options: SampleOptions, signal: AbortSignal): Promise<DocumentSchema> {
  const schema = new DocumentSchema();
  const masker = options.mask === null ? null : new Masker(options.mask);
  const cursor = client
    .db(ns.db)
    .collection(ns.coll ?? '')
    .aggregate([{ $sample: { size: options.documents } }], {
      maxTimeMS: SAMPLE_MS_MAX,
      batchSize: BATCH_DOCUMENTS,
      readPreference: 'secondaryPreferred',
      raw: true,
      signal,
    });
  for await (const raw of cursor as AsyncIterable<Uint8Array>) {
    addDocument(schema, deserialize(masker?.document(raw, ns) ?? raw, { promoteValues: false, bsonRegExp: true }), options.relaxed);
  }
  return schema;
}

/** By the server's own books, without a scan; `null` when this user may not ask. */
export async function countDocuments(client: MongoClient, ns: Namespace): Promise<number | null> {
  return await client
    .db(ns.db)
    .collection(ns.coll ?? '')
    .estimatedDocumentCount({ maxTimeMS: COUNT_MS_MAX })
    .catch(() => null);
}

/** Types per path of one document: an array's elements may give several. */
type Seen = Map<string, { readonly path: FieldPath; readonly types: Set<BsonType> }>;

function addDocument(schema: DocumentSchema, document: object, relaxed: boolean): void {
  const seen: Seen = new Map();
  for (const [name, value] of Object.entries(document)) look(seen, [name], value, relaxed);
  schema.documents += 1;
  for (const { path, types } of seen.values()) {
    const [only] = types;
    const isDouble = [...types].every((type) => type === 'int' || type === 'long' || type === 'double');
    schema.add(path, types.size === 1 && only !== undefined ? only : isDouble ? 'double' : 'mixed', 1);
  }
}

function look(seen: Seen, path: FieldPath, value: unknown, relaxed: boolean): void {
  const type = bsonType(value, relaxed);
  const key = JSON.stringify(path);
  const known = seen.get(key);
  if (known === undefined) seen.set(key, { path, types: new Set([type]) });
  // Among elements null says nothing of the others.
  else if (type !== 'null') known.types.add(type);
  if (Array.isArray(value)) for (const element of value) look(seen, [...path, null], element, relaxed);
  else if (type === 'object') for (const [name, member] of Object.entries(value as object)) look(seen, [...path, name], member, relaxed);
}

const BY_CLASS: Readonly<Record<string, BsonType>> = {
  ObjectId: 'objectId',
  Int32: 'int',
  Long: 'long',
  Double: 'double',
  Decimal128: 'decimal',
  Binary: 'binData',
  Timestamp: 'timestamp',
  BSONRegExp: 'regex',
  BSONSymbol: 'symbol',
  Code: 'javascript',
  MinKey: 'minKey',
  MaxKey: 'maxKey',
};

function bsonType(value: unknown, relaxed: boolean): BsonType {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'double';
  if (typeof value === 'bigint') return 'long';
  const named = BY_CLASS[(value as { _bsontype?: string })._bsontype ?? ''] ?? 'object';
  return named === 'int' && relaxed ? 'long' : named;
}
