/**
 * Shared Key and SAS: what is signed, and by whom. The fake checks with it, the conformance table signs with it; that it is right is shown by
 * the SDKs, which sign by themselves.
 */
import { createHmac } from 'node:crypto';
import { parseQuery, type Headers } from './request.ts';

const SIGNED = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
];

const hmac = (key: string, text: string): string => createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');

/** @param rawPath the path of the URL, encoded as it is sent; the account comes before it, also when it begins with the account */
export function sharedKeySignature(
  key: string,
  account: string,
  request: { readonly method: string; readonly rawPath: string; readonly query: Readonly<Record<string, string>>; readonly headers: Headers },
): string {
  const { headers } = request;
  const standard = SIGNED.map((name) => {
    const value = headers[name] ?? '';
    return (name === 'content-length' && value === '0') || (name === 'date' && headers['x-ms-date'] !== undefined) ? '' : value;
  });
  const own = Object.keys(headers)
    .filter((name) => name.startsWith('x-ms-'))
    .sort()
    .map((name) => `${name}:${headers[name]!.trim()}\n`);
  const resource = Object.keys(request.query)
    .sort()
    .map((name) => `\n${name}:${request.query[name]}`);
  const text = [request.method, ...standard].join('\n');
  return hmac(key, `${text}\n${own.join('')}/${account}${request.rawPath}${resource.join('')}`);
}

/** The signature of a service SAS of version 2018-11-09 or later, for the resource that `resource` names (`/blob/account/container/…`). */
export function serviceSasSignature(key: string, sas: Readonly<Record<string, string>>, resource: string): string {
  const of = (name: string): string => sas[name] ?? '';
  const scope = of('sv') >= '2020-12-06' ? [of('ses')] : [];
  const fields = ['sp', 'st', 'se'].map(of);
  const text = [
    ...fields,
    resource,
    ...['si', 'sip', 'spr', 'sv', 'sr'].map(of),
    of('snapshot'),
    ...scope,
    ...['rscc', 'rscd', 'rsce', 'rscl', 'rsct'].map(of),
  ];
  return hmac(key, text.join('\n'));
}

export function accountSasSignature(key: string, account: string, sas: Readonly<Record<string, string>>): string {
  const of = (name: string): string => sas[name] ?? '';
  const scope = of('sv') >= '2020-12-06' ? [of('ses')] : [];
  return hmac(key, [account, ...['sp', 'ss', 'srt', 'st', 'se', 'sip', 'spr', 'sv'].map(of), ...scope, ''].join('\n'));
}

/** Headers of a request with Shared Key; `headers` in lower case. */
export function signed(
  account: string,
  key: string,
  request: { readonly method: string; readonly url: URL; readonly headers: Headers; readonly bytes: number },
): Record<string, string> {
  const headers: Record<string, string> = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2026-06-06', ...request.headers };
  if (headers['content-length'] === undefined && (request.bytes > 0 || ['PUT', 'PATCH', 'POST'].includes(request.method)))
    headers['content-length'] = String(request.bytes);
  const signature = sharedKeySignature(key, account, {
    method: request.method,
    rawPath: request.url.pathname,
    query: parseQuery(request.url.search.slice(1)),
    headers,
  });
  return { ...headers, authorization: `SharedKey ${account}:${signature}` };
}
