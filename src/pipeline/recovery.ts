/**
 * Makes this process the only writer of a pipeline and learns what the lake holds. Fence before read, read before write.
 *
 * Order: epoch + 1 (clears "stopped cleanly") → fence every part and the ledger that the checkpoint names → read what
 * they hold beyond the checkpoint → finish the seals and hours that were begun → only then may anything new be written.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { CONFIG_CONFLICT, LAKE_DAMAGED } from '../core/errors.ts';
import { OPERATIONS } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { isSealedLine } from '../core/ledger.ts';
import { parseLine } from '../core/line.ts';
import { isPerEvent, partPath } from '../core/layout.ts';
import { compareTimestamps, parseHourName, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { ledgerFolder, type PartRecord } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { SUFFIX } from './compression.ts';
import { eventFileOf } from './event-files.ts';
import { Floors } from './floor.ts';
import { Ledger, readFencedLedger } from './ledger.ts';
import { PartitionHours, type PartitionOf } from './partition-hours.ts';
import { putAside, type LivePart } from './parts.ts';
import { readDecoded, wholeLinesOf } from './read-lines.ts';
import { Sealer } from './sealer.ts';
import { Writer, type WriterOptions } from './writer.ts';

export interface Recovered {
  readonly writer: Writer;
  readonly sealer: Sealer;
  readonly ledger: Ledger;
  /** The source must start again here, inclusively, because positions no longer compare. */
  readonly replayAt: Timestamp | null;
}

export interface RecoveryContext {
  readonly lake: Lake;
  readonly committer: Committer;
  readonly writer: WriterOptions;
  /** `null` without a bus. */
  readonly partition: PartitionOf | null;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** @throws LAKE_LOST_OWNERSHIP, LAKE_DAMAGED, CONFIG_CONFLICT */
export async function recover(context: RecoveryContext, signal: AbortSignal): Promise<Recovered> {
  const { lake, committer, clock, stats, log } = context;
  const { state } = committer;
  if (state.layout !== context.writer.layout) {
    throw new SluiceError(CONFIG_CONFLICT, `lake.layout is ${context.writer.layout}, but this lake was begun with ${state.layout}`, {
      next: 'Put the former lake.layout back, or use another lake.url: one lake has one layout.',
    });
  }
  const wasClean = state.cleanStop;
  state.epoch += 1;
  state.cleanStop = false;
  stats.epoch = state.epoch;
  await committer.save('epoch');

  const ledger = new Ledger(lake, committer, clock);
  const fenced: FencedPart[] = [];
  try {
    // A crash may leave as many parts as one flush fills.
    const tooMany = state.parts.length > context.writer.partsOpenMax;
    for (const record of state.parts) {
      const each = await fence(record, context, signal);
      fenced.push(each);
      if (tooMany) await putAside(each.part);
    }
    await ledger.recover(signal);
    const replayAt = replayPoint(context);
    const floors = await learnFloors(context, replayAt, signal);
    const hours = context.partition === null ? null : new PartitionHours(context.partition, lake, committer, ledger, clock, stats);
    const sealer = new Sealer(lake, committer, ledger, stats, log, hours);
    const writer = new Writer(lake, committer, ledger, floors, context.writer, clock, stats);
    const begun = fenced.filter(({ part }) => part.record.state === 'sealing').map(({ part }) => part);
    for (const { part, asRecorded } of fenced) {
      const { record } = part;
      if (record.state === 'sealing') continue;
      if (wasClean && asRecorded && part.appender !== null && mayContinue(record, context)) {
        record.epoch = state.epoch;
        writer.adopt(part, parseHourName(record.hour)!);
      } else {
        record.rolled = true;
        sealer.take(part);
      }
    }
    if (begun.length > 0) log.info({ parts: begun.length }, 'finishing the seals of the former owner');
    await sealer.finishPredecessor(begun, signal);
    // The fingerprint changes together with the position: until the replay's first batch is durable the old one stands.
    if (replayAt === null) state.fingerprint = context.writer.fingerprint;
    return { writer, sealer, ledger, replayAt };
  } catch (error) {
    for (const { part } of fenced) await part.appender?.[Symbol.asyncDispose]();
    await ledger.close();
    throw error;
  }
}

interface FencedPart {
  readonly part: LivePart;
  /** It held what the checkpoint says and not a byte more. */
  readonly asRecorded: boolean;
}

/** Takes a part from whoever had it and counts what lies beyond its record. */
async function fence(record: PartRecord, context: RecoveryContext, signal: AbortSignal): Promise<FencedPart> {
  const { lake, committer, clock } = context;
  const known = record.length;
  failpoint('recovery.before-fence');
  const appender = await lake.open(record.path, { epoch: committer.state.epoch, expect: 'any', length: known }, signal);
  failpoint('recovery.after-fence');
  await committer.assertOwner();
  const asRecorded = appender.length === known;
  if (!asRecorded) {
    try {
      // Half a line must not be left out: the seal would take it for the end of the part.
      for await (const line of wholeLinesOf(readDecoded(lake, record.path, known, signal))) addLine(record, line, isPerEvent(committer.state.layout));
    } catch (cause) {
      // A storage that does not answer says nothing about the part.
      if (cause instanceof SluiceError) throw cause;
      throw new SluiceError(LAKE_DAMAGED, `${record.path} beyond byte ${known}: ${reasonOf(cause)}`, { cause });
    }
    record.length = appender.length;
  }
  return { part: { record, appender, hash: null, openedAtMs: clock.now(), usedAtMs: clock.now(), planned: 0 }, asRecorded };
}

function addLine(record: PartRecord, line: Buffer, isIndex: boolean): void {
  const facts = parseLine(line);
  const op = OPERATIONS[facts.op]!;
  record.rows += 1;
  record.first ??= facts.position;
  record.firstAt ??= facts.at;
  record.last = facts.position;
  record.lastAt = facts.at;
  record.ops[op] = (record.ops[op] ?? 0) + 1;
  if (!isIndex) return;
  const file = eventFileOf(line);
  if (file === null) throw new TypeError('a line of an index that names no file');
  record.eventBytes = (record.eventBytes ?? 0) + file.bytes;
}

/** After a clean stop: only the last part of its collection-hour, by the owner that stopped, written as it would be written now. */
function mayContinue(record: PartRecord, context: RecoveryContext): boolean {
  const { state } = context.committer;
  if (record.rolled || record.epoch !== state.epoch - 1 || record.fingerprint !== context.writer.fingerprint) return false;
  const { db, coll } = record.ns;
  const hour = state.hours.find((h) => h.hour === record.hour && h.ns.db === db && h.ns.coll === coll);
  if (hour?.next !== record.number + 1) return false;
  return record.path === partPath(state.layout, record.ns, parseHourName(record.hour)!, record.number, SUFFIX[context.writer.compression]);
}

/**
 * Where the source must start again, if positions do not tell what the lake holds. Not only right after a change: a
 * replay that was cut short has moved the position on, while parts of before the change may reach beyond it.
 */
function replayPoint(context: RecoveryContext): Timestamp | null {
  const { state } = context.committer;
  const { fingerprint } = context.writer;
  const { resume } = state;
  if (resume === null) return null;
  const reachesBeyond = (part: PartRecord): boolean =>
    part.fingerprint !== fingerprint && part.lastAt !== null && compareTimestamps(part.lastAt, resume.clusterTime) >= 0;
  if (state.fingerprint === fingerprint && !state.parts.some(reachesBeyond)) return null;
  context.log.warn(
    { from: resume.clusterTime, was: state.fingerprint, now: fingerprint },
    'the filter, an option or the server version has changed: going on at the cluster time of the checkpoint, what the lake holds of it is left out',
  );
  return resume.clusterTime;
}

/** What the lake holds from the point on where the source starts again. Called once everything is fenced. */
async function learnFloors(context: RecoveryContext, replayAt: Timestamp | null, signal: AbortSignal): Promise<Floors> {
  const { lake, committer } = context;
  const { state } = committer;
  const floors = new Floors(context.writer.fingerprint, replayAt);
  // Without a replay, parts of another stream end before the position; theirs says nothing about this stream's.
  for (const record of state.parts) if (replayAt !== null || record.fingerprint === context.writer.fingerprint) floors.raise(record);
  if (replayAt === null) return floors;
  const named = new Map(state.parts.map((part) => [part.path, part.lastAt]));
  const reaches = (lastAt: Timestamp | null): boolean => lastAt !== null && compareTimestamps(lastAt, replayAt) >= 0;
  for (const [path, lastAt] of named) if (reaches(lastAt)) await floors.learn(lake, path, signal);
  // Sealed files may hold events of the replay's cluster time, too.
  for await (const line of readFencedLedger(lake, ledgerFolder(state.pipeline, committer.scope), '', signal)) {
    if (isSealedLine(line) && !named.has(line.path) && reaches(line.lastAt)) await floors.learn(lake, line.path, signal);
  }
  return floors;
}
