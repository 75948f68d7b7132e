/**
 * Compressed parts are a sequence of gzip or zstd members, one per append, cut at line ends.
 *
 * Members side by side are a valid file of either format (RFC 1952, RFC 8878); no bytes at all are not. So a part without
 * lines is sealed with one empty member.
 */
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import type { LakePath } from '../core/lake.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

export const SUFFIX: Readonly<Record<Compression, string>> = { none: '', gzip: '.gz', zstd: '.zst' };

const COMPRESS: Readonly<Record<Exclude<Compression, 'none'>, (bytes: Uint8Array) => Promise<Buffer>>> = {
  gzip: promisify(gzip),
  zstd: promisify(zstdCompress),
};

/** Lines as they are stored: as they are, or as one member. */
export async function storedForm(chunks: readonly Uint8Array[], compression: Compression): Promise<readonly Uint8Array[]> {
  return compression === 'none' ? chunks : [await COMPRESS[compression](Buffer.concat(chunks))];
}

/** By suffix: what a part was begun with, whatever the configuration says by now. */
export function compressionOf(path: LakePath): Compression {
  if (path.endsWith(SUFFIX.gzip)) return 'gzip';
  return path.endsWith(SUFFIX.zstd) ? 'zstd' : 'none';
}
