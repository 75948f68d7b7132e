/**
 * Where a lake on Azure is: account, container, prefix and the two endpoints of the account, from what the user wrote.
 *
 * One account has two endpoints with one data: DFS, to which files of a hierarchical namespace are appended, and Blob, through
 * which whole files and leases go. Emulators have both on one address, the account as the first part of the path.
 */
import { SluiceError } from '../../core/error.ts';
import { CONFIG_INVALID } from '../../core/errors.ts';

export type AzureWriter = 'dfs' | 'append-blob';

export interface AzureLocation {
  /** `''` when the host does not tell (a domain of one's own). */
  readonly account: string;
  readonly container: string;
  /** `''`, or with a `/` at its end. */
  readonly prefix: string;
  /** Without a `/` at the end. */
  readonly blobEndpoint: string;
  readonly dfsEndpoint: string;
  readonly writer: AzureWriter;
  /** From the URL's query, without its `?`. */
  readonly sas: string | null;
  /** For messages: never a secret. */
  readonly shown: string;
}

const ABFSS = /^abfss:\/\/([^/@]+)@([^/@?#]+)(\/[^?#]*)?$/;
const HTTPS = /^https:\/\/([^/@?#]+)\/([^/?#]+)(\/[^?#]*)?(?:\?(.*))?$/;
const EMULATOR = /^(https?:\/\/(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d+)?)\/([^/?#]+)\/([^/?#]+)(\/[^?#]*)?(?:\?(.*))?$/;

/** @param writer as configured; the default follows the URL. @throws CONFIG_INVALID */
export function parseAzureUrl(url: string, writer: AzureWriter | null): AzureLocation {
  const abfss = ABFSS.exec(url);
  if (abfss !== null) {
    const [, container = '', host = '', path] = abfss;
    return { ...endpoints(host), ...place(container, path), writer: writer ?? 'dfs', sas: null, shown: url };
  }
  const emulator = EMULATOR.exec(url);
  if (emulator !== null) {
    const [, host = '', account = '', container = '', path, query] = emulator;
    const endpoint = `${host}/${account}`;
    const shown = `${endpoint}/${container}${path ?? ''}`;
    return {
      account,
      blobEndpoint: endpoint,
      dfsEndpoint: endpoint,
      ...place(container, path),
      writer: writer ?? 'append-blob',
      sas: query || null,
      shown,
    };
  }
  const https = HTTPS.exec(url);
  if (https !== null) {
    const [, host = '', container = '', path, query] = https;
    const shown = `https://${host}/${container}${path ?? ''}`;
    const byUrl = isDfsHost(host) ? 'dfs' : 'append-blob';
    return { ...endpoints(host), ...place(container, path), writer: writer ?? byUrl, sas: query || null, shown };
  }
  throw new SluiceError(CONFIG_INVALID, 'lake.url is not the URL of a container on Azure');
}

function endpoints(host: string): Pick<AzureLocation, 'account' | 'blobEndpoint' | 'dfsEndpoint'> {
  const named = /^([^.]+)\.(?:z\d+\.)?(?:blob|dfs)\./.exec(host);
  return {
    account: named?.[1] ?? '',
    blobEndpoint: `https://${host.replace('.dfs.', '.blob.')}`,
    dfsEndpoint: `https://${host.replace('.blob.', '.dfs.')}`,
  };
}

function isDfsHost(host: string): boolean {
  return host.includes('.dfs.');
}

function place(container: string, path: string | undefined): Pick<AzureLocation, 'container' | 'prefix'> {
  const segments = (path ?? '').split('/').filter((segment) => segment !== '');
  if (segments.some((segment) => segment === '.' || segment === '..'))
    throw new SluiceError(CONFIG_INVALID, 'lake.url has a `.` or `..` in its path');
  const prefix = segments.map((segment) => decoded(segment)).join('/');
  return { container: decoded(container), prefix: prefix === '' ? '' : `${prefix}/` };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new SluiceError(CONFIG_INVALID, `lake.url: ${segment} is not percent-encoded as a URL is`, { cause });
  }
}
