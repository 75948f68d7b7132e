/**
 * The two requests whose bytes are ours ({@link sealBatch}): a batch for a partition, and what a partition has.
 *
 * In versions that both Event Hubs and Kafka since 2.1 know: newer ones bring nothing that is used here.
 */
import { Reader, ResponseError, Writer, fetchV6, produceV7 } from '@platformatic/kafka';
import type { Frames } from './frames.ts';
import { decodeBatches, type Decoded } from './record-batch.ts';

const PRODUCE = { key: 0, version: 7 };
const FETCH = { key: 1, version: 6 };
const ALL_REPLICAS = -1;

export interface FetchArgs {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly waitMs: number;
  readonly bytesMax: number;
}

/** Resolves once all replicas have the batch, which may be changed when this has ended. @throws ResponseError */
export async function produceBatch(to: Frames, topic: string, partition: number, batch: Buffer, timeoutMs: number): Promise<void> {
  const writer = Writer.create().appendString(null, false).appendInt16(ALL_REPLICAS).appendInt32(timeoutMs);
  // One topic, and of it one partition.
  writer.appendInt32(1).appendString(topic, false).appendInt32(1);
  const { body, release } = await to.ask(PRODUCE, writer.appendInt32(partition).appendInt32(batch.length).buffer, batch);
  try {
    produceV7.parseResponse(0, PRODUCE.key, PRODUCE.version, Reader.from(body));
  } finally {
    release();
  }
}

export interface Fetched extends Decoded {
  /** That their values take; more where they were compressed. */
  readonly bytes: number;
  /** Of the records only what was copied is read any more. */
  readonly release: () => void;
}

/** What there is from an offset on. @throws ResponseError */
export async function fetchBatches(from: Frames, { topic, partition, offset, waitMs, bytesMax }: FetchArgs): Promise<Fetched> {
  const wanted = { partition, fetchOffset: offset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: bytesMax };
  const { buffer } = fetchV6.createRequest(waitMs, 1, bytesMax, 0, 0, -1, [{ topicId: topic, partitions: [wanted] }], [], '');
  const { body, release } = await from.ask(FETCH, buffer);
  try {
    return { ...readFetched(Reader.from(body)), bytes: body.length, release };
  } catch (error) {
    release();
    throw error;
  }
}

function readFetched(reader: Reader): Decoded {
  const wait = reader.readInt32();
  let error = 0;
  let decoded: Decoded = { records: [], next: null };
  reader.readArray(
    (topic) => {
      topic.readString(false);
      topic.readArray(
        (partition) => {
          partition.readInt32();
          error = partition.readInt16();
          // High watermark, last stable offset, beginning of the log; then transactions that were broken off.
          partition.skip(24);
          partition.readNullableArray((each) => each.skip(16), false, false);
          decoded = decodeBatches(partition.readBytes(false));
        },
        false,
        false,
      );
    },
    false,
    false,
  );
  if (error !== 0) throw new ResponseError(FETCH.key, FETCH.version, { '/responses/0/partitions/0': [error, null] }, { wait });
  return decoded;
}
