/** Create, rename, delete, list and lease of paths, as the DFS endpoint does them. */
import { inTreeOrder, type Account, type Container, type PathNode } from './account.ts';
import { checkConditions } from './conditions.ts';
import { httpDate, quoted } from './dfs-writes.ts';
import { Refusal, refusal, reply, type Reply } from './replies.ts';
import { locate, type FakeRequest } from './request.ts';

/** Paths that one request of a recursive delete takes away; Azure names no number. */
const DELETE_PATHS_MAX = 5000;
const LIST_PATHS_MAX = 5000;
/** 100 ns ticks between 1601 and 1970. */
const FILETIME_EPOCH = 116_444_736_000_000_000n;

export function propertiesOf(request: FakeRequest): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const pair of (request.headers['x-ms-properties'] ?? '').split(',')) {
    const cut = pair.indexOf('=');
    if (cut > 0) metadata[pair.slice(0, cut).trim()] = Buffer.from(pair.slice(cut + 1), 'base64').toString('utf8');
  }
  return metadata;
}

export function create(account: Account, container: Container, request: FakeRequest): Reply {
  const kind = request.query['resource'];
  if (kind !== 'file' && kind !== 'directory') throw refusal('dfs.method');
  const nowMs = account.clock.now();
  const old = container.nodes.get(request.path) ?? null;
  // A condition on what exists is judged before its kind and its lease.
  checkConditions(request.headers, old, { exists: 'create.exists', noneMatch: 'create.none-match-current', match: 'flush.if-match' });
  if (old !== null && old.kind !== kind) throw refusal('create.path-conflict');
  if (old !== null) mayWrite(old, request, nowMs);
  if (old !== null && container.immutable) throw refusal('immutable.dfs');
  if (old !== null && kind === 'directory') return made(account, old, request);
  const blobType = request.query['blobtype'] === 'appendblob' ? 'AppendBlob' : 'BlockBlob';
  const node = account.place(container, request.path, { kind, origin: 'dfs', blobType });
  const proposed = request.headers['x-ms-proposed-lease-id'];
  if (proposed !== undefined) node.lease.acquire(proposed, Number(request.headers['x-ms-lease-duration'] ?? '-1'), nowMs);
  return made(account, node, request);
}

function made(account: Account, node: PathNode, request: FakeRequest): Reply {
  node.metadata = propertiesOf(request);
  node.contentType = request.headers['x-ms-content-type'];
  node.lease.written(account.clock.now());
  return reply(201, { etag: quoted(node.etag), 'last-modified': httpDate(node.lastModifiedMs), 'x-ms-request-server-encrypted': 'true' });
}

function mayWrite(node: PathNode, request: FakeRequest, nowMs: number): void {
  node.lease.mayWrite(request.headers['x-ms-lease-id'], nowMs, 'dfs');
}

export function rename(account: Account, container: Container, request: FakeRequest): Reply {
  const nowMs = account.clock.now();
  const cut = request.headers['x-ms-rename-source']!.split('?')[0]!;
  const source = locate(cut, account.name, true)!;
  const from = account.container(source.container, 'dfs');
  const node = from.nodes.get(source.path);
  if (node === undefined) throw refusal('rename.no-source');
  checkConditions(
    request.headers,
    node,
    { exists: 'rename.source-etag', noneMatch: 'rename.source-etag', match: 'rename.source-etag' },
    'x-ms-source-',
  );
  const sourceLease = request.headers['x-ms-source-lease-id'];
  node.lease.mayWrite(sourceLease, nowMs, 'dfs');
  const parent = request.path.split('/').slice(0, -1).join('/');
  if (parent !== '' && container.nodes.get(parent)?.kind !== 'directory') throw refusal('rename.no-parent');
  const target = container.nodes.get(request.path) ?? null;
  checkConditions(request.headers, target, { exists: 'rename.exists', noneMatch: 'rename.none-match-current', match: 'flush.if-match' });
  if (target !== null) mayWrite(target, request, nowMs);
  if (target !== null && target.kind !== node.kind) throw refusal('create.path-conflict');
  if (target?.kind === 'directory' && container.children(request.path)) throw refusal('create.path-conflict');
  if (from.immutable || (target !== null && container.immutable)) throw refusal('immutable.dfs');
  for (const moved of below(from, source.path)) {
    from.nodes.delete(moved.name);
    moved.name = `${request.path}${moved.name.slice(source.path.length)}`;
    container.nodes.set(moved.name, moved);
  }
  account.event('RenameFile', container, node);
  return reply(201, { 'content-length': '0' });
}

/** A path and everything below it. */
function below(container: Container, path: string): PathNode[] {
  return [...container.nodes.values()].filter((node) => node.name === path || node.name.startsWith(`${path}/`));
}

export function remove(account: Account, container: Container, request: FakeRequest): Reply {
  const node = container.nodes.get(request.path);
  if (node === undefined) throw refusal('delete.missing');
  checkConditions(request.headers, node, { exists: 'flush.if-match', noneMatch: 'flush.if-match', match: 'flush.if-match' });
  mayWrite(node, request, account.clock.now());
  if (container.immutable) throw refusal('immutable.dfs');
  const doomed = below(container, request.path).sort((a, b) => b.name.length - a.name.length);
  if (doomed.length > 1 && request.query['recursive'] !== 'true') throw refusal('delete.not-empty');
  for (const gone of doomed.slice(0, DELETE_PATHS_MAX)) container.nodes.delete(gone.name);
  account.event('DeleteFile', container, node);
  const more = doomed.length > DELETE_PATHS_MAX ? { 'x-ms-continuation': 'next' } : {};
  return reply(200, { 'x-ms-delete-type-permanent': 'true', ...more });
}

export function list(container: Container, request: FakeRequest): Reply {
  const folder = (request.query['directory'] ?? '').replace(/^\/+|\/+$/g, '');
  if (request.query['recursive'] === undefined) throw refusal('dfs.parameter');
  if (folder !== '' && !container.nodes.has(folder)) throw refusal('list.missing');
  const recursive = request.query['recursive'] === 'true';
  const inside = folder === '' ? '' : `${folder}/`;
  const nodes = [...container.nodes.values()]
    .filter((node) => node.name.startsWith(inside) && (recursive || !node.name.slice(inside.length).includes('/')))
    .sort(inTreeOrder);
  const after = request.query['continuation'];
  const from = after === undefined || after === '' ? 0 : nodes.findIndex((node) => inTreeOrder(node, { name: decode(after) }) > 0);
  const count = Math.min(Number(request.query['maxresults'] ?? LIST_PATHS_MAX), LIST_PATHS_MAX);
  const page = from < 0 ? [] : nodes.slice(from, from + count);
  const last = page.at(-1);
  const more = last !== undefined && last !== nodes.at(-1) ? { 'x-ms-continuation': Buffer.from(last.name).toString('base64') } : {};
  const body = JSON.stringify({ paths: page.map(listed) });
  return reply(200, { 'content-type': 'application/json;charset=utf-8', etag: quoted(container.etag), ...more }, [Buffer.from(body)]);
}

const decode = (token: string): string => Buffer.from(token, 'base64').toString('utf8');

function listed(node: PathNode): Record<string, string> {
  return {
    contentLength: String(node.bytes.length),
    creationTime: String(BigInt(node.createdMs) * 10_000n + FILETIME_EPOCH),
    etag: node.etag,
    expiryTime: '0',
    group: '$superuser',
    ...(node.kind === 'directory' && { isDirectory: 'true' }),
    lastModified: httpDate(node.lastModifiedMs),
    name: node.name,
    owner: '$superuser',
    permissions: node.kind === 'directory' ? 'rwxr-x---' : 'rw-r-----',
  };
}

/** Lease of a path or blob, the same on both endpoints but for the code of a missing one. */
export function lease(account: Account, container: Container, request: FakeRequest): Reply {
  const node = container.nodes.get(request.path);
  if (node === undefined) throw refusal(request.operation === 'dfs.lease' ? 'append.missing' : 'lease.missing');
  checkConditions(request.headers, node, { exists: 'blob.if-match', noneMatch: 'blob.if-match', match: 'blob.if-match' });
  const nowMs = account.clock.now();
  const id = request.headers['x-ms-lease-id'];
  const proposed = request.headers['x-ms-proposed-lease-id'];
  const about = { etag: quoted(node.etag), 'last-modified': httpDate(node.lastModifiedMs) };
  switch (request.headers['x-ms-lease-action']) {
    case 'acquire':
      return reply(201, { ...about, 'x-ms-lease-id': node.lease.acquire(proposed, Number(request.headers['x-ms-lease-duration'] ?? NaN), nowMs) });
    case 'renew':
      node.lease.renew(id, nowMs);
      return reply(200, { ...about, 'x-ms-lease-id': node.lease.id! });
    case 'change':
      if (proposed === undefined) throw new Refusal(400, 'MissingRequiredHeader');
      node.lease.change(id, proposed, nowMs);
      return reply(200, { ...about, 'x-ms-lease-id': proposed });
    case 'release':
      node.lease.release(id, nowMs);
      return reply(200, about);
    case 'break': {
      const period = request.headers['x-ms-lease-break-period'];
      return reply(202, { ...about, 'x-ms-lease-time': String(node.lease.break(period === undefined ? undefined : Number(period), nowMs)) });
    }
    default:
      throw refusal('lease.seconds', { header: { name: 'x-ms-lease-action', value: request.headers['x-ms-lease-action'] ?? '' } });
  }
}

/** HEAD with `action=getStatus` or `getAccessControl`; the root of a filesystem is a directory. */
export function status(account: Account, container: Container, request: FakeRequest): Reply {
  if (request.method !== 'HEAD') throw refusal('fake.not-built', { message: 'access control can be read, not set' });
  const owner = { 'x-ms-owner': '$superuser', 'x-ms-group': '$superuser', 'x-ms-permissions': 'rwxr-x---' };
  const acl = request.operation === 'dfs.acl' ? { 'x-ms-acl': 'user::rwx,group::r-x,other::---' } : {};
  if (request.path === '') return reply(200, { ...owner, ...acl, 'x-ms-resource-type': 'directory' });
  const node = container.nodes.get(request.path);
  if (node === undefined) throw refusal('append.missing');
  return reply(200, {
    ...owner,
    ...acl,
    etag: quoted(node.etag),
    'last-modified': httpDate(node.lastModifiedMs),
    'content-length': String(node.bytes.length),
    'x-ms-resource-type': node.kind,
    ...node.lease.headers(account.clock.now()),
  });
}
