/**
 * What the checkpoint knows of a snapshot that is not complete: how it is cut, how far each range is, which parts are open.
 *
 * A snapshot's parts are not among those of the events: they share one position, so that they raise no floor, belong to no
 * hour, and one that was not sealed is thrown away and written anew instead of being sealed as it is.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Position } from '../core/event.ts';
import type { LakePath } from '../core/lake.ts';
import { snapshotFolder } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import type { Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotTarget } from '../core/snapshot.ts';
import { hourName, hourOf, type Timestamp } from '../core/time.ts';

/** Why it is taken: the pipeline's beginning, somebody has asked for it, a gap, a rename that has brought its documents, a wider filter. */
export type SnapshotCause = 'start' | 'asked' | 'repair' | 'renamed' | 'included';

/** Keys in base64. All documents up to `after` are in sealed parts. */
export interface RangeRecord {
  readonly from: string | null;
  readonly to: string | null;
  after: string | null;
  done: boolean;
}

export interface SnapshotPart {
  readonly path: LakePath;
  /** Durable bytes and rows. */
  length: number;
  rows: number;
  /** Owner that may write it. */
  readonly epoch: number;
  state: 'open' | 'sealing';
  /** With `sealing`: what the ledger will say. */
  line?: SealedLine;
}

export interface SnapshotRecord {
  readonly id: string;
  readonly cause: SnapshotCause;
  readonly ns: Namespace;
  readonly at: { readonly position: Position; readonly clusterTime: Timestamp };
  /** ISO 8601. */
  readonly begunAt: string;
  /** Day of the ledger file that was current then: its lines are there or later. */
  readonly since: string;
  /** As the source's own books said when it began; `null`: they may not be seen. */
  readonly estimate: { readonly documents: number; readonly bytes: number } | null;
  /** `null` until it is cut. */
  ranges: RangeRecord[] | null;
  nextPart: number;
  parts: SnapshotPart[];
  /** Sealed. */
  files: number;
  rows: number;
  /** Of lines, sealed. */
  bytesRead: number;
  /** Why it does not go on, until somebody starts the pipeline again. */
  failed?: string;
  /** Something else has come under its name meanwhile: it is read once more when it is read. */
  again?: { readonly cause: SnapshotCause; readonly at: SnapshotRecord['at'] };
}

export interface SnapshotStart {
  readonly cause: SnapshotCause;
  readonly at: SnapshotPoint;
  readonly begunAt: string;
  readonly since: string;
}

export function newSnapshot({ namespace, documents, bytes }: SnapshotTarget, { cause, at, begunAt, since }: SnapshotStart): SnapshotRecord {
  return {
    id: createHash('sha256').update(randomUUID()).digest('hex').slice(0, 8),
    cause,
    ns: namespace,
    at: { position: at.position, clusterTime: at.clusterTime },
    begunAt,
    since,
    estimate: documents === null ? null : { documents, bytes: bytes ?? 0 },
    ranges: null,
    nextPart: 1,
    parts: [],
    files: 0,
    rows: 0,
    bytesRead: 0,
  };
}

export function folderOf(record: SnapshotRecord): LakePath {
  return snapshotFolder(record.ns, record.at.clusterTime, record.id);
}

export function isReadWhole({ ranges }: SnapshotRecord): boolean {
  return ranges !== null && ranges.every(({ done }) => done);
}

/** The ledger line of a part with these bytes. All its rows have one position. */
export function snapshotLine(record: SnapshotRecord, part: SnapshotPart, sha256: string, epoch: number, op: 'snapshot' | 'snapshotEnd'): SealedLine {
  const { position, clusterTime } = record.at;
  return {
    path: part.path,
    db: record.ns.db,
    coll: record.ns.coll,
    hour: hourName(hourOf(clusterTime.t)),
    bytes: part.length,
    rows: part.rows,
    sha256,
    first: position,
    last: position,
    firstAt: clusterTime,
    lastAt: clusterTime,
    ops: { [op]: part.rows },
    epoch,
  };
}

/** The only line of the file that says that a snapshot is whole. */
export function endLine({ id, cause, ns, at, files, rows }: SnapshotRecord, endedAt: Timestamp): Buffer {
  const { position, clusterTime } = at;
  const meta = {
    position,
    operationType: 'snapshotEnd',
    ns: { db: ns.db, coll: ns.coll },
    at: new Date(clusterTime.t * 1000).toISOString(),
    clusterTime: { $timestamp: { t: clusterTime.t, i: clusterTime.i } },
    v: 1,
  };
  const snapshot = { id, cause, files, rows, endedAt: { $timestamp: { t: endedAt.t, i: endedAt.i } } };
  return Buffer.from(`${JSON.stringify({ _meta: meta, snapshot })}\n`);
}
