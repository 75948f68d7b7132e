/**
 * What a pipeline knows about itself: one JSON file, replaced by compare-and-swap. docs/specs/checkpoint.md.
 *
 * The checkpoint is intent as much as memory: a part may exist only after a checkpoint has named it, be sealed only
 * after a checkpoint covers it and holds its ledger line, and an hour may be published only after a checkpoint says so.
 */
import { createHash } from 'node:crypto';
import { SluiceError, reasonOf } from '../core/error.ts';
import { CHECKPOINT_BAD, CHECKPOINT_NEWER } from '../core/errors.ts';
import { asPosition, type Operation, type Position, type ResumePoint } from '../core/event.ts';
import type { LakePath } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, parseHourName, type Timestamp } from '../core/time.ts';
import type { SnapshotRecord } from './snapshot-record.ts';

/** 2: with a sum. A checkpoint of format 1 is read, and replaced by the next save. */
const FORMAT = 2;
const FORMAT_OLDEST = 1;
/** The last line but one. Over all bytes, as if it were not there. */
const SUM = /,\n "sum": "([0-9a-f]{64})"\n\}\n$/;

export interface PartRecord {
  readonly path: LakePath;
  readonly ns: Namespace;
  /** `YYYYMMDD-HH`. */
  readonly hour: string;
  /** Number within its collection-hour, from 0. */
  readonly number: number;
  /** Durable bytes and rows. */
  length: number;
  /** Of an index (`per-event`): size of the event files that it names. */
  eventBytes?: number;
  rows: number;
  first: Position | null;
  firstAt: Timestamp | null;
  last: Position | null;
  lastAt: Timestamp | null;
  ops: Partial<Record<Operation, number>>;
  /** Of the stream that wrote it; positions of two fingerprints do not compare. */
  fingerprint: string;
  /** The owner that may write it. */
  epoch: number;
  /** Takes no more events; sealed once the position covers it. */
  rolled: boolean;
  state: 'open' | 'sealing';
  /** With `sealing`: what the ledger will say. */
  line?: SealedLine;
}

/** A collection-hour, kept until the hour file says that the whole pipeline has passed it. */
export interface HourRecord {
  readonly ns: Namespace;
  readonly hour: string;
  /** Number of its next part. */
  next: number;
  /** Day of the ledger file that was current when it began: its lines are there or later. */
  readonly since: string;
  state: 'open' | 'publishing' | 'published';
}

/** History that the source no longer had. `to: null`: capture has not gone on yet. */
export interface GapRecord {
  readonly from: Timestamp;
  to: Timestamp | null;
  /** Cluster time of the snapshots that mend what the gap has left out; absent: nobody mends it. */
  repairAt?: Timestamp;
  /** ISO 8601: when all of them were complete. */
  repaired?: string;
  /** Of a partition: the producer is to mend it, and says so in its `mends`. */
  repair?: 'asked';
  /** ISO 8601. */
  readonly detectedAt: string;
  readonly collections: readonly string[];
  readonly cause: string;
}

/** What a producer has read whole, or is to, for a gap of a partition. */
export interface MendRecord {
  readonly partition: number;
  /** As the gap has them: by these it is told from others. */
  readonly from: Timestamp;
  readonly detectedAt: string;
  readonly repairAt: Timestamp;
  repaired?: string;
}

/** The topic that a producer writes to, as it was when it began. */
export interface BusRecord {
  readonly partitions: number;
  readonly partitionBy: string;
  /** By partition: of the first message that is the pipeline's, in decimal digits. */
  readonly from: readonly string[];
}

export interface Checkpoint {
  readonly v: typeof FORMAT;
  readonly pipeline: string;
  epoch: number;
  /** `null` until the start is resolved. All that lies at or before it is durable. */
  resume: ResumePoint | null;
  /** Everything before it (exclusive) has been read and is durable. */
  watermark: Timestamp;
  fingerprint: string;
  /** Globs of the collections that it covers; absent: written before this was kept. */
  filter?: { readonly include: readonly string[]; readonly exclude: readonly string[] };
  /** Template of the paths. */
  layout: string;
  parts: PartRecord[];
  hours: HourRecord[];
  /** First cluster time that this pipeline covers. */
  startedAt: Timestamp;
  /** The next hour, in hours since the epoch, that gets an hour file. */
  nextHour: number;
  ledger: { path: LakePath; length: number } | null;
  gaps: GapRecord[];
  /** Those that are not complete. */
  snapshots: SnapshotRecord[];
  cleanStop: boolean;
  /** Of the producer alone. */
  bus?: BusRecord;
  mends?: MendRecord[];
  /** ISO 8601. */
  savedAt: string;
  /**
   * Process and number of the save, so that no two saves are alike: a lake that has not heard whether a save arrived looks at
   * what is there, and must not take for its own what another owner has written at the same moment.
   */
  savedBy?: string;
}

export function newCheckpoint(pipeline: string, layout: string): Checkpoint {
  return {
    v: FORMAT,
    pipeline,
    epoch: 0,
    resume: null,
    watermark: { t: 0, i: 0 },
    fingerprint: '',
    layout,
    parts: [],
    hours: [],
    startedAt: { t: 0, i: 0 },
    nextHour: 0,
    ledger: null,
    gaps: [],
    snapshots: [],
    cleanStop: true,
    savedAt: new Date(0).toISOString(),
  };
}

/**
 * Whose checkpoint: `null` of a pipeline without a bus, `p003` of a partition, `producer`, `maintenance` of whoever replaces sealed
 * files. A folder for each, because a lock lies beside its checkpoint.
 */
export type Scope = string | null;
export const PRODUCER: Scope = 'producer';
export const MAINTENANCE: Scope = 'maintenance';
export const isOfPartition = (scope: Scope): boolean => scope !== null && /^p\d+$/.test(scope);
export const partitionScope = (partition: number): string => `p${String(partition).padStart(3, '0')}`;

export const checkpointPath = (pipeline: string, scope: Scope = null): LakePath => {
  if (scope === null) return `_sluice/${pipeline}/checkpoint.json`;
  return scope === MAINTENANCE ? `_sluice/${pipeline}/maintenance/checkpoint.json` : `_sluice/${pipeline}/bus/${scope}/checkpoint.json`;
};
export const ledgerFolder = (pipeline: string, scope: Scope = null): LakePath =>
  scope === null ? `_sluice/${pipeline}/ledger` : `_sluice/${pipeline}/ledger/${scope}`;
export const isMaintenance = (ledger: LakePath): boolean => ledger.includes(`/ledger/${MAINTENANCE}/`);
/** @param number 0, or that of a further file of its day: the storage takes no more appends to the one before */
export const ledgerPath = (pipeline: string, scope: Scope, day: string, number: number): LakePath =>
  `${ledgerFolder(pipeline, scope)}/${day}${number === 0 ? '' : `.part-${String(number).padStart(4, '0')}`}.jsonl`;
export const claimsFolder = (pipeline: string): LakePath => `_sluice/${pipeline}/claims`;
export const hourFilePath = (pipeline: string, hour: string): LakePath => `_sluice/${pipeline}/hours/${hour}.json`;
export const PIPELINE_FILE: LakePath = '_sluice/pipeline.json';
/** Commands write these, whether the pipeline has begun or not. */
export const verificationPath = (pipeline: string): LakePath => `_sluice/${pipeline}/verification.json`;
export const doctorFolder = (pipeline: string): LakePath => `_sluice/${pipeline}/doctor`;
export const dumpsFolder = (pipeline: string): LakePath => `_sluice/${pipeline}/dumps`;

/** Files that a checkpoint names and the ledger need not have. */
export function openPaths(checkpoint: Checkpoint | null): LakePath[] {
  return [...(checkpoint?.parts ?? []), ...(checkpoint?.snapshots.flatMap(({ parts }) => parts) ?? [])].map(({ path }) => path);
}

/** Key of a collection-hour. */
export function hourKey(ns: Namespace, hour: string): string {
  return `${hour}/${formatNamespace(ns)}`;
}

export function encodeCheckpoint(checkpoint: Checkpoint): Buffer {
  const { resume, ...rest } = checkpoint;
  const written = {
    ...rest,
    resume: resume && { position: resume.position, clusterTime: resume.clusterTime, token: Buffer.from(resume.token).toString('base64') },
  };
  const body = JSON.stringify(written, null, 1);
  return Buffer.from(`${body.slice(0, -'\n}'.length)},\n "sum": "${sumOf(body)}"\n}\n`);
}

function sumOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

/** A changed digit of a position or a length would be believed otherwise. */
function isIntact(text: string, version: unknown): boolean {
  const found = SUM.exec(text);
  if (found === null) return version === FORMAT_OLDEST && !text.includes('"sum"');
  return sumOf(`${text.slice(0, found.index)}\n}`) === found[1];
}

/** @throws CHECKPOINT_BAD a damaged checkpoint is told, never guessed at; CHECKPOINT_NEWER */
export function decodeCheckpoint(bytes: Uint8Array, path: LakePath): Checkpoint {
  const text = Buffer.from(bytes).toString('utf8');
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new SluiceError(CHECKPOINT_BAD, `${path}: ${reasonOf(cause)}`, { cause });
  }
  if (!isRecord(raw)) throw new SluiceError(CHECKPOINT_BAD, `${path} holds no JSON object`);
  if (typeof raw['v'] === 'number' && raw['v'] > FORMAT) throw new SluiceError(CHECKPOINT_NEWER, `${path} has format ${raw['v']}`);
  const missing = missingField(raw);
  if (missing !== null) throw new SluiceError(CHECKPOINT_BAD, `${path}: ${missing} is missing or not what it should be`);
  if (!isIntact(text, raw['v'])) throw new SluiceError(CHECKPOINT_BAD, `${path}: its content is not what its sum says`);
  delete raw['sum'];
  const resume = raw['resume'] as { position: string; clusterTime: Timestamp; token: string } | null;
  return {
    ...(raw as unknown as Checkpoint),
    v: FORMAT,
    // There were none before there were snapshots.
    snapshots: (raw['snapshots'] ?? []) as SnapshotRecord[],
    resume: resume && { position: asPosition(resume.position), clusterTime: resume.clusterTime, token: Buffer.from(resume.token, 'base64') },
  };
}

function missingField(raw: Readonly<Record<string, unknown>>): string | null {
  const { resume, ledger, parts, hours, gaps } = raw;
  const checks: readonly [string, boolean][] = [
    ['v', raw['v'] === FORMAT || raw['v'] === FORMAT_OLDEST],
    ['pipeline', typeof raw['pipeline'] === 'string'],
    ['epoch', isCount(raw['epoch'])],
    [
      'resume',
      resume === null ||
        (isRecord(resume) && typeof resume['position'] === 'string' && typeof resume['token'] === 'string' && isTime(resume['clusterTime'])),
    ],
    ['watermark', isTime(raw['watermark'])],
    ['startedAt', isTime(raw['startedAt'])],
    ['fingerprint', typeof raw['fingerprint'] === 'string'],
    ['layout', typeof raw['layout'] === 'string'],
    ['parts', Array.isArray(parts) && parts.every(isPart)],
    ['hours', Array.isArray(hours) && hours.every(isHour)],
    ['nextHour', isCount(raw['nextHour'])],
    ['ledger', ledger === null || (isRecord(ledger) && typeof ledger['path'] === 'string' && isCount(ledger['length']))],
    ['gaps', Array.isArray(gaps) && gaps.every(isGap)],
    ['snapshots', raw['snapshots'] === undefined || (Array.isArray(raw['snapshots']) && raw['snapshots'].every(isSnapshot))],
    ['filter', raw['filter'] === undefined || isFilter(raw['filter'])],
    ['cleanStop', typeof raw['cleanStop'] === 'boolean'],
    ['bus', raw['bus'] === undefined || isBus(raw['bus'])],
    ['mends', raw['mends'] === undefined || (Array.isArray(raw['mends']) && raw['mends'].every(isMend))],
  ];
  return checks.find(([, fine]) => !fine)?.[0] ?? null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTime(value: unknown): boolean {
  return isRecord(value) && isCount(value['t']) && isCount(value['i']);
}

function isNamespace(value: unknown): boolean {
  return isRecord(value) && typeof value['db'] === 'string' && (value['coll'] === null || typeof value['coll'] === 'string');
}

function isHourName(value: unknown): boolean {
  return typeof value === 'string' && parseHourName(value) !== null;
}

function isPart(part: unknown): boolean {
  if (!isRecord(part) || !isNamespace(part['ns']) || !isHourName(part['hour']) || !isRecord(part['ops'])) return false;
  const isPositionOrNull = (name: string): boolean => part[name] === null || typeof part[name] === 'string';
  const isTimeOrNull = (name: string): boolean => part[name] === null || isTime(part[name]);
  return (
    ['number', 'length', 'rows', 'epoch'].every((name) => isCount(part[name])) &&
    ['path', 'fingerprint'].every((name) => typeof part[name] === 'string') &&
    ['first', 'last'].every(isPositionOrNull) &&
    ['firstAt', 'lastAt'].every(isTimeOrNull) &&
    (part['eventBytes'] === undefined || isCount(part['eventBytes'])) &&
    typeof part['rolled'] === 'boolean' &&
    (part['state'] === 'open' || (part['state'] === 'sealing' && isRecord(part['line'])))
  );
}

function isHour(hour: unknown): boolean {
  if (!isRecord(hour) || !isNamespace(hour['ns']) || !isHourName(hour['hour']) || typeof hour['since'] !== 'string') return false;
  return isCount(hour['next']) && ['open', 'publishing', 'published'].includes(hour['state'] as string);
}

function isGap(gap: unknown): boolean {
  return isRecord(gap) && isTime(gap['from']) && (gap['to'] === null || isTime(gap['to']));
}

function isMend(mend: unknown): boolean {
  return isRecord(mend) && isCount(mend['partition']) && isTime(mend['from']) && isTime(mend['repairAt']) && typeof mend['detectedAt'] === 'string';
}

function isSnapshot(snapshot: unknown): boolean {
  if (!isRecord(snapshot) || !isNamespace(snapshot['ns']) || !isRecord(snapshot['at']) || !isTime(snapshot['at']['clusterTime'])) return false;
  const { ranges, parts } = snapshot;
  const texts = ['id', 'cause', 'since', 'begunAt'].every((name) => typeof snapshot[name] === 'string');
  const counts = ['nextPart', 'files', 'rows', 'bytesRead'].every((name) => isCount(snapshot[name]));
  const isKey = (key: unknown): boolean => key === null || typeof key === 'string';
  const isRange = (range: unknown): boolean => isRecord(range) && isKey(range['from']) && isKey(range['to']) && isKey(range['after']);
  const isSnapshotPart = (part: unknown): boolean =>
    isRecord(part) &&
    typeof part['path'] === 'string' &&
    isCount(part['length']) &&
    isCount(part['rows']) &&
    ['open', 'sealing'].includes(String(part['state']));
  const lists = (ranges === null || (Array.isArray(ranges) && ranges.every(isRange))) && Array.isArray(parts) && parts.every(isSnapshotPart);
  return texts && counts && lists && typeof snapshot['at']['position'] === 'string';
}

function isFilter(filter: unknown): boolean {
  const isGlobs = (globs: unknown): boolean => Array.isArray(globs) && globs.every((glob) => typeof glob === 'string');
  return isRecord(filter) && isGlobs(filter['include']) && isGlobs(filter['exclude']);
}

function isBus(bus: unknown): boolean {
  if (!isRecord(bus) || !isCount(bus['partitions']) || typeof bus['partitionBy'] !== 'string') return false;
  const { from } = bus;
  return Array.isArray(from) && from.length === bus['partitions'] && from.every((offset) => /^\d+$/.test(String(offset)));
}

/** Cluster time of the first event of each collection that is in the lake and not sealed. */
export function earliestOpen(checkpoint: Checkpoint): ReadonlyMap<string, Timestamp> {
  const earliest = new Map<string, Timestamp>();
  for (const { ns, firstAt } of checkpoint.parts) {
    if (firstAt === null) continue;
    const name = formatNamespace(ns);
    const known = earliest.get(name);
    if (known === undefined || compareTimestamps(firstAt, known) < 0) earliest.set(name, firstAt);
  }
  return earliest;
}
