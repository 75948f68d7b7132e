/**
 * The lake against the change stream, read again over a past window: every event that the server tells is in the lake, as it was
 * told, and nothing else is.
 *
 * Both sides are encoded alike, so that lines compare as text; but the document of an `update` was looked up after it, and may be
 * another one the second time. Memory grows with the events of the window (their positions and digests), which is bounded.
 */
import { hash } from 'node:crypto';
import type { ResumePoint } from '../core/event.ts';
import { OPERATIONS } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { documentKeyOf, textOf, parseLine, type LineFacts } from '../core/line.ts';
import { formatNamespace } from '../core/namespace.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps, laterTimestamp, type Timestamp } from '../core/time.ts';
import { ErasedKeys, readErasures } from './erasure-record.ts';
import { readEvents, sealedEvents } from './event-files.ts';
import { readSealed } from './ledger.ts';
import { linesOf, readDecoded } from './read-lines.ts';
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
  const findings = new Findings<StreamCheck>();
  const checkpoint = await readWhole(lake, pipeline, signal);
  if (checkpoint?.resume == null) return nothing('the pipeline has not begun');
  await source.open(signal);
  const to = checkpoint.watermark;
  const start = await beginning(checkpoint, source, window.seconds, signal);
  if (compareTimestamps(start.clusterTime, to) >= 0) return nothing('the oplog no longer has what the lake holds');
  const span = { from: start.clusterTime, to };
  const known = await readLake(lake, checkpoint, span, window.eventsMax, findings, signal);
  if (known === null) return nothing(`there are more than ${window.eventsMax} events in the window: take a shorter one`);
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

/** Not before the lake's own beginning, the end of a gap, or what the server still has. */
async function beginning({ watermark, startedAt, gaps }: WholePipeline, source: Source, seconds: number, signal: AbortSignal): Promise<ResumePoint> {
  const oldest = await source.resolve({ kind: 'oldest' }, signal);
  let from: Timestamp = laterTimestamp({ t: Math.max(0, watermark.t - seconds), i: 0 }, startedAt);
  for (const gap of gaps) from = laterTimestamp(from, gap.to ?? gap.from);
  return compareTimestamps(oldest.clusterTime, from) >= 0 ? oldest : await source.resolve({ kind: 'time', at: from }, signal);
}

/** Events of the window by position; `null`: there are too many. */
async function readLake(
  lake: Lake,
  checkpoint: WholePipeline,
  { from, to }: { readonly from: Timestamp; readonly to: Timestamp },
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
  for (const line of lines) {
    if (superseded.has(line.path) || !reaches(line.firstAt, line.lastAt)) continue;
    if (!(await take(line.path, sealedEvents(lake, line, signal)))) return null;
  }
  for (const part of checkpoint.parts) {
    // Sealed since the checkpoint was read: it was taken with the others.
    if (sealed.has(part.path) || !reaches(part.firstAt, part.lastAt)) continue;
    const events = part.eventBytes === undefined ? readDecoded(lake, part.path, 0, signal) : readEvents(lake, part.path, signal);
    if (!(await take(part.path, linesOf(events)))) return null;
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
