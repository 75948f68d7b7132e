import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient, type ChangeStreamDocument } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { until } from '../../../test/e2e/until.ts';
import { systemClock } from '../../core/clock.ts';
import { MONGOD_FAILED } from '../../core/errors.ts';
import { silentLog } from '../../ops/log.ts';
import { jumpTo, startMongo } from '../../../test/mongo.ts';
import { findMongod } from './mongod.ts';
import { startReplicaSet, type ReplicaSet } from './replica-set.ts';
import { ServerProcess } from './server-process.ts';

const signal = new AbortController().signal;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

describe('a replica set of one', () => {
  let set: ReplicaSet;

  beforeAll(async () => {
    set = await startMongo();
  });
  afterAll(async () => await set.stop());

  it('takes writes at once, and its failpoints can be set', async () => {
    const client = await set.connect();
    await client.db('a').collection('b').insertOne({ x: 1 });
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
    await until('it has a primary', async () => (await set.primary()) === 0);
    expect(set.uri).toBe(`mongodb://127.0.0.1:${set.ports[0]}/?replicaSet=rs0`);
  });

  it('comes back on its port and with its data after a kill', async () => {
    const client = await set.connect();
    await client.db('a').collection<{ _id: string }>('kept').insertOne({ _id: 'mine' });
    const [pid = 0] = set.pids;
    const ports = [...set.ports];
    await set.kill(0, 'SIGKILL');
    expect([isAlive(pid), set.pids, await set.primary()]).toEqual([false, [0], null]);
    await set.restart(0, signal);
    await set.waitForPrimary(signal);
    expect(set.ports).toEqual(ports);
    expect(set.pids[0]).not.toBe(pid);
    expect(await client.db('a').collection<{ _id: string }>('kept').findOne({ _id: 'mine' })).toEqual({ _id: 'mine' });
  });

  it('moves its cluster time forward, and its change stream shows it', async () => {
    const client = await set.connect();
    const hour = Math.floor(Date.now() / 3_600_000) * 3600;
    await using stream = client.db('a').watch();
    const times: number[] = [];
    // The cursor exists on the server once the first read has come back.
    await stream.tryNext();
    for (const ahead of [1, 2, 30 * 24]) {
      await jumpTo(client, hour + ahead * 3600);
      await client.db('a').collection('later').insertOne({ ahead });
      const event = (await stream.next()) as ChangeStreamDocument & { clusterTime: { t: number } };
      times.push(event.clusterTime.t);
    }
    expect(times.map((t) => Math.floor((t - hour) / 3600))).toEqual([1, 2, 30 * 24]);
  });

  it('refuses to go further ahead than a year', async () => {
    const client = await set.connect();
    await expect(jumpTo(client, Math.floor(Date.now() / 1000) + 400 * 86_400)).rejects.toThrow(/maxAcceptableLogicalClockDriftSecs|too far/i);
  });
});

describe('a set that stops', () => {
  it('leaves no process and no folder, and closes the clients it gave out', async () => {
    const set = await startMongo();
    const client = await set.connect();
    const [pid = 0] = set.pids;
    expect([isAlive(pid), await exists(set.dir)]).toEqual([true, true]);
    await Promise.all([set.stop(), set.stop()]);
    expect([isAlive(pid), await exists(set.dir)]).toEqual([false, false]);
    await expect(client.db('a').collection('b').insertOne({ x: 1 }, { timeoutMS: 500 })).rejects.toThrow();
  });

  it('keeps a folder that was named, and does not start in one that was used', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-kept-'));
    try {
      await (await startMongo({ dir })).stop();
      expect(await readdir(dir)).toEqual(expect.arrayContaining(['member-0', 'member-0.log']));
      await expect(startMongo({ dir })).rejects.toMatchObject({ kind: MONGOD_FAILED });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('a process that has started a set', () => {
  /** It leads a process group of its own, as a command does that is typed on a terminal, and shrugs at Ctrl-C. */
  async function startElsewhere(): Promise<{ ours: ChildProcess; pid: number; dir: string }> {
    const script = `
      import { startMongo } from ${JSON.stringify(new URL('../../../test/mongo.ts', import.meta.url).href)};
      process.on('SIGINT', () => console.log('interrupted'));
      const set = await startMongo();
      console.log(JSON.stringify({ pid: set.pids[0], dir: set.dir }));
    `;
    const ours = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    const [line] = (await once(ours.stdout, 'data')) as [Buffer];
    return { ours, ...(JSON.parse(line.toString()) as { pid: number; dir: string }) };
  }

  it('takes it along when it is killed, data and all', async () => {
    const { ours, pid, dir } = await startElsewhere();
    expect([isAlive(pid), await exists(dir)]).toEqual([true, true]);
    ours.kill('SIGKILL');
    await until('the server has ended', () => !isAlive(pid));
    await until('its folder is gone', async () => !(await exists(dir)));
  });

  it('decides itself what Ctrl-C means', async () => {
    const { ours, pid, dir } = await startElsewhere();
    if (ours.stdout === null || ours.pid === undefined) throw new Error('it has not started');
    process.kill(-ours.pid, 'SIGINT');
    const [line] = (await once(ours.stdout, 'data')) as [Buffer];
    expect(line.toString()).toBe('interrupted\n');
    // A server that had got the signal would be gone by then.
    await systemClock.sleep(1000);
    expect(isAlive(pid)).toBe(true);
    ours.kill('SIGKILL');
    await until('its folder is gone', async () => !(await exists(dir)));
  });
});

describe('a start that fails', () => {
  it('says what mongod said, and leaves nothing', async () => {
    // Other tests have folders in the usual place at the same time.
    const own = await mkdtemp(join(tmpdir(), 'sluice-alone-'));
    vi.stubEnv('TMPDIR', own);
    try {
      await expect(startMongo({ args: ['--nonsense'] })).rejects.toMatchObject({
        kind: MONGOD_FAILED,
        message: expect.stringContaining("unrecognised option '--nonsense'"),
      });
      expect(await readdir(own)).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
      await rm(own, { recursive: true, force: true });
    }
  });

  it('is told from a port that somebody else was faster to take', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-port-'));
    const other = createServer().listen(0, '127.0.0.1');
    try {
      await once(other, 'listening');
      const mongod = await findMongod({ onProgress: () => undefined, signal, log: silentLog });
      const { port } = other.address() as AddressInfo;
      const start = { mongod, port, args: ['--dbpath', dir, '--nounixsocket'], logPath: join(dir, 'log'), removeOnDeath: null };
      expect(await ServerProcess.start(start, signal)).toBeNull();
    } finally {
      other.close();
      await rm(dir, { recursive: true });
    }
  });

  it('ends with the reason of the signal', async () => {
    const mongod = await findMongod({ onProgress: () => undefined, signal, log: silentLog });
    const enough = new AbortController();
    const started = startReplicaSet({ mongod, signal: enough.signal });
    const reason = new Error('enough');
    void systemClock.sleep(100).then(() => enough.abort(reason));
    await expect(started).rejects.toBe(reason);
  });
});

describe('access control', () => {
  it('lets in the user that was named, with whatever characters, and nobody else', async () => {
    const auth = { user: 'ad:min', password: 'p@ss/w%rd' };
    await using set = await startMongo({ auth });
    await (await set.connect()).db('shop').collection('orders').insertOne({ x: 1 });
    await using nobody = await new MongoClient(set.uriFor(null)).connect();
    await expect(nobody.db('shop').collection('orders').findOne()).rejects.toMatchObject({ code: 13 });
    await expect(new MongoClient(set.uriFor({ ...auth, password: 'wrong' })).connect()).rejects.toMatchObject({ code: 18 });

    await using reader = await new MongoClient(await set.addUser('reader', 'secret', [{ role: 'read', db: 'shop' }])).connect();
    expect(await reader.db('shop').collection('orders').countDocuments()).toBe(1);
    await expect(reader.db('shop').collection('orders').insertOne({ x: 2 })).rejects.toMatchObject({ code: 13 });
    await expect(reader.db('other').collection('x').findOne()).rejects.toMatchObject({ code: 13 });
  });
});

describe('a standalone server', () => {
  it('has no change streams', async () => {
    await using set = await startMongo({ standalone: true });
    const client = await set.connect();
    await client.db('a').collection('b').insertOne({ x: 1 });
    expect(await client.db('admin').command({ hello: 1 })).not.toHaveProperty('setName');
    await expect(client.db('a').watch().next()).rejects.toMatchObject({ code: 40573 });
  });
});

describe('a replica set of three', () => {
  it('has a primary, and elects another when that is killed', async () => {
    await using set = await startMongo({ members: 3 });
    const client = await set.connect();
    const orders = client.db('shop').collection('orders', { writeConcern: { w: 'majority' } });
    await orders.insertOne({ x: 1 });
    const first = await set.waitForPrimary(signal);
    await set.kill(first, 'SIGKILL');
    const second = await set.waitForPrimary(signal);
    expect(second).not.toBe(first);
    await orders.insertOne({ x: 2 });
    expect(await orders.countDocuments()).toBe(2);
    await set.restart(first, signal);
    expect(set.pids.every(isAlive)).toBe(true);
  });
});

describe('the newer server', () => {
  it('splits large events', async () => {
    await using set = await startMongo({ wanted: '6.0.27' });
    const client = await set.connect();
    const stream = client
      .db('a')
      .watch([{ $changeStreamSplitLargeEvent: {} }], { fullDocumentBeforeChange: 'whenAvailable', fullDocument: 'updateLookup' });
    await stream.tryNext();
    const big = client.db('a').collection<{ _id: number; text: string }>('big');
    await client.db('a').createCollection('big', { changeStreamPreAndPostImages: { enabled: true } });
    await big.insertOne({ _id: 1, text: 'x'.repeat(9 << 20) });
    await big.updateOne({ _id: 1 }, { $set: { text: 'y'.repeat(9 << 20) } });
    await stream.next();
    expect(await stream.next()).toMatchObject({ splitEvent: { fragment: 1 } });
    await stream.close();
  });
});
