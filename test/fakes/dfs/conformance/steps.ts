/** Requests that rows are made of. `f` is the file of the row. */
import type { Sent } from '../client.ts';
import type { Lab, Step } from './table.ts';

type Headers = Readonly<Record<string, string>> | ((lab: Lab) => Readonly<Record<string, string>>);

interface More {
  readonly path?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Headers;
  readonly body?: string | Uint8Array;
}

export const A = '11111111-1111-1111-1111-111111111111';
export const B = '22222222-2222-2222-2222-222222222222';

/** A request on a path of the row. */
export const on =
  (method: string, endpoint: Sent['endpoint'], { path = 'f', query = {}, headers = {}, body = '' }: More = {}): Step =>
  (lab) => ({
    method,
    endpoint,
    at: path === '' ? lab.at : `${lab.at}/${path}`,
    query,
    headers: typeof headers === 'function' ? headers(lab) : headers,
    body,
  });

export const create = (more: More = {}): Step => on('PUT', 'dfs', { ...more, query: { resource: 'file', ...more.query } });
export const directory = (path: string): Step => on('PUT', 'dfs', { path, query: { resource: 'directory' } });
export const append = (position: number, body: string, more: More = {}): Step =>
  on('PATCH', 'dfs', { ...more, body, query: { action: 'append', position: String(position), ...more.query } });
export const appendFlush = (position: number, body: string, more: More = {}): Step =>
  append(position, body, { ...more, query: { flush: 'true', ...more.query } });
export const flush = (position: number, more: More = {}): Step =>
  on('PATCH', 'dfs', { ...more, query: { action: 'flush', position: String(position), ...more.query } });
export const remove = (path: string, recursive: boolean, headers: Headers = {}): Step =>
  on('DELETE', 'dfs', { path, headers, query: { recursive: String(recursive) } });
export const rename = (from: string, to: string, headers: Readonly<Record<string, string>> = {}): Step =>
  on('PUT', 'dfs', { path: to, query: { mode: 'legacy' }, headers: (lab) => ({ 'x-ms-rename-source': `/${lab.at}/${from}`, ...headers }) });

export const head = (path = 'f', headers: Headers = {}): Step => on('HEAD', 'blob', { path, headers });
export const get = (headers: Headers = {}, path = 'f'): Step => on('GET', 'blob', { path, headers });
export const put = (body: string, headers: Headers = {}, path = 'f'): Step =>
  on('PUT', 'blob', {
    path,
    body,
    headers: (lab) => ({ 'x-ms-blob-type': 'BlockBlob', ...(typeof headers === 'function' ? headers(lab) : headers) }),
  });
export const appendBlob = (path = 'f'): Step => on('PUT', 'blob', { path, headers: { 'x-ms-blob-type': 'AppendBlob' } });
export const appendBlock = (body: string, headers: Headers = {}): Step => on('PUT', 'blob', { body, headers, query: { comp: 'appendblock' } });
export const lease = (action: string, headers: Readonly<Record<string, string>> = {}, path = 'f'): Step =>
  on('PUT', 'blob', { path, query: { comp: 'lease' }, headers: { 'x-ms-lease-action': action, ...headers } });
/** Leased for a minute with id A. */
export const leased = (path = 'f'): Step => lease('acquire', { 'x-ms-lease-duration': '60', 'x-ms-proposed-lease-id': A }, path);
export const withLease = (id: string): Readonly<Record<string, string>> => ({ 'x-ms-lease-id': id });

/** A list of the row's folder, or of one below it. */
export const list = (query: Readonly<Record<string, string>> = {}, below = ''): Step => {
  return (lab) => {
    const [container, ...folder] = lab.at.split('/');
    return {
      method: 'GET',
      endpoint: 'dfs',
      at: container!,
      query: { resource: 'filesystem', recursive: 'true', directory: `${folder.join('/')}${below}`, ...query },
    };
  };
};

export const listBlobs = (query: Readonly<Record<string, string>> | ((lab: Lab) => Readonly<Record<string, string>>) = {}): Step => {
  return (lab) => {
    const [container, ...folder] = lab.at.split('/');
    return {
      method: 'GET',
      endpoint: 'blob',
      at: container!,
      query: { restype: 'container', comp: 'list', prefix: `${folder.join('/')}/`, ...(typeof query === 'function' ? query(lab) : query) },
    };
  };
};

/** A request on the row's own container. */
export const container =
  (method: string, endpoint: Sent['endpoint'], query: Readonly<Record<string, string>> = {}): Step =>
  (lab) => ({ method, endpoint, at: lab.own, query: { ...(endpoint === 'dfs' ? { resource: 'filesystem' } : { restype: 'container' }), ...query } });

/** ETag of the n-th reply of the row. */
export const etag = (lab: Lab, n: number): string => lab.seen[n]?.headers['etag'] ?? 'no ETag';
/** Anything but the ETag of the n-th reply. */
export const otherThan = (lab: Lab, n: number): RegExp => new RegExp(`^(?!${etag(lab, n)}$)"0x[0-9A-F]+"$`);
