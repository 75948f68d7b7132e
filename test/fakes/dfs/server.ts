/**
 * A storage account of our own: ADLS Gen2 as the design page dfs-behaviour.md knows it, on the loopback, in memory, for tests.
 *
 * No emulator serves the DFS endpoint, and the worst moments of a writer (a reply lost after the commit, a zombie's request that lands late) do
 * not come when asked for. Here they do. What Azure does and nobody has recorded is a choice of ours: rules.ts says which.
 *
 * How to use it:
 *   await using server = await startDfsServer();              // { hns: false } a flat account; { tls: true }; { clock }
 *   server.url                 `http://127.0.0.1:PORT/acct`: give it to both SDKs; `server.account.name`, `server.account.key`
 *   server.account.createContainer('lake', 'dfs')             // or through an SDK
 *   server.bytes('lake', 'a/b.jsonl')    committed bytes; `server.node(…)`: staged, etag, lease, blocks, metadata; `server.paths('lake')`
 *   server.account.events      FlushWithClose, PutBlob, …     // what event-driven readers would get
 *   server.account.container('lake', 'dfs').immutable = true; server.account.deleteContainer(…); server.account.key = … (rotated)
 *   server.tokens.set('token', 'Storage Blob Data Reader')    // bearer tokens, over TLS alone; trust it: tls.setDefaultCACertificates
 *   server.log.entries         requests, without secrets; `server.log.counts` by operation; `server.log.billed` as Azure bills
 *   server.faults.next({ kind: 'lost-reply', match: { operation: 'dfs.append-flush', path: /\.jsonl$/ }, times: 1, skip: 0 })
 *     kinds: lost-reply, lost-request, reset-in-request, reset-in-reply, status, hang, slow, late, lease-broken, lease-expired, etag-raced;
 *     `{ ...FAILURES.busy }` and others name well-known errors; what `next` gives counts `hits`, `met()` waits for it, `release()` lets what hangs
 *     or is late go on. `server.faults.draw((request) => …)` asks for each request: for schedules that a seed makes.
 * Leases, SAS and events of the account follow `clock`; nothing else does.
 */
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { systemClock, type Clock } from '../../../src/core/clock.ts';
import { Account, type PathNode } from './account.ts';
import type { Role } from './auth.ts';
import { Exchange } from './exchange.ts';
import { Faults } from './faults.ts';
import { RequestLog } from './log.ts';

export interface DfsServerOptions {
  readonly account?: string;
  /** Base64. */
  readonly key?: string;
  /** `false`: a flat account, whose DFS endpoint refuses. */
  readonly hns?: boolean;
  readonly tls?: boolean;
  readonly clock?: Clock;
}

export interface DfsServer extends AsyncDisposable {
  readonly url: string;
  /** PEM to trust, with `tls`; a file for NODE_EXTRA_CA_CERTS. */
  readonly certificate: { readonly pem: string; readonly file: string };
  readonly account: Account;
  readonly tokens: Map<string, Role | readonly Role[]>;
  readonly faults: Faults;
  readonly log: RequestLog;
  /** @throws when the path is not there */
  node(container: string, path: string): PathNode;
  /** Committed bytes. */
  bytes(container: string, path: string): Buffer;
  /** Names of files (not directories), sorted. */
  paths(container: string): string[];
}

const CERTIFICATE = new URL('tls/certificate.pem', import.meta.url);
const KEY = new URL('tls/key.pem', import.meta.url);

export async function startDfsServer(options: DfsServerOptions = {}): Promise<DfsServer> {
  const {
    account: name = 'sluicefake',
    key = Buffer.from('a key of the fake, for tests alone, 64 bytes as Azure has them!!!').toString('base64'),
    hns = true,
    tls = false,
    clock = systemClock,
  } = options;
  const account = new Account({ name, key, hierarchical: hns, clock });
  const tokens = new Map<string, Role | readonly Role[]>();
  const faults = new Faults();
  const log = new RequestLog();
  const pem = readFileSync(CERTIFICATE, 'utf8');
  const listener = (incoming: http.IncomingMessage, outgoing: http.ServerResponse): void =>
    void new Exchange({ account, tokens, faults, log, tls }, incoming, outgoing).serve();
  const server = tls ? https.createServer({ cert: pem, key: readFileSync(KEY) }, listener) : http.createServer(listener);
  // A client that waits for `100 Continue`, or holds a connection for long, is not cut off by the fake.
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const node = (container: string, path: string): PathNode => {
    const found = account.containers.get(container)?.nodes.get(path);
    if (found === undefined) throw new Error(`the fake holds no ${container}/${path}`);
    return found;
  };
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`,
    certificate: { pem, file: fileURLToPath(CERTIFICATE) },
    account,
    tokens,
    faults,
    log,
    node,
    bytes: (container, path) => node(container, path).bytes.all(),
    paths: (container) =>
      [...(account.containers.get(container)?.nodes.values() ?? [])]
        .filter((one) => one.kind === 'file')
        .map((one) => one.name)
        .sort(),
    [Symbol.asyncDispose]: async () => {
      faults.clear();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
