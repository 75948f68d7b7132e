/**
 * The record of an erasure: who asked for it, when, and how far it has come; whose documents, only by digests (subject.ts).
 *
 * Invariant: the record is durable before the first file is touched, and names every key by then. So whoever comes after a crash,
 * or an hour later, goes on without being told the key or the condition again: `sluice erase --finish`, or the running pipeline by itself.
 */
import { createHash, randomBytes } from 'node:crypto';
import { SluiceError, reasonOf } from '../core/error.ts';
import { ERASE_RECORD } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import type { Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { readFile } from './read-file.ts';
import { digestOf } from './subject.ts';

export interface ErasureCounts {
  /** Files of the lake that were written anew, and lines that they have no longer. */
  files: number;
  rows: number;
  dumps: number;
  deadLetters: number;
  claims: number;
  /** Rows of bronze. */
  warehouseRows: number;
}

export interface ErasureRecord extends ErasureCounts {
  readonly v: 1;
  readonly id: string;
  /** ISO 8601. */
  readonly askedAt: string;
  readonly by: string;
  readonly reason: string | null;
  readonly how: 'key' | 'where';
  /** Digest of the key or the condition, with the salt. */
  readonly asked: string;
  readonly salt: string;
  readonly documents: readonly { readonly db: string; readonly coll: string; readonly keys: readonly string[] }[];
  /** Events from here on are left alone: the subject may have come back. */
  readonly until: Timestamp;
  /** `null`: something is left to do. */
  endedAt: string | null;
  /** What that is, for people. */
  left: string[];
}

const SALT_BYTES = 16;
const ID_BYTES = 4;

export const erasuresFolder = (pipeline: string): LakePath => `_sluice/${pipeline}/erasures`;

export interface Erasure {
  readonly record: ErasureRecord;
  readonly path: LakePath;
  there: LakeFile | 'absent';
}

export interface NewErasure {
  readonly by: string;
  readonly reason: string | null;
  readonly how: 'key' | 'where';
  readonly asked: string;
  readonly documents: ReadonlyMap<string, { readonly ns: Namespace; readonly identities: ReadonlySet<string> }>;
  readonly until: Timestamp;
}

export function newErasure(pipeline: string, { by, reason, how, asked, documents, until }: NewErasure, askedAt: string): Erasure {
  const salt = randomBytes(SALT_BYTES).toString('hex');
  const id = randomBytes(ID_BYTES).toString('hex');
  const record: ErasureRecord = {
    v: 1,
    id,
    askedAt,
    by,
    reason,
    how,
    asked: createHash('sha256').update(`${salt}\n${asked}`).digest('hex'),
    salt,
    documents: [...documents.values()].map(({ ns, identities }) => ({
      db: ns.db,
      coll: ns.coll ?? '',
      // In no order of theirs.
      keys: [...identities].map((identity) => digestOf(salt, ns, identity)).toSorted(),
    })),
    until,
    endedAt: null,
    left: [],
    ...noCounts(),
  };
  return { record, path: `${erasuresFolder(pipeline)}/${askedAt.replaceAll(/[-:]|\.\d+/g, '')}-${id}.json`, there: 'absent' };
}

export function noCounts(): ErasureCounts {
  return { files: 0, rows: 0, dumps: 0, deadLetters: 0, claims: 0, warehouseRows: 0 };
}

export async function saveErasure(lake: Lake, erasure: Erasure): Promise<void> {
  failpoint('erase.before-record');
  erasure.there = await lake.put(erasure.path, Buffer.from(`${JSON.stringify(erasure.record, null, 1)}\n`), erasure.there);
  failpoint('erase.after-record');
}

/** Oldest first. @throws ERASE_RECORD */
export async function readErasures(lake: Lake, pipeline: string, signal: AbortSignal): Promise<Erasure[]> {
  const found: Erasure[] = [];
  for await (const file of lake.list(`${erasuresFolder(pipeline)}/`, signal)) {
    try {
      const record = JSON.parse((await readFile(lake, file.path, signal)).toString('utf8')) as ErasureRecord;
      if (record.v !== 1 || !Array.isArray(record.documents)) throw new Error('it is not what it should be');
      found.push({ record, path: file.path, there: file });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SluiceError) throw error;
      throw new SluiceError(ERASE_RECORD, `${file.path}: ${reasonOf(error)}`, { cause: error });
    }
  }
  return found;
}

/** Whose documents erasures have taken, for those who meet a key and ask. */
export class ErasedKeys {
  readonly #all: readonly { readonly record: ErasureRecord; readonly keys: ReadonlyMap<string, ReadonlySet<string>> }[];

  constructor(records: readonly ErasureRecord[]) {
    this.#all = records.map((record) => ({
      record,
      keys: new Map(record.documents.map(({ db, coll, keys }) => [formatNamespace({ db, coll }), new Set(keys)])),
    }));
  }

  /** @param at of the event; `null`: of a document as it is now */
  has(ns: Namespace, identity: string, at: Timestamp | null): boolean {
    return this.#all.some(({ record, keys }) => {
      const own = keys.get(formatNamespace(ns));
      if (own === undefined || (at !== null && at.t >= record.until.t)) return false;
      return own.has(digestOf(record.salt, ns, identity));
    });
  }
}
