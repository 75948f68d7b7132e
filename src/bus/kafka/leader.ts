import type { Base, BaseOptions } from '@platformatic/kafka';
import { SluiceError } from '../../core/error.ts';
import { BUS_UNAVAILABLE } from '../../core/errors.ts';
import { framesOf, type Frames } from './frames.ts';

/** A connection to the broker that leads a partition, as far as the client knows: who errs closes the client. @throws BUS_UNAVAILABLE */
export async function leaderOf(client: Base<BaseOptions>, topic: string, partition: number): Promise<Frames> {
  const { topics, brokers } = await client.metadata({ topics: [topic] });
  const broker = brokers.get(topics.get(topic)?.partitions[partition]?.leader ?? -1);
  if (broker === undefined) throw new SluiceError(BUS_UNAVAILABLE, `${topic}, partition ${partition} has no leader`);
  return framesOf(await client.connections.get(broker));
}
