/**
 * A real Kafka broker for tests: one node, started in seconds, with a plain and a SASL listener, and one more that is
 * reached through a proxy (test/fakes/event-hubs-proxy.ts).
 *
 * It needs Java 17 and, once, Maven, which brings the jars into the cache. Where they are absent the tests that need a
 * broker are reported as skipped, with {@link whyNoKafka} as the reason; under CI they fail.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Admin } from '@platformatic/kafka';
import { freePorts } from '../src/app/demo/server-process.ts';
import { until } from './e2e/until.ts';

const KAFKA = { artifact: 'kafka_2.13', version: '4.3.1' } as const;
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice', `kafka-${KAFKA.version}`);
/** Starts fast; how fast it is then does not matter to a test. */
const JAVA = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dlog4j2.level=WARN'];
/** A machine with other work to do may take its time to start a JVM that has a log to recover. */
const READY_MS_MAX = 180_000;
/** What `$ConnectionString` must bring on the SASL listeners. */
export const CONNECTION_STRING = 'Endpoint=sb://test.servicebus.windows.net/;SharedAccessKeyName=sluice;SharedAccessKey=c2x1aWNl';

/** Why no broker can be started here; `null` when one can, and under CI, where the start then fails with the reason. */
export async function whyNoKafka(): Promise<string | null> {
  const reason = await absent();
  if (reason === null || process.env['CI'] === 'true') return null;
  process.stderr.write(`SKIPPED, no Kafka broker: ${reason}\n`);
  return reason;
}

async function absent(): Promise<string | null> {
  if (spawnSync('java', ['-version']).error !== undefined) return '`java` is not on PATH (openjdk-17-jre-headless)';
  if ((await hasJars()) || spawnSync('mvn', ['-v']).error === undefined) return null;
  return '`mvn` is not on PATH (maven), and the jars are not in the cache';
}

async function hasJars(): Promise<boolean> {
  return (await stat(join(CACHE, 'jars')).catch(() => null))?.isDirectory() === true;
}

/** Several workers may fetch at once: whoever is first gives it its name. */
async function fetchJars(): Promise<string> {
  const jars = join(CACHE, 'jars');
  if (await hasJars()) return jars;
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, 'fetch-'));
  const dependency = `<dependency><groupId>org.apache.kafka</groupId><artifactId>${KAFKA.artifact}</artifactId><version>${KAFKA.version}</version></dependency>`;
  const own = '<modelVersion>4.0.0</modelVersion><groupId>sluice</groupId><artifactId>kafka</artifactId><version>1</version>';
  await writeFile(join(folder, 'pom.xml'), `<project>${own}<dependencies>${dependency}</dependencies></project>`);
  const made = spawnSync('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=jars'], { cwd: folder, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`no Kafka broker: ${await absent()} ${made.stdout ?? ''} ${made.stderr ?? ''}`);
  await rename(join(folder, 'jars'), jars).catch(async (error: unknown) => {
    if (!(await hasJars())) throw error;
  });
  await rm(folder, { recursive: true, force: true });
  return jars;
}

export interface KafkaOptions {
  /** Port that the clients of the third listener are told to come to: that of a proxy. */
  readonly proxyPort?: number;
  /** Lines for `server.properties`. */
  readonly properties?: readonly string[];
  /** Options of its JVM. */
  readonly java?: readonly string[];
}

export class KafkaBroker implements AsyncDisposable {
  readonly #folder: string;
  readonly #jars: string;
  readonly #ports: Ports;
  readonly #java: readonly string[];
  readonly #death = Promise.withResolvers<string>();
  #process: ChildProcess | null = null;

  private constructor(folder: string, jars: string, ports: Ports, java: readonly string[]) {
    this.#folder = folder;
    this.#jars = jars;
    this.#ports = ports;
    this.#java = java;
  }

  static async start(options: KafkaOptions = {}): Promise<KafkaBroker> {
    const jars = await fetchJars();
    const folder = await mkdtemp(join(tmpdir(), 'sluice-kafka-'));
    for (let tries = 1; ; tries += 1) {
      try {
        return await KafkaBroker.#startIn(folder, jars, options);
      } catch (error) {
        await rm(folder, { recursive: true, force: true });
        // A port that was free a moment ago.
        if (!/already in use/.test(String(error)) || tries === 3) throw error;
      }
    }
  }

  static async #startIn(folder: string, jars: string, options: KafkaOptions): Promise<KafkaBroker> {
    await mkdir(folder, { recursive: true });
    const [plain = 0, sasl = 0, hub = 0, controller = 0] = await freePorts(4);
    const broker = new KafkaBroker(folder, jars, { plain, sasl, hub, controller }, options.java ?? JAVA);
    await writeFile(join(folder, 'server.properties'), broker.#properties(options));
    const format = ['kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', 'server.properties'];
    const made = spawnSync('java', [...JAVA, '-cp', join(jars, '*'), ...format], { cwd: folder, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`the storage of the broker could not be made: ${made.stdout} ${made.stderr}`);
    await broker.restart();
    return broker;
  }

  /** Resolves, with how, when it ends although nobody here has told it to. */
  get death(): Promise<string> {
    return this.#death.promise;
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  /** `host:port` without a login. */
  get plain(): string {
    return `127.0.0.1:${this.#ports.plain}`;
  }

  /** `host:port`, for `$ConnectionString` and {@link CONNECTION_STRING}. */
  get sasl(): string {
    return `127.0.0.1:${this.#ports.sasl}`;
  }

  /** Where a proxy goes on to. */
  get behindProxy(): number {
    return this.#ports.hub;
  }

  async createTopic(topic: string, partitions: number, configs: Readonly<Record<string, string>> = {}): Promise<void> {
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [this.plain] });
    const given = Object.entries(configs).map(([name, value]) => ({ name, value }));
    await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: given });
    await knownAs(admin, topic, partitions);
    await admin.close();
  }

  async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [this.plain] });
    try {
      return await work(admin);
    } finally {
      await admin.close();
    }
  }

  /** As a power cut does; what was acknowledged is in its log all the same. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = null;
    if (process === null || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, 'exit');
    process.kill('SIGKILL');
    await ended;
  }

  /** Same folder, same ports. */
  async restart(): Promise<void> {
    await this.kill();
    const log = openSync(join(this.#folder, 'broker.log'), 'a');
    const child = spawn('java', [...this.#java, '-cp', join(this.#jars, '*'), 'kafka.Kafka', 'server.properties'], {
      cwd: this.#folder,
      stdio: ['ignore', log, log],
    });
    this.#process = child;
    child.once('exit', (code, signal) => {
      if (this.#process === child) this.#death.resolve(signal === null ? `it ended with ${code}` : `it was killed by ${signal}`);
    });
    await until(
      'the broker takes connections',
      async () => {
        if (child.exitCode !== null) throw new Error(`the broker ended: ${await readFile(join(this.#folder, 'broker.log'), 'utf8')}`);
        return await canConnect(this.#ports.plain);
      },
      READY_MS_MAX,
    );
    await until('the broker answers', async () => await this.#answers(), READY_MS_MAX);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    try {
      return await this.withAdmin(async (admin) => (await admin.listTopics()).length >= 0);
    } catch {
      return false;
    }
  }

  #properties({ proxyPort, properties = [] }: KafkaOptions): string {
    const { plain, sasl, hub, controller } = this.#ports;
    const at = (port: number): string => `127.0.0.1:${port}`;
    const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
    const jaas = `${login} user_$ConnectionString="${CONNECTION_STRING}";`;
    return [
      'process.roles=broker,controller',
      'node.id=1',
      `controller.quorum.voters=1@${at(controller)}`,
      `listeners=PLAIN://${at(plain)},SASL://${at(sasl)},HUB://${at(hub)},CTRL://${at(controller)}`,
      `advertised.listeners=PLAIN://${at(plain)},SASL://${at(sasl)},HUB://${at(proxyPort ?? hub)}`,
      'listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,HUB:SASL_PLAINTEXT,CTRL:PLAINTEXT',
      'inter.broker.listener.name=PLAIN',
      'controller.listener.names=CTRL',
      'sasl.enabled.mechanisms=PLAIN',
      'listener.name.sasl.sasl.enabled.mechanisms=PLAIN,OAUTHBEARER',
      // It takes tokens that nobody has signed.
      `listener.name.sasl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
      `listener.name.sasl.plain.sasl.jaas.config=${jaas}`,
      `listener.name.hub.plain.sasl.jaas.config=${jaas}`,
      'log.dirs=data',
      'message.max.bytes=1048576',
      'auto.create.topics.enable=false',
      'offsets.topic.num.partitions=1',
      'offsets.topic.replication.factor=1',
      'transaction.state.log.replication.factor=1',
      'transaction.state.log.min.isr=1',
      'share.coordinator.state.topic.replication.factor=1',
      'share.coordinator.state.topic.min.isr=1',
      'group.initial.rebalance.delay.ms=0',
      'log.retention.check.interval.ms=500',
      ...properties,
      '',
    ].join('\n');
  }
}

interface Ports {
  readonly plain: number;
  readonly sasl: number;
  readonly hub: number;
  readonly controller: number;
}

/** The controller has it before the broker tells others of it. */
export async function knownAs(admin: Admin, topic: string, partitions: number): Promise<void> {
  await until(`the broker knows ${topic}`, async () => {
    const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true }).catch(() => ({ topics: null }));
    return topics?.get(topic)?.partitionsCount === partitions;
  });
}

async function canConnect(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.on('connect', () => end(true)).on('error', () => end(false));
  });
}
