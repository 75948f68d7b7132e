/**
 * The database of a demo in a MongoDB that is not its own: it goes with the demo, however that ends.
 *
 * Invariant: taking it away neither hides what has ended the demo nor holds its end up: a server that does not answer is given a
 * few seconds, and what is left there is told.
 */
import { MongoClient } from 'mongodb';
import { reasonOf } from '../../core/error.ts';

/** A stop has ten seconds, of which the pipeline needs some. */
const DROP_MS_MAX = 4_000;

/** @param say told what is left, if it could not be dropped */
export async function dropOwnDatabase(uri: string, db: string, say: (text: string) => void, msMax = DROP_MS_MAX): Promise<void> {
  // Not the client of the shop: that one may wait for a server for as long as it likes.
  const limits = { serverSelectionTimeoutMS: msMax, connectTimeoutMS: msMax, socketTimeoutMS: msMax };
  const client = new MongoClient(uri, limits);
  try {
    await client.db(db).dropDatabase();
  } catch (error) {
    say(`The database ${db} could not be dropped (${reasonOf(error)}). Drop it yourself.`);
  } finally {
    await client.close().catch(() => undefined);
  }
}
