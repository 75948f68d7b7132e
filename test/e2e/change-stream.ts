/**
 * The same changes read by another reader: the driver's own change stream. What it gives is what a lake must hold.
 */
import { EJSON } from 'bson';
import type { Document, MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { compareTimestamps, type Timestamp } from '../../src/core/time.ts';
import type { LakeLine } from './lake-files.ts';
import { timeOf } from './pipeline-run.ts';

export interface StreamOf {
  /** `null`: the whole deployment. */
  readonly db: string | null;
  /** Both ends are included. */
  readonly from: BsonTimestamp;
  readonly to: Timestamp;
}

/** Values keep their BSON types. Ends early, without a word, where the server ends the stream (invalidate). */
export async function readStream(client: MongoClient, { db, from, to }: StreamOf): Promise<Document[]> {
  const options = {
    startAtOperationTime: from,
    showExpandedEvents: true,
    maxAwaitTimeMS: 10,
    promoteValues: false,
    promoteLongs: false,
    bsonRegExp: true,
  } as const;
  const stream = db === null ? client.watch([], options) : client.db(db).watch([], options);
  const events: Document[] = [];
  try {
    while (!stream.closed) {
      const event: Document | null = await stream.tryNext();
      if (event === null && compareTimestamps(timeOfToken(stream.resumeToken), to) >= 0) break;
      if (event === null) continue;
      if (compareTimestamps(timeOf(event['clusterTime'] as BsonTimestamp), to) > 0) break;
      events.push(event);
    }
  } finally {
    await stream.close();
  }
  return events;
}

/** Cluster time in a resume token. */
export function timeOfToken(token: unknown): Timestamp {
  const data = String((token as { _data: unknown })._data);
  return { t: Number.parseInt(data.slice(2, 10), 16), i: Number.parseInt(data.slice(10, 18), 16) };
}

/** Now, as the cluster sees it: a stream that starts here has all that is written from now on. */
export async function clusterTime(client: MongoClient): Promise<BsonTimestamp> {
  const { operationTime } = await client.db('admin').command({ ping: 1 });
  return operationTime as BsonTimestamp;
}

/** Position of an event of the stream. */
export function positionOf(event: Document): string {
  return String((event['_id'] as Document)['_data']);
}

/** An event as the lake's canonical line should have it, but for what follows from the rest of it: the time as text. */
export function lineOf(event: Document): Document {
  const { _id: _, operationType, ns, clusterTime: at, wallTime, txnNumber, lsid, ...rest } = event;
  const meta = Object.entries({ position: positionOf(event), operationType, ns, clusterTime: at, wallTime, txnNumber, lsid });
  const line = { _meta: Object.fromEntries(meta.filter(([, value]) => value !== undefined)), ...rest };
  return JSON.parse(EJSON.stringify(line, { relaxed: false })) as Document;
}

const FAULTS_SHOWN = 10;

/**
 * What is missing in a lake, is there twice, is nobody's event, or says something else than the stream. The lake must be
 * in canonical form and sorted by position. What an update looked up is left aside: it is another one for each reader.
 */
export function differences(lake: readonly LakeLine[], told: readonly Document[]): string[] {
  const faults: string[] = [];
  const add = (fault: string): void => void (faults.length < FAULTS_SHOWN && faults.push(fault));
  const expected = new Map(told.map((event) => [positionOf(event), event]));
  const seen = new Map<string, LakeLine>();
  for (const line of lake) {
    const { position } = line.event._meta;
    const first = seen.get(position);
    const event = expected.get(position);
    if (first !== undefined) add(`twice: ${position} in ${first.path}:${first.number} and ${line.path}:${line.number}`);
    else if (event === undefined) add(`not an event of the stream: ${position} in ${line.path}:${line.number}`);
    else if (textOf(line.event) !== textOf(lineOf(event)))
      add(`other content in ${line.path}:${line.number}: ${textOf(line.event)}\n  the stream says ${textOf(lineOf(event))}`);
    seen.set(position, line);
  }
  for (const [position, event] of expected) {
    if (!seen.has(position))
      add(`missing: ${position} (${EJSON.stringify({ op: event['operationType'], ns: event['ns'], key: event['documentKey'] })})`);
  }
  return faults;
}

/** Of what both must have in common. Members of `_meta` have an order of their own in a line. */
function textOf({ _meta, ...rest }: Document): string {
  const { at: _at, v: _v, ...meta } = _meta as Document;
  const { fullDocument, ...others } = rest;
  const body = meta['operationType'] === 'update' ? others : { fullDocument, ...others };
  return JSON.stringify({ meta: Object.entries(meta).toSorted(([a], [b]) => (a < b ? -1 : 1)), ...body });
}
