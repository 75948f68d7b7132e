/** What no plain request shows: policies, limits, large deletes, what the fake refuses to pretend. */
import { beforeEach, afterEach, expect, it } from 'vitest';
import { outcome, send, targetOf, type Received, type Sent } from './client.ts';
import { startDfsServer, type DfsServer } from './server.ts';

let server: DfsServer;

beforeEach(async () => {
  server = await startDfsServer();
  server.account.createContainer('lake', 'dfs');
});

afterEach(() => server[Symbol.asyncDispose]());

const ask = (sent: Omit<Sent, 'endpoint'> & { endpoint?: 'dfs' | 'blob' }): Promise<Received> => send(targetOf(server), { endpoint: 'dfs', ...sent });
const create = (at: string): Promise<Received> => ask({ method: 'PUT', at, query: { resource: 'file' } });
const PUT = { endpoint: 'blob', headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'x' } as const;

it('an immutability policy lets new files in, and nothing else', async () => {
  await create('lake/old');
  server.account.container('lake', 'dfs').immutable = true;
  expect(outcome(await create('lake/new'))).toBe('201');
  const refused = [
    await create('lake/old'),
    await ask({ method: 'PATCH', at: 'lake/old', query: { action: 'append', position: '0' }, body: 'x' }),
    await ask({ method: 'DELETE', at: 'lake/old', query: { recursive: 'false' } }),
    await ask({ method: 'PUT', at: 'lake/to', headers: { 'x-ms-rename-source': '/lake/old' } }),
    await ask({ ...PUT, method: 'PUT', at: 'lake/old' }),
    await ask({ method: 'DELETE', endpoint: 'blob', at: 'lake/old' }),
  ];
  expect(refused.map(outcome)).toEqual([
    ...Array.from({ length: 4 }, () => '409 PathImmutableDueToPolicy'),
    ...Array.from({ length: 2 }, () => '409 BlobImmutableDueToPolicy'),
  ]);
});

it('an append blob takes 50,000 blocks', async () => {
  await ask({ method: 'PUT', endpoint: 'blob', at: 'lake/log', headers: { 'x-ms-blob-type': 'AppendBlob' } });
  server.node('lake', 'log').blocks = 49_999;
  const block = (): Promise<Received> => ask({ method: 'PUT', endpoint: 'blob', at: 'lake/log', query: { comp: 'appendblock' }, body: 'x' });
  expect(outcome(await block())).toBe('201');
  expect(outcome(await block())).toBe('409 BlockCountExceedsLimit');
});

it('a recursive delete of many paths takes several requests', async () => {
  const container = server.account.container('lake', 'dfs');
  for (let n = 0; n < 6000; n += 1) server.account.place(container, `many/${n}`, { kind: 'file', origin: 'dfs' });
  const remove = (): Promise<Received> => ask({ method: 'DELETE', at: 'lake/many', query: { recursive: 'true' } });
  expect((await remove()).headers['x-ms-continuation']).toBeDefined();
  expect(container.nodes.has('many')).toBe(true);
  expect((await remove()).headers['x-ms-continuation']).toBeUndefined();
  expect(container.nodes.size).toBe(0);
});

it('what closes and what puts a file is told to those who wait for events; an append is not', async () => {
  await create('lake/f');
  await ask({ method: 'PATCH', at: 'lake/f', query: { action: 'append', position: '0', flush: 'true' }, body: 'one' });
  await ask({ method: 'PATCH', at: 'lake/f', query: { action: 'append', position: '3', flush: 'true', close: 'true' }, body: 'two' });
  await ask({ ...PUT, method: 'PUT', at: 'lake/whole' });
  await ask({ method: 'PUT', endpoint: 'blob', at: 'lake/log', headers: { 'x-ms-blob-type': 'AppendBlob' } });
  await ask({ method: 'PUT', endpoint: 'blob', at: 'lake/log', query: { comp: 'appendblock' }, body: 'x' });
  expect(server.account.events.map((event) => `${event.api} ${event.path} ${event.length}`)).toEqual(['FlushWithClose f 6', 'PutBlob whole 1']);
});

it('what the fake does not do it refuses as its own limit, and a strange account as a wrong address', async () => {
  expect(outcome(await ask({ method: 'PUT', endpoint: 'blob', at: 'lake/f', query: { comp: 'blocklist' } }))).toBe('501 NotImplementedByTheFake');
  expect(
    outcome(await ask({ ...PUT, method: 'PUT', at: 'lake/f', headers: { ...PUT.headers, 'x-ms-structured-body': 'XSM/1.0; properties=crc64' } })),
  ).toBe('501 NotImplementedByTheFake');
  const other = { ...targetOf(server), urls: { dfs: server.url.replace('sluicefake', 'other'), blob: server.url } };
  expect(outcome(await send(other, { method: 'PUT', endpoint: 'dfs', at: 'lake/f', query: { resource: 'file' } }))).toBe('400 InvalidUri');
});
