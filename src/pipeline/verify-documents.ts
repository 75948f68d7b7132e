/**
 * Silver against the source: every document that MongoDB has is in silver with the same content, and nothing else is current there.
 *
 * Neither side stands still. Everything up to `complete_through` is in silver; whatever a change event names after that, up to the
 * end of the reading, may rightly differ, and is left out. So nothing needs to be stopped, sealed or loaded for it.
 *
 * Documents are not held: both sides are added up in buckets of keys, by count and by digest, and only buckets that differ are
 * read again, key by key.
 */
import { hash } from 'node:crypto';
import { OPERATIONS, type ResumePoint } from '../core/event.ts';
import { documentIdOf, textOf, parseLine } from '../core/line.ts';
import { parseJson } from '../core/extended-json.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import type { SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { ErasedKeys } from './erasure-record.ts';
import { linesIn } from './read-lines.ts';
import { identityOf } from './subject.ts';
import { Findings, type Finding } from './verify-findings.ts';

/** Each check with the sentence that it proves. */
export const DOCUMENT_CHECKS = {
  'document-missing': 'every document of the source is in silver',
  'document-extra': 'silver has no current document that the source does not have',
  'document-differs': 'every document in silver is as it is in the source',
} as const;
export type DocumentCheck = keyof typeof DOCUMENT_CHECKS;

export interface DocumentsReport {
  readonly ok: boolean;
  readonly collections: number;
  readonly documents: number;
  /** Keys that differed and have changed meanwhile. */
  readonly changing: number;
  /** Documents that the source has, and that were erased here. */
  readonly erased: number;
  /** Collections that were not compared, with the reason. */
  readonly leftOut: readonly string[];
  readonly findings: readonly Finding<DocumentCheck>[];
  readonly findingsTotal: number;
  readonly checks: Readonly<Partial<Record<DocumentCheck, number>>>;
}

interface Sides {
  readonly source: Source;
  readonly documents: SnapshotSource;
  readonly warehouse: Warehouse;
  /** Whose documents are in silver no longer, on purpose. */
  readonly erased: ErasedKeys;
}

interface Sum {
  count: number;
  digest: bigint;
}

/** A key with what is there of its document on each side; `null`: nothing is. */
type Differences = Map<string, { source: string | null; silver: string | null }>;

const BUCKETS = 4096;
const WHOLE = { from: null, to: null, after: null } as const;
const ENDS_A_COLLECTION: ReadonlySet<string> = new Set(['drop', 'rename', 'dropDatabase', 'invalidate']);

/** @throws what the source or the warehouse throws when it cannot be read; HISTORY_LOST when the oplog does not reach back to what is loaded */
export async function verifyDocuments(sides: Sides, signal: AbortSignal): Promise<DocumentsReport> {
  const { source, documents, warehouse } = sides;
  const findings = new Findings<DocumentCheck>();
  const leftOut: string[] = [];
  const different = new Map<string, Differences>();
  let total = 0;
  let compared = 0;
  let throughMs = Number.POSITIVE_INFINITY;
  await source.open(signal);
  const now = await source.resolve({ kind: 'now' }, signal);
  const readable = new Set(
    (await documents.targets(signal)).filter(({ refused }) => refused === null).map(({ namespace }) => formatNamespace(namespace)),
  );
  for (const { namespace, completeThrough } of await warehouse.collections()) {
    const name = formatNamespace(namespace);
    if (namespace.coll === null || !documents.covers(namespace)) continue;
    if (completeThrough === null) {
      leftOut.push(`${name}: it is not loaded up to any moment yet`);
      continue;
    }
    const bySource = await sumsOf(sourceDocuments(documents, namespace, now, signal));
    const bySilver = await sumsOf(silverDocuments(warehouse, namespace, signal));
    total += bySource.total;
    compared += 1;
    throughMs = Math.min(throughMs, Date.parse(completeThrough));
    const off = new Set(
      [...bySource.sums.keys(), ...bySilver.sums.keys()].filter((bucket) => isOff(bySource.sums.get(bucket), bySilver.sums.get(bucket))),
    );
    if (off.size > 0) different.set(name, await differencesIn(sides, namespace, now, off, signal));
    readable.delete(name);
  }
  for (const name of readable) leftOut.push(`${name}: the warehouse does not know it`);
  const changing = different.size === 0 ? 0 : await leaveOutChanged(sides, different, throughMs, leftOut, signal);
  let erased = 0;
  for (const [name, keys] of different)
    for (const [key, { source: there, silver }] of keys) {
      if (silver === null && sides.erased.has(parseNamespace(name), identityOfText(key), null)) erased += 1;
      else if (silver === null) findings.add('document-missing', name, key);
      else if (there === null) findings.add('document-extra', name, key);
      else findings.add('document-differs', name, key);
    }
  const { list, total: findingsTotal, counts } = findings;
  const sums = { findings: list, findingsTotal, checks: Object.fromEntries(counts) };
  return { ok: findingsTotal === 0, collections: compared, documents: total, changing, erased, leftOut, ...sums };
}

/** Takes out what has changed after all that silver has for certain. @returns how many keys */
async function leaveOutChanged(
  { source, documents }: Sides,
  different: Map<string, Differences>,
  throughMs: number,
  leftOut: string[],
  signal: AbortSignal,
): Promise<number> {
  const end = await documents.clusterTime(signal);
  await documents.hurry(signal);
  const start = await source.resolve({ kind: 'time', at: { t: Math.floor(throughMs / 1000), i: 0 } }, signal);
  let changing = 0;
  const look = (line: Buffer): void => {
    const { ns, op } = parseLine(line);
    const name = formatNamespace(ns);
    if (ENDS_A_COLLECTION.has(OPERATIONS[op]!)) {
      for (const other of [...different.keys()].filter((each) => (ns.coll === null ? each.startsWith(`${ns.db}.`) : each === name))) {
        different.delete(other);
        leftOut.push(`${other}: it was dropped or renamed meanwhile`);
      }
    }
    const key = documentIdOf(line);
    if (key !== null && different.get(name)?.delete(key) === true) changing += 1;
  };
  for await (const { events, watermark, release } of source.changes(start, signal)) {
    let from = 0;
    for (let i = 0; i < events.count; i += 1) {
      look(events.lines.subarray(from, events.ends[i]));
      from = events.ends[i]!;
    }
    release?.();
    if (compareTimestamps(watermark, end) > 0) break;
  }
  signal.throwIfAborted();
  return changing;
}

async function differencesIn(sides: Sides, ns: Namespace, at: ResumePoint, off: ReadonlySet<number>, signal: AbortSignal): Promise<Differences> {
  const found: Differences = new Map();
  for await (const { key, digest } of sourceDocuments(sides.documents, ns, at, signal))
    if (off.has(bucketOf(key))) found.set(key, { source: digest, silver: null });
  for await (const { key, digest } of silverDocuments(sides.warehouse, ns, signal)) {
    if (!off.has(bucketOf(key))) continue;
    const there = found.get(key);
    if (there === undefined) found.set(key, { source: null, silver: digest });
    else if (there.source === digest) found.delete(key);
    else there.silver = digest;
  }
  return found;
}

interface DocumentDigest {
  readonly key: string;
  readonly digest: string;
}

async function sumsOf(documents: AsyncIterable<DocumentDigest>): Promise<{ sums: Map<number, Sum>; total: number }> {
  const sums = new Map<number, Sum>();
  let total = 0;
  for await (const { key, digest } of documents) {
    const bucket = bucketOf(key);
    const sum = sums.get(bucket) ?? { count: 0, digest: 0n };
    sum.count += 1;
    sum.digest += BigInt(`0x${hash('md5', `${key} ${digest}`, 'hex')}`);
    sums.set(bucket, sum);
    total += 1;
  }
  return { sums, total };
}

function isOff(a: Sum | undefined, b: Sum | undefined): boolean {
  return a?.count !== b?.count || a?.digest !== b?.digest;
}

function bucketOf(key: string): number {
  return Number.parseInt(hash('md5', key, 'hex').slice(0, 8), 16) % BUCKETS;
}

async function* sourceDocuments(documents: SnapshotSource, ns: Namespace, at: ResumePoint, signal: AbortSignal): AsyncGenerator<DocumentDigest> {
  for await (const { lines, release } of documents.documents(ns, WHOLE, at, signal)) {
    for (const line of linesIn(lines)) yield { key: documentIdOf(line) ?? '', digest: digestOf(textOf(line, 'fullDocument')) };
    release();
  }
}

async function* silverDocuments(warehouse: Warehouse, ns: Namespace, signal: AbortSignal): AsyncGenerator<DocumentDigest> {
  for await (const { key, doc } of warehouse.silver(ns, signal)) yield { key, digest: digestOf(doc) };
}

/** Of a key as {@link documentIdOf} gives it. */
function identityOfText(key: string): string {
  return identityOf(parseJson(key));
}

/** Of what the text means: a warehouse may put keys in an order of its own, and write numbers in another way. */
function digestOf(text: string | null): string {
  return text === null ? 'none' : hash('md5', plain(JSON.parse(text, keepDigits)), 'base64');
}

function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  // A double would lose digits of a long.
  return typeof value === 'number' && context?.source !== undefined && !Number.isSafeInteger(value) ? numberText(context.source) : value;
}

function numberText(source: string): string {
  return /^-?\d+$/.test(source) ? `number ${source}` : `number ${Number(source)}`;
}

function plain(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(plain).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${plain(field)}`).join(',')}}`;
}
