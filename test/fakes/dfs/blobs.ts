/** Blobs of the same account: whole files, reads, append blobs. */
import { type Account, type Container, type PathNode } from './account.ts';
import { checkConditions } from './conditions.ts';
import { checkMd5, httpDate, md5Of, quoted } from './dfs-writes.ts';
import { Refusal, refusal, reply, type Reply } from './replies.ts';
import type { FakeRequest, Headers } from './request.ts';

const MIB = 1024 * 1024;
const PUT_BYTES_MAX = 5000 * MIB;
const BLOCKS_MAX = 50_000;

/** Bytes that a request may bring; checked before the body is read. */
export function blobTooLarge(request: FakeRequest, bytes: number): boolean {
  if (request.operation === 'blob.put') return bytes > PUT_BYTES_MAX;
  return request.operation === 'blob.append-block' && bytes > ((request.headers['x-ms-version'] ?? '') < '2022-11-02' ? 4 : 100) * MIB;
}

function metadataOf(headers: Headers): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (name.startsWith('x-ms-meta-')) metadata[name.slice('x-ms-meta-'.length)] = value;
  return metadata;
}

const WRITE = { exists: 'blob.exists', noneMatch: 'blob.if-match', match: 'blob.if-match' } as const;
const READ = { exists: 'blob.not-modified', noneMatch: 'blob.not-modified', match: 'blob.if-match' } as const;

/** Put Blob, and Create of an append blob: whole, in one step. `createOnly`: the SAS may not replace. */
export function put(account: Account, container: Container, request: FakeRequest, createOnly: boolean): Reply {
  const nowMs = account.clock.now();
  const old = container.nodes.get(request.path) ?? null;
  if (old?.kind === 'directory') throw refusal('blob.directory');
  checkConditions(request.headers, old, WRITE);
  if (old !== null) old.lease.mayWrite(request.headers['x-ms-lease-id'], nowMs, 'blob');
  else if (request.headers['x-ms-lease-id'] !== undefined) throw refusal('blob.id-no-lease');
  if (old !== null && createOnly) throw refusal('blob.create-only');
  if (old !== null && container.immutable) throw refusal('immutable.blob');
  const isAppend = request.operation === 'blob.append-create';
  if (isAppend && request.body.length > 0)
    throw refusal('append-blob.empty', { header: { name: 'Content-Length', value: String(request.body.length) } });
  checkMd5(request);
  const md5 = md5Of(request.body);
  const node = account.place(container, request.path, { kind: 'file', origin: 'blob', blobType: isAppend ? 'AppendBlob' : 'BlockBlob' });
  if (request.body.length > 0) node.bytes.append(request.body);
  node.contentType = request.headers['x-ms-blob-content-type'] ?? request.headers['content-type'];
  node.contentMd5 = isAppend ? undefined : md5;
  node.metadata = metadataOf(request.headers);
  node.lease.written(nowMs);
  if (!isAppend) account.event('PutBlob', container, node);
  return reply(201, { ...about(node), ...(!isAppend && { 'content-md5': md5 }), 'x-ms-request-server-encrypted': 'true' });
}

export function appendBlock(account: Account, container: Container, request: FakeRequest): Reply {
  const node = existing(container, request);
  if (node.blobType !== 'AppendBlob') throw refusal('blob.type');
  mayWrite(account, container, node, request);
  if (request.body.length === 0) throw refusal('append-blob.empty', { header: { name: 'Content-Length', value: '0' } });
  const position = request.headers['x-ms-blob-condition-appendpos'];
  if (position !== undefined && Number(position) !== node.bytes.length) throw refusal('append-blob.position');
  const maxSize = request.headers['x-ms-blob-condition-maxsize'];
  if (maxSize !== undefined && node.bytes.length + request.body.length > Number(maxSize)) throw refusal('append-blob.max-size');
  if (node.blocks >= BLOCKS_MAX) throw refusal('append-blob.blocks');
  const md5 = checkMd5(request);
  const offset = node.bytes.length;
  node.bytes.append(request.body);
  node.blocks += 1;
  account.touch(node);
  node.lease.written(account.clock.now());
  return reply(201, {
    ...about(node),
    ...md5,
    'x-ms-blob-append-offset': String(offset),
    'x-ms-blob-committed-block-count': String(node.blocks),
    'x-ms-request-server-encrypted': 'true',
  });
}

/** Put Block, Append Blob Seal: only their refusals are known here. */
export function putBlock(account: Account, container: Container, request: FakeRequest): Reply {
  if (container.nodes.get(request.path)?.origin === 'dfs') throw refusal('blob.put-block-on-dfs');
  if (request.operation === 'blob.seal' && account.hierarchical) throw refusal('append-blob.seal');
  throw refusal('fake.not-built', { message: `${request.operation}: sluice writes whole blobs and append blobs` });
}

export function setMetadata(account: Account, container: Container, request: FakeRequest): Reply {
  const node = existing(container, request);
  mayWrite(account, container, node, request);
  node.metadata = metadataOf(request.headers);
  account.touch(node);
  node.lease.written(account.clock.now());
  return reply(200, { ...about(node), 'x-ms-request-server-encrypted': 'true' });
}

export function remove(account: Account, container: Container, request: FakeRequest): Reply {
  const node = existing(container, request);
  mayWrite(account, container, node, request);
  if (node.kind === 'directory' && container.children(node.name)) throw refusal('blob.delete-directory');
  container.nodes.delete(node.name);
  account.event('DeleteFile', container, node);
  return reply(202, { 'x-ms-delete-type-permanent': 'true' });
}

function existing(container: Container, request: FakeRequest): PathNode {
  const node = container.nodes.get(request.path);
  if (node === undefined) throw refusal('blob.missing');
  return node;
}

function mayWrite(account: Account, container: Container, node: PathNode, request: FakeRequest): void {
  checkConditions(request.headers, node, WRITE);
  node.lease.mayWrite(request.headers['x-ms-lease-id'], account.clock.now(), 'blob');
  if (container.immutable) throw refusal('immutable.blob');
}

function about(node: PathNode): Record<string, string> {
  return { etag: quoted(node.etag), 'last-modified': httpDate(node.lastModifiedMs) };
}

/** Get Blob and Get Blob Properties. A lease id in a read must be the one that holds. */
export function read(account: Account, container: Container, request: FakeRequest): Reply {
  const node = existing(container, request);
  const nowMs = account.clock.now();
  checkConditions(request.headers, node, READ);
  const id = request.headers['x-ms-lease-id'];
  if (id !== undefined) node.lease.mayWrite(id, nowMs, 'blob');
  const headers = { ...properties(node, nowMs), ...resource(account, node) };
  if (request.method === 'HEAD') return reply(200, { ...headers, ...md5Header(node), 'content-length': String(node.bytes.length) });
  const wanted = request.headers['x-ms-range'] ?? request.headers['range'];
  if (wanted === undefined)
    return reply(200, { ...headers, ...md5Header(node), 'content-length': String(node.bytes.length) }, node.bytes.slice(0, node.bytes.length));
  const [from, to] = rangeOf(wanted, node.bytes.length);
  const body = node.bytes.slice(from, to);
  const wantsMd5 = request.headers['x-ms-range-get-content-md5'] === 'true';
  return reply(
    206,
    {
      ...headers,
      'content-length': String(to - from),
      'content-range': `bytes ${from}-${to - 1}/${node.bytes.length}`,
      ...(node.contentMd5 !== undefined && { 'x-ms-blob-content-md5': node.contentMd5 }),
      ...(wantsMd5 && { 'content-md5': md5Of(Buffer.concat(body)) }),
    },
    body,
  );
}

const md5Header = (node: PathNode): Record<string, string> => (node.contentMd5 === undefined ? {} : { 'content-md5': node.contentMd5 });

/** First byte and the one after the last. */
function rangeOf(range: string, length: number): [number, number] {
  const found = /^bytes=(\d+)-(\d*)$/.exec(range.trim());
  if (found === null) throw new Refusal(400, 'InvalidHeaderValue', { header: { name: 'x-ms-range', value: range } });
  const from = Number(found[1]);
  if (from >= length) throw refusal('blob.range-beyond', { headers: { 'content-range': `bytes */${length}` } });
  return [from, found[2] === '' ? length : Math.min(length, Number(found[2]) + 1)];
}

function properties(node: PathNode, nowMs: number): Record<string, string> {
  const metadata = Object.fromEntries(Object.entries(node.metadata).map(([key, value]) => [`x-ms-meta-${key}`, value]));
  return {
    ...about(node),
    ...metadata,
    'content-type': node.contentType ?? 'application/octet-stream',
    'accept-ranges': 'bytes',
    'x-ms-creation-time': httpDate(node.createdMs),
    'x-ms-blob-type': node.blobType,
    'x-ms-server-encrypted': 'true',
    ...node.lease.headers(nowMs),
    ...(node.blobType === 'AppendBlob'
      ? { 'x-ms-blob-committed-block-count': String(node.blocks) }
      : { 'x-ms-access-tier': 'Hot', 'x-ms-access-tier-inferred': 'true' }),
  };
}

function resource(account: Account, node: PathNode): Record<string, string> {
  if (!account.hierarchical) return {};
  const isDirectory = node.kind === 'directory';
  return {
    'x-ms-resource-type': node.kind,
    'x-ms-owner': '$superuser',
    'x-ms-group': '$superuser',
    'x-ms-permissions': isDirectory ? 'rwxr-x---' : 'rw-r-----',
    ...(isDirectory && { 'x-ms-meta-hdi_isfolder': 'true' }),
  };
}
