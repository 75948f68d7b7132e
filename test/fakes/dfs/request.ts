/**
 * A request, taken apart: which endpoint, which operation, on what.
 *
 * The SDKs talk to one host for both endpoints when the URL is path-style, as it is on the loopback. So the endpoint follows from the shape of
 * the request. GET and HEAD of a path look alike on both and are taken as Blob, as the SDKs send them; DELETE is DFS when it carries
 * `recursive` or `paginated`.
 */
import type { Endpoint } from './replies.ts';

export type Headers = Readonly<Record<string, string>>;

type Bill = 'write' | 'read' | 'list' | 'other' | 'free';

interface Operation {
  readonly endpoint: Endpoint;
  /** As Azure bills it: "Map each REST operation to a price" of the documentation, general-purpose v2. */
  readonly bill: Bill;
  /** Any one of these letters in a SAS allows it. */
  readonly sas: string;
  /** Resource type in an account SAS: service, container, object. */
  readonly level: 's' | 'c' | 'o';
}

const operation = (endpoint: Endpoint, bill: Bill, sas: string, level: 's' | 'c' | 'o'): Operation => ({ endpoint, bill, sas, level });

export const OPERATIONS = {
  'dfs.filesystem-create': operation('dfs', 'write', 'cw', 'c'),
  'dfs.filesystem-head': operation('dfs', 'other', 'r', 'c'),
  'dfs.filesystem-delete': operation('dfs', 'free', 'd', 'c'),
  'dfs.list': operation('dfs', 'list', 'l', 'c'),
  'dfs.create': operation('dfs', 'write', 'cw', 'o'),
  'dfs.rename': operation('dfs', 'write', 'mw', 'o'),
  'dfs.append': operation('dfs', 'write', 'aw', 'o'),
  'dfs.append-flush': operation('dfs', 'write', 'aw', 'o'),
  'dfs.flush': operation('dfs', 'write', 'aw', 'o'),
  'dfs.delete': operation('dfs', 'free', 'd', 'o'),
  'dfs.lease': operation('dfs', 'other', 'w', 'o'),
  'dfs.status': operation('dfs', 'other', 'r', 'o'),
  'dfs.acl': operation('dfs', 'other', 'erp', 'o'),
  'dfs.other': operation('dfs', 'write', 'w', 'o'),
  'account.info': operation('blob', 'other', 'rwdlacup', 's'),
  'account.containers': operation('blob', 'list', 'l', 's'),
  'container.create': operation('blob', 'list', 'cw', 'c'),
  'container.head': operation('blob', 'other', 'r', 'c'),
  'container.delete': operation('blob', 'free', 'd', 'c'),
  'container.list': operation('blob', 'list', 'l', 'c'),
  'blob.put': operation('blob', 'write', 'cw', 'o'),
  'blob.append-create': operation('blob', 'write', 'cw', 'o'),
  'blob.append-block': operation('blob', 'write', 'aw', 'o'),
  'blob.put-block': operation('blob', 'write', 'w', 'o'),
  'blob.seal': operation('blob', 'write', 'w', 'o'),
  'blob.get': operation('blob', 'read', 'r', 'o'),
  'blob.head': operation('blob', 'other', 'r', 'o'),
  'blob.delete': operation('blob', 'free', 'd', 'o'),
  'blob.metadata': operation('blob', 'write', 'w', 'o'),
  'blob.lease': operation('blob', 'other', 'w', 'o'),
  'blob.other': operation('blob', 'write', 'w', 'o'),
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof OPERATIONS;

export interface FakeRequest {
  readonly method: string;
  /** Path of the URL as it came, still encoded: what Shared Key signs. */
  readonly rawPath: string;
  /** Keys in lower case, values decoded. */
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Headers;
  readonly operation: OperationName;
  readonly container: string;
  /** Inside the container, decoded, without a slash at either end. */
  readonly path: string;
  readonly tls: boolean;
  /** Empty until it has been read. */
  body: Buffer;
}

export const endpointOf = (request: Pick<FakeRequest, 'operation'>): Endpoint => OPERATIONS[request.operation].endpoint;

export function parseQuery(raw: string): Record<string, string> {
  const query: Record<string, string> = {};
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const [key, value] = cut < 0 ? [pair, ''] : [pair.slice(0, cut), pair.slice(cut + 1)];
    query[key.toLowerCase()] = decodeURIComponent(value);
  }
  return query;
}

/** @returns `null` when the URL does not name the account */
export function parseRequest(method: string, url: string, headers: Headers, account: string, tls: boolean): FakeRequest | null {
  const cut = url.indexOf('?');
  const rawPath = cut < 0 ? url : url.slice(0, cut);
  const query = parseQuery(cut < 0 ? '' : url.slice(cut + 1));
  const located = locate(rawPath, account, headers['x-ms-rename-source'] !== undefined);
  if (located === null) return null;
  const { container, path } = located;
  return { method, rawPath, query, headers, ...located, operation: name(method, query, headers, container, path), tls, body: Buffer.alloc(0) };
}

/** Container and path of a path-style URL. `move()` of the SDK leaves the account out of its target. */
export function locate(rawPath: string, account: string, accountOptional: boolean): { container: string; path: string } | null {
  const segments = rawPath.split('/').slice(1).map(decodeURIComponent);
  if (segments[0] === account) segments.shift();
  else if (!accountOptional) return null;
  return { container: segments[0] ?? '', path: segments.slice(1).join('/').replace(/\/+$/, '') };
}

function name(method: string, query: Readonly<Record<string, string>>, headers: Headers, container: string, path: string): OperationName {
  if (query['restype'] === 'account') return 'account.info';
  if (container === '') return 'account.containers';
  if (path === '') return ofContainer(method, query);
  const isDfs =
    query['resource'] !== undefined ||
    query['action'] !== undefined ||
    headers['x-ms-rename-source'] !== undefined ||
    method === 'PATCH' ||
    method === 'POST';
  if (isDfs) return ofPath(method, query, headers);
  if (method === 'DELETE' && (query['recursive'] !== undefined || query['paginated'] !== undefined)) return 'dfs.delete';
  return ofBlob(method, query, headers);
}

function ofContainer(method: string, query: Readonly<Record<string, string>>): OperationName {
  if (query['resource'] === 'filesystem') {
    if (method === 'GET') return 'dfs.list';
    if (method === 'HEAD') return 'dfs.filesystem-head';
    if (method === 'PUT') return 'dfs.filesystem-create';
    return method === 'DELETE' ? 'dfs.filesystem-delete' : 'dfs.other';
  }
  if (query['action']?.startsWith('get')) return 'dfs.acl';
  if (query['comp'] === 'list') return 'container.list';
  if (query['restype'] !== 'container' || query['comp'] !== undefined) return 'blob.other';
  if (method === 'PUT') return 'container.create';
  return method === 'DELETE' ? 'container.delete' : 'container.head';
}

function ofPath(method: string, query: Readonly<Record<string, string>>, headers: Headers): OperationName {
  if (headers['x-ms-rename-source'] !== undefined) return 'dfs.rename';
  if (method === 'PUT') return 'dfs.create';
  if (method === 'POST') return 'dfs.lease';
  const action = query['action']?.toLowerCase();
  if (method === 'PATCH' && action === 'append') return query['flush'] === 'true' ? 'dfs.append-flush' : 'dfs.append';
  if (method === 'PATCH' && action === 'flush') return 'dfs.flush';
  if (action?.includes('accesscontrol')) return 'dfs.acl';
  return method === 'HEAD' && action === 'getstatus' ? 'dfs.status' : 'dfs.other';
}

function ofBlob(method: string, query: Readonly<Record<string, string>>, headers: Headers): OperationName {
  const comp = query['comp'];
  if (comp === undefined) {
    if (method === 'GET') return 'blob.get';
    if (method === 'HEAD') return 'blob.head';
    if (method === 'DELETE') return 'blob.delete';
    if (headers['x-ms-blob-type'] === 'AppendBlob') return 'blob.append-create';
    return method === 'PUT' && headers['x-ms-blob-type'] === 'BlockBlob' ? 'blob.put' : 'blob.other';
  }
  if (method !== 'PUT') return comp === 'metadata' && method !== 'DELETE' ? 'blob.head' : 'blob.other';
  const puts: Readonly<Record<string, OperationName>> = {
    lease: 'blob.lease',
    appendblock: 'blob.append-block',
    block: 'blob.put-block',
    seal: 'blob.seal',
    metadata: 'blob.metadata',
  };
  return puts[comp] ?? 'blob.other';
}
