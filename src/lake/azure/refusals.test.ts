/**
 * What a storage account refuses, and what the user is told: a code and what to do, never a raw error.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AZURITE_ACCOUNT, AZURITE_KEY, startAzurite } from '../../../test/azurite.ts';
import { kindOf, textOf } from '../../../test/contracts/lake-under-test.ts';
import { startDfsServer, type DfsServer } from '../../../test/fakes/dfs/server.ts';
import {
  LAKE_CONTAINER_DELETED,
  LAKE_DENIED,
  LAKE_IMMUTABLE,
  LAKE_LOGIN,
  LAKE_NETWORK,
  LAKE_NO_CONTAINER,
  LAKE_NOT_HIERARCHICAL,
  LAKE_OTHER_WRITER,
  LAKE_SAS_EXPIRED,
  LAKE_UNAVAILABLE,
} from '../../core/errors.ts';
import type { Lake } from '../../core/lake.ts';
import type { AzureWriter } from './location.ts';
import type { AzureAuth } from './login.ts';
import { openAzureLake } from './open.ts';

const never = new AbortController().signal;
const PART = 'db/a/part.jsonl';
const HOUR_MS = 3_600_000;
const WRONG_KEY = Buffer.alloc(64, 1).toString('base64');

let fake: DfsServer;
let containers = 0;
beforeAll(async () => {
  fake = await startDfsServer();
});
afterAll(async () => {
  await fake[Symbol.asyncDispose]();
});

/** A container of the test's own. */
function fresh(): string {
  const name = `refused-${(containers += 1)}`;
  fake.account.createContainer(name, 'dfs');
  return name;
}

interface Opened {
  readonly container: string;
  readonly writer?: AzureWriter;
  readonly auth?: AzureAuth;
  readonly prefix?: string;
  readonly of?: DfsServer;
}

function open({ container, writer = 'dfs', auth, prefix = 'p', of = fake }: Opened): Promise<Lake> {
  const key: AzureAuth = { kind: 'accountKey', account: of.account.name, key: of.account.key };
  return openAzureLake({ url: `${of.url}/${container}/${prefix}`, writer, auth: auth ?? key, patienceMs: 300 });
}

/** The first thing that a run does. */
const own = (lake: Lake): Promise<unknown> => kindOf(lake.own('_sluice/shop/checkpoint.json', { takeOver: false }, never));

async function roundTrip(lake: Lake): Promise<void> {
  await using part = await lake.open(PART, { epoch: 1, expect: 'absent' }, never);
  await part.append([Buffer.from('one\n')], never);
  await part.close();
  expect(await textOf(lake, PART)).toBe('one\n');
  await using mine = await lake.own('_sluice/shop/checkpoint.json', { takeOver: false }, never);
  expect(mine).not.toBeNull();
}

/** @param directory below the container, for a SAS of that directory alone */
async function sasOf(
  container: string,
  permissions: string,
  hours: { from: number; to: number } = { from: -1, to: 1 },
  directory?: string,
): Promise<AzureAuth> {
  const sdk = await import('@azure/storage-file-datalake');
  const credential = new sdk.StorageSharedKeyCredential(fake.account.name, fake.account.key);
  const startsOn = new Date(Date.now() + hours.from * HOUR_MS);
  const expiresOn = new Date(Date.now() + hours.to * HOUR_MS);
  const shared = { fileSystemName: container, startsOn, expiresOn };
  const query =
    directory === undefined
      ? sdk.generateDataLakeSASQueryParameters({ ...shared, permissions: sdk.FileSystemSASPermissions.parse(permissions) }, credential)
      : sdk.generateDataLakeSASQueryParameters(
          { ...shared, permissions: sdk.DirectorySASPermissions.parse(permissions), pathName: directory, isDirectory: true, directoryDepth: 1 },
          credential,
        );
  return { kind: 'sas', token: query.toString() };
}

describe.each(['dfs', 'append-blob'] as const)('a lake with `lake.writer: %s`', (writer) => {
  it('says that the key is wrong', async () => {
    const auth = { kind: 'accountKey', account: fake.account.name, key: WRONG_KEY };
    expect(await own(await open({ container: fresh(), writer, auth }))).toBe(LAKE_LOGIN);
    expect(await kindOf(open({ container: fresh(), writer, auth: { ...auth, key: 'not base64!' } }))).toBe(LAKE_LOGIN);
  });

  it('says that a SAS is no longer, or not yet, valid', async () => {
    for (const hours of [
      { from: -2, to: -1 },
      { from: 1, to: 2 },
    ]) {
      const container = fresh();
      expect(await own(await open({ container, writer, auth: await sasOf(container, 'racwdl', hours) }))).toBe(LAKE_SAS_EXPIRED);
    }
  });

  it('says which role is missing', async () => {
    const container = fresh();
    const lake = await open({ container, writer, auth: await sasOf(container, 'rl') });
    expect(await own(lake)).toBe(LAKE_DENIED);
    expect(await kindOf(lake.open(PART, { epoch: 1, expect: 'absent' }, never))).toBe(LAKE_DENIED);
    expect(LAKE_DENIED.next).toContain('Storage Blob Data Contributor');
  });

  it('writes with a SAS of the account, of the container, and in the URL', async () => {
    const container = fresh();
    await roundTrip(await open({ container, writer, auth: await sasOf(container, 'racwdl') }));
    const { token = '' } = await sasOf(container, 'racwdl');
    await roundTrip(await open({ container, writer, prefix: `q?${token}`, auth: { kind: 'default' } }));
    const blob = await import('@azure/storage-blob');
    const account = blob.generateAccountSASQueryParameters(
      {
        permissions: blob.AccountSASPermissions.parse('rwdlac'),
        resourceTypes: 'sco',
        services: 'b',
        expiresOn: new Date(Date.now() + HOUR_MS),
      },
      new blob.StorageSharedKeyCredential(fake.account.name, fake.account.key),
    );
    await roundTrip(await open({ container, writer, prefix: 'r', auth: { kind: 'sas', token: account.toString() } }));
  });

  it('writes with a connection string', async () => {
    const value = `DefaultEndpointsProtocol=https;AccountName=${fake.account.name};AccountKey=${fake.account.key};EndpointSuffix=core.windows.net`;
    await roundTrip(await open({ container: fresh(), writer, auth: { kind: 'connectionString', value } }));
  });

  it('makes its container, and says so when it is missing and may not be made', async () => {
    await roundTrip(await open({ container: `made-for-${writer}`, writer }));
    const auth = await sasOf('no-such-container', 'racwdl');
    expect(await own(await open({ container: 'no-such-container', writer, auth }))).toBe(LAKE_NO_CONTAINER);
  });

  it('says that the container has been deleted', async () => {
    const container = fresh();
    const lake = await open({ container, writer });
    await roundTrip(lake);
    fake.account.deleteContainer(container, 'dfs');
    expect(await own(lake)).toBe(LAKE_CONTAINER_DELETED);
  });

  it('says that a policy forbids to write', async () => {
    const container = fresh();
    const lake = await open({ container, writer });
    const file = await lake.put('a.json', Buffer.from('1'), 'absent');
    fake.account.container(container, 'dfs').immutable = true;
    expect(await kindOf(lake.put('a.json', Buffer.from('2'), file))).toBe(LAKE_IMMUTABLE);
  });

  it('says that network rules keep this machine out', async () => {
    const container = fresh();
    fake.faults.next({ kind: 'status', status: 403, code: 'AuthorizationFailure', match: { container, when: ({ method }) => method === 'PUT' } });
    expect(await own(await open({ container, writer }))).toBe(LAKE_NETWORK);
  });

  it('says that nobody answers', async () => {
    const gone = await startDfsServer();
    await gone[Symbol.asyncDispose]();
    expect(await own(await open({ container: 'any', writer, of: gone }))).toBe(LAKE_UNAVAILABLE);
  });

  it('does not go on with a part of the other writer', async () => {
    const container = fresh();
    const other = await open({ container, writer: writer === 'dfs' ? 'append-blob' : 'dfs' });
    await (await other.open(PART, { epoch: 1, expect: 'absent' }, never)).close();
    expect(await kindOf((await open({ container, writer })).open(PART, { epoch: 2, expect: 'any' }, never))).toBe(LAKE_OTHER_WRITER);
  });
});

it('a lake of ADLS Gen2 files refuses a flat account, and one of append blobs takes it', async () => {
  await using flat = await startDfsServer({ hns: false });
  expect(await own(await open({ container: 'flat', of: flat }))).toBe(LAKE_NOT_HIERARCHICAL);
  await roundTrip(await open({ container: 'flat', writer: 'append-blob', of: flat }));
});

it('a lake of ADLS Gen2 files is written with a SAS of its directory alone', async () => {
  const container = fresh();
  await roundTrip(await open({ container, prefix: 'mine', auth: await sasOf(container, 'racwdl', undefined, 'mine') }));
  const elsewhere = await open({ container, prefix: 'yours', auth: await sasOf(container, 'racwdl', undefined, 'mine') });
  expect([LAKE_DENIED, LAKE_LOGIN]).toContain(await own(elsewhere));
});

it('Azurite is told a wrong key, too', async () => {
  await using azurite = await startAzurite();
  const wrong = { kind: 'accountKey', account: AZURITE_ACCOUNT, key: WRONG_KEY };
  expect(await own(await openAzureLake({ url: `${azurite.url}/c-1/p`, writer: 'append-blob', auth: wrong }))).toBe(LAKE_LOGIN);
  const right = { ...wrong, key: AZURITE_KEY };
  await roundTrip(await openAzureLake({ url: `${azurite.url}/c-1/p`, writer: 'append-blob', auth: right }));
});
