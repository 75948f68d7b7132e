/**
 * A real MongoDB for tests, and the clock of its cluster. Without a mongod a test fails with the coded message: never a
 * silent skip.
 */
import { Binary, Long, Timestamp, type MongoClient } from 'mongodb';
import { clusterTime } from './e2e/change-stream.ts';
import { until } from './e2e/until.ts';
import { findMongod, type FindMongodOptions } from '../src/app/demo/mongod.ts';
import { startReplicaSet, type ReplicaSet, type ReplicaSetOptions } from '../src/app/demo/replica-set.ts';
import { silentLog } from '../src/ops/log.ts';

/** How long a start may take, a first download included. */
const START_MS_MAX = 110_000;

export type StartMongoOptions = Omit<ReplicaSetOptions, 'mongod' | 'signal'> & Pick<FindMongodOptions, 'wanted'>;

/**
 * A replica set with the server's failpoints switched on. Use it with `await using`, or call `stop` in `afterAll`;
 * `set.connect()` gives a client that `stop` closes.
 */
export async function startMongo(options: StartMongoOptions = {}): Promise<ReplicaSet> {
  const { wanted, ...rest } = options;
  const signal = AbortSignal.timeout(START_MS_MAX);
  const mongod = await findMongod({
    ...(wanted === undefined ? {} : { wanted }),
    onProgress: (text) => process.stderr.write(`${text}\n`),
    signal,
    log: silentLog,
  });
  return await startReplicaSet({ enableTestCommands: true, ...rest, mongod, signal });
}

/**
 * Moves the cluster's time forward to `unixSeconds`, so that a test crosses hours at once: a member believes a later
 * cluster time that a client tells it (as long as there is no access control), and the note that is written next
 * carries it into the oplog.
 *
 * From then on every change has at least this time: cluster time never goes back, and stands still until the clock on
 * the wall has caught up. The server refuses more than a year ahead of that clock (`maxAcceptableLogicalClockDriftSecs`).
 * The past cannot be had.
 */
export async function jumpTo(client: MongoClient, unixSeconds: number): Promise<void> {
  await client.withSession(async (session) => {
    const clusterTime = new Timestamp({ t: unixSeconds, i: 1 });
    session.advanceClusterTime({ clusterTime, signature: { hash: new Binary(Buffer.alloc(20)), keyId: Long.ZERO } });
    await client.db('admin').command({ appendOplogNote: 1, data: { msg: `jump to ${unixSeconds}` } }, { session });
  });
}

/** To the beginning of an hour ahead of the clock on the wall, where cluster time stands still: no hour ends by itself in a test. */
export async function jumpAhead(client: MongoClient): Promise<void> {
  await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 2) * 3600);
}

/** With these options a server forgets within some 32 MB of writes. */
export const FORGETFUL = { oplogSizeMiB: 16, args: ['--syncdelay', '1'] } as const;

/** Of 4 MB each: what was there before them is gone. */
const FORGETTING_WRITES = 8;

/**
 * Writes to another database until the oldest entry of the oplog is younger than `at`. Needs {@link FORGETFUL}.
 *
 * @param readSoFar waits until somebody who shall lose nothing has read all that was written up to now: nothing is forgotten
 * before. Without it a server whose reading thread gets no turn for a moment overtakes its own cursor.
 */
export async function forget(client: MongoClient, at: Timestamp, readSoFar?: () => Promise<unknown>): Promise<void> {
  const oldest = async (): Promise<Timestamp> => {
    const first = await client
      .db('local')
      .collection('oplog.rs')
      .find({}, { sort: { $natural: 1 }, limit: 1 })
      .next();
    return first?.['ts'] as Timestamp;
  };
  const write = async (): Promise<unknown> =>
    await client
      .db('filler')
      .collection('a')
      .insertOne({ x: Buffer.alloc(4_000_000) });
  const keep = async (minRetentionHours: number): Promise<unknown> => await client.db('admin').command({ replSetResizeOplog: 1, minRetentionHours });
  if (readSoFar !== undefined) {
    await keep(1);
    for (let n = 0; n < FORGETTING_WRITES; n += 1) await write();
    await readSoFar();
    await keep(0);
  }
  await until('the oplog has lost its beginning', async () => {
    await write();
    if ((await oldest()).greaterThan(at)) return true;
    await readSoFar?.();
    return (await oldest()).greaterThan(at);
  });
}
