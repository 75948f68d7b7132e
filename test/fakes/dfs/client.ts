/**
 * Plain requests with our own signing, to the fake or to a real account: no SDK stands between a test and the wire.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { Endpoint } from './replies.ts';
import { signed } from './signing.ts';

export interface Target {
  /** Base URL of each endpoint, without a slash at the end; the fake has one for both. */
  readonly urls: Readonly<Record<Endpoint, string>>;
  readonly account: string;
  readonly key: string;
  /** Trusted besides the usual ones. */
  readonly certificate?: string;
}

export interface Sent {
  readonly method: string;
  readonly endpoint: Endpoint;
  /** `container/path`, not encoded. */
  readonly at: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Without it the request is signed with the key. `query`: a SAS is in the query. */
  readonly auth?: 'none' | 'query' | { readonly token: string };
}

export interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A service that waits for a body that never comes ends the row, not the run. */
const REPLY_MS_MAX = 60_000;

export async function send(target: Target, sent: Sent): Promise<Received> {
  const body = Buffer.from(sent.body ?? '');
  const url = new URL(`${target.urls[sent.endpoint]}/${sent.at.split('/').map(encodeURIComponent).join('/')}`);
  url.search = Object.entries(sent.query ?? {})
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&');
  return exchange(url, sent.method, headersOf(target, sent, url, body.length), body, target.certificate);
}

function headersOf(target: Target, sent: Sent, url: URL, bytes: number): Record<string, string> {
  const { method, headers = {}, auth } = sent;
  if (auth === undefined) return signed(target.account, target.key, { method, url, headers, bytes });
  const plain = { 'x-ms-version': '2026-06-06', 'content-length': String(bytes), ...headers };
  return typeof auth === 'string' ? plain : { ...plain, authorization: `Bearer ${auth.token}` };
}

function exchange(url: URL, method: string, headers: Record<string, string>, body: Buffer, ca: string | undefined): Promise<Received> {
  return new Promise((resolve, reject) => {
    const isTls = url.protocol === 'https:';
    const request = (isTls ? https : http).request(url, { method, headers, agent: false, ...(ca !== undefined && { ca }) });
    request.on('error', reject);
    request.setTimeout(REPLY_MS_MAX, () => request.destroy(new Error(`no reply in ${REPLY_MS_MAX} ms`)));
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const found = Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
        resolve({ status: response.statusCode!, headers: found, body: Buffer.concat(chunks) });
      });
    });
    // A body that is announced larger than it is: the reply comes before it.
    if (Number(headers['content-length'] ?? 0) > body.length) request.flushHeaders();
    else request.end(body);
  });
}

/** `412 LeaseIdMissing`, or `201` alone. */
export const outcome = (received: Received): string =>
  [received.status, received.headers['x-ms-error-code']].filter((part) => part !== undefined).join(' ');

export const targetOf = (server: {
  readonly url: string;
  readonly account: { readonly name: string; readonly key: string };
  readonly certificate: { readonly pem: string };
}): Target => ({
  urls: { dfs: server.url, blob: server.url },
  account: server.account.name,
  key: server.account.key,
  certificate: server.certificate.pem,
});
