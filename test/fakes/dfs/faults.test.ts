/** Each fault does what it says: to the account, to the client, and in the log. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestClock } from '../capture-bench.ts';
import { outcome, send, targetOf, type Received, type Sent } from './client.ts';
import { FAILURES } from './faults.ts';
import { startDfsServer, type DfsServer } from './server.ts';

const ID = '11111111-1111-1111-1111-111111111111';

let server: DfsServer;
let clock: TestClock;

const ask = (sent: Omit<Sent, 'endpoint'> & { endpoint?: 'dfs' | 'blob' }): Promise<Received> => send(targetOf(server), { endpoint: 'dfs', ...sent });
const create = (): Promise<Received> => ask({ method: 'PUT', at: 'lake/f', query: { resource: 'file' } });
const append = (body: string, position: number, headers: Record<string, string> = {}): Promise<Received> =>
  ask({ method: 'PATCH', at: 'lake/f', query: { action: 'append', position: String(position), flush: 'true' }, headers, body });
const lease = (action: string, headers: Record<string, string>): Promise<Received> =>
  ask({ method: 'PUT', endpoint: 'blob', at: 'lake/f', query: { comp: 'lease' }, headers: { 'x-ms-lease-action': action, ...headers } });
const text = (): string => server.bytes('lake', 'f').toString();

beforeEach(async () => {
  clock = new TestClock();
  server = await startDfsServer({ clock });
  server.account.createContainer('lake', 'dfs');
  await create();
});

afterEach(() => server[Symbol.asyncDispose]());

describe('a connection that dies', () => {
  it('after the commit: the bytes are there, the client knows nothing', async () => {
    const fault = server.faults.next({ kind: 'lost-reply', match: { operation: 'dfs.append-flush' } });
    await expect(append('one', 0)).rejects.toThrow(/ECONNRESET|hang up/);
    expect(text()).toBe('one');
    expect(fault.hits).toBe(1);
    expect(server.log.entries.at(-1)).toMatchObject({ status: 202, fault: 'lost-reply' });
  });

  it('before the request is done, or in the middle of its body: nothing is there', async () => {
    server.faults.next({ kind: 'lost-request', match: { path: 'f' } });
    await expect(append('one', 0)).rejects.toThrow(/ECONNRESET|hang up/);
    server.faults.next({ kind: 'reset-in-request', afterBytes: 100_000, match: { path: 'f' } });
    await expect(append('x'.repeat(5_000_000), 0)).rejects.toThrow(/ECONNRESET|EPIPE|hang up/);
    expect([text(), server.node('lake', 'f').staged.size]).toEqual(['', 0]);
    expect(server.log.entries.map((entry) => entry.status)).toEqual([201, 0, 0]);
  });

  it('in the middle of the reply: the client has a part of the body', async () => {
    await append('0123456789', 0);
    server.faults.next({ kind: 'reset-in-reply', afterBytes: 4, match: { operation: 'blob.get' } });
    await expect(ask({ method: 'GET', endpoint: 'blob', at: 'lake/f' })).rejects.toThrow(/aborted|ECONNRESET/);
    expect(outcome(await ask({ method: 'GET', endpoint: 'blob', at: 'lake/f' }))).toBe('200');
  });
});

describe('an error of the service', () => {
  it('comes as often as it was asked for, after as many good ones, with Retry-After, and changes nothing', async () => {
    const fault = server.faults.next({ ...FAILURES.busy, retryAfterSeconds: 7, times: 2, skip: 1, match: { operation: 'dfs.append-flush' } });
    expect(outcome(await append('a', 0))).toBe('202');
    const busy = await append('b', 1);
    expect([outcome(busy), busy.headers['retry-after']]).toEqual(['503 ServerBusy', '7']);
    expect(outcome(await append('b', 1))).toBe('503 ServerBusy');
    expect(text()).toBe('a');
    expect(outcome(await append('b', 1))).toBe('202');
    expect([fault.hits, fault.isSpent]).toEqual([2, true]);
  });

  it('can hide that the request was done', async () => {
    server.faults.next({ ...FAILURES.timedOut, applied: true });
    expect(outcome(await append('a', 0))).toBe('500 OperationTimedOut');
    expect(text()).toBe('a');
  });

  it('is named as the endpoint names it', async () => {
    const dfs: string[] = [];
    const blob: string[] = [];
    for (const failure of Object.values(FAILURES)) {
      server.faults.next({ ...failure, times: 2 });
      dfs.push(outcome(await append('a', 0)));
      blob.push(outcome(await ask({ method: 'GET', endpoint: 'blob', at: 'lake/f' })));
    }
    expect(dfs).toEqual([
      '500 InternalError',
      '500 OperationTimedOut',
      '503 ServerBusy',
      '408 RequestTimeout',
      '429 TooManyRequests',
      '403 AuthorizationFailure',
      '403 AuthorizationPermissionMismatch',
      '403 AuthenticationFailed',
      '409 FilesystemBeingDeleted',
      '409 PathImmutableDueToPolicy',
      '409 FeatureNotYetSupportedForHierarchicalNamespaceAccounts',
      '400 HierarchicalNamespaceNotEnabled',
    ]);
    expect(blob.slice(8, 10)).toEqual(['409 ContainerBeingDeleted', '409 BlobImmutableDueToPolicy']);
  });
});

describe('a zombie', () => {
  it('lands after the others, when it is let go, and is refused once the lease id has changed', async () => {
    await lease('acquire', { 'x-ms-lease-duration': '60', 'x-ms-proposed-lease-id': ID });
    const late = server.faults.next({ kind: 'late', match: { operation: 'dfs.append-flush' } });
    await expect(append('late', 0, { 'x-ms-lease-id': ID })).rejects.toThrow(/ECONNRESET|hang up/);
    const next = '22222222-2222-2222-2222-222222222222';
    await lease('change', { 'x-ms-lease-id': ID, 'x-ms-proposed-lease-id': next });
    await append('good', 0, { 'x-ms-lease-id': next });
    await late.release();
    expect(text()).toBe('good');
    expect(server.log.entries.at(-1)).toMatchObject({ status: 412, code: 'LeaseIdMismatch', fault: 'late' });
  });

  it('without a lease writes into what others staged, after as many requests as were named', async () => {
    server.faults.next({ kind: 'late', afterRequests: 1, match: { operation: 'dfs.append' } });
    const stage = (body: string): Promise<Received> => ask({ method: 'PATCH', at: 'lake/f', query: { action: 'append', position: '0' }, body });
    await expect(stage('zombie')).rejects.toThrow(/ECONNRESET|hang up/);
    await stage('living');
    await ask({ method: 'PATCH', at: 'lake/f', query: { action: 'flush', position: '6' } });
    expect(text()).toBe('zombie');
  });

  it('that hangs is done before or after its client gave up', async () => {
    const hang = server.faults.next({ kind: 'hang', applied: true, match: { operation: 'dfs.append-flush' } });
    const waiting = append('one', 0);
    await hang.met();
    await expect.poll(text, { timeout: 60_000 }).toBe('one');
    await hang.release();
    expect(outcome(await waiting)).toBe('202');
  });
});

describe('what happens at that very moment', () => {
  it('the lease is broken, or runs out', async () => {
    for (const kind of ['lease-broken', 'lease-expired'] as const) {
      await lease('acquire', { 'x-ms-lease-duration': '60', 'x-ms-proposed-lease-id': ID });
      server.faults.next({ kind, match: { operation: 'dfs.append-flush' } });
      expect(outcome(await append('a', 0, { 'x-ms-lease-id': ID }))).toBe('412 LeaseLost');
    }
    expect(text()).toBe('');
  });

  it('the ETag has moved on', async () => {
    const etag = (await append('a', 0)).headers['etag']!;
    server.faults.next({ kind: 'etag-raced', match: { operation: 'dfs.flush' } });
    const flush = (): Promise<Received> =>
      ask({ method: 'PATCH', at: 'lake/f', query: { action: 'flush', position: '1' }, headers: { 'if-match': etag } });
    expect(outcome(await flush())).toBe('412 ConditionNotMet');
  });

  it('the reply is slow, by the clock of the test, and its body comes in drops', async () => {
    await append('0123456789', 0);
    server.faults.next({ kind: 'slow', delayMs: 1000, trickleBytes: 4, match: { operation: 'blob.get' } });
    const reading = ask({ method: 'GET', endpoint: 'blob', at: 'lake/f' });
    for (let wait = 1; wait <= 4; wait += 1) {
      await expect.poll(() => clock.sleeps.length, { timeout: 60_000 }).toBe(wait);
      clock.move(1000);
    }
    expect((await reading).body.toString()).toBe('0123456789');
    expect(clock.sleeps).toEqual([1000, 1000, 1000, 1000]);
  });
});

describe('a schedule', () => {
  it('that a seed draws meets the same requests each time, besides what was set by hand', async () => {
    const met = async (): Promise<(string | undefined)[]> => {
      await create();
      let drawn = 0;
      server.faults.draw(() => {
        drawn += 1;
        return drawn % 3 === 2 ? FAILURES.busy : drawn % 5 === 0 ? { kind: 'late', afterRequests: 2 } : undefined;
      });
      server.faults.next({ kind: 'lost-reply', skip: 3 });
      server.log.clear();
      for (let n = 0; n < 18; n += 1) await append('x', server.bytes('lake', 'f').length).catch(() => {});
      server.faults.clear();
      return server.log.entries.map((entry) => `${entry.fault} ${entry.status}`);
    };
    const first = await met();
    expect(first).toEqual(await met());
    expect(new Set(first)).toEqual(new Set(['undefined 202', 'status 503', 'lost-reply 202', 'late 400']));
  });
});

describe('what the fake remembers', () => {
  it('shows requests without secrets, and counts as Azure bills', async () => {
    await append('x'.repeat(5 * 1024 * 1024), 0);
    await ask({ method: 'GET', endpoint: 'blob', at: 'lake/f', headers: { 'x-ms-range': 'bytes=0-9' } });
    await ask({ method: 'GET', at: 'lake', query: { resource: 'filesystem', recursive: 'true', sig: 'secret' } });
    await ask({ method: 'DELETE', at: 'lake/f', query: { recursive: 'false' } });
    expect(server.log.billed).toEqual({ write: 3, read: 1, list: 1, other: 0, free: 1 });
    expect(server.log.counts.get('dfs.append-flush')).toBe(1);
    expect(JSON.stringify(server.log.entries)).not.toMatch(/SharedKey|secret/);
    expect(server.log.entries[1]).toMatchObject({
      operation: 'dfs.append-flush',
      path: 'f',
      query: { position: '0' },
      requestBytes: 5 * 1024 * 1024,
      status: 202,
    });
  });
});
