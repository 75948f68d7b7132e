/**
 * Opens a lake on Azure: the only place that makes clients. The SDKs are loaded here, when they are needed.
 */
import type { ContainerClient } from '@azure/storage-blob';
import type { DataLakeFileSystemClient } from '@azure/storage-file-datalake';
import { systemClock, type Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { CONFIG_CONFLICT, LAKE_NOT_HIERARCHICAL } from '../../core/errors.ts';
import type { Lake } from '../../core/lake.ts';
import { silentLog, type Logger } from '../../ops/log.ts';
import { newLakeTraffic, type LakeTraffic } from '../../ops/lake-traffic.ts';
import { appendBlobs } from './append-blobs.ts';
import { BlobEndpoint } from './blob-endpoint.ts';
import { hierarchyOf } from './hierarchy.ts';
import { AzureLake } from './lake.ts';
import { parseAzureUrl, type AzureLocation, type AzureWriter } from './location.ts';
import { loginOf, type AzureAuth, type Login } from './login.ts';
import { Persistence, type Request } from './persistence.ts';

export interface AzureLakeOptions {
  /** As configured; may hold a SAS. */
  readonly url: string;
  readonly writer: AzureWriter | null;
  readonly auth: AzureAuth;
  readonly traffic?: LakeTraffic;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** How long the storage may be silent before a call gives up. */
  readonly patienceMs?: number;
  readonly requestMsMax?: number;
  /** The end of the run: once it aborts, a storage that is away is given up soon. */
  readonly stop?: AbortSignal;
  /** The owner's lease of a minute is renewed this often. */
  readonly renewMs?: number;
  readonly random?: () => number;
}

const PATIENCE_MS = 10 * 60_000;
const REQUEST_MS_MAX = 60_000;
const RENEW_MS = 20_000;

/** What a lake is made of. */
export interface Connection {
  readonly location: AzureLocation;
  readonly login: Login;
  readonly endpoint: BlobEndpoint;
  readonly persistence: Persistence;
}

/** Sends nothing: what is wrong with the account is told by the first request. @throws CONFIG_INVALID, LAKE_LOGIN */
export async function connect(options: AzureLakeOptions): Promise<Connection> {
  const { url, writer, auth, traffic = newLakeTraffic(), clock = systemClock, log = silentLog, random = Math.random } = options;
  const { patienceMs = PATIENCE_MS, requestMsMax = REQUEST_MS_MAX, stop = null } = options;
  const location = parseAzureUrl(url, writer);
  const login = await loginOf(auth, location.account, location.sas);
  // The SDK refuses it at each request, with an error that looks like a network that fails.
  if (login.is === 'token' && !location.blobEndpoint.startsWith('https:')) {
    throw new SluiceError(CONFIG_CONFLICT, `lake.auth: ${login.shown} goes over https alone, lake.url is http`, {
      next: 'Use accountKey, connectionString or sas with an emulator.',
    });
  }
  const persistence = new Persistence({ clock, traffic, patienceMs, requestMsMax, random, log, stop });
  const endpoint = new BlobEndpoint(await containerClient(location, login), location.prefix, traffic);
  return { location, login, endpoint, persistence };
}

/** Rights of the root folder: a request to the DFS endpoint. */
export async function rootAclOf({ location, login, endpoint }: Connection): Promise<Request<unknown>> {
  const files = await fileSystemClient(location, login);
  return async (abortSignal) => {
    endpoint.traffic.reads += 1;
    return await files.getDirectoryClient('').getAccessControl({ abortSignal });
  };
}

/** @throws as {@link connect} does */
export async function openAzureLake(options: AzureLakeOptions): Promise<Lake> {
  const { clock = systemClock, renewMs = RENEW_MS } = options;
  const connection = await connect(options);
  const { location, login, endpoint, persistence } = connection;
  const shared = { endpoint, persistence, clock, renewMs, description: location.shown };
  if (location.writer === 'append-blob') return new AzureLake({ ...shared, writer: appendBlobs(endpoint), list: endpoint.list, assertUsable: null });
  const { DfsFiles } = await import('./dfs-files.ts');
  const files = new DfsFiles(await fileSystemClient(location, login), endpoint, location.prefix);
  // Before anything is written: on a flat account nobody knows how appends through DFS behave.
  const assertUsable = async (): Promise<void> => {
    const isHierarchical = await hierarchyOf(endpoint, persistence, await rootAclOf(connection));
    if (isHierarchical === false) throw new SluiceError(LAKE_NOT_HIERARCHICAL, location.shown);
  };
  return new AzureLake({ ...shared, writer: files, list: files.list, assertUsable });
}

/** Nothing is repeated by the SDK: persistence.ts says why. */
const PIPELINE = { retryOptions: { maxTries: 1 }, userAgentOptions: { userAgentPrefix: 'sluice' } };

async function containerClient(location: AzureLocation, login: Login): Promise<ContainerClient> {
  const { ContainerClient, StorageSharedKeyCredential, AnonymousCredential } = await import('@azure/storage-blob');
  const url = containerUrl(location.blobEndpoint, location.container, login);
  if (login.is === 'key') return new ContainerClient(url, new StorageSharedKeyCredential(login.account, login.key), PIPELINE);
  return new ContainerClient(url, login.is === 'sas' ? new AnonymousCredential() : login.credential, PIPELINE);
}

async function fileSystemClient(location: AzureLocation, login: Login): Promise<DataLakeFileSystemClient> {
  const { DataLakeFileSystemClient, StorageSharedKeyCredential, AnonymousCredential } = await import('@azure/storage-file-datalake');
  const url = containerUrl(location.dfsEndpoint, location.container, login);
  if (login.is === 'key') return new DataLakeFileSystemClient(url, new StorageSharedKeyCredential(login.account, login.key), PIPELINE);
  return new DataLakeFileSystemClient(url, login.is === 'sas' ? new AnonymousCredential() : login.credential, PIPELINE);
}

function containerUrl(endpoint: string, container: string, login: Login): string {
  return `${endpoint}/${encodeURIComponent(container)}${login.is === 'sas' ? `?${login.token}` : ''}`;
}
