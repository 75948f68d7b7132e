/**
 * What a deployment says of itself: which one it is, what time it is there, and how far its oplog reaches back.
 */
import type { Timestamp as BsonTimestamp } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { HISTORY_LOST, SOURCE_AHEAD } from '../../core/errors.ts';
import type { ResumePoint } from '../../core/event.ts';
import { isMongos } from './sharding.ts';

interface HelloTimes {
  /** Of a member of a replica set. */
  readonly lastWrite?: { readonly opTime: { readonly ts: BsonTimestamp } };
  readonly localTime: Date;
}

/** Tells one replica set from another of the same name where the user may ask; else the name must do. */
export async function replicaSetIdOf(client: MongoClient, hello: Document): Promise<string> {
  if (isMongos(hello)) return 'sharded';
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

/** Longer than any oplog is kept: a cluster that still has its beginning says so of every time. */
const REACH_SECONDS_MAX = 2 ** 25;
const REACH_SECONDS_MIN = 60;
/** As near as this the beginning is looked for: it moves. */
const REACH_SECONDS_EXACT = 5;

/**
 * How far a sharded cluster's history reaches back. Its oplogs cannot be read through a `mongos`; that a stream may begin at a time is
 * what all shards have to agree to, and there is nothing else to ask.
 * @returns seconds at or shortly after the least that may be
 */
export async function oldestReachable(nowSeconds: number, isReachable: (seconds: number) => Promise<boolean>): Promise<number> {
  let back = REACH_SECONDS_MIN;
  let reached = 0;
  while (back <= REACH_SECONDS_MAX && (await isReachable(nowSeconds - back))) {
    reached = back;
    back *= 2;
  }
  if (back > REACH_SECONDS_MAX) return nowSeconds - reached;
  while (back - reached > REACH_SECONDS_EXACT) {
    const middle = Math.floor((reached + back) / 2);
    if (await isReachable(nowSeconds - middle)) reached = middle;
    else back = middle;
  }
  return nowSeconds - reached;
}
