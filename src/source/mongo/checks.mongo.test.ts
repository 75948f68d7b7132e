import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMongo } from '../../../test/mongo.ts';
import type { ReplicaSet } from '../../app/demo/replica-set.ts';
import { systemClock } from '../../core/clock.ts';
import { SOURCE_DENIED, SOURCE_LOGIN, SOURCE_STANDALONE, SOURCE_UNAVAILABLE } from '../../core/errors.ts';
import { checkSource, type SourceCheck, type SourceCheckOptions } from './checks.ts';
import { enableImages, readImages } from './images.ts';
import { inspectDeployment } from './inspect.ts';

const never = new AbortController().signal;
const STREAM = { include: ['shop.*'], exclude: ['shop.tmp_*'], match: {}, fullDocument: 'updateLookup', fullDocumentBeforeChange: 'off' } as const;

async function check(uri: string, more: Partial<SourceCheckOptions> = {}): Promise<Map<string, SourceCheck>> {
  const checks = await checkSource({ ...STREAM, uri, ...more }, systemClock, never);
  return new Map(checks.map((one) => [one.name, one]));
}

function outcomes(checks: ReadonlyMap<string, SourceCheck>): Record<string, string> {
  return Object.fromEntries([...checks].map(([name, { outcome }]) => [name, outcome]));
}

describe('a replica set with access control', () => {
  let set: ReplicaSet;
  beforeAll(async () => {
    set = await startMongo({ auth: { user: 'root', password: 'p@ss/word' } });
    const client = await set.connect();
    const db = client.db('shop');
    await db.createCollection('orders');
    await db.createCollection('customers', { changeStreamPreAndPostImages: { enabled: true } });
    await db.createCollection('tmp_1');
    await db.createCollection('cheap', { viewOn: 'orders', pipeline: [] });
  });
  afterAll(() => set.stop());

  it('passes every check for a user with the rights', async () => {
    const checks = await check(set.uri);
    expect(outcomes(checks)).toEqual({
      connection: 'ok',
      login: 'ok',
      'replica set': 'ok',
      version: 'ok',
      'change stream': 'ok',
      collections: 'ok',
      'oplog window': 'ok',
      clock: 'ok',
    });
    expect(checks.get('login')?.detail).toBe('root (of admin)');
    expect(checks.get('collections')?.detail).toBe('3 can be read: shop.cheap, shop.customers, shop.orders');
  });

  it('fails the login, and never shows the password', async () => {
    const checks = await check(set.uriFor({ user: 'root', password: 'wrong-password' }));
    expect(outcomes(checks)).toEqual({ login: 'failed' });
    expect(JSON.stringify([...checks])).not.toContain('wrong-password');
    await expect(inspectDeployment(set.uriFor({ user: 'root', password: 'wrong-password' }), never)).rejects.toMatchObject({ kind: SOURCE_LOGIN });
  });

  it('names the grant that is missing', async () => {
    const stranger = await set.addUser('stranger', 'x', []);
    const checks = await check(stranger);
    expect(checks.get('change stream')).toMatchObject({ outcome: 'failed', fix: expect.stringContaining('{ role: "read", db: "shop" }') });
    expect((await check(stranger, { include: ['*.*'] })).get('change stream')?.fix).toContain('"readAnyDatabase"');
  });

  it('is content with a reader, who may not look at the oplog', async () => {
    const reader = await set.addUser('reader', 'x', [{ role: 'read', db: 'shop' }]);
    const checks = await check(reader);
    expect([...checks.values()].filter((one) => one.outcome === 'failed')).toEqual([]);
    expect(checks.get('oplog window')).toMatchObject({ outcome: 'skipped', fix: expect.stringContaining('local') });
    await expect(enableImages(reader, [{ db: 'shop', coll: 'orders' }], () => undefined, never)).rejects.toMatchObject({
      kind: SOURCE_DENIED,
      next: expect.stringContaining('dbAdmin'),
    });
  });

  it('refuses a $match that the server cannot read', async () => {
    expect((await check(set.uri, { match: { $nonsense: 1 } })).get('change stream')).toMatchObject({
      outcome: 'failed',
      fix: expect.stringContaining('source.match'),
    });
  });

  it('misses images where they are required, until they are turned on', async () => {
    const scope = { uri: set.uri, include: STREAM.include, exclude: STREAM.exclude };
    const required = { fullDocumentBeforeChange: 'required' } as const;
    expect((await check(set.uri, required)).get('pre- and post-images')).toMatchObject({
      outcome: 'failed',
      detail: 'required, and not kept by shop.orders',
    });
    expect((await check(set.uri, { fullDocument: 'whenAvailable' })).get('pre- and post-images')).toMatchObject({
      outcome: 'ok',
      fix: 'Run `sluice enable-images`.',
    });
    const before = await readImages(scope, never);
    expect(before).toEqual({
      on: ['shop.customers'],
      off: [{ db: 'shop', coll: 'orders' }],
      impossible: [{ namespace: 'shop.cheap', type: 'view' }],
    });
    const done: string[] = [];
    await enableImages(set.uri, before.off, (name) => done.push(name), never);
    expect(done).toEqual(['shop.orders']);
    expect((await readImages(scope, never)).off).toEqual([]);
    expect((await check(set.uri, required)).get('pre- and post-images')).toMatchObject({ outcome: 'ok', fix: null });
  });

  it('tells init its version and databases', async () => {
    expect(await inspectDeployment(set.uri, never)).toMatchObject({
      replicaSet: 'rs0',
      version: { major: 6 },
      databases: [{ name: 'shop', collections: 4 }],
    });
  });
});

describe('a standalone server', () => {
  it('has no change streams', async () => {
    await using server = await startMongo({ standalone: true });
    expect(outcomes(await check(server.uri))).toEqual({ connection: 'ok', login: 'ok', 'replica set': 'failed' });
    await expect(inspectDeployment(server.uri, never)).rejects.toMatchObject({ kind: SOURCE_STANDALONE });
  });
});

describe('no server', () => {
  const uri = 'mongodb://u:secret-word@127.0.0.1:1/?serverSelectionTimeoutMS=100';

  it('fails the connection', async () => {
    const checks = await check(uri);
    expect(outcomes(checks)).toEqual({ connection: 'failed' });
    expect(JSON.stringify([...checks])).not.toContain('secret-word');
    await expect(inspectDeployment(uri, never)).rejects.toMatchObject({ kind: SOURCE_UNAVAILABLE });
  });

  it('can be given up on', async () => {
    const stop = new AbortController();
    const asked = checkSource({ ...STREAM, uri: 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=30000' }, systemClock, stop.signal);
    stop.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
  });
});
