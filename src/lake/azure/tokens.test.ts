/**
 * Logging in with a token, from a process of its own that trusts the certificates of the tests: every way to get one, from services
 * of the tests' own that answer as App Service's identity and as Microsoft Entra do.
 */
import { execFile } from 'node:child_process';
import { createPublicKey, randomUUID, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDfsServer, type DfsServer } from '../../../test/fakes/dfs/server.ts';
import type { AzureAuth } from './login.ts';

const CONTRIBUTOR = 'Storage Blob Data Contributor';
const TENANT = '11111111-2222-3333-4444-555555555555';
const CERTIFICATE = fileURLToPath(new URL('../../../test/fixtures/tls/client.pem', import.meta.url));
const OF_THE_FAKE = new URL('../../../test/fakes/dfs/tls/', import.meta.url);

let account: DfsServer;
let identity: Server;
let authority: https.Server;
let folder: string;
const asked: string[] = [];
/** What the authority was told, request by request. */
const told: URLSearchParams[] = [];

const portOf = (server: Server | https.Server): number => (server.address() as AddressInfo).port;
const listening = (server: Server | https.Server): Promise<void> => new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

/** As it is given out to this client; the claims are what `doctor` shows. */
function tokenOf(clientId: string): string {
  const claims = Buffer.from(JSON.stringify({ appid: clientId, xms_mirid: `/the/identity/${clientId}` })).toString('base64url');
  return `${clientId}.${claims}.s`;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-tokens-'));
  account = await startDfsServer({ tls: true });
  account.account.createContainer('tokens', 'dfs');
  identity = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://identity');
    const clientId = url.searchParams.get('client_id') ?? 'system';
    asked.push(clientId);
    const expires_on = String(Math.floor(Date.now() / 1000) + 86_400);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ access_token: tokenOf(clientId), expires_on, token_type: 'Bearer', resource: 'https://storage.azure.com' }));
  });
  const tls = { cert: account.certificate.pem, key: readFileSync(new URL('key.pem', OF_THE_FAKE)) };
  authority = https.createServer(tls, (request, response) => {
    void text(request).then((body) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(entra(new URL(request.url ?? '', `https://127.0.0.1:${portOf(authority)}`), body)));
    });
  });
  await Promise.all([listening(identity), listening(authority)]);
});
afterAll(async () => {
  await account[Symbol.asyncDispose]();
  identity.close();
  authority.close();
  rmSync(folder, { recursive: true });
});

/** Microsoft Entra, as far as a client with its own credentials needs it. */
function entra(url: URL, body: string): object {
  const tenant = url.pathname.split('/')[1];
  const base = `${url.origin}/${tenant}`;
  if (url.pathname.endsWith('/.well-known/openid-configuration')) {
    return {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
    };
  }
  const form = new URLSearchParams(body);
  form.set('tenant', tenant ?? '');
  told.push(form);
  return { token_type: 'Bearer', expires_in: 86_399, access_token: tokenOf(form.get('client_id') ?? '') };
}

interface Who {
  readonly auth: AzureAuth;
  readonly clientId: string;
  readonly role: Parameters<DfsServer['tokens']['set']>[1] | null;
  readonly env?: Readonly<Record<string, string>>;
}

/** What a process says that owns a lake with this identity and writes to it. */
function say({ auth, clientId, role, env = {} }: Who): Promise<string> {
  if (role !== null) account.tokens.set(tokenOf(clientId), role);
  const options = { url: `${account.url}/tokens/p`, writer: 'dfs', auth, patienceMs: 2_000 };
  const source = `
    import { openAzureLake } from ${JSON.stringify(new URL('./open.ts', import.meta.url).href)};
    import { inspectAccount } from ${JSON.stringify(new URL('./inspect.ts', import.meta.url).href)};
    const options = ${JSON.stringify(options)};
    const never = new AbortController().signal;
    try {
      for (const { name, detail, error } of await inspectAccount(options)) console.log(name, detail, error?.code ?? 'fine');
      const lake = await openAzureLake(options);
      await using mine = await lake.own('_sluice/p/checkpoint.json', { takeOver: false }, never);
      const file = await lake.put(${JSON.stringify(randomUUID())}, Buffer.from('x'), 'absent');
      console.log('wrote', file.size);
    } catch (error) {
      console.log(error.code, error.next);
    }`;
  const all = { ...process.env, NODE_EXTRA_CA_CERTS: account.certificate.file, ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module-typescript', '-e', source], { env: all }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

const withIdentity = (clientId: string, role: Who['role']): Promise<string> =>
  say({
    auth: { kind: 'managedIdentity', clientId },
    clientId,
    role,
    env: { IDENTITY_ENDPOINT: `http://127.0.0.1:${portOf(identity)}/token`, IDENTITY_HEADER: 'secret' },
  });

const withAuthority = (auth: AzureAuth, clientId: string, env: Readonly<Record<string, string>> = {}): Promise<string> =>
  say({ auth, clientId, role: CONTRIBUTOR, env: { AZURE_AUTHORITY_HOST: `https://127.0.0.1:${portOf(authority)}`, ...env } });

/** What the authority was told by this client, the last time. */
const toldBy = (clientId: string): Record<string, string> =>
  Object.fromEntries(told.findLast((form) => form.get('client_id') === clientId)?.entries() ?? []);

describe('a managed identity', () => {
  it('writes with the role that it needs, and doctor says who it is', async () => {
    const said = await withIdentity('client-1', CONTRIBUTOR);
    expect(said).toContain('wrote 1');
    expect(said).toContain('managedIdentity, as /the/identity/client-1');
    expect(said).toContain('hierarchical namespace');
    expect(asked).toContain('client-1');
  });

  it('is told the role that is missing', async () => {
    const said = await withIdentity('client-2', 'Storage Blob Data Reader');
    expect(said).toContain('SLC-1116');
    expect(said).toContain(CONTRIBUTOR);
  });

  it('is told when nobody knows it', async () => {
    expect(await withIdentity('client-3', null)).toContain('SLC-1114');
  });
});

describe('an application', () => {
  it('writes as a service principal with a secret', async () => {
    const said = await withAuthority({ kind: 'servicePrincipal', tenantId: TENANT, clientId: 'app-1', clientSecret: 'the secret' }, 'app-1');
    expect(said).toContain('wrote 1');
    expect(said).toContain('servicePrincipal, as /the/identity/app-1');
    expect(toldBy('app-1')).toMatchObject({
      tenant: TENANT,
      grant_type: 'client_credentials',
      client_secret: 'the secret',
      scope: expect.stringContaining('https://storage.azure.com/.default'),
    });
  });

  it('writes as a service principal with a certificate, whose key signs what it says', async () => {
    const said = await withAuthority({ kind: 'servicePrincipal', tenantId: TENANT, clientId: 'app-2', certificateFile: CERTIFICATE }, 'app-2');
    expect(said).toContain('wrote 1');
    const { client_assertion = '', client_secret } = toldBy('app-2');
    expect(client_secret).toBeUndefined();
    const [head, claims, signature] = client_assertion.split('.') as [string, string, string];
    const { alg } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { alg: string };
    const key = { key: createPublicKey(readFileSync(CERTIFICATE)), ...(alg.startsWith('PS') && { padding: 6, saltLength: 32 }) };
    expect(verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url')), alg).toBe(true);
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({ iss: 'app-2', sub: 'app-2' });
  });

  it('writes as a workload with the token of its cluster', async () => {
    const tokenFile = join(folder, 'cluster-token');
    writeFileSync(tokenFile, 'token of the cluster');
    const said = await withAuthority({ kind: 'workloadIdentity', tenantId: TENANT, clientId: 'app-3', tokenFile }, 'app-3');
    expect(said).toContain('wrote 1');
    expect(toldBy('app-3')).toMatchObject({ tenant: TENANT, client_assertion: 'token of the cluster' });
  });

  it('writes as what the environment says, with the default', async () => {
    const env = { AZURE_TENANT_ID: TENANT, AZURE_CLIENT_ID: 'app-4', AZURE_CLIENT_SECRET: 'of the environment' };
    const said = await withAuthority({ kind: 'default' }, 'app-4', env);
    expect(said).toContain('wrote 1');
    expect(toldBy('app-4')).toMatchObject({ tenant: TENANT, client_secret: 'of the environment' });
  });
});

describe('the Azure CLI', () => {
  it('writes as who has logged in there', async () => {
    const expiresOn = Math.floor(Date.now() / 1000) + 3600;
    const answer = JSON.stringify({ accessToken: tokenOf('person-1'), expires_on: expiresOn, tokenType: 'Bearer' });
    writeFileSync(join(folder, 'az'), `#!/bin/sh\necho "$@" > '${join(folder, 'az-args')}'\necho '${answer}'\n`, { mode: 0o755 });
    const PATH = `${folder}${delimiter}${process.env['PATH']}`;
    const said = await say({ auth: { kind: 'azureCli' }, clientId: 'person-1', role: CONTRIBUTOR, env: { PATH } });
    expect(said).toContain('wrote 1');
    expect(said).toContain('azureCli, as /the/identity/person-1');
    expect(readFileSync(join(folder, 'az-args'), 'utf8')).toContain('account get-access-token');
  });
});
