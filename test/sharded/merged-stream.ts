/**
 * Change streams of several shards as one, as a `mongos` merges them.
 *
 * Rules, each of MongoDB's AsyncResultsMerger and of the stages that a `mongos` runs itself:
 * - events come out in the order of `_id._data`; one may come out when no shard can still bring an earlier one: each has a later
 *   event at hand, or its post-batch token is not before it (async_results_merger.cpp, "promised minimum sort key");
 * - the post-batch token is that of the event that was given out last, or the least of all shards', whichever is later;
 * - a new stream without a start begins one tick after the cluster's time (change_stream_helpers, `getStartTimeForNewStream`);
 * - to resume, every shard starts at the token's time, and the event of the token must come: else 280 ChangeStreamFatalError
 *   (document_source_change_stream_ensure_resume_token_present.cpp). It is not given out again.
 */
import { Long, Timestamp, deserialize, serialize, type Document } from 'bson';
import { arrayOf, documentOf, element, int64, string } from '../../src/source/mongo/encode/raw-bson.ts';
import type { Backend } from './backend.ts';
import { documentsOf, fieldsOf, renamed, withFields } from './message.ts';

const BATCH_BYTES_MAX = 16 * 1024 * 1024;
const BATCH_EVENTS_FIRST = 101;
/** Time, version, and the kind of a token that stands between events: 0, where those of events have 128. */
const HIGH_WATER_MARK = /^82[0-9A-F]{16}2B..29/;

interface Shard {
  readonly backend: Backend;
  readonly id: bigint;
  readonly events: { readonly data: string; readonly bson: Buffer }[];
  /** No event before this will come. */
  promised: Buffer;
  asked: Promise<void> | null;
}

export class ServerRefusal extends Error {
  readonly reply: Buffer;

  constructor(reply: Buffer) {
    super('the server refused');
    this.reply = reply;
  }
}

export class MergedStream {
  readonly id: bigint;
  readonly #ns: string;
  readonly #db: string;
  readonly #collection: string;
  readonly #shards: readonly Shard[];
  /** The event that is resumed after, until it has come. */
  #resumed: string | null;
  #token: Buffer;
  #failure: Error | null = null;

  private constructor(id: bigint, db: string, collection: string, shards: readonly Shard[], resumed: string | null) {
    this.id = id;
    this.#db = db;
    this.#collection = collection;
    this.#ns = `${db}.${collection}`;
    this.#shards = shards;
    this.#resumed = resumed;
    this.#token = this.#promised();
  }

  /** @param body of the aggregate command. @throws ServerRefusal */
  static async open(id: bigint, db: string, body: Buffer, backends: readonly Backend[], now: Timestamp): Promise<MergedStream> {
    const { aggregate, pipeline } = deserialize(body, { promoteValues: false, bsonRegExp: true }) as { aggregate: unknown; pipeline: Document[] };
    const { startAfter, resumeAfter, startAtOperationTime, ...options } = pipeline[0]!['$changeStream'] as Document;
    const token = (startAfter ?? resumeAfter) as { _data: string } | undefined;
    const resumed = token === undefined || HIGH_WATER_MARK.test(token._data) ? null : token._data;
    const start =
      resumed !== null
        ? { startAtOperationTime: timeOf(resumed) }
        : token !== undefined
          ? { startAfter: token }
          : { startAtOperationTime: (startAtOperationTime as Timestamp | undefined) ?? now };
    const stages = [{ $changeStream: { ...options, ...start } }, ...pipeline.slice(1)];
    // The session is the router's own business.
    const command = withFields(renamed(body, 'aggregate', ['lsid']), { pipeline: stages, cursor: { batchSize: 0 } });
    const shards = await Promise.all(
      backends.map(async (backend) => {
        const cursor = cursorOf(await backend.relay(command));
        return { backend, id: cursor.id, events: [], promised: cursor.token, asked: null };
      }),
    );
    return new MergedStream(id, db, typeof aggregate === 'string' ? aggregate : '$cmd.aggregate', shards, resumed);
  }

  /** @param batchSize 0: nothing is waited for. @returns the reply's `cursor` */
  async next(first: boolean, waitMs: number, batchSize: number | null): Promise<Buffer> {
    const deadline = batchSize === 0 ? 0 : Date.now() + waitMs;
    const most = batchSize ?? (first ? BATCH_EVENTS_FIRST : Infinity);
    const events = this.#take(most);
    while (events.length === 0 && Date.now() < deadline) {
      await this.#more(Math.max(1, deadline - Date.now()));
      if (this.#failure !== null) throw this.#failure;
      events.push(...this.#take(most));
    }
    if (this.#ready() === null) this.#token = later(this.#token, this.#promised());
    return documentOf(
      element(0x04, first ? 'firstBatch' : 'nextBatch', arrayOf(...events.map((event) => [0x03, event] as const))),
      element(0x03, 'postBatchResumeToken', this.#token),
      element(0x12, 'id', int64(this.id)),
      element(0x02, 'ns', string(this.#ns)),
    );
  }

  /** Those that may come out now. */
  #take(most: number): Buffer[] {
    const events: Buffer[] = [];
    let bytes = 0;
    for (let next = this.#ready(); next !== null && events.length < most && bytes < BATCH_BYTES_MAX; next = this.#ready()) {
      const { data, bson } = next.events.shift()!;
      if (!this.#isNew(data)) continue;
      events.push(bson);
      bytes += bson.length;
      this.#token = Buffer.from(fieldsOf(bson).get('_id')!);
    }
    return events;
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#shards.map(async ({ backend, id }) => {
        await backend.command(this.#db, { killCursors: this.#collection, cursors: [Long.fromBigInt(id)] }).catch(() => undefined);
        backend.destroy();
      }),
    );
  }

  /** The shard whose event comes next, if none can bring an earlier one. */
  #ready(): Shard | null {
    let least: Shard | null = null;
    for (const shard of this.#shards) {
      const [event] = shard.events;
      if (event !== undefined && (least === null || event.data < least.events[0]!.data)) least = shard;
    }
    if (least === null) return null;
    const { data } = least.events[0]!;
    return this.#shards.every(({ events, promised }) => events.length > 0 || dataOf(promised) >= data) ? least : null;
  }

  /** @throws ServerRefusal the event that is resumed after does not exist */
  #isNew(data: string): boolean {
    if (this.#resumed === null) return true;
    if (data < this.#resumed) return false;
    const isIt = data === this.#resumed;
    this.#resumed = null;
    if (isIt) return false;
    throw new ServerRefusal(
      Buffer.from(
        serialize({ ok: 0, code: 280, codeName: 'ChangeStreamFatalError', errmsg: 'cannot resume stream; the resume token was not found.' }),
      ),
    );
  }

  /** Until one of those that have nothing at hand has answered. */
  async #more(waitMs: number): Promise<void> {
    const asked: Promise<void>[] = [];
    for (const shard of this.#shards) {
      if (shard.events.length > 0) continue;
      shard.asked ??= this.#ask(shard, waitMs)
        .catch((error: unknown) => {
          this.#failure = error as Error;
        })
        .finally(() => {
          shard.asked = null;
        });
      asked.push(shard.asked);
    }
    await Promise.race(asked);
  }

  async #ask(shard: Shard, waitMs: number): Promise<void> {
    const command = { getMore: Long.fromBigInt(shard.id), collection: this.#collection, maxTimeMS: waitMs, $db: this.#db };
    const { batch, token } = cursorOf(await shard.backend.relay(serialize(command)));
    shard.events.push(...batch.map((bson) => ({ data: dataOf(fieldsOf(bson).get('_id')!), bson })));
    shard.promised = token;
  }

  #promised(): Buffer {
    return this.#shards.map(({ promised }) => promised).reduce((least, token) => (dataOf(token) < dataOf(least) ? token : least));
  }
}

function later(a: Buffer, b: Buffer): Buffer {
  return dataOf(a) >= dataOf(b) ? a : b;
}

function cursorOf(reply: Buffer): { id: bigint; batch: Buffer[]; token: Buffer } {
  const cursor = fieldsOf(reply).get('cursor');
  if (cursor === undefined) throw new ServerRefusal(reply);
  const fields = fieldsOf(cursor);
  const batch = documentsOf(fields.get('firstBatch') ?? fields.get('nextBatch')!);
  return { id: fields.get('id')!.readBigInt64LE(), batch, token: Buffer.from(fields.get('postBatchResumeToken')!) };
}

function dataOf(token: Buffer): string {
  return String(deserialize(token)['_data']);
}

function timeOf(data: string): Timestamp {
  return new Timestamp({ t: Number.parseInt(data.slice(2, 10), 16), i: Number.parseInt(data.slice(10, 18), 16) });
}
