/**
 * Parts as append blobs: one request checks position, etag and lease, writes and commits. Nothing is ever staged.
 */
import type { BlobEndpoint } from './blob-endpoint.ts';
import { NONCE, bare, quoted } from './blob-endpoint.ts';
import type { PartWriter } from './part-writer.ts';

const MIB = 2 ** 20;
/** The service takes 50,000; a few are left for an append whose answer was lost and for the seal. */
const BLOCKS_MAX = 49_900;
/** One Append Block, since version 2022-11-02. */
const BLOCK_BYTES_MAX = 100 * MIB;

export function appendBlobs(endpoint: BlobEndpoint): PartWriter {
  const { traffic } = endpoint;
  return {
    kind: 'append blob',
    appendBytesMax: BLOCK_BYTES_MAX,
    appendsMax: BLOCKS_MAX,
    leasesAtCreate: false,
    async create(path, _lease, nonce, abortSignal) {
      traffic.writes += 1;
      const made = await endpoint
        .blob(path)
        .getAppendBlobClient()
        .create({
          conditions: { ifNoneMatch: '*' },
          metadata: { [NONCE]: nonce },
          blobHTTPHeaders: { blobContentType: 'application/x-ndjson' },
          abortSignal,
        });
      return bare(made.etag);
    },
    async append(path, bytes, { position, lease, etag }, abortSignal) {
      traffic.writes += 1;
      const done = await endpoint
        .blob(path)
        .getAppendBlobClient()
        .appendBlock(bytes, bytes.byteLength, { conditions: { appendPosition: position, leaseId: lease, ifMatch: quoted(etag) }, abortSignal });
      return bare(done.etag);
    },
    dropStaged: null,
    finish: null,
  };
}
