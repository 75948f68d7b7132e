/**
 * Lines between a batch and the part that they go to: where they lie in the batch, and what the part's record needs of them.
 */
import { OPERATIONS, positionAt, type EventBatch, type Position } from '../core/event.ts';
import type { Namespace } from '../core/namespace.ts';
import type { Hour, Timestamp } from '../core/time.ts';
import type { LivePart } from './parts.ts';

/** Lines on their way into one part. */
export interface Pending {
  readonly route: Route;
  readonly part: LivePart;
  /** Runs of lines that lie next to each other in a batch. */
  readonly chunks: Uint8Array[];
  rows: number;
  readonly first: Position;
  readonly firstAt: Timestamp;
  /** Where the last line is, for its position, read once at the flush. */
  lines: Buffer;
  lastStart: number;
  lastAt: Timestamp;
  readonly ops: Uint32Array;
  /** Offset in `lines` where the last chunk ends: the next line may only lengthen it. */
  runStart: number;
  runEnd: number;
}

/** Where the events of a collection go in one hour. */
export interface Route {
  readonly key: string;
  readonly ns: Namespace;
  /** By which its parts go: with day files the first of the day. */
  readonly hour: Hour;
  part: LivePart | null;
  pending: Pending | null;
  /** Of this hour in order: one flush may fill several parts. */
  readonly queue: Pending[];
}

/** Begins with line `i` of the batch, which is not added yet. */
export function newPending(route: Route, part: LivePart, events: EventBatch, i: number, start: number): Pending {
  const at = { t: events.seconds[i]!, i: events.ordinals[i]! };
  const { lines } = events;
  const ops = new Uint32Array(OPERATIONS.length);
  const run = { lines, lastStart: start, lastAt: at, runStart: start, runEnd: start };
  return { route, part, chunks: [], rows: 0, first: positionAt(lines, start), firstAt: at, ops, ...run };
}

export function addLine(pending: Pending, events: EventBatch, i: number, start: number): void {
  if (pending.lines !== events.lines || pending.runEnd !== start) {
    endRun(pending);
    pending.lines = events.lines;
    pending.runStart = start;
  }
  pending.runEnd = events.ends[i]!;
  pending.lastStart = start;
  pending.lastAt = { t: events.seconds[i]!, i: events.ordinals[i]! };
  pending.rows += 1;
  pending.ops[events.ops[i]!]! += 1;
}

/** All lines, in order. */
export function chunksOf(pending: Pending): readonly Uint8Array[] {
  endRun(pending);
  return pending.chunks;
}

function endRun(pending: Pending): void {
  if (pending.runEnd > pending.runStart) pending.chunks.push(pending.lines.subarray(pending.runStart, pending.runEnd));
  pending.runStart = pending.runEnd;
}
