/**
 * One thing goes wrong with one request, and what the lake makes of it, with both writers: the bytes are there once, or the caller is
 * told that it is no longer the owner.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bytes, CHECKPOINT, kindOf, never, PART, textOf } from '../../../test/contracts/lake-under-test.ts';
import { FAILURES, type FaultKind } from '../../../test/fakes/dfs/faults.ts';
import { startDfsServer, type DfsServer } from '../../../test/fakes/dfs/server.ts';
import { systemClock, type Clock } from '../../core/clock.ts';
import { LAKE_CONFLICT, LAKE_UNAVAILABLE } from '../../core/errors.ts';
import type { Lake } from '../../core/lake.ts';
import { newLakeTraffic } from '../../ops/lake-traffic.ts';
import { openAzureLake } from './open.ts';

let server: DfsServer;
let containers = 0;
beforeAll(async () => {
  server = await startDfsServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const UNKNOWN: readonly (readonly [string, FaultKind])[] = [
  ['whose answer is lost', { kind: 'lost-reply' }],
  ['that is lost', { kind: 'lost-request' }],
  ['that breaks off on its way', { kind: 'reset-in-request', afterBytes: 2 }],
  ['that is answered with 500', FAILURES.internal],
  ['that is answered with 500 and done all the same', { ...FAILURES.internal, applied: true }],
  ['that times out in the service', FAILURES.timedOut],
  ['that meets a busy service', FAILURES.busy],
  ['that is one too many', FAILURES.tooMany],
  ['that is answered with 408', FAILURES.requestTimeout],
  ['whose file has a new etag', { kind: 'etag-raced' }],
];

describe.each(['dfs', 'append-blob'] as const)('with `lake.writer: %s`', (writer) => {
  const append = writer === 'dfs' ? 'dfs.append-flush' : 'blob.append-block';
  const create = writer === 'dfs' ? 'dfs.create' : 'blob.append-create';

  /** A lake over a container of its own; waits are noted and pass at once. */
  async function fresh(): Promise<{ container: string; lake: Lake; waitsMs: number[]; traffic: ReturnType<typeof newLakeTraffic> }> {
    const container = `faults-${(containers += 1)}`;
    server.account.createContainer(container, 'dfs');
    const waitsMs: number[] = [];
    const clock: Clock = { now: () => systemClock.now(), sleep: (ms, signal) => (waitsMs.push(ms), systemClock.sleep(ms / 1000, signal)) };
    const traffic = newLakeTraffic();
    const auth = { kind: 'accountKey', account: server.account.name, key: server.account.key };
    return {
      container,
      waitsMs,
      traffic,
      lake: await openAzureLake({ url: `${server.url}/${container}/p`, writer, auth, clock, traffic, renewMs: 3_600_000_000 }),
    };
  }

  it.each(UNKNOWN)('an append %s is there once', async (_, fault) => {
    const { container, lake } = await fresh();
    await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    await part.append([bytes('one\n')], never);
    const met = server.faults.next({ ...fault, match: { container, operation: append } });
    await part.append([bytes('two\n')], never);
    await part.append([bytes('three\n')], never);
    expect(met.hits).toBe(1);
    expect(part.length).toBe('one\ntwo\nthree\n'.length);
    expect(await textOf(lake, PART)).toBe('one\ntwo\nthree\n');
    expect((await part.close()).size).toBe('one\ntwo\nthree\n'.length);
  });

  it('an append that arrives late is refused', async () => {
    const { container, lake } = await fresh();
    const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    const late = server.faults.next({ kind: 'late', match: { container, operation: append } });
    const leaseOf = (): string | null => server.node(container, `p/${PART}`).lease.id;
    const before = leaseOf();
    await part.append([bytes('one\n')], never);
    // Whatever is still on its way carries an id that is refused from here on.
    expect(leaseOf()).not.toBe(before);
    await part.append([bytes('two\n')], never);
    await late.release();
    expect(await textOf(lake, PART)).toBe('one\ntwo\n');
    await part.append([bytes('three\n')], never);
    await part.close();
    expect(await textOf(lake, PART)).toBe('one\ntwo\nthree\n');
  });

  it.each(['lease-broken', 'lease-expired'] as const)('an append after its lease was lost (%s) is a conflict, and so is the next', async (kind) => {
    const { container, lake } = await fresh();
    await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    server.faults.next({ kind, match: { container, operation: append } });
    expect(await kindOf(part.append([bytes('one\n')], never))).toBe(LAKE_CONFLICT);
    expect(await kindOf(part.append([bytes('one\n')], never))).toBe(LAKE_CONFLICT);
    expect(await textOf(lake, PART)).toBe('');
  });

  it.each(UNKNOWN.filter(([, { kind }]) => kind === 'lost-reply' || kind === 'lost-request' || kind === 'status'))(
    'a part whose creation is a request %s is made once',
    async (_, fault) => {
      const { container, lake } = await fresh();
      server.faults.next({ ...fault, match: { container, operation: create } });
      await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
      await part.append([bytes('one\n')], never);
      expect(await textOf(lake, PART)).toBe('one\n');
      expect(await kindOf(lake.open(PART, { epoch: 1, expect: 'absent' }, never))).toBe(LAKE_CONFLICT);
    },
  );

  it.each([...UNKNOWN.slice(0, 2), UNKNOWN[4]!])('a put %s is done once, and is no conflict with itself', async (_, fault) => {
    const { container, lake } = await fresh();
    const match = { container, operation: 'blob.put' } as const;
    server.faults.next({ ...fault, match });
    const first = await lake.put(CHECKPOINT, bytes('1'), 'absent');
    server.faults.next({ ...fault, match });
    const second = await lake.put(CHECKPOINT, bytes('2'), first);
    expect(await lake.stat(CHECKPOINT)).toEqual(second);
    expect(await kindOf(lake.put(CHECKPOINT, bytes('3'), first))).toBe(LAKE_CONFLICT);
  });

  it('every lease request may be lost with its answer', async () => {
    const { container, lake } = await fresh();
    const lease = { container, operation: 'blob.lease' } as const;
    const lose = (times: number): unknown => server.faults.next({ kind: 'lost-reply', match: lease, times });
    lose(1);
    await using mine = await lake.own(CHECKPOINT, { takeOver: false }, never);
    expect(mine).not.toBeNull();
    expect(await lake.own(CHECKPOINT, { takeOver: false }, never)).toBeNull();
    lose(1);
    const part = await lake.open(PART, { epoch: 1, expect: 'any' }, never);
    lose(1);
    server.faults.next({ kind: 'lost-reply', match: { container, operation: append } });
    await part.append([bytes('one\n')], never);
    lose(1);
    await part.close();
    lose(2);
    await using again = await lake.open(PART, { epoch: 2, expect: 'any', length: 4 }, never);
    expect(again.length).toBe(4);
  });

  it('what is read comes whole, however often the connection breaks', async () => {
    const { container, lake } = await fresh();
    await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    await part.append([bytes('one\ntwo\nthree\n')], never);
    server.faults.next({ kind: 'reset-in-reply', afterBytes: 5, match: { container, operation: 'blob.get' }, times: 3 });
    expect(await textOf(lake, PART)).toBe('one\ntwo\nthree\n');
  });

  it('is given up soon once the run is stopped, and a write that waits ends', async () => {
    const container = `faults-${(containers += 1)}`;
    server.account.createContainer(container, 'dfs');
    const stop = new AbortController();
    const clock: Clock = { now: () => performance.now() * 100, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) };
    const auth = { kind: 'accountKey', account: server.account.name, key: server.account.key };
    const traffic = newLakeTraffic();
    const lake = await openAzureLake({ url: `${server.url}/${container}/p`, writer, auth, clock, traffic, stop: stop.signal, patienceMs: 1e12 });
    await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    await part.append([bytes('one\n')], never);
    server.faults.next({ kind: 'lost-request', match: { container }, times: 1_000 });
    const waiting = kindOf(part.append([bytes('two\n')], never));
    await vi.waitFor(() => expect(traffic.retries).toBeGreaterThan(3), { timeout: 60_000 });
    stop.abort(new Error('stopped'));
    expect(await waiting).toBe(LAKE_UNAVAILABLE);
    server.faults.clear();
    expect(await textOf(lake, PART)).toBe('one\n');
  });

  it('waits as long as the service asks, then longer each time, never alike', async () => {
    const { container, lake, waitsMs, traffic } = await fresh();
    server.faults.next({ ...FAILURES.busy, retryAfterSeconds: 7, match: { container, operation: 'blob.put' } });
    server.faults.next({ kind: 'lost-request', match: { container, operation: 'blob.put' }, times: 4 });
    await lake.put(CHECKPOINT, bytes('1'), 'absent');
    const [asked = 0, ...grown] = waitsMs;
    expect(asked).toBeGreaterThanOrEqual(7_000);
    expect(asked).toBeLessThan(9_000);
    for (const [n, wait] of grown.entries()) {
      expect(wait).toBeGreaterThanOrEqual(100 * 2 ** n);
      expect(wait).toBeLessThanOrEqual(100 * 2 ** (n + 1));
    }
    expect(traffic).toMatchObject({ retries: 5, awaySinceMs: null });
  });
});

describe('a file of ADLS Gen2', () => {
  it('tells event-driven readers that it is done when it is closed, and not before; its content type is that of lines', async () => {
    const auth = { kind: 'accountKey', account: server.account.name, key: server.account.key };
    const lake = await openAzureLake({ url: `${server.url}/events/p`, writer: 'dfs', auth });
    const told = (): number => server.account.events.filter(({ api, container }) => api === 'FlushWithClose' && container === 'events').length;
    const part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
    await part.append([bytes('one\n')], never);
    await part.append([bytes('two\n')], never);
    expect(told()).toBe(0);
    await part.close();
    expect(told()).toBe(1);
    expect(server.node('events', `p/${PART}`).contentType).toBe('application/x-ndjson');
  });

  it('holds nothing of what a former owner had staged', async () => {
    const auth = { kind: 'accountKey', account: server.account.name, key: server.account.key };
    const open = () => openAzureLake({ url: `${server.url}/staged/p`, writer: 'dfs', auth });
    const former = await (await open()).open(PART, { epoch: 1, expect: 'absent' }, never);
    await former.append([bytes('one\n')], never);
    const sdk = await import('@azure/storage-file-datalake');
    const credential = new sdk.StorageSharedKeyCredential(server.account.name, server.account.key);
    const file = new sdk.DataLakeFileClient(`${server.url}/staged/${encodeURIComponent(`p/${PART}`)}`, credential);
    await file.append(Buffer.from('staged and never flushed\n'), 4, 25, { conditions: { leaseId: server.node('staged', `p/${PART}`).lease.id! } });
    expect(server.node('staged', `p/${PART}`).staged.size).toBe(1);
    await using part = await (await open()).open(PART, { epoch: 2, expect: 'any', length: 4 }, never);
    expect(server.node('staged', `p/${PART}`).staged.size).toBe(0);
    await part.append([bytes('two\n')], never);
    expect(server.bytes('staged', `p/${PART}`).toString()).toBe('one\ntwo\n');
  });
});
