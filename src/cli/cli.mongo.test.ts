import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../test/e2e/until.ts';
import { startMongo } from '../../test/mongo.ts';
import type { ReplicaSet } from '../app/demo/replica-set.ts';
import type { Check, PipelineStatus, VerifyReport } from '../app/types.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const PASSWORD = 'Very$ecret/word';

let set: ReplicaSet;
let client: MongoClient;
let cwd: string;
beforeAll(async () => {
  set = await startMongo({ auth: { user: 'root', password: PASSWORD } });
  client = await set.connect();
  await client.db('shop').createCollection('orders');
  cwd = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await set.stop();
  await rm(cwd, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const everything: string[] = [];
/** Those that have not ended: a test that fails must not leave one behind. */
const children = new Set<ChildProcess>();

function start(...args: string[]): ReturnType<typeof startWith> {
  return startWith({}, ...args);
}

function startWith(more: Readonly<Record<string, string>>, ...args: string[]): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const env = {
    PATH: process.env['PATH'],
    HOME: cwd,
    XDG_STATE_HOME: join(cwd, 'state'),
    SLUICE_HTTP__PORT: '0',
    SLUICE_LAKE__RETENTION__HOURS: '90d',
    ...more,
  };
  const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(child, 'close').then(([code]): Ended => {
    children.delete(child);
    everything.push(out, err);
    return { code: code as number | null, out, err };
  });
  return { child, ended, said: () => err };
}

const sluice = (...args: string[]): Promise<Ended> => start(...args).ended;

async function json<T>(...args: string[]): Promise<T> {
  const { out } = await sluice(...args, '--json');
  return JSON.parse(out) as T;
}

/** Open and sealed, so that the end of an hour makes no difference. */
async function partsOfOrders(): Promise<number> {
  const { collections } = await json<PipelineStatus>('status');
  const orders = collections.find((row) => row.namespace === 'shop.orders');
  return orders === undefined ? 0 : orders.partsOpen + orders.filesSealed;
}

describe('the way of a new user', () => {
  it('init tests the answers and writes the configuration', async () => {
    const { code, out } = await sluice('init', '--yes', '--pipeline', 'shop', '--include', 'shop.*', '--uri', set.uri);
    expect([code, out.split('\n')[0]]).toEqual([0, '✓ Wrote sluice.yaml and .env.']);
  });

  it('doctor finds everything fine', async () => {
    const { ok, checks } = await json<{ ok: boolean; checks: Check[] }>('doctor');
    expect(checks.filter((check) => check.outcome !== 'ok')).toEqual([]);
    expect(ok).toBe(true);
    expect(checks.map((check) => `${check.area} ${check.name}`)).toEqual(
      expect.arrayContaining(['source change stream', 'lake lock', 'lake delete', 'warehouse tables']),
    );
    expect((await readdir(join(cwd, 'lake', '_sluice', 'shop', 'doctor'))).filter((name) => name.endsWith('.jsonl'))).toEqual([]);
  });

  it('enable-images turns images on', async () => {
    expect((await sluice('enable-images')).code).toBe(2);
    expect(await json('enable-images', '--yes')).toEqual({ enabled: ['shop.orders'], already: [], impossible: [] });
  });

  it('run carries changes over, while other commands ask it; SIGTERM stops it with 0', async () => {
    const run = start('run');
    await until('the run owns the pipeline', () => run.said().includes('owner of the pipeline'));
    // `startAt: now` is settled with the first checkpoint; what is written before that is not captured.
    await until('the first checkpoint is saved', async () => (await json<PipelineStatus>('status')).position !== null);
    await client
      .db('shop')
      .collection<{ _id: string }>('orders')
      .insertMany(Array.from({ length: 20 }, (_, n) => ({ _id: `o${n}` })));
    await until('the events are durable', async () => (await partsOfOrders()) > 0);
    const standby = await sluice('run', '--no-wait');
    expect([standby.code, standby.err.includes('SLC-1106')]).toEqual([75, true]);
    const { files } = await json<{ files: readonly string[] }>('seal');
    // None where the hour has just ended: then they are sealed already.
    for (const file of files) expect(file).toContain('shop/orders/');
    expect((await sluice('load')).code).toBe(0);
    expect((await sluice('merge')).code).toBe(0);
    expect((await sluice('query', 'select count(*)::int as n from silver.shop__orders where is_current')).out).toBe('{"n":20}\n');
    expect(await json('discover', '--sample', '5')).toMatchObject({
      collections: [{ namespace: 'shop.orders', isNew: false, status: 'ACTIVE', sourceCount: 20, sampled: false }],
    });
    expect(await json('collections')).toMatchObject({ collections: [{ namespace: 'shop.orders', status: 'ACTIVE', sourceCount: 20 }] });
    expect((await sluice('schema', 'shop.orders')).out).toMatch(/^_id +string 20 +100 % +shop__orders +_id +VARCHAR +0$/m);
    expect((await sluice('query', 'select count(*)::int as n from gold.shop__orders')).out).toBe('{"n":20}\n');
    const tooEarly = await sluice('query', '--as-of', '2001-01-01', 'select key from shop__orders');
    expect([tooEarly.code, tooEarly.err]).toEqual([2, expect.stringMatching(/SLC-1340.*the history of shop\.orders begins at 20/)]);
    expect((await sluice('erase', 'shop.orders', '--key', 'o3', '--dry-run')).out).toMatch(/^shop\.orders: 1 document, .*\b1 line /);
    expect(await sluice('erase', 'shop.orders', '--key', 'o3')).toMatchObject({ code: 2, err: expect.stringContaining('SLC-1453') });
    expect((await json<PipelineStatus>('status')).state).toBe('running');
    expect((await sluice('pause', 'shop.orders')).out).toBe('Paused: shop.orders.\n');
    expect((await sluice('resume')).out).toContain('Resumed: shop.orders');
    expect((await sluice('pause', 'shop.nothing')).code).toBe(2);
    run.child.kill('SIGTERM');
    const { code, out } = await run.ended;
    expect([code, out]).toEqual([0, expect.stringMatching(/^Stopped: \d+ events written/)]);
    expect(await readdir(join(cwd, 'state', 'sluice', 'run'))).toEqual([]);
  });

  it('the same commands work when nothing runs, and verify proves that all is there', async () => {
    await client.db('shop').collection<{ _id: string }>('orders').deleteOne({ _id: 'o1' });
    const { code, out } = await sluice('run', '--until-idle', '0.5', '--json');
    expect([code, (JSON.parse(out) as { events: number }).events]).toEqual([0, 1]);
    expect((await json<PipelineStatus>('status')).collections.map((row) => row.namespace)).toContain('shop.orders');
    expect((await sluice('query', 'select count(*)::int as n from silver.shop__orders where is_current')).out).toBe('{"n":19}\n');
    const { at } = await json<{ at: string }>('query', 'select max(valid_from) as at from silver.shop__orders_history');
    expect((await sluice('query', '--as-of', at, 'select count(*)::int as n from shop__orders')).out).toBe('{"n":20}\n');
    expect((await sluice('query', '--as-of', 'yesterday', 'select 1')).err).toContain('It must be a time such as');
    const report = await json<VerifyReport>('verify');
    expect([report.ok, report.checks.map((check) => check.name)]).toEqual([true, ['lake', 'warehouse']]);
  });

  it('discover, collections and schema do, too', async () => {
    const shop = client.db('shop');
    await shop.createCollection('old');
    await shop.collection('old').insertMany([
      { a: 1, price: 1.5 },
      { a: 'x', price: 2, items: [{ sku: 's' }] },
    ]);
    await shop.createCollection('seen', { viewOn: 'orders', pipeline: [] });
    const found = await json<{ collections: unknown[]; leftOut: unknown[] }>('discover', '--sample', '10');
    expect(found.collections).toEqual([
      { namespace: 'shop.old', isNew: true, status: 'DISCOVERED', sourceCount: 2, sampled: true },
      { namespace: 'shop.orders', isNew: false, status: 'ACTIVE', sourceCount: 19, sampled: false },
    ]);
    expect(found.leftOut).toEqual([{ namespace: 'shop.seen', type: 'view' }]);
    expect((await sluice('collections')).out).toMatch(/^shop\.old +DISCOVERED +0 +2 /m);
    expect((await sluice('schema')).out).toMatch(/^shop\.old +1 +6 +0 /m);
    expect((await sluice('schema', 'shop.old', '--format', 'ddl')).out).toContain('  "price" DOUBLE');
    expect(JSON.parse((await sluice('schema', 'shop.old', '--format', 'json-schema')).out)).toMatchObject({
      bsonType: 'object',
      required: ['_id', 'a', 'price'],
      properties: { items: { bsonType: 'array', items: { properties: { sku: { bsonType: 'string' } } } } },
    });
    expect((await sluice('schema', 'diff', 'shop.old')).out).toBe('Versions 1 and 1 are the same.\n');
    expect(await json('schema', 'shop.orders', '--check')).toMatchObject({ version: 1, failedCasts: [{ column: '_id', documents: 0 }] });
    expect((await sluice('schema', 'shop.nothing')).code).toBe(2);
    expect((await sluice('schema', 'shop.old', '--revision', '7')).code).toBe(2);
    await shop.dropCollection('seen');
    await shop.dropCollection('old');
  });

  it('beside a run that captures alone, what needs the warehouse opens it itself', async () => {
    const run = start('run', '--role', 'capture');
    await until('the run owns the pipeline', () => run.said().includes('owner of the pipeline'));
    const sealed = await partsOfOrders();
    await client.db('shop').collection<{ _id: string }>('orders').insertOne({ _id: 'late' });
    await until('the event is durable', async () => (await partsOfOrders()) > sealed);
    expect((await sluice('seal')).code).toBe(0);
    const behind = await json<VerifyReport>('verify', '--warehouse');
    expect(behind.checks).toMatchObject([{ name: 'warehouse', outcome: 'failed', counts: { 'file-not-loaded': expect.any(Number) } }]);
    expect(await sluice('load')).toMatchObject({ code: 0 });
    const { ok, checks } = await json<VerifyReport>('verify');
    expect([ok, checks.map(({ name, outcome }) => `${name} ${outcome}`)]).toEqual([true, ['lake ok', 'warehouse ok']]);
    expect((await json<VerifyReport>('verify', '--source')).checks).toMatchObject([{ name: 'events' }, { name: 'documents', outcome: 'ok' }]);
    expect(await sluice('retain', '--dry-run')).toMatchObject({ code: 0, out: expect.stringContaining('Would be removed: 0 files') });
    expect(await sluice('retain')).toMatchObject({ code: 0 });
    run.child.kill('SIGTERM');
    expect((await run.ended).code).toBe(0);
  });

  it('verify exits 1 when a file has been touched', async () => {
    const [file] = (await readdir(join(cwd, 'lake'), { recursive: true })).filter((path) => path.endsWith('.jsonl') && path.startsWith('shop'));
    await rm(join(cwd, 'lake', file ?? ''));
    const { code, out } = await sluice('verify');
    expect(code).toBe(1);
    expect(out).toContain('✗ lake');
    const { checks } = JSON.parse((await sluice('verify', '--json')).out) as VerifyReport;
    const counts = { 'file-missing': 1 };
    expect(checks).toMatchObject([{ name: 'lake', counts }, { name: 'warehouse', outcome: 'failed', counts }]); // prettier-ignore
  });

  it('Ctrl-C ends a run with 0', async () => {
    const run = start('run');
    await until('the run owns the pipeline', () => run.said().includes('owner of the pipeline'));
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(0);
  });

  it('status tells who captures from who only loads, and does not call stopped what was killed', async () => {
    const capture = start('run', '--role', 'capture');
    const state = async () => {
      const { state: is, pid, loader, collections } = await json<PipelineStatus>('status');
      return { is, pid, loader, known: collections.some(({ status }) => status === 'ACTIVE') };
    };
    await until('the capture runs', async () => (await state()).is === 'running');
    const load = start('run', '--role', 'load');
    capture.child.kill('SIGKILL');
    await capture.ended;
    await until('the loader is found', async () => (await state()).loader !== null);
    expect(await state()).toEqual({ is: 'unknown', pid: null, loader: { pid: load.child.pid }, known: true });
    load.child.kill('SIGTERM');
    expect((await load.ended).code).toBe(0);
    expect(await state()).toEqual({ is: 'unknown', pid: null, loader: null, known: true });
  });

  it('doctor fails, with the way out, when the server has gone; Ctrl-C ends a command with 130', async () => {
    await set.stop();
    const { code, out } = await startWith({ SLUICE_SOURCE__URI: `${set.uri}&serverSelectionTimeoutMS=2000` }, 'doctor').ended;
    expect(code).toBe(1);
    expect(out).toContain('✗ connection');
    // A server that takes the connection and says nothing.
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const uri = `mongodb://127.0.0.1:${(silent.address() as AddressInfo).port}/?directConnection=true&serverSelectionTimeoutMS=120000&connectTimeoutMS=120000`;
    const connected = once(silent, 'connection');
    const waiting = startWith({ SLUICE_SOURCE__URI: uri }, 'enable-images', '--yes');
    await connected;
    waiting.child.kill('SIGINT');
    const interrupted = await waiting.ended;
    silent.close();
    expect([interrupted.code, interrupted.err.includes('SLC-1505')]).toEqual([130, true]);
  });

  it('has never been shown the password', () => {
    expect(everything.length).toBeGreaterThan(20);
    for (const text of everything) {
      expect(text).not.toContain(PASSWORD);
      expect(text).not.toContain(encodeURIComponent(PASSWORD));
    }
  });
});
