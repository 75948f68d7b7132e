/**
 * Puts documents into a collection as the bytes that they are, field by field in their order.
 *
 * The driver takes objects. Those of JavaScript move keys that are numbers to the front, so maps are made of the documents,
 * and each is checked to give the same bytes again before it is sent.
 */
import { deserialize, serialize } from 'bson';
import { SluiceError } from '../../core/error.ts';
import { RESTORE_TARGET } from '../../core/errors.ts';
import type { Namespace } from '../../core/namespace.ts';
import { ARRAY, DOCUMENT, documentSize, elementsOf } from './encode/bson.ts';
import { withClient } from './inspect.ts';

const BATCH_BYTES_MAX = 8 * 1024 * 1024;
const BATCH_DOCUMENTS_MAX = 1_000;

/**
 * @param documents BSON
 * @throws RESTORE_TARGET the collection is there already, or a document is one that the driver cannot carry
 */
export async function insertInto(uri: string, { db, coll }: Namespace, documents: AsyncIterable<Buffer>, signal: AbortSignal): Promise<number> {
  const name = coll ?? '';
  return await withClient(uri, signal, async (client) => {
    const target = client.db(db);
    if ((await target.listCollections({ name }, { nameOnly: true }).toArray()).length > 0)
      throw new SluiceError(RESTORE_TARGET, `${db}.${name} is there already`);
    await target.createCollection(name);
    let [count, bytes, batch] = [0, 0, [] as Map<string, unknown>[]];
    const send = async (): Promise<void> => {
      if (batch.length === 0) return;
      const reply = await target.command({ insert: name, documents: batch, ordered: true, writeConcern: { w: 'majority' } });
      if (reply['n'] !== batch.length) throw new SluiceError(RESTORE_TARGET, `the server took ${String(reply['n'])} of ${batch.length} documents`);
      count += batch.length;
      [bytes, batch] = [0, []];
    };
    for await (const document of documents) {
      signal.throwIfAborted();
      const map = mapOf(document);
      if (!Buffer.from(serialize(map)).equals(document))
        throw new SluiceError(RESTORE_TARGET, 'a document has a key twice, which the driver cannot send');
      batch.push(map);
      bytes += document.length;
      if (bytes >= BATCH_BYTES_MAX || batch.length >= BATCH_DOCUMENTS_MAX) await send();
    }
    await send();
    return count;
  });
}

function mapOf(document: Buffer): Map<string, unknown> {
  return new Map(membersOf(document));
}

function* membersOf(document: Buffer): Generator<[string, unknown]> {
  const view = new DataView(document.buffer, document.byteOffset, document.length);
  for (const { at, type, from, next } of elementsOf(view, 0, documentSize(view, 0, document.length) - 1)) {
    const key = document.toString('utf8', at + 1, from - 1);
    const value = document.subarray(from, next);
    if (type === DOCUMENT) yield [key, mapOf(value)];
    else if (type === ARRAY) yield [key, [...membersOf(value)].map(([, item]) => item)];
    else yield [key, scalarOf(type, value)];
  }
}

/** The driver's own object for a value, by a document that holds it alone. */
function scalarOf(type: number, value: Buffer): unknown {
  const document = Buffer.concat([Buffer.alloc(4), Buffer.from([type, 0x76, 0]), value, Buffer.alloc(1)]);
  document.writeInt32LE(document.length, 0);
  return deserialize(document, { promoteValues: false, bsonRegExp: true, promoteBuffers: false })['v'];
}
