/** Who may do what: signatures of the SDKs are really checked, and each refusal is the one of Azure. */
import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  AccountSASServices,
  BlobServiceClient,
  ContainerSASPermissions,
  StorageSharedKeyCredential as BlobKey,
  generateAccountSASQueryParameters,
  generateBlobSASQueryParameters,
} from '@azure/storage-blob';
import {
  DirectorySASPermissions,
  DataLakeServiceClient,
  StorageSharedKeyCredential,
  generateDataLakeSASQueryParameters,
} from '@azure/storage-file-datalake';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestClock } from '../capture-bench.ts';
import type { Role } from './auth.ts';
import { outcome, send, targetOf, type Sent } from './client.ts';
import { startDfsServer, type DfsServer } from './server.ts';

const ONCE = { retryOptions: { maxTries: 1 } };

let server: DfsServer;
let secure: DfsServer;
const clock = new TestClock();

beforeAll(async () => {
  server = await startDfsServer({ clock });
  secure = await startDfsServer({ clock, tls: true });
  // The SDKs take no certificate of their own.
  setDefaultCACertificates([...getCACertificates('default'), secure.certificate.pem]);
  for (const one of [server, secure]) {
    one.account.createContainer('lake', 'dfs');
    one.account.createContainer('other', 'dfs');
  }
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await secure[Symbol.asyncDispose]();
});

/** What a request with this SAS gets. */
const withSas = (sas: string, sent: Partial<Sent> & Pick<Sent, 'method' | 'at'>, to = server): Promise<string> =>
  send(targetOf(to), { endpoint: 'dfs', ...sent, auth: 'query', query: { ...sent.query, ...Object.fromEntries(new URLSearchParams(sas)) } }).then(
    outcome,
  );

const CREATE = { resource: 'file' };
const APPEND = { action: 'append', position: '0', flush: 'true' };
const ends = (ms = 60_000): Date => new Date(clock.now() + ms);
const key = (): BlobKey => new BlobKey(server.account.name, server.account.key);

const accountSas = (
  permissions: string,
  resourceTypes = 'sco',
  more: { readonly services?: string; readonly expiresOn?: Date; readonly startsOn?: Date; readonly protocol?: never } = {},
): string =>
  generateAccountSASQueryParameters(
    {
      permissions: AccountSASPermissions.parse(permissions),
      resourceTypes: AccountSASResourceTypes.parse(resourceTypes).toString(),
      services: AccountSASServices.parse(more.services ?? 'b').toString(),
      expiresOn: more.expiresOn ?? ends(),
      ...(more.startsOn && { startsOn: more.startsOn }),
    },
    key(),
  ).toString();

describe('Shared Key', () => {
  it('is refused with another key, and after the key was rotated', async () => {
    const wrong = new BlobServiceClient(server.url, new BlobKey(server.account.name, Buffer.from('wrong').toString('base64')), ONCE);
    await expect(wrong.getContainerClient('lake').getProperties()).rejects.toMatchObject({ statusCode: 403, code: 'AuthenticationFailed' });
    const right = new BlobServiceClient(secure.url, new BlobKey(secure.account.name, secure.account.key), ONCE);
    await right.getContainerClient('lake').getProperties();
    secure.account.key = Buffer.from('rotated').toString('base64');
    await expect(right.getContainerClient('lake').getProperties()).rejects.toMatchObject({ statusCode: 403 });
  });

  it('covers path, query, headers and length: a request that was changed on its way is refused', async () => {
    const target = targetOf(server);
    const sent: Sent = { method: 'PUT', endpoint: 'dfs', at: 'lake/signed', query: CREATE };
    expect(outcome(await send(target, sent))).toBe('201');
    const changed = async (change: (url: URL, headers: Record<string, string>) => void): Promise<string> => {
      const { signed } = await import('./signing.ts');
      const url = new URL(`${server.url}/lake/signed?action=append&position=0`);
      const headers = signed(server.account.name, server.account.key, { method: 'PATCH', url, headers: {}, bytes: 3 });
      change(url, headers);
      return (
        (
          await fetch(url, {
            method: 'PATCH',
            headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'content-length')),
            body: Buffer.from('one'),
          })
        ).headers.get('x-ms-error-code') ?? 'done'
      );
    };
    expect(await changed(() => {})).toBe('done');
    expect(await changed((url) => url.searchParams.set('position', '1'))).toBe('AuthenticationFailed');
    expect(await changed((url) => (url.pathname = url.pathname.replace('signed', 'other')))).toBe('AuthenticationFailed');
    expect(await changed((_url, headers) => (headers['x-ms-lease-id'] = 'x'))).toBe('AuthenticationFailed');
    expect(await changed((_url, headers) => (headers['if-match'] = '*'))).toBe('AuthenticationFailed');
  });
});

describe('an account SAS', () => {
  it('lets in what it names, until it ends by the clock of the fake', async () => {
    const sas = accountSas('rwdlac');
    expect(await withSas(sas, { method: 'PUT', at: 'lake/a/f', query: CREATE })).toBe('201');
    expect(await withSas(sas, { method: 'PATCH', at: 'lake/a/f', query: APPEND, body: 'one' })).toBe('202');
    expect(await withSas(sas, { method: 'GET', at: 'lake', query: { resource: 'filesystem', recursive: 'true' } })).toBe('200');
    expect(await withSas(sas, { method: 'PUT', at: 'fresh', query: { resource: 'filesystem' } })).toBe('201');
    clock.move(60_000);
    expect(await withSas(sas, { method: 'HEAD', endpoint: 'blob', at: 'lake/a/f' })).toBe('403 AuthenticationFailed');
  });

  it('is refused before it begins, and with a forged right', async () => {
    expect(await withSas(accountSas('r', 'o', { startsOn: ends(30_000) }), { method: 'HEAD', endpoint: 'blob', at: 'lake/f' })).toBe(
      '403 AuthenticationFailed',
    );
    expect(await withSas(accountSas('r').replace('sp=r', 'sp=rw'), { method: 'PUT', at: 'lake/f', query: CREATE })).toBe('403 AuthenticationFailed');
  });

  it('is refused for other rights, resource types and services', async () => {
    expect(await withSas(accountSas('rl'), { method: 'PUT', at: 'lake/f', query: CREATE })).toBe('403 AuthorizationPermissionMismatch');
    expect(await withSas(accountSas('rwl', 'o'), { method: 'GET', at: 'lake', query: { resource: 'filesystem', recursive: 'true' } })).toBe(
      '403 AuthorizationResourceTypeMismatch',
    );
    expect(await withSas(accountSas('rwl', 'o', { services: 'q' }), { method: 'PUT', at: 'lake/f', query: CREATE })).toBe(
      '403 AuthorizationServiceMismatch',
    );
  });
});

describe('a service SAS', () => {
  const containerSas = (permissions: string): string =>
    generateBlobSASQueryParameters(
      { containerName: 'lake', permissions: ContainerSASPermissions.parse(permissions), expiresOn: ends() },
      key(),
    ).toString();

  it('of a container covers its paths and its list, not the container itself, nor others', async () => {
    const sas = containerSas('racwdl');
    const client = new DataLakeServiceClient(`${server.url}?${sas}`, undefined, ONCE).getFileSystemClient('lake');
    await client.getFileClient('by-sas').create();
    await client.getFileClient('by-sas').append('one', 0, 3, { flush: true });
    expect((await client.listPaths().byPage().next()).value?.pathItems?.length).toBeGreaterThan(0);
    expect(await withSas(sas, { method: 'HEAD', at: 'lake', query: { resource: 'filesystem' } })).toBe('403 AuthorizationFailure');
    expect(await withSas(sas, { method: 'PUT', at: 'other/f', query: CREATE })).toBe('403 AuthenticationFailed');
  });

  it('that may create but not write replaces nothing', async () => {
    const put = { method: 'PUT', endpoint: 'blob', at: 'lake/once', headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'x' } as const;
    expect(await withSas(containerSas('rc'), put)).toBe('201');
    expect(await withSas(containerSas('rc'), put)).toBe('403 UnauthorizedBlobOverwrite');
    expect(await withSas(containerSas('rw'), put)).toBe('201');
  });

  it('of a directory covers what is below it, and nothing beside it', async () => {
    const credential = new StorageSharedKeyCredential(server.account.name, server.account.key);
    const sas = generateDataLakeSASQueryParameters(
      { fileSystemName: 'lake', pathName: 'mine/deep', isDirectory: true, permissions: DirectorySASPermissions.parse('racwdl'), expiresOn: ends() },
      credential,
    ).toString();
    expect(sas).toContain('sr=d');
    expect(await withSas(sas, { method: 'PUT', at: 'lake/mine/deep/a/f', query: CREATE })).toBe('201');
    expect(await withSas(sas, { method: 'GET', at: 'lake', query: { resource: 'filesystem', recursive: 'true', directory: 'mine/deep' } })).toBe(
      '200',
    );
    expect(await withSas(sas, { method: 'PUT', at: 'lake/mine/deeper', query: CREATE })).toBe('403 AuthenticationFailed');
    expect(await withSas(sas, { method: 'GET', at: 'lake', query: { resource: 'filesystem', recursive: 'true' } })).toBe('403 AuthenticationFailed');
  });

  it('for https alone is refused over http', async () => {
    const sas = generateBlobSASQueryParameters(
      { containerName: 'lake', permissions: ContainerSASPermissions.parse('r'), expiresOn: ends(), protocol: 'https' as never },
      key(),
    ).toString();
    expect(await withSas(sas, { method: 'HEAD', endpoint: 'blob', at: 'lake/f' })).toBe('403 AuthorizationProtocolMismatch');
  });
});

describe('a bearer token', () => {
  it('does over TLS what its role allows', async () => {
    const roles: Record<string, Role> = {
      owner: 'Storage Blob Data Owner',
      writer: 'Storage Blob Data Contributor',
      reader: 'Storage Blob Data Reader',
      nobody: 'none',
    };
    for (const [token, role] of Object.entries(roles)) secure.tokens.set(token, role);
    const may = async (token: string): Promise<string[]> => {
      const tokens = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
      const files = new DataLakeServiceClient(secure.url, tokens, ONCE).getFileSystemClient('lake');
      const code = (thrown: Error & { code?: string }): string => thrown.code ?? thrown.message;
      const wrote = await files
        .getFileClient(token)
        .create()
        .then(() => 'wrote', code);
      const read = await files
        .listPaths()
        .byPage()
        .next()
        .then(() => 'read', code);
      return [wrote, read];
    };
    expect(await may('owner')).toEqual(['wrote', 'read']);
    expect(await may('writer')).toEqual(['wrote', 'read']);
    expect(await may('reader')).toEqual(['AuthorizationPermissionMismatch', 'read']);
    expect(await may('nobody')).toEqual(['AuthorizationPermissionMismatch', 'AuthorizationPermissionMismatch']);
    expect(await may('forged')).toEqual(['InvalidAuthenticationInfo', 'InvalidAuthenticationInfo']);
  });

  it('tells what the account is to Reader, not to the roles for data', async () => {
    const about = async (token: string): Promise<string> =>
      outcome(
        await send(targetOf(secure), {
          method: 'GET',
          endpoint: 'blob',
          at: 'lake',
          query: { restype: 'account', comp: 'properties' },
          auth: { token },
        }),
      );
    secure.tokens.set('both', ['Reader', 'Storage Blob Data Contributor']);
    secure.tokens.set('writer', 'Storage Blob Data Contributor');
    expect([await about('both'), await about('writer')]).toEqual(['200', '403 AuthorizationPermissionMismatch']);
    const namespace = await send(targetOf(secure), {
      method: 'HEAD',
      endpoint: 'dfs',
      at: 'lake',
      query: { resource: 'filesystem' },
      auth: { token: 'writer' },
    });
    expect(namespace.headers['x-ms-namespace-enabled']).toBe('true');
  });

  it('is refused over http', async () => {
    server.tokens.set('owner', 'Storage Blob Data Owner');
    expect(outcome(await send(targetOf(server), { method: 'GET', endpoint: 'blob', at: 'lake/f', auth: { token: 'owner' } }))).toBe(
      '401 InvalidAuthenticationInfo',
    );
  });

  it('meets faults over TLS as well', async () => {
    secure.tokens.set('owner', 'Storage Blob Data Owner');
    const sent: Sent = { method: 'PUT', endpoint: 'dfs', at: 'lake/over-tls', query: CREATE, auth: { token: 'owner' } };
    secure.faults.next({ kind: 'lost-reply' });
    await expect(send(targetOf(secure), sent)).rejects.toThrow(/ECONNRESET|hang up|disconnected/);
    expect(secure.paths('lake')).toContain('over-tls');
  });
});
