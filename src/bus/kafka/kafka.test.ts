/**
 * The contract of a bus on a real Kafka broker: plain, with a login, and through a proxy that behaves as Event Hubs does.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EventHubsProxy } from '../../../test/fakes/event-hubs-proxy.ts';
import { CONNECTION_STRING, KafkaBroker, whyNoKafka } from '../../../test/kafka.ts';
import { until } from '../../../test/e2e/until.ts';
import type { BusMessage, BusRecord } from '../../core/bus.ts';
import { systemClock } from '../../core/clock.ts';
import { BUS_DENIED, BUS_OFFSET_GONE, BUS_TOO_LARGE, BUS_TOPIC, BUS_UNAVAILABLE } from '../../core/errors.ts';
import { MessageBatch } from '../../core/message-batch.ts';
import { silentLog, type Logger } from '../../ops/log.ts';
import type { BusLogin } from './connection.ts';
import { KafkaBus } from './kafka.ts';

const absent = await whyNoKafka();
const never = new AbortController().signal;
/** After which the broker ends a connection that has not logged in anew; it takes a login no more often than once a second. */
const LOGIN_MS = 1_500;
const LOGIN: BusLogin = { kind: 'connectionString', value: CONNECTION_STRING };

function message(text: string, bytes = 0): BusMessage {
  return { key: 'k', value: Buffer.from(text.padEnd(bytes, '.')), headers: { position: text } };
}

describe.skipIf(absent !== null)('a topic', () => {
  let broker: KafkaBroker;
  let proxy: EventHubsProxy;
  const open: KafkaBus[] = [];
  let topics = 0;

  beforeAll(async () => {
    proxy = await EventHubsProxy.listen();
    const properties = [`listener.name.sasl.plain.connections.max.reauth.ms=${LOGIN_MS}`];
    broker = await KafkaBroker.start({ proxyPort: proxy.port, properties });
    await proxy.to(broker.behindProxy);
  });
  afterEach(async () => {
    proxy.throttleMs = 0;
    for (const bus of open.splice(0)) await bus[Symbol.asyncDispose]();
  });
  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  async function topic(partitions = 1, configs: Readonly<Record<string, string>> = {}): Promise<string> {
    topics += 1;
    await broker.createTopic(`t${topics}`, partitions, configs);
    return `t${topics}`;
  }

  function bus(topic: string, at = broker.plain, login: BusLogin = { kind: 'none' }, requestMsMax = 10_000): KafkaBus {
    const made = new KafkaBus(
      { url: `kafka://${at}/${topic}`, login, token: () => Promise.reject(new Error('no token')), requestMsMax },
      systemClock,
      silentLog,
    );
    open.push(made);
    return made;
  }

  const hub = (topic: string, requestMsMax?: number): KafkaBus => bus(topic, `127.0.0.1:${proxy.port}`, LOGIN, requestMsMax);

  /** All of a partition, as it comes. */
  async function readAll(from: KafkaBus, partition: number, count: number): Promise<string[]> {
    await using reader = from.reader(partition);
    const records: BusRecord[] = [];
    for (let next = 0n; records.length < count;) {
      const read = await reader.read(next, never);
      records.push(...read.records);
      ({ next } = read);
    }
    return records.map((record) => record.header('position') ?? '');
  }

  it.each(['plain', 'with a login', 'as Event Hubs'])('gives what was sent, in order, by partition: %s', async (how) => {
    const name = await topic(3);
    const made = how === 'plain' ? bus(name) : how === 'with a login' ? bus(name, broker.sasl, LOGIN) : hub(name);
    expect(await made.partitions(never)).toBe(3);
    const sent = Array.from({ length: 500 }, (_, i) => String(i));
    await Promise.all([0, 2].map(async (partition) => {
      for (let at = 0; at < sent.length; at += 100) await made.send(partition, MessageBatch.of(sent.slice(at, at + 100).map((text) => message(text, 2000))), never);
    })); // prettier-ignore
    expect(await readAll(made, 0, 500)).toEqual(sent);
    expect(await readAll(made, 2, 500)).toEqual(sent);
    expect(await made.ranges(never)).toEqual([500n, 0n, 500n].map((next) => ({ first: 0n, next })));
  });

  it('takes the token of an identity, for the broker that it is to be shown to', async () => {
    const name = await topic();
    const scopes: string[] = [];
    const part = (content: object): string => Buffer.from(JSON.stringify(content)).toString('base64url');
    const token = async (scope: string): Promise<string> => {
      scopes.push(scope);
      const now = Math.floor(Date.now() / 1000);
      return `${part({ alg: 'none' })}.${part({ sub: 'sluice', scope: '', iat: now, exp: now + 3600 })}.`;
    };
    await using made = new KafkaBus({ url: `kafka://${broker.sasl}/${name}`, login: { kind: 'managedIdentity' }, token }, systemClock, silentLog);
    await made.send(0, MessageBatch.of([message('1')]), never);
    expect(await readAll(made, 0, 1)).toEqual(['1']);
    expect(new Set(scopes)).toEqual(new Set(['https://127.0.0.1/.default']));
    await using refused = new KafkaBus(
      { url: `kafka://${broker.sasl}/${name}`, login: { kind: 'azureCli' }, token: () => Promise.reject(new Error('nobody is logged in')) },
      systemClock,
      silentLog,
    );
    await expect(refused.partitions(never)).rejects.toMatchObject({ kind: BUS_DENIED });
  });

  it('is sent to and read while the connections log in anew', async () => {
    const name = await topic();
    const made = bus(name, broker.sasl, LOGIN);
    await using reader = made.reader(0);
    const [sent, read]: [string[], string[]] = [[], []];
    const begun = Date.now();
    for (let n = 0, next = 0n; Date.now() - begun < 2 * LOGIN_MS; n += 1) {
      sent.push(String(n));
      await made.send(0, MessageBatch.of([message(String(n), 200_000)]), never);
      const { records, next: after } = await reader.read(next, never);
      read.push(...records.map((record) => record.header('position')!));
      next = after;
    }
    expect(read).toEqual(sent);
  });

  it('is spoken to in versions that Event Hubs knows', async () => {
    expect(proxy.refused).toBe(0);
    expect([...proxy.versions.keys()]).toEqual(expect.arrayContaining([0, 1, 2, 3, 18, 22]));
  });

  it('that is not there is named', async () => {
    await expect(bus('nothing').partitions(never)).rejects.toMatchObject({ kind: BUS_TOPIC });
  });

  it('behind a login that is refused says so', async () => {
    const wrong = { kind: 'connectionString', value: 'Endpoint=sb://test/;SharedAccessKey=wrong' };
    await expect(bus('any', broker.sasl, wrong).partitions(never)).rejects.toMatchObject({ kind: BUS_DENIED });
  });

  it('on a broker that is away is told to be unavailable', async () => {
    await expect(bus('any', '127.0.0.1:1').partitions(never)).rejects.toMatchObject({ kind: BUS_UNAVAILABLE });
  });

  it('on a broker that is away is not said to have nothing: who reads waits, until a stop', async () => {
    const told = Promise.withResolvers<void>();
    const log = { ...silentLog, warn: () => told.resolve() } as unknown as Logger;
    await using away = new KafkaBus(
      { url: 'kafka://127.0.0.1:1/any', login: { kind: 'none' }, token: () => Promise.reject(new Error('no token')) },
      systemClock,
      log,
    );
    await using reader = away.reader(0);
    const stop = new AbortController();
    const reading = reader.read(0n, stop.signal);
    await Promise.race([told.promise, reading]);
    stop.abort(new Error('stopped'));
    await expect(reading).rejects.toThrow('stopped');
  });

  it('refuses a message that is too large, and Event Hubs closes the connection', async () => {
    const name = await topic();
    const [large, fitting] = [message('large', 1_100_000), message('fitting', 890_000)];
    await expect(bus(name).send(0, MessageBatch.of([large]), never)).rejects.toMatchObject({ kind: BUS_TOO_LARGE });
    const made = hub(name);
    await expect(made.send(0, MessageBatch.of([large]), never)).rejects.toMatchObject({ kind: BUS_UNAVAILABLE });
    await made.send(0, MessageBatch.of([fitting]), never);
    expect(await readAll(made, 0, 1)).toEqual(['fitting']);
  });

  it('that has forgotten an offset says so, at its beginning and beyond its end', async () => {
    const name = await topic();
    const made = bus(name);
    await made.send(0, MessageBatch.of([message('1'), message('2'), message('3')]), never);
    await broker.withAdmin(async (admin) => await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: 0, offset: 2n }] }] }));
    await using reader = made.reader(0);
    await expect(reader.read(1n, never)).rejects.toMatchObject({ kind: BUS_OFFSET_GONE });
    await expect(reader.read(9n, never)).rejects.toMatchObject({ kind: BUS_OFFSET_GONE });
    expect((await reader.read(2n, never)).records.map((record) => record.offset)).toEqual([2n]);
    expect(await made.ranges(never)).toEqual([{ first: 2n, next: 3n }]);
  });

  it('whose connections carry nothing any more is reached over new ones', async () => {
    const name = await topic();
    const made = hub(name, 3_000);
    await using reader = made.reader(0);
    await made.send(0, MessageBatch.of([message('before')]), never);
    await until('it is read', async () => (await reader.read(0n, never)).records.length > 0);
    expect(proxy.blackHole()).toBeGreaterThan(1);
    await until('a message gets through', async () => await made.send(0, MessageBatch.of([message('after')]), never).then(() => true, () => false)); // prettier-ignore
    // Once or twice: what was sent before its connection was given up may have arrived.
    let next = 0n;
    await until('it is read', async () => {
      const read = await reader.read(next, never);
      ({ next } = read);
      return read.records.some((record) => record.header('position') === 'after');
    });
  });

  it('that is throttled is waited for', async () => {
    const name = await topic();
    const made = hub(name);
    proxy.throttleMs = 300;
    for (const text of ['1', '2', '3']) await made.send(0, MessageBatch.of([message(text)]), never);
    expect(await readAll(made, 0, 3)).toEqual(['1', '2', '3']);
  });

  it('has no member that was stopped while it joined', async () => {
    const name = await topic(2);
    const other = bus(name);
    let isSlow = false;
    for (let n = 0; n < 3; n += 1) {
      const sinceMs = systemClock.now();
      const stop = new AbortController();
      const joining = other.join('stopped', () => {}, stop.signal);
      await systemClock.sleep(n * 5);
      stop.abort(new Error('stopped'));
      await joining.then(
        (membership) => membership[Symbol.asyncDispose](),
        () => {},
      );
      isSlow ||= systemClock.now() - sinceMs > 2_500;
    }
    const members = async (): Promise<number> =>
      await broker.withAdmin(async (admin) => (await admin.describeGroups({ groups: ['stopped'] })).get('stopped')?.members.size ?? 0);
    // Where the broker takes longer to answer than a stop may take, it notices the silence by itself.
    await until('none is left', async () => (await members()) === 0, isSlow ? 60_000 : 1_000);
  });

  it('is shared by the members of a group, also after one has gone and after the broker was away', async () => {
    const name = await topic(4);
    const made = bus(name);
    const ours: number[][] = [[], []];
    const join = async (n: number) => await made.join('g', (partitions) => void (ours[n] = [...partitions]), never);
    await using first = await join(0);
    await until('one has all', () => ours[0]!.length === 4);
    const second = await join(1);
    await until('each has two', () => ours[0]!.length === 2 && ours[1]!.length === 2);
    expect(new Set([...ours[0]!, ...ours[1]!])).toEqual(new Set([0, 1, 2, 3]));
    await second[Symbol.asyncDispose]();
    await until('the other has all again', () => ours[0]!.length === 4);
    await broker.restart();
    const third = await join(1);
    await until('they share again', () => ours[0]!.length === 2 && ours[1]!.length === 2, 60_000);
    first.commit(0, 0n);
    await third[Symbol.asyncDispose]();
  });
});
