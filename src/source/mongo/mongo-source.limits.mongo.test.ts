/**
 * What ends, and how soon: a stop while the server says nothing, and an error that comes again whatever is done.
 */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { serialize } from 'bson';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startMongo } from '../../../test/mongo.ts';
import type { ReplicaSet } from '../../app/demo/replica-set.ts';
import { systemClock } from '../../core/clock.ts';
import { silentLog } from '../../ops/log.ts';
import { newStats } from '../../ops/stats.ts';
import { resumePointOf } from './encode/token.ts';
import { MongoSource } from './mongo-source.ts';

/** A stop has ten seconds in all. */
const STOP_MS_MAX = 3_000;
const OPTIONS = {
  include: ['shop.*'],
  exclude: [],
  match: {},
  fullDocument: 'off',
  fullDocumentBeforeChange: 'off',
  json: 'relaxed',
  maxLineBytes: 1e8,
  exhaust: true,
  unavailableAfterMs: 1e6,
} as const;
/** The server does not get as far as to look at it. */
const LONG_AGO = `82${'0'.repeat(16)}2B0229296E04`;
const never = new AbortController().signal;

function sourceOf(uri: string): MongoSource {
  return new MongoSource({ ...OPTIONS, uri }, systemClock, newStats(), silentLog);
}

/** Aborts `work` after a moment; how long it took from then on, its resources included, and how it ended. */
async function stopped(source: MongoSource, work: (signal: AbortSignal) => Promise<unknown>): Promise<{ ms: number; ended: string }> {
  const stop = new AbortController();
  const ends = work(stop.signal).then(
    () => 'in good order',
    (error: unknown) => String(error),
  );
  await systemClock.sleep(300);
  const begun = Date.now();
  stop.abort(new Error('stop'));
  const ended = await ends;
  await source[Symbol.asyncDispose]();
  return { ms: Date.now() - begun, ended };
}

describe('a server that takes connections and says nothing', () => {
  let server: Server;
  beforeAll(async () => {
    server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void server.close());

  it('does not hold up a stop', async () => {
    const source = sourceOf(`mongodb://127.0.0.1:${(server.address() as AddressInfo).port}/?serverSelectionTimeoutMS=20000&connectTimeoutMS=20000`);
    const { ms, ended } = await stopped(source, (signal) => source.open(signal));
    expect(ended).toBe('Error: stop');
    expect(ms).toBeLessThan(STOP_MS_MAX);
  });
});

describe('a replica set', () => {
  let set: ReplicaSet;
  const fail = async (data: Record<string, unknown>, mode: unknown = 'alwaysOn'): Promise<void> => {
    const client = await set.connect();
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode, data: { appName: 'sluice', ...data } });
  };

  beforeAll(async () => {
    set = await startMongo();
  });
  afterEach(() => fail({}, 'off'));
  afterAll(() => set.stop());

  it.each([
    ['a start is looked for', (source: MongoSource, signal: AbortSignal) => source.resolve({ kind: 'now' }, signal), 'Error: stop'],
    [
      'the stream is opened',
      async (source: MongoSource, signal: AbortSignal) => {
        for await (const _ of source.changes(resumePointOf(serialize({ _data: LONG_AGO })), signal));
      },
      'in good order',
    ],
  ])('that hangs while %s does not hold up a stop', async (_, work, how) => {
    const source = sourceOf(set.uri);
    await source.open(never);
    await fail({ failCommands: ['aggregate'], blockConnection: true, blockTimeMS: 5_000 }, { times: 1 });
    const { ms, ended } = await stopped(source, (signal) => work(source, signal));
    expect(ended).toBe(how);
    expect(ms).toBeLessThan(STOP_MS_MAX);
  });

  it('whose every reply is an error that nobody knows ends the stream, though it can be opened again each time', async () => {
    await using source = sourceOf(set.uri);
    await source.open(never);
    const start = await source.resolve({ kind: 'now' }, never);
    await fail({ failCommands: ['getMore'], errorCode: 96 });
    const read = async (): Promise<void> => {
      for await (const _ of source.changes(start, AbortSignal.timeout(25_000)));
    };
    await expect(read()).rejects.toMatchObject({ code: 'SLC-1299' });
  });
});
