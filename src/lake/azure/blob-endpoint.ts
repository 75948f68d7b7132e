/**
 * Single requests to the Blob endpoint, in our words: what is in a file, whole files, leases. Both writers use them.
 *
 * One call is one request: nothing is repeated here, so that whoever calls decides what a lost answer means.
 */
import type { BlobClient, ContainerClient } from '@azure/storage-blob';
import type { LakePath } from '../../core/lake.ts';
import type { LakeTraffic } from '../../ops/lake-traffic.ts';

export interface Head {
  readonly length: number;
  /** Without quotes. */
  readonly etag: string;
  /** Of whoever created it. */
  readonly nonce: string | null;
  readonly isAppendBlob: boolean;
  /** Appends so far, of an append blob. */
  readonly blocks: number;
}

export interface Listed {
  readonly path: LakePath;
  readonly isFolder: boolean;
  readonly size: number;
  readonly etag: string;
}

export interface ListPage {
  readonly entries: readonly Listed[];
  /** `null` at the end. */
  readonly next: string | null;
}

/** Lists one level or all below a folder; a path of the lake, `''` or with a `/` at its end. */
export type ListRequest = (folder: string, how: 'level' | 'deep', from: string | null, signal: AbortSignal) => Promise<ListPage>;

/** Metadata key under which a file tells who created it, so that a lost answer can be settled. */
export const NONCE = 'sluice';
const LEASE_WITHOUT_END = -1;
const PAGE = 5000;

export const bare = (etag: string | undefined): string => (etag ?? '').replace(/^W\//, '').replaceAll('"', '');
export const quoted = (etag: string): string => `"${etag}"`;

export class BlobEndpoint {
  readonly container: ContainerClient;
  readonly traffic: LakeTraffic;
  readonly #prefix: string;

  constructor(container: ContainerClient, prefix: string, traffic: LakeTraffic) {
    this.container = container;
    this.traffic = traffic;
    this.#prefix = prefix;
  }

  blob(path: LakePath): BlobClient {
    return this.container.getBlobClient(this.#prefix + path);
  }

  /** `null`: a folder. */
  async head(path: LakePath, abortSignal: AbortSignal): Promise<Head | null> {
    this.traffic.reads += 1;
    const found = await this.blob(path).getProperties({ abortSignal });
    if (found.metadata?.['hdi_isfolder'] === 'true') return null;
    return {
      length: found.contentLength ?? 0,
      etag: bare(found.etag),
      nonce: found.metadata?.[NONCE] ?? null,
      isAppendBlob: found.blobType === 'AppendBlob',
      blocks: found.blobCommittedBlockCount ?? 0,
    };
  }

  /** @param expect the etag of what is replaced; `null`: nothing is there. @returns the new etag */
  async put(path: LakePath, bytes: Uint8Array, expect: string | null, abortSignal: AbortSignal): Promise<string> {
    this.traffic.writes += 1;
    const conditions = expect === null ? { ifNoneMatch: '*' } : { ifMatch: quoted(expect) };
    const blobHTTPHeaders = { blobContentType: path.endsWith('.json') ? 'application/json' : 'application/octet-stream' };
    const done = await this.blob(path).getBlockBlobClient().upload(bytes, bytes.byteLength, { conditions, blobHTTPHeaders, abortSignal });
    return bare(done.etag);
  }

  /** At most `count` bytes from `from` on, in one answer, and where the file ends. Refused with 416 when nothing lies there. */
  async get(path: LakePath, from: number, count: number, abortSignal: AbortSignal): Promise<{ readonly bytes: Buffer; readonly end: number }> {
    this.traffic.reads += 1;
    const found = await this.blob(path).download(from, count, { abortSignal, maxRetryRequests: 0 });
    const chunks: Buffer[] = [];
    for await (const chunk of found.readableStreamBody!) chunks.push(Buffer.from(chunk as Uint8Array));
    const bytes = Buffer.concat(chunks);
    // `bytes 0-99/1234`; an empty file has no range.
    const end = Number(found.contentRange?.split('/')[1] ?? from + bytes.length);
    return { bytes, end };
  }

  async remove(path: LakePath, abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).delete({ abortSignal });
  }

  /** @param seconds 15 to 60; unless said, until it is released or broken */
  async acquire(path: LakePath, lease: string, abortSignal: AbortSignal, seconds: number = LEASE_WITHOUT_END): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).getBlobLeaseClient(lease).acquireLease(seconds, { abortSignal });
  }

  async renew(path: LakePath, lease: string, abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).getBlobLeaseClient(lease).renewLease({ abortSignal });
  }

  async change(path: LakePath, lease: string, to: string, abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).getBlobLeaseClient(lease).changeLease(to, { abortSignal });
  }

  async release(path: LakePath, lease: string, abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).getBlobLeaseClient(lease).releaseLease({ abortSignal });
  }

  /** At once: whoever had it is refused from here on. */
  async breakLease(path: LakePath, abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.blob(path).getBlobLeaseClient().breakLease(0, { abortSignal });
  }

  async createContainer(abortSignal: AbortSignal): Promise<void> {
    this.traffic.writes += 1;
    await this.container.create({ abortSignal });
  }

  /** `null` when the account does not say. */
  async isHierarchical(abortSignal: AbortSignal): Promise<boolean | null> {
    this.traffic.reads += 1;
    const found = await this.container.getAccountInfo({ abortSignal });
    return found.isHierarchicalNamespaceEnabled ?? null;
  }

  readonly list: ListRequest = async (folder, how, from, abortSignal) => {
    this.traffic.lists += 1;
    const prefix = this.#prefix + folder;
    const settings = { maxPageSize: PAGE, ...(from !== null && { continuationToken: from }) };
    const options = { ...(prefix !== '' && { prefix }), abortSignal, includeMetadata: true };
    const pages =
      how === 'deep' ? this.container.listBlobsFlat(options).byPage(settings) : this.container.listBlobsByHierarchy('/', options).byPage(settings);
    const page = (await pages.next()).value;
    if (page === undefined) return { entries: [], next: null };
    const folders = 'blobPrefixes' in page.segment ? (page.segment.blobPrefixes ?? []) : [];
    const entries: Listed[] = [];
    for (const { name } of folders) entries.push({ path: this.#inLake(name.replace(/\/$/, '')), isFolder: true, size: 0, etag: '' });
    // On a hierarchical account folders are listed among the files; one level tells them by their prefixes already.
    const areFolders = foldersIn(page._response.bodyAsText);
    for (const [index, { name, properties, metadata }] of page.segment.blobItems.entries()) {
      if (areFolders?.[index] === true || metadata?.['hdi_isfolder'] === 'true') continue;
      entries.push({ path: this.#inLake(name), isFolder: false, size: properties.contentLength ?? 0, etag: bare(properties.etag) });
    }
    return { entries, next: page.continuationToken || null };
  };

  #inLake(name: string): LakePath {
    return name.slice(this.#prefix.length);
  }
}

/** Which of the blobs in an answer are folders; `null`: none is. The service says it, the SDK does not pass it on. */
function foldersIn(xml: string): boolean[] | null {
  const folder = '<ResourceType>directory</ResourceType>';
  return xml.includes(folder) ? [...xml.matchAll(/<Blob>[^]*?<\/Blob>/g)].map(([blob]) => blob.includes(folder)) : null;
}
