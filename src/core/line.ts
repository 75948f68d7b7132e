/**
 * A line read back: the facts that the lake and its checkers need. docs/specs/line.md.
 */
import { OPERATION_INDEX, OPERATION_OTHER, asPosition, type Position } from './event.ts';
import type { Namespace } from './namespace.ts';
import type { Timestamp } from './time.ts';

export interface LineFacts {
  readonly position: Position;
  readonly ns: Namespace;
  /** Index into OPERATIONS. */
  readonly op: number;
  readonly at: Timestamp;
  /** `documentKey` as JSON text, canonical; `null` when the event has none. */
  readonly key: string | null;
}

interface Parsed {
  readonly _meta: {
    readonly position: string;
    readonly operationType: string;
    readonly ns: { readonly db: string; readonly coll?: string };
    readonly clusterTime: { readonly $timestamp: Timestamp };
  };
  readonly documentKey?: unknown;
}

/** @throws SyntaxError or TypeError when it is not a line of ours */
export function parseLine(line: Buffer): LineFacts {
  const { _meta: meta, documentKey } = JSON.parse(line.toString('utf8')) as Parsed;
  return {
    position: asPosition(meta.position),
    ns: { db: meta.ns.db, coll: meta.ns.coll ?? null },
    op: OPERATION_INDEX.get(meta.operationType) ?? OPERATION_OTHER,
    at: { t: meta.clusterTime.$timestamp.t, i: meta.clusterTime.$timestamp.i },
    key: documentKey === undefined ? null : JSON.stringify(documentKey),
  };
}
