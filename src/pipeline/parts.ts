/**
 * A part while this process holds it: its record in the checkpoint, and what only the holder needs.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Timestamp } from '../core/time.ts';
import { OPERATIONS, type Position } from '../core/event.ts';
import type { Appender, Lake } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import type { PartRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';

export interface LivePart {
  readonly record: PartRecord;
  /** `null` until it is created, while it is put aside, and once it is closed. */
  appender: Appender | null;
  /** Of all its bytes; `null` when bytes were there before us, then they are read again for the seal. */
  hash: Hash | null;
  /** Wall clock, ms, for `roll.maxAge`. */
  readonly openedAtMs: number;
  /** Of the last append: the least recently used is rolled when too many are open. */
  usedAtMs: number;
  /** Bytes that are planned for it and not yet appended. */
  planned: number;
}

export function newPart(record: PartRecord, nowMs: number): LivePart {
  return { record, appender: null, hash: createHash('sha256'), openedAtMs: nowMs, usedAtMs: nowMs, planned: 0 };
}

/** Rows that have just become durable in a part. */
export interface AppendedRows {
  readonly bytes: number;
  /** Of an index: size of the event files that were added. */
  readonly eventBytes?: number;
  readonly rows: number;
  readonly first: Position;
  readonly firstAt: Timestamp;
  readonly last: Position;
  readonly lastAt: Timestamp;
  /** Rows per index of OPERATIONS. */
  readonly ops: Uint32Array;
}

export function recordAppend(record: PartRecord, added: AppendedRows): void {
  record.length += added.bytes;
  if (added.eventBytes !== undefined) record.eventBytes = (record.eventBytes ?? 0) + added.eventBytes;
  record.rows += added.rows;
  record.first ??= added.first;
  record.firstAt ??= added.firstAt;
  record.last = added.last;
  record.lastAt = added.lastAt;
  for (const [index, op] of OPERATIONS.entries()) {
    const n = added.ops[index]!;
    if (n > 0) record.ops[op] = (record.ops[op] ?? 0) + n;
  }
}

/** The ledger line of a part as it stands; reads the part again when its hash is not running. */
export async function sealedLine(part: LivePart, lake: Lake, epoch: number, signal: AbortSignal): Promise<SealedLine> {
  const { record } = part;
  let { hash } = part;
  if (hash === null) {
    hash = createHash('sha256');
    for await (const chunk of lake.read(record.path, 0, signal)) hash.update(chunk);
  }
  return {
    path: record.path,
    db: record.ns.db,
    coll: record.ns.coll,
    hour: record.hour,
    bytes: record.length,
    rows: record.rows,
    sha256: hash.digest('hex'),
    first: record.first,
    last: record.last,
    firstAt: record.firstAt,
    lastAt: record.lastAt,
    ops: record.ops,
    epoch,
    ...(record.eventBytes !== undefined && { eventBytes: record.eventBytes }),
  };
}

/**
 * Gives the file handle (or lease) of a part back that only waits to be sealed: handles are few, and one batch may fill
 * any number of parts. The part stays fenced: who had it before us still cannot write.
 */
export async function putAside(part: LivePart): Promise<void> {
  await part.appender?.[Symbol.asyncDispose]();
  part.appender = null;
}

/** The appender of a part that this owner has made or fenced. */
export async function appenderOf(part: LivePart, lake: Lake, committer: Committer, signal: AbortSignal): Promise<Appender> {
  if (part.appender !== null) return part.appender;
  const { path, length } = part.record;
  part.appender = await lake.open(path, { epoch: committer.state.epoch, expect: 'any', length }, signal);
  await committer.assertOwner();
  return part.appender;
}
