/**
 * The Kafka broker of `demo --bus`: a real one, started as the tests start theirs. It ends with the demo.
 *
 * It is loaded from the tests' folder when it is asked for, which a checkout has and an installed package has not.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';

/** What the demo needs of it. */
export interface TestBroker extends AsyncDisposable {
  /** `host:port`. */
  readonly plain: string;
  /** Resolves, with how, when it ends although nobody has told it to. */
  readonly death: Promise<string>;
  createTopic(topic: string, partitions: number): Promise<void>;
}

interface Kafka {
  readonly whyNoKafka: () => Promise<string | null>;
  readonly KafkaBroker: { start(): Promise<TestBroker> };
}

const IN_A_CHECKOUT = new URL('../../../test/kafka.ts', import.meta.url);

/** @throws USAGE where there are no tests, or no Java */
export async function startTestBroker(kafka: URL = IN_A_CHECKOUT): Promise<TestBroker> {
  if (!existsSync(fileURLToPath(kafka))) {
    throw new SluiceError(USAGE, '`demo --bus` needs the Kafka broker of the tests, which an installed package does not have', {
      next: 'Run it in a checkout of the repository, or leave `--bus` out.',
    });
  }
  const { whyNoKafka, KafkaBroker } = (await import(kafka.href)) as Kafka;
  const reason = await whyNoKafka();
  if (reason !== null)
    throw new SluiceError(USAGE, `\`demo --bus\` starts a Kafka broker: ${reason}`, { next: 'Install what is missing, or leave `--bus` out.' });
  return await KafkaBroker.start();
}
