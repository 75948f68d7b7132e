/**
 * Append and flush of the DFS endpoint: bytes are staged at positions, a flush commits what is contiguous.
 *
 * The hazard that sluice's writer must survive lives here: staging knows no owner. Whoever appends last at a position wins, and a flush
 * commits what is there, also when it is another writer's.
 */
import { createHash } from 'node:crypto';
import type { Account, Container, PathNode } from './account.ts';
import { checkConditions } from './conditions.ts';
import { refusal, reply, type Reply } from './replies.ts';
import type { FakeRequest } from './request.ts';

const APPEND_BYTES_MAX = 4000 * 1024 * 1024;

export const quoted = (etag: string): string => `"${etag}"`;
export const httpDate = (ms: number): string => new Date(ms).toUTCString();

/** Bytes that a request may bring; checked before the body is read. */
export function appendTooLarge(bytes: number): boolean {
  return bytes > APPEND_BYTES_MAX;
}

function positionOf(request: FakeRequest): number {
  const value = request.query['position'];
  if (value === undefined) throw refusal('dfs.parameter');
  const position = Number(value);
  if (!Number.isSafeInteger(position) || position < 0) throw refusal('dfs.method');
  return position;
}

function fileOf(container: Container, request: FakeRequest): PathNode {
  const node = container.nodes.get(request.path);
  if (node === undefined) throw refusal('append.missing');
  if (node.kind === 'directory') throw refusal('append.directory');
  return node;
}

export const md5Of = (bytes: Buffer): string => createHash('md5').update(bytes).digest('base64');

/** The header `content-md5` of the reply, when the request had one. @throws Refusal 400 Md5Mismatch */
export function checkMd5(request: FakeRequest): Record<string, string> {
  const claimed = request.headers['content-md5'];
  if (claimed === undefined) return {};
  if (claimed !== md5Of(request.body)) throw refusal('append.md5-mismatch');
  return { 'content-md5': claimed };
}

/** Nothing is staged when this throws. */
function takeLease(account: Account, node: PathNode, request: FakeRequest): Record<string, string> {
  const nowMs = account.clock.now();
  const action = request.headers['x-ms-lease-action'];
  const id = request.headers['x-ms-lease-id'];
  if (action === 'acquire' || action === 'acquire-release') {
    node.lease.acquire(request.headers['x-ms-proposed-lease-id'], Number(request.headers['x-ms-lease-duration'] ?? '-1'), nowMs);
    return {};
  }
  node.lease.mayWrite(id, nowMs, 'dfs');
  if (action !== 'auto-renew') return {};
  node.lease.renew(id, nowMs);
  // `false` is what the recordings show, also where the lease went on.
  return { 'x-ms-lease-renewed': 'false' };
}

function leaveLease(account: Account, node: PathNode, request: FakeRequest): void {
  const action = request.headers['x-ms-lease-action'];
  if (action === 'release') node.lease.release(request.headers['x-ms-lease-id'], account.clock.now());
  if (action === 'acquire-release') node.lease.release(request.headers['x-ms-proposed-lease-id'], account.clock.now());
}

export function append(account: Account, container: Container, request: FakeRequest): Reply {
  const node = fileOf(container, request);
  const flush = request.operation === 'dfs.append-flush';
  if (container.immutable) throw refusal('immutable.dfs');
  if (request.body.length === 0) throw refusal('append.empty', { header: { name: 'Content-Length', value: '0' } });
  const position = positionOf(request);
  if (node.origin === 'blob') throw refusal('append.blob-written');
  const md5 = checkMd5(request);
  if (flush)
    checkConditions(request.headers, node, { exists: 'flush.none-match-current', noneMatch: 'flush.none-match-current', match: 'append.if-match' });
  const renewed = takeLease(account, node, request);
  node.lease.written(account.clock.now());
  const headers = { 'x-ms-request-server-encrypted': 'true', ...renewed, ...md5 };
  if (node.blobType === 'AppendBlob') return appendInOrder(account, node, request, position, headers);
  node.staged.set(position, request.body);
  if (!flush) return reply(202, headers);
  const upTo = position + request.body.length;
  // Committed already: a replay. Anything else that does not end beyond the committed bytes is refused.
  if (upTo < node.bytes.length || (position < node.bytes.length && upTo > node.bytes.length)) throw refusal('append.replay-late');
  commit(node, upTo, request, 'append.gap-flush');
  if (node.contentType === undefined) node.contentType = request.headers['content-type'];
  committed(account, container, node, request);
  return reply(202, { ...headers, ...written(node) });
}

export function flush(account: Account, container: Container, request: FakeRequest): Reply {
  const node = fileOf(container, request);
  if (container.immutable) throw refusal('immutable.dfs');
  const position = positionOf(request);
  if (node.origin === 'blob') throw refusal('flush.blob-written');
  checkConditions(request.headers, node, { exists: 'flush.none-match-current', noneMatch: 'flush.none-match-current', match: 'flush.if-match' });
  const renewed = takeLease(account, node, request);
  if (position < node.bytes.length) throw refusal('flush.below-committed');
  commit(node, position, request, 'flush.hole');
  for (const [header, value] of Object.entries(request.headers)) {
    if (header === 'x-ms-content-type') node.contentType = value;
    if (header === 'x-ms-content-md5') node.contentMd5 = value;
  }
  node.lease.written(account.clock.now());
  committed(account, container, node, request);
  return reply(200, { ...written(node), ...renewed, 'x-ms-request-server-encrypted': 'false' });
}

function appendInOrder(account: Account, node: PathNode, request: FakeRequest, position: number, headers: Record<string, string>): Reply {
  if (position !== node.bytes.length) throw refusal('append.append-blob-replay');
  node.bytes.append(request.body);
  node.blocks += 1;
  account.touch(node);
  leaveLease(account, node, request);
  return reply(202, { ...headers, ...written(node) });
}

/** Commits what is staged, up to `upTo`. */
function commit(node: PathNode, upTo: number, request: FakeRequest, otherwise: 'flush.hole' | 'append.gap-flush'): void {
  const run: Buffer[] = [];
  for (let at = node.bytes.length; at < upTo;) {
    const piece = node.staged.get(at)?.subarray(0, upTo - at);
    if (piece === undefined) throw refusal(otherwise);
    run.push(piece);
    at += piece.length;
  }
  // The worst that could be, since nobody knows: what was staged below the committed length replaces it.
  for (const [at, piece] of node.staged) if (at < node.bytes.length) node.bytes.overwrite(at, piece);
  for (const piece of run) node.bytes.append(piece);
  const retain = request.query['retainuncommitteddata'] === 'true';
  for (const at of node.staged.keys()) if (!retain || at < upTo) node.staged.delete(at);
}

function committed(account: Account, container: Container, node: PathNode, request: FakeRequest): void {
  account.touch(node);
  leaveLease(account, node, request);
  if (request.query['close'] === 'true') account.event('FlushWithClose', container, node);
}

function written(node: PathNode): Record<string, string> {
  return { etag: quoted(node.etag), 'last-modified': httpDate(node.lastModifiedMs) };
}
