/**
 * Deletes that are half of a move.
 *
 * When the value of a shard key changes so that a document belongs to another shard, a cluster deletes it on one and inserts it on the
 * other, in one transaction. Each shard writes its half at a time of its own, so the stream may bring the insert first and the delete
 * of the old key after it: who goes by `_id` would lose a document that is there.
 *
 * So after such a delete the document is looked for. If it is there under another key, the event is called `depart`: the document has
 * left a shard, not the collection. Invariant: a delete that keeps its name is never later than the insert of a document that lives.
 * What is looked up is no older than the delete; if the document was deleted meanwhile, that delete comes, too.
 */
import { Timestamp as BsonTimestamp, deserialize } from 'bson';
import type { MongoClient } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_SHARD_KEY } from '../../core/errors.ts';
import type { Namespace } from '../../core/namespace.ts';
import { DOCUMENT, STRING, TIMESTAMP, elementsOf, type Element } from './encode/bson.ts';
import { DocumentKeys } from './encode/document-key.ts';
import { batchOf, type RawBatch } from './encode/reply.ts';
import { shardKeyOf } from './sharding.ts';

/** As long as `delete`: it is written over it. */
const DEPART = Buffer.from('depart', 'latin1');
const DELETE_TEXT = Buffer.from('\u0007\0\0\0delete\0', 'latin1');
const SESSION = Buffer.from('\u0003lsid\0', 'latin1');
const IDS_MAX = 500;
const FIND_MS_MAX = 30_000;

/** A delete in a transaction, of a key that has more than `_id`. */
interface Candidate {
  readonly ns: Namespace;
  /** Where the letters of its operation stand in the reply. */
  readonly nameAt: number;
  readonly key: Buffer;
  readonly at: BsonTimestamp;
}

/** Gives such deletes in the `cursor` of a reply their name, in place. */
export async function nameDepartures(client: MongoClient, cursor: Uint8Array): Promise<void> {
  const reply = Buffer.from(cursor.buffer, cursor.byteOffset, cursor.byteLength);
  // Of nearly all replies that is all: transactions with deletes are rare.
  if (!reply.includes(SESSION) || !reply.includes(DELETE_TEXT)) return;
  const byCollection = Map.groupBy(candidatesIn(batchOf(reply)), ({ ns }) => `${ns.db}.${ns.coll ?? ''}`);
  for (const candidates of byCollection.values()) {
    for (let from = 0; from < candidates.length; from += IDS_MAX) {
      const some = candidates.slice(from, from + IDS_MAX);
      for (const { nameAt } of await departed(client, some)) DEPART.copy(reply, nameAt);
    }
  }
}

function* candidatesIn({ input, view, array, end }: RawBatch): Generator<Candidate> {
  for (const event of elementsOf(view, array, end)) {
    const candidate = candidateAt(input, view, event);
    if (candidate !== null) yield candidate;
  }
}

function candidateAt(reply: Buffer, view: DataView, event: Element): Candidate | null {
  const fields = new Map([...elementsOf(view, event.from, event.next - 1)].map((field) => [field.key, field]));
  const [op, key, ns, time] = ['operationType', 'documentKey', 'ns', 'clusterTime'].map((name) => fields.get(name));
  if (op?.type !== STRING || reply.toString('latin1', op.from + 4, op.next - 1) !== 'delete' || !fields.has('lsid')) return null;
  if (key?.type !== DOCUMENT || ns?.type !== DOCUMENT || time?.type !== TIMESTAMP) return null;
  if ([...elementsOf(view, key.from, key.next - 1)].length < 2) return null;
  const { db, coll } = deserialize(reply.subarray(ns.from, ns.next)) as { db: string; coll: string };
  const at = new BsonTimestamp({ t: view.getUint32(time.from + 4, true), i: view.getUint32(time.from, true) });
  return { ns: { db, coll }, nameAt: op.from + 4, key: Buffer.from(reply.subarray(key.from, key.next)), at };
}

/** Those of one collection whose documents are there under another key. */
async function departed(client: MongoClient, candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
  const [{ ns }] = candidates as readonly [Candidate];
  const afterClusterTime = candidates.map(({ at }) => at).reduce((a, b) => (a.greaterThan(b) ? a : b));
  const ids = candidates.map(({ key }) => deserialize(key, { promoteValues: false, bsonRegExp: true })['_id'] as unknown);
  const keys = await keysOf(client, ns);
  // The driver passes it on, and does not say so in its types.
  const readConcern = { level: 'majority', afterClusterTime } as { level: 'majority' };
  const found = client
    .db(ns.db)
    .collection(ns.coll ?? '')
    .find({ _id: { $in: ids } } as object, { raw: true, readConcern, maxTimeMS: FIND_MS_MAX });
  const there = new Map<string, Buffer[]>();
  for await (const raw of found as unknown as AsyncIterable<Uint8Array>) {
    const document = Buffer.from(raw);
    const view = new DataView(document.buffer, document.byteOffset, document.length);
    const { bson, bytes } = keys.of(document, view, 0);
    const key = Buffer.from(bson.subarray(0, bytes));
    const id = idOf(key);
    there.set(id, [...(there.get(id) ?? []), key]);
  }
  return candidates.filter(({ key }) => there.get(idOf(key))?.some((other) => !other.equals(key)) === true);
}

/** Of documents as they are now; without the right to know the shard key `_id` alone, which is never the key of such a delete. */
async function keysOf(client: MongoClient, ns: Namespace): Promise<DocumentKeys> {
  try {
    return new DocumentKeys((await shardKeyOf(client, ns)) ?? []);
  } catch (error) {
    if (!SluiceError.is(error, SOURCE_SHARD_KEY)) throw error;
    return new DocumentKeys([]);
  }
}

/** The bytes of a key's `_id`. */
function idOf(key: Buffer): string {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const id = [...elementsOf(view, 0, key.length - 1)].find((field) => field.key === '_id');
  return id === undefined ? '' : key.toString('latin1', id.at, id.next);
}
