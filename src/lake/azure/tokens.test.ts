/**
 * Logging in with a token, from a process of its own that trusts the certificate of the tests' account: a managed identity, given out
 * by a service as App Service has one.
 */
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDfsServer, type DfsServer } from '../../../test/fakes/dfs/server.ts';

let account: DfsServer;
let identity: Server;
const asked: string[] = [];
beforeAll(async () => {
  account = await startDfsServer({ tls: true });
  account.account.createContainer('tokens', 'dfs');
  identity = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://identity');
    asked.push(url.searchParams.get('client_id') ?? 'system');
    const claims = Buffer.from(JSON.stringify({ appid: 'app-1', xms_mirid: '/the/identity' })).toString('base64url');
    const access_token = `${url.searchParams.get('client_id') ?? 'e30'}.${claims}.s`;
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        access_token,
        expires_on: String(Math.floor(Date.now() / 1000) + 86_400),
        token_type: 'Bearer',
        resource: 'https://storage.azure.com',
      }),
    );
  });
  await new Promise<void>((resolve) => identity.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await account[Symbol.asyncDispose]();
  identity.close();
});

/** What a process says that owns a lake with this identity and writes to it. */
function say(clientId: string, role: Parameters<DfsServer['tokens']['set']>[1] | null): Promise<string> {
  const claims = Buffer.from(JSON.stringify({ appid: 'app-1', xms_mirid: '/the/identity' })).toString('base64url');
  if (role !== null) account.tokens.set(`${clientId}.${claims}.s`, role);
  const options = { url: `${account.url}/tokens/p`, writer: 'dfs', auth: { kind: 'managedIdentity', clientId }, patienceMs: 2_000 };
  const source = `
    import { openAzureLake } from ${JSON.stringify(new URL('./open.ts', import.meta.url).href)};
    import { inspectAccount } from ${JSON.stringify(new URL('./inspect.ts', import.meta.url).href)};
    const options = ${JSON.stringify(options)};
    const never = new AbortController().signal;
    try {
      for (const { name, detail, error } of await inspectAccount(options)) console.log(name, detail, error?.code ?? 'fine');
      const lake = await openAzureLake(options);
      await using mine = await lake.own('_sluice/p/checkpoint.json', { takeOver: false }, never);
      const file = await lake.put(${JSON.stringify(clientId)}, Buffer.from('x'), 'absent');
      console.log('wrote', file.size);
    } catch (error) {
      console.log(error.code, error.next);
    }`;
  const { port } = identity.address() as AddressInfo;
  const env = {
    ...process.env,
    NODE_EXTRA_CA_CERTS: account.certificate.file,
    IDENTITY_ENDPOINT: `http://127.0.0.1:${port}/token`,
    IDENTITY_HEADER: 'secret',
  };
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module-typescript', '-e', source], { env }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe('a managed identity', () => {
  it('writes with the role that it needs, and doctor says who it is', async () => {
    const said = await say('client-1', 'Storage Blob Data Contributor');
    expect(said).toContain('wrote 1');
    expect(said).toContain('managedIdentity, as /the/identity');
    expect(said).toContain('hierarchical namespace');
    expect(asked).toContain('client-1');
  });

  it('is told the role that is missing', async () => {
    const said = await say('client-2', 'Storage Blob Data Reader');
    expect(said).toContain('SLC-1116');
    expect(said).toContain('Storage Blob Data Contributor');
  });

  it('is told when nobody knows it', async () => {
    expect(await say('client-3', null)).toContain('SLC-1114');
  });
});
