/**
 * What a deployment says of itself: which one it is, what time it is there, and how far its oplog reaches back.
 */
import type { Timestamp as BsonTimestamp } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { HISTORY_LOST, SOURCE_AHEAD } from '../../core/errors.ts';
import type { ResumePoint } from '../../core/event.ts';

interface HelloTimes {
  /** Of a member of a replica set. */
  readonly lastWrite?: { readonly opTime: { readonly ts: BsonTimestamp } };
  readonly localTime: Date;
}

/** Tells one replica set from another of the same name where the user may ask; else the name must do. */
export async function replicaSetIdOf(client: MongoClient, hello: Document): Promise<string> {
  if (hello['msg'] === 'isdbgrid') return 'sharded';
  try {
    const { config } = (await client.db('admin').command({ replSetGetConfig: 1 })) as { config: { settings: { replicaSetId: unknown } } };
    return String(config.settings.replicaSetId);
  } catch {
    return String(hello['setName']);
  }
}

/**
 * To a stream from a time that has not come the server says nothing until it has, and leaves out all that happens
 * meanwhile: a token of another deployment, whose time is ahead of this one's, would lose that in silence.
 * @throws SOURCE_AHEAD
 */
export async function assertHasCome(client: MongoClient, { clusterTime }: ResumePoint): Promise<void> {
  const { lastWrite, localTime } = (await client.db('admin').command({ hello: 1 })) as HelloTimes;
  // An idle deployment's last write is some seconds old; cluster time may be ahead of the clock.
  const now = Math.max(Math.floor(localTime.getTime() / 1000), lastWrite?.opTime.ts.t ?? 0);
  if (clusterTime.t <= now) return;
  throw new SluiceError(
    SOURCE_AHEAD,
    `it is of ${new Date(clusterTime.t * 1000).toISOString()}, the server at ${new Date(now * 1000).toISOString()}`,
  );
}

/** Of the first entry that the oplog has. @throws HISTORY_LOST it has none */
export async function oldestEntryOf(client: MongoClient): Promise<BsonTimestamp> {
  const first = await client
    .db('local')
    .collection('oplog.rs')
    .find({}, { sort: { $natural: 1 }, limit: 1, projection: { ts: 1 } })
    .next();
  const ts = first?.['ts'] as BsonTimestamp | undefined;
  if (ts === undefined) throw new SluiceError(HISTORY_LOST, 'the oplog is empty');
  return ts;
}
