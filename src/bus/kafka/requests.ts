/**
 * The two requests whose bytes are ours ({@link sealBatch}): a batch for a partition, and what a partition has.
 *
 * In versions that both Event Hubs and Kafka since 2.1 know: newer ones bring nothing that is used here.
 */
import { ResponseError, Writer, createAPI, fetchV6, produceV7, type Reader } from '@platformatic/kafka';
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

/** Resolves once all replicas have the batch. @throws ResponseError */
export const produceBatch = createAPI<[topic: string, partition: number, batch: Buffer, timeoutMs: number], unknown>(
  PRODUCE.key,
  PRODUCE.version,
  (topic: string, partition: number, batch: Buffer, timeoutMs: number) => {
    const writer = Writer.create().appendString(null, false).appendInt16(ALL_REPLICAS).appendInt32(timeoutMs);
    // One topic, and of it one partition.
    writer.appendInt32(1).appendString(topic, false).appendInt32(1);
    return writer.appendInt32(partition).appendInt32(batch.length).append(batch);
  },
  produceV7.parseResponse,
  false,
  false,
);

/** What there is from an offset on. @throws ResponseError */
export const fetchBatches = createAPI<[FetchArgs], Decoded>(
  FETCH.key,
  FETCH.version,
  ({ topic, partition, offset, waitMs, bytesMax }: FetchArgs) => {
    const wanted = { partition, fetchOffset: offset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: bytesMax };
    return fetchV6.createRequest(waitMs, 1, bytesMax, 0, 0, -1, [{ topicId: topic, partitions: [wanted] }], [], '');
  },
  (_id, key, version, reader) => readFetched(key, version, reader),
  false,
  false,
);

function readFetched(key: number, version: number, reader: Reader): Decoded {
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
  if (error !== 0) throw new ResponseError(key, version, { '/responses/0/partitions/0': [error, null] }, { wait });
  return decoded;
}
