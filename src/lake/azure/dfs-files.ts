/**
 * Parts as files of ADLS Gen2: appended and made durable in one request (`flush=true`), in two when they are larger.
 *
 * The JS SDK lets an append carry a lease, not an etag, so that the lease alone keeps others out; a flush of its own carries both.
 * An append that was staged and never flushed is invisible, and the next append at that position takes its place. A new
 * owner drops what its predecessor had staged by flushing at the length that it finds. The last flush says `close`, which is what
 * event-driven readers wait for.
 */
import type { DataLakeFileClient, DataLakeFileSystemClient, Path } from '@azure/storage-file-datalake';
import type { LakePath } from '../../core/lake.ts';
import { NONCE, bare, quoted, type BlobEndpoint, type ListRequest } from './blob-endpoint.ts';
import type { AppendAt, PartWriter } from './part-writer.ts';

const MIB = 2 ** 20;
/** The service takes 4,000 MiB in one request; more than this is staged piece by piece and made durable at once. */
const REQUEST_BYTES_MAX = 64 * MIB;
const APPEND_BYTES_MAX = 2 ** 30;
const LEASE_WITHOUT_END = -1;
const PAGE = 5000;
const CONTENT_TYPE = 'application/x-ndjson';

export class DfsFiles implements PartWriter {
  readonly kind = 'file';
  readonly appendBytesMax = APPEND_BYTES_MAX;
  readonly appendsMax = Number.POSITIVE_INFINITY;
  readonly leasesAtCreate = true;
  readonly #files: DataLakeFileSystemClient;
  readonly #endpoint: BlobEndpoint;
  readonly #prefix: string;

  constructor(files: DataLakeFileSystemClient, endpoint: BlobEndpoint, prefix: string) {
    this.#files = files;
    this.#endpoint = endpoint;
    this.#prefix = prefix;
  }

  async create(path: LakePath, lease: string, nonce: string, abortSignal: AbortSignal): Promise<string> {
    this.#endpoint.traffic.writes += 1;
    const made = await this.#file(path).create({
      conditions: { ifNoneMatch: '*' },
      metadata: { [NONCE]: nonce },
      // Else the first append would leave its own behind: application/json.
      pathHttpHeaders: { contentType: CONTENT_TYPE },
      proposedLeaseId: lease,
      leaseDuration: LEASE_WITHOUT_END,
      abortSignal,
    });
    return bare(made.etag);
  }

  async append(path: LakePath, bytes: Uint8Array, at: AppendAt, abortSignal: AbortSignal): Promise<string> {
    const file = this.#file(path);
    const { position, lease, etag } = at;
    const end = position + bytes.byteLength;
    if (bytes.byteLength <= REQUEST_BYTES_MAX) {
      this.#endpoint.traffic.writes += 1;
      const done = await file.append(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), position, bytes.byteLength, {
        flush: true,
        conditions: { leaseId: lease },
        abortSignal,
      });
      return bare(done.etag);
    }
    for (let from = 0; from < bytes.byteLength; from += REQUEST_BYTES_MAX) {
      const piece = bytes.subarray(from, from + REQUEST_BYTES_MAX);
      this.#endpoint.traffic.writes += 1;
      await file.append(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength), position + from, piece.byteLength, {
        conditions: { leaseId: lease },
        abortSignal,
      });
    }
    this.#endpoint.traffic.writes += 1;
    const conditions = { leaseId: lease, ifMatch: quoted(etag) };
    return bare((await file.flush(end, { conditions, pathHttpHeaders: { contentType: CONTENT_TYPE }, abortSignal })).etag);
  }

  readonly dropStaged = async (path: LakePath, length: number, lease: string, abortSignal: AbortSignal): Promise<void> => {
    this.#endpoint.traffic.writes += 1;
    await this.#file(path).flush(length, { conditions: { leaseId: lease }, retainUncommittedData: false, abortSignal });
  };

  readonly finish = async (path: LakePath, length: number, lease: string, abortSignal: AbortSignal): Promise<void> => {
    this.#endpoint.traffic.writes += 1;
    const pathHttpHeaders = { contentType: CONTENT_TYPE };
    await this.#file(path).flush(length, { conditions: { leaseId: lease }, close: true, pathHttpHeaders, abortSignal });
  };

  readonly list: ListRequest = async (folder, how, from, abortSignal) => {
    this.#endpoint.traffic.lists += 1;
    const path = (this.#prefix + folder).replace(/\/$/, '');
    const options = { ...(path !== '' && { path }), recursive: how === 'deep', abortSignal };
    const pages = this.#files.listPaths(options).byPage({ maxPageSize: PAGE, ...(from !== null && { continuationToken: from }) });
    const page = (await pages.next()).value;
    if (page === undefined) return { entries: [], next: null };
    const entries = (page.pathItems ?? []).map((item: Path) => ({
      path: (item.name ?? '').slice(this.#prefix.length),
      isFolder: item.isDirectory ?? false,
      size: item.contentLength ?? 0,
      etag: bare(item.etag),
    }));
    return { entries, next: page.continuation || null };
  };

  #file(path: LakePath): DataLakeFileClient {
    return this.#files.getFileClient(this.#prefix + path);
  }
}
