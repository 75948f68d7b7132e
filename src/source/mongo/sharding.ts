/**
 * What a sharded cluster says of itself through its `mongos`: by which fields a collection is divided.
 *
 * Asked of the cluster's own books (`config.collections`), which takes a right that reading documents does not. Never guessed: a key
 * that lacks a field would be another one than that of the collection's events.
 */
import { MongoServerError, type Document, type MongoClient } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_SHARD_KEY } from '../../core/errors.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { serverSays } from './server-errors.ts';

const UNAUTHORIZED = 13;

export function isMongos(hello: Document): boolean {
  return hello['msg'] === 'isdbgrid';
}

/**
 * Paths of the fields of a collection's shard key, in their order; `null` when it has none, as in a replica set.
 * @throws SOURCE_SHARD_KEY this user may not ask
 */
export async function shardKeyOf(client: MongoClient, ns: Namespace): Promise<readonly string[] | null> {
  if (!isMongos(await client.db('admin').command({ hello: 1 }))) return null;
  try {
    const found = await client
      .db('config')
      .collection<{ _id: string; key?: readonly { readonly k: string }[] }>('collections')
      // As a list: objects of JavaScript move keys that are numbers to the front.
      .findOne({ _id: formatNamespace(ns), dropped: { $ne: true } }, { projection: { key: { $objectToArray: '$key' } }, readConcern: 'majority' });
    return found?.key?.map(({ k }) => k) ?? null;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === UNAUTHORIZED)
      throw new SluiceError(SOURCE_SHARD_KEY, `${formatNamespace(ns)}: ${serverSays(error)}`, { cause: error });
    throw error;
  }
}
