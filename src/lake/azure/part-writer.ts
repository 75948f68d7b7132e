/**
 * How a part grows: the requests in which an append blob and a file of ADLS Gen2 differ. Each may be lost; none repeats itself.
 */
import type { LakePath } from '../../core/lake.ts';

export interface PartWriter {
  readonly kind: 'append blob' | 'file';
  /** Bytes that one append may have: more are written in several, each of them whole chunks. */
  readonly appendBytesMax: number;
  /** Appends that a part may have: then it is rolled. */
  readonly appendsMax: number;
  /** `create` takes the lease with it. */
  readonly leasesAtCreate: boolean;
  /** An empty part, only if there is none. @returns its etag */
  create(path: LakePath, lease: string, nonce: string, signal: AbortSignal): Promise<string>;
  /** Only at this position, under this lease, on this etag. @returns the new etag */
  append(path: LakePath, bytes: Uint8Array, at: AppendAt, signal: AbortSignal): Promise<string>;
  /** Makes the part `length` bytes long under a lease just taken: what somebody else had staged beyond it is gone. `null`: nothing is ever staged. */
  readonly dropStaged: ((path: LakePath, length: number, lease: string, signal: AbortSignal) => Promise<void>) | null;
  /** Tells event-driven readers that the part is done. `null`: no event says so. */
  readonly finish: ((path: LakePath, length: number, lease: string, signal: AbortSignal) => Promise<void>) | null;
}

export interface AppendAt {
  readonly position: number;
  readonly lease: string;
  /** Without quotes. */
  readonly etag: string;
}
