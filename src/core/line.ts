/**
 * A line read back: the facts that the lake and its checkers need. docs/specs/line.md.
 *
 * `_meta` is read as objects: its keys are ours. A document key holds a user's keys, and objects cannot keep those (each
 * key once, numbers first; and the JSON.parse of Node 26.10 takes a key with an escape for another one with a backslash
 * that it met before). So it is cut out as text: keys are the same if and only if their texts are.
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
}

interface Parsed {
  readonly _meta: {
    readonly position: string;
    readonly operationType: string;
    readonly ns: { readonly db: string; readonly coll?: string };
    readonly clusterTime: { readonly $timestamp: Timestamp };
  };
}

/** @throws SyntaxError or TypeError when it is not a line of ours */
export function parseLine(line: Buffer): LineFacts {
  const { _meta: meta } = JSON.parse(line.toString('utf8')) as Parsed;
  return {
    position: asPosition(meta.position),
    ns: { db: meta.ns.db, coll: meta.ns.coll ?? null },
    op: OPERATION_INDEX.get(meta.operationType) ?? OPERATION_OTHER,
    at: { t: meta.clusterTime.$timestamp.t, i: meta.clusterTime.$timestamp.i },
  };
}

const DOCUMENT_KEY = Buffer.from('"documentKey":', 'latin1');
const ID = Buffer.from('"_id":', 'latin1');
const FIELDS = {
  fullDocument: Buffer.from('"fullDocument":', 'latin1'),
  updateDescription: Buffer.from('"updateDescription":', 'latin1'),
  to: Buffer.from('"to":', 'latin1'),
  snapshot: Buffer.from('"snapshot":', 'latin1'),
} as const;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Text of `documentKey`, as it stands in the line; `null` when the event has none.
 * @param line one that {@link parseLine} has read
 */
export function documentKeyOf(line: Buffer): string | null {
  return fieldOf(line, DOCUMENT_KEY);
}

/**
 * Text of the document's `_id`; `null` when the event has none. The key of a sharded collection's document has the fields of its shard
 * key, too, and those may change: what tells its documents apart for good is `_id`.
 */
export function documentIdOf(line: Buffer): string | null {
  const key = documentKeyOf(line);
  return key === null ? null : fieldOf(Buffer.from(key, 'utf8'), ID);
}

/** Text of another top-level field of a line, as it stands there; `null` when the line does not have it. */
export function textOf(line: Buffer, field: 'fullDocument' | 'updateDescription' | 'to' | 'snapshot'): string | null {
  return fieldOf(line, FIELDS[field]);
}

function fieldOf(line: Buffer, name: Buffer): string | null {
  let depth = 0;
  let from = -1;
  for (let at = 0; at < line.length; at++) {
    const byte = line[at]!;
    if (byte === QUOTE) {
      if (depth === 1 && from < 0 && line.subarray(at, at + name.length).equals(name)) {
        at += name.length - 1;
        from = at + 1;
      } else {
        at = endOfString(line, at);
      }
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth++;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
    }
    if (from >= 0 && ((depth === 1 && byte === COMMA) || depth === 0)) return line.toString('utf8', from, at);
  }
  return null;
}

/** Offset of the quote that ends the string which begins at `at`. */
function endOfString(line: Buffer, at: number): number {
  let p = at + 1;
  while (p < line.length && line[p] !== QUOTE) p += line[p] === BACKSLASH ? 2 : 1;
  return p;
}
