/**
 * Both ways to have a cursor's replies, held to one contract on a real server; and the ways to log in that the exhaust
 * cursor's own connection has to come through.
 */
import { fileURLToPath } from 'node:url';
import { MongoClient, MongoServerError, type Document } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { until } from '../../../test/e2e/until.ts';
import { startMongo } from '../../../test/mongo.ts';
import type { ReplicaSet } from '../../app/demo/replica-set.ts';
import { canTakeConnection, takeConnection } from './connection.ts';
import { ExhaustCursor } from './exhaust-cursor.ts';
import { LineEncoder } from './encode/line.ts';
import { encodeReply } from './encode/reply.ts';
import { RawCursor, changeStreamOf } from './raw-cursor.ts';
import { judge } from './server-errors.ts';
import { planStream } from './stream-plan.ts';
import { Wire } from './wire.ts';

const never = new AbortController().signal;
const plan = (include: readonly string[]) => planStream({ include, exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off' });
const SILENCE_MS = 60_000;
const open: Replies[] = [];

afterEach(async () => {
  for (const cursor of open.splice(0)) await cursor.close();
});

/** A cursor as the source reads it: the next reply is on its way before this one is looked at. */
class Replies {
  readonly #cursor: RawCursor | ExhaustCursor;
  readonly #signal: AbortSignal;
  #next: Promise<Uint8Array | null>;

  constructor(cursor: RawCursor | ExhaustCursor, signal: AbortSignal) {
    this.#cursor = cursor;
    this.#signal = signal;
    this.#next = Promise.resolve(cursor.reply);
  }

  async next(): Promise<Uint8Array | null> {
    const reply = await this.#next;
    this.#next = reply === null ? Promise.resolve(null) : this.#cursor.more(reply, this.#signal);
    this.#next.catch(() => {});
    return reply;
  }

  close(): Promise<void> {
    return this.#cursor.close();
  }
}

async function openStream(
  kind: 'driver' | 'exhaust',
  client: MongoClient,
  include = ['shop.*'],
  start: Document = {},
  signal = never,
): Promise<Replies> {
  const of = plan(include);
  const pipeline = [{ $changeStream: { ...of.changeStream, ...start } }];
  const cursor =
    kind === 'driver'
      ? await RawCursor.open(client, of, changeStreamOf(of, pipeline), SILENCE_MS)
      : await ExhaustCursor.open(client, of, changeStreamOf(of, pipeline), SILENCE_MS, signal);
  const replies = new Replies(cursor, signal);
  open.push(replies);
  return replies;
}

/** `n` of the documents of the next `count` events. */
async function numbers(cursor: Replies, count: number): Promise<number[]> {
  const encoder = new LineEncoder({ json: 'relaxed', maxLineBytes: 1e8, database: 'shop', collection: null });
  const found: number[] = [];
  while (found.length < count) {
    const reply = await cursor.next();
    if (reply === null) throw new Error(`ended after ${found.length} events`);
    const { events } = encodeReply(reply, encoder);
    const text = events.lines.toString('utf8', 0, events.ends[events.count - 1] ?? 0);
    for (const line of text.split('\n').slice(0, -1)) {
      const { fullDocument } = JSON.parse(line) as { fullDocument?: { n: number } };
      if (fullDocument !== undefined) found.push(fullDocument.n);
    }
  }
  return found;
}

describe.each(['driver', 'exhaust'] as const)('a cursor of the kind %s', (kind) => {
  let set: ReplicaSet;
  let client: MongoClient;
  const orders = () => client.db('shop').collection('orders');

  beforeAll(async () => {
    set = await startMongo();
    client = await set.connect({ appName: 'sluice' });
    await client.db('shop').createCollection('orders');
  });
  afterAll(() => set.stop());
  afterEach(async () => await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' }));

  it('gives every event once, in order, while they are written and when there are many', async () => {
    const cursor = await openStream(kind, client);
    const all = Array.from({ length: 25_000 }, (_, n) => n);
    const writing = (async () => {
      for (let from = 0; from < all.length; from += 5_000)
        await orders().insertMany(all.slice(from, from + 5_000).map((n) => ({ n, pad: 'x'.repeat(300) })));
    })();
    expect(await numbers(cursor, all.length)).toEqual(all);
    await writing;
  });

  it('says something again and again while nothing happens', async () => {
    const cursor = await openStream(kind, client);
    for (let n = 0; n < 3; n += 1) expect(await cursor.next()).not.toBeNull();
    await orders().insertOne({ n: 7 });
    expect(await numbers(cursor, 1)).toEqual([7]);
  });

  it('ends with the signal, also while it waits', async () => {
    const stop = new AbortController();
    const cursor = await openStream(kind, client, ['shop.*'], {}, stop.signal);
    await cursor.next();
    const waiting = cursor.next();
    stop.abort(new Error('stop'));
    expect(await waiting).toBeNull();
    if (kind === 'exhaust') await expect(openStream(kind, client, ['shop.*'], {}, stop.signal)).rejects.toThrow('stop');
  });

  it('ends when the server closes it', async () => {
    await client.db('shop').createCollection('gone');
    const cursor = await openStream(kind, client, ['shop.gone']);
    await client.db('shop').dropCollection('gone');
    const replies = [];
    for (let reply = await cursor.next(); reply !== null; reply = await cursor.next()) replies.push(reply);
    expect(Buffer.from(replies.at(-1)!).includes('invalidate')).toBe(true);
    expect(await cursor.next()).toBeNull();
  });

  it('tells what the server says when it cannot be opened', async () => {
    await expect(openStream(kind, client, ['shop.*'], { startAfter: { _data: '82' } })).rejects.toThrow(MongoServerError);
    await expect(openStream(kind, client, ['shop.*'], { nonsense: 1 })).rejects.toMatchObject({ code: 40415 });
  });

  it('tells what the server says in the middle', async () => {
    const cursor = await openStream(kind, client);
    await cursor.next();
    await client.db('admin').command({
      configureFailPoint: 'failCommand',
      mode: { times: 3 },
      data: { failCommands: ['getMore'], errorCode: 136, appName: 'sluice' },
    });
    const failed = (async () => {
      while ((await cursor.next()) !== null);
    })();
    await expect(failed).rejects.toMatchObject({ code: 136 });
  });

  it('that the server has killed is to be opened again', async () => {
    const cursor = await openStream(kind, client);
    await cursor.next();
    let over = false;
    const failed = (async () => {
      while ((await cursor.next()) !== null);
    })()
      .catch((error: unknown) => error)
      .finally(() => (over = true));
    // One that a getMore is about to take is neither idle nor an operation yet, and is not listed.
    await until('it is killed', async () => {
      const ops = await client
        .db('admin')
        .aggregate([{ $currentOp: { idleCursors: true } }, { $match: { 'cursor.originatingCommand.aggregate': 1 } }])
        .toArray();
      for (const op of ops)
        await client
          .db('shop')
          .command({ killCursors: '$cmd.aggregate', cursors: [op['cursor'].cursorId] })
          .catch(() => {});
      return over;
    });
    expect(judge(await failed).do).toBe('resume');
  });

  it('leaves no cursor behind on the server', async () => {
    const cursors = async (): Promise<number> => {
      const status = await client.db('admin').command({ serverStatus: 1 });
      return (status['metrics'] as { cursor: { open: { total: unknown } } }).cursor.open.total as number;
    };
    const before = await cursors();
    for (let n = 0; n < 5; n += 1) {
      const cursor = await openStream(kind, client);
      await cursor.next();
      await cursor.close();
    }
    for (let tries = 0; (await cursors()) > before && tries < 400; tries += 1) await new Promise((resolve) => setTimeout(resolve, 25));
    expect(await cursors()).toBeLessThanOrEqual(before);
  });
});

describe('an exhaust cursor', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  beforeAll(async () => {
    set = await startMongo();
    client = await set.connect({ maxPoolSize: 2 });
  });
  afterAll(() => set.stop());

  it('is answered without asking again', async () => {
    const send = vi.spyOn(Wire.prototype, 'send');
    try {
      const cursor = await openStream('exhaust', client);
      await client
        .db('shop')
        .collection('orders')
        .insertMany(Array.from({ length: 20_000 }, (_, n) => ({ n })));
      expect(await numbers(cursor, 20_000)).toHaveLength(20_000);
      expect(send.mock.calls.map(([command, exhaust]) => [Object.keys(command)[0], exhaust])).toEqual([
        ['aggregate', false],
        ['getMore', true],
      ]);
    } finally {
      send.mockRestore();
    }
  });

  it('gives its connection back, so that a small pool does not run dry', async () => {
    for (let n = 0; n < 10; n += 1) {
      const cursor = await openStream('exhaust', client);
      await cursor.next();
      await cursor.close();
    }
    expect(await client.db('admin').command({ ping: 1 })).toMatchObject({ ok: 1 });
  });

  it('is not tried where it cannot be: one connection for all, or a driver with another inside', async () => {
    expect(canTakeConnection(client)).toBe(true);
    await using one = await new MongoClient(set.uri, { maxPoolSize: 1 }).connect();
    expect(canTakeConnection(one)).toBe(false);
    expect(canTakeConnection({ options: {}, topology: { selectServer: 1 } } as unknown as MongoClient)).toBe(false);
    const unconnected = new MongoClient(set.uri);
    await expect(takeConnection(unconnected, never)).rejects.toThrow('not connected');
  });

  it('ends when its server is no longer the one to read from', async () => {
    const cursor = await openStream('exhaust', client);
    await cursor.next();
    await client.db('admin').command({ replSetStepDown: 1, secondaryCatchUpPeriodSecs: 0, force: true });
    const failed = (async () => {
      while ((await cursor.next()) !== null);
    })().catch((error: unknown) => error);
    expect(judge(await failed).do).toBe('resume');
    await set.waitForPrimary(AbortSignal.timeout(30_000));
  });
});

describe('an exhaust cursor comes through', () => {
  const tls = (name: string): string => fileURLToPath(new URL(`../../../test/fixtures/tls/${name}.pem`, import.meta.url));
  let set: ReplicaSet;
  beforeAll(async () => {
    set = await startMongo({
      auth: { user: 'root', password: 'p@ss/word' },
      args: ['--tlsMode', 'allowTLS', '--tlsCertificateKeyFile', tls('server'), '--tlsCAFile', tls('ca'), '--tlsAllowConnectionsWithoutCertificates'],
    });
    const admin = await set.connect();
    await admin.db('$external').command({ createUser: 'CN=client,OU=client,O=sluice tests', roles: [{ role: 'readAnyDatabase', db: 'admin' }] });
    await admin.db('admin').command({ createUser: 'old', pwd: 'pw', roles: ['readAnyDatabase'], mechanisms: ['SCRAM-SHA-1'] });
  });
  afterAll(() => set.stop());

  const query = (uri: string, more: string): string => `${uri}&${more}`;
  it.each<[string, () => string]>([
    ['a login with a password', () => set.uri],
    ['SCRAM-SHA-1', () => query(set.uriFor({ user: 'old', password: 'pw' }), 'authMechanism=SCRAM-SHA-1')],
    ['TLS', () => query(set.uri, `tls=true&tlsCAFile=${encodeURIComponent(tls('ca'))}`)],
    [
      'TLS with a certificate as the login (X.509)',
      () =>
        query(
          set.uriFor(null),
          `tls=true&tlsCAFile=${encodeURIComponent(tls('ca'))}&tlsCertificateKeyFile=${encodeURIComponent(tls('client'))}&authMechanism=MONGODB-X509&authSource=%24external`,
        ),
    ],
    ['a direct connection', () => query(set.uri.replace('replicaSet=rs0', 'directConnection=true'), 'appName=x')],
    ['another read preference', () => query(set.uri, 'readPreference=secondaryPreferred')],
    ['an API version', () => set.uri],
  ])('%s', async (name, uri) => {
    await using client = await new MongoClient(uri(), name === 'an API version' ? { serverApi: { version: '1' } } : {}).connect();
    const cursor = await openStream('exhaust', client);
    await cursor.next();
    const admin = await set.connect();
    await admin
      .db('shop')
      .collection('orders')
      .insertMany(Array.from({ length: 3_000 }, (_, n) => ({ n, pad: 'x'.repeat(2_000) })));
    expect(await numbers(cursor, 3_000)).toEqual(Array.from({ length: 3_000 }, (_, n) => n));
  });
});
