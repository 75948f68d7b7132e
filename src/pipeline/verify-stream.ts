/**
 * The lake against the change stream, read again over a past window: every event that the server tells is in the lake, as it was
 * told, and nothing else is.
 *
 * Both sides are encoded alike, so that lines compare as text; but the document of an `update` was looked up after it, and may be
 * another one the second time. Memory grows with the events of the window (their positions and digests), which is bounded.
 *
 * The lake is read first. Where an erasure or retention comes in between, it is read again: what was erased is known by its record,
 * which is durable before and read after, and the window begins where the lake begins.
 */
import { hash } from 'node:crypto';
import type { ResumePoint } from '../core/event.ts';
import { OPERATIONS } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { documentKeyOf, textOf, parseLine, type LineFacts } from '../core/line.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps, laterTimestamp, SECONDS_PER_HOUR, type Hour, type Timestamp } from '../core/time.ts';
import { ErasedKeys, readErasures } from './erasure-record.ts';
import { readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { PlannedFiles, TakenAway } from './planned.ts';
import { identityIn } from './subject.ts';
import { Findings, type Finding } from './verify-findings.ts';
import { readWhole, type WholePipeline } from './whole.ts';

/** Each check with the sentence that it proves. */
export const STREAM_CHECKS = {
  'event-missing': 'every event of the change stream is in the lake',
  'event-extra': 'the lake has no event that the change stream does not have',
  'event-twice': 'no event is in the lake twice',
  'event-changed': 'every event in the lake is what the change stream says',
} as const;
export type StreamCheck = keyof typeof STREAM_CHECKS;

export interface StreamReport {
  readonly ok: boolean;
  /** What was compared, both ISO 8601; `null`: nothing could be, and `reason` says why. */
  readonly window: { readonly from: string; readonly to: string } | null;
  readonly reason: string | null;
  readonly events: number;
  /** Events that are not in the lake because they were erased. */
  readonly erased: number;
  readonly findings: readonly Finding<StreamCheck>[];
  readonly findingsTotal: number;
  readonly checks: Readonly<Partial<Record<StreamCheck, number>>>;
}

export interface StreamWindow {
  /** Before the watermark. */
  readonly seconds: number;
  readonly eventsMax: number;
}

interface Known {
  readonly digest: string;
  readonly path: LakePath;
}

/** @throws what the source throws when it cannot be read */
export async function verifyStream(lake: Lake, pipeline: string, source: Source, window: StreamWindow, signal: AbortSignal): Promise<StreamReport> {
  let opened = false;
  let side: LakeSide | null = null;
  while (side === null) {
    const checkpoint = await readWhole(lake, pipeline, signal);
    if (checkpoint?.resume == null) return nothing('the pipeline has not begun');
    if (!opened) await source.open(signal);
    opened = true;
    const read = await readSide(lake, checkpoint, source, window, signal);
    if (typeof read === 'string') return nothing(read);
    side = read;
  }
  const { start, span, known, findings } = side;
  const { to } = span;
  const events = known.size;
  const keys = new ErasedKeys((await readErasures(lake, pipeline, signal)).map(({ record }) => record));
  let erased = 0;
  for await (const { events: batch, watermark, release } of source.changes(start, signal)) {
    let from = 0;
    for (let i = 0; i < batch.count; i += 1) {
      const line = batch.lines.subarray(from, batch.ends[i]);
      from = batch.ends[i]!;
      const facts = parseLine(line);
      if (compareTimestamps(facts.at, to) >= 0) continue;
      const there = known.get(facts.position);
      known.delete(facts.position);
      const identity = there === undefined ? identityIn(line) : null;
      if (identity !== null && keys.has(facts.ns, identity, facts.at)) erased += 1;
      else if (there === undefined) findings.add('event-missing', formatNamespace(facts.ns), whatOf(facts, line));
      else if (there.digest !== digestOf(facts, line)) findings.add('event-changed', there.path, whatOf(facts, line));
    }
    release?.();
    if (compareTimestamps(watermark, to) >= 0) break;
  }
  signal.throwIfAborted();
  for (const [position, { path }] of known) findings.add('event-extra', path, `the event at ${position}`);
  const iso = (at: Timestamp): string => new Date(at.t * 1000).toISOString();
  const { list, total, counts } = findings;
  const sums = { findings: list, findingsTotal: total, checks: Object.fromEntries(counts) };
  return { ok: total === 0, window: { from: iso(span.from), to: iso(to) }, reason: null, events, erased, ...sums };
}

function nothing(reason: string): StreamReport {
  return { ok: true, window: null, reason, events: 0, erased: 0, findings: [], findingsTotal: 0, checks: {} };
}

interface Span {
  readonly from: Timestamp;
  readonly to: Timestamp;
}

/** What the lake has of the window. */
interface LakeSide {
  /** Where the stream is read from. */
  readonly start: ResumePoint;
  readonly span: Span;
  /** By position. */
  readonly known: Map<string, Known>;
  readonly findings: Findings<StreamCheck>;
}

/** @returns a text: why nothing can be compared; `null`: an erasure or retention has come in between, and it is to be read again */
async function readSide(
  lake: Lake,
  checkpoint: WholePipeline,
  source: Source,
  { seconds, eventsMax }: StreamWindow,
  signal: AbortSignal,
): Promise<LakeSide | string | null> {
  const findings = new Findings<StreamCheck>();
  const { watermark: to, pipeline } = checkpoint;
  const { from: kept } = await readHorizon(lake, pipeline, signal);
  const start = await beginning(checkpoint, source, { seconds, kept }, signal);
  if (compareTimestamps(start.clusterTime, to) >= 0) return 'the oplog no longer has what the lake holds';
  const span = { from: start.clusterTime, to };
  try {
    const known = await readLake(lake, checkpoint, span, eventsMax, findings, signal);
    return known === null ? `there are more than ${eventsMax} events in the window: take a shorter one` : { start, span, known, findings };
  } catch (error) {
    if (error instanceof TakenAway) return null;
    throw error;
  }
}

/** Not before the lake's own beginning, the end of a gap, what retention has left of every collection, or what the server still has. */
async function beginning(
  { watermark, startedAt, gaps }: WholePipeline,
  source: Source,
  { seconds, kept }: { readonly seconds: number; readonly kept: Hour | null },
  signal: AbortSignal,
): Promise<ResumePoint> {
  const oldest = await source.resolve({ kind: 'oldest' }, signal);
  let from: Timestamp = laterTimestamp({ t: Math.max(0, watermark.t - seconds), i: 0 }, startedAt);
  if (kept !== null) from = laterTimestamp(from, { t: kept * SECONDS_PER_HOUR, i: 0 });
  for (const gap of gaps) from = laterTimestamp(from, gap.to ?? gap.from);
  return compareTimestamps(oldest.clusterTime, from) >= 0 ? oldest : await source.resolve({ kind: 'time', at: from }, signal);
}

/** Events of the window by position; `null`: there are too many. */
async function readLake(
  lake: Lake,
  checkpoint: WholePipeline,
  { from, to }: Span,
  eventsMax: number,
  findings: Findings<StreamCheck>,
  signal: AbortSignal,
): Promise<Map<string, Known> | null> {
  const known = new Map<string, Known>();
  const take = async (path: LakePath, lines: AsyncIterable<Uint8Array>): Promise<boolean> => {
    for await (const bytes of lines) {
      const line = Buffer.from(bytes);
      const facts = parseLine(line);
      if (compareTimestamps(facts.at, from) < 0 || compareTimestamps(facts.at, to) >= 0) continue;
      const other = known.get(facts.position);
      if (other !== undefined) findings.add('event-twice', path, `${whatOf(facts, line)}, also in ${other.path}`);
      known.set(facts.position, { digest: digestOf(facts, line), path });
      if (known.size > eventsMax) return false;
    }
    return true;
  };
  const reaches = (firstAt: Timestamp | null, lastAt: Timestamp | null): boolean =>
    firstAt !== null && lastAt !== null && compareTimestamps(lastAt, from) >= 0 && compareTimestamps(firstAt, to) < 0;
  const { lines, superseded } = await readSealed(lake, checkpoint.pipeline, ({ path }) => !isSnapshotPath(path), signal);
  const sealed = new Set(lines.map(({ path }) => path));
  const planned = new PlannedFiles(lake, checkpoint.pipeline);
  for (const line of lines) {
    if (superseded.has(line.path) || !reaches(line.firstAt, line.lastAt)) continue;
    if (!(await take(line.path, planned.events(line, signal)))) return null;
  }
  for (const part of checkpoint.parts) {
    // Sealed since the checkpoint was read: it was taken with the others.
    if (sealed.has(part.path) || !reaches(part.firstAt, part.lastAt)) continue;
    if (!(await take(part.path, planned.events({ ...part, ...part.ns }, signal)))) return null;
  }
  return known;
}

/** Whether a delete was half of a move is looked up, too: another reading may see another state. */
const DEPART = /(?<=^\{"_meta":\{"position":"[^"]*","operationType":)"depart"/;
const DELETE = '"delete"';

/** Of what must be the same each time. */
function digestOf({ op }: LineFacts, line: Buffer): string {
  const isLookedUp = OPERATIONS[op] === 'update';
  const whole = (): string => line.toString('utf8').trimEnd().replace(DEPART, DELETE);
  const text = isLookedUp ? `${documentKeyOf(line) ?? ''} ${textOf(line, 'updateDescription') ?? ''}` : whole();
  return hash('md5', text, 'base64');
}

function whatOf({ op, ns, at, position }: LineFacts, line: Buffer): string {
  return `${OPERATIONS[op]!} of ${formatNamespace(ns)} ${documentKeyOf(line) ?? ''} at ${new Date(at.t * 1000).toISOString()} (${position})`;
}
