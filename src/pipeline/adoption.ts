/**
 * Brings what a Spark job has staged of a partition into the lake, as the owner of that partition.
 *
 * The same as reading it from the bus (capture.ts), but for where the lines come from: intent → parts made and written → the position
 * moves → sealing. So a crash anywhere is a crash of that pipeline, and whoever owns the partition next, to adopt or to reshape, recovers
 * from it by the same rules. Hour by hour, in order: the lines of a partition up to an hour are all that its position then covers.
 *
 * Invariant: nothing is adopted that does not go on exactly where the partition ends.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_LATE, BUS_MESSAGE, STAGED_DIFFERS, STAGED_ELSEWHERE } from '../core/errors.ts';
import { OPERATIONS, OPERATION_INDEX, asPosition, positionAt, type Operation, type Position } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { partHour, partPath } from '../core/layout.ts';
import { parseLine } from '../core/line.ts';
import { parseNamespace } from '../core/namespace.ts';
import { hourName, hourOf, type Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { receive } from './bus-message.ts';
import { checkpointPath, hourKey, partitionScope, type Checkpoint, type HourRecord, type PartRecord } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { SUFFIX, storedForm } from './compression.ts';
import { putDeadLetter } from './dead-letters.ts';
import { inParallel } from './parallel.ts';
import { newPart, type LivePart } from './parts.ts';
import { recover, type Recovered } from './recovery.ts';
import { readStagedLines, type StagedBad, type StagedFile, type StagedPartition } from './staged.ts';
import type { WriterLimits } from './writer.ts';

export interface AdoptionOptions extends WriterLimits {
  readonly pipeline: string;
  /** Bytes of an append. */
  readonly flushBytesMax: number;
  readonly takeOver: boolean;
  readonly onBadMessage: 'deadLetter' | 'stop';
}

export interface AdoptionParts {
  readonly lake: Lake;
  /** Where the job has written to. */
  readonly staging: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

export interface AdoptionOf {
  readonly index: number;
  /** Of the topic. */
  readonly count: number;
  /** Where a pipeline begins that has not yet. */
  readonly startedAt: Timestamp;
  /** `null`: nothing of this partition was staged; what is due of it is sealed and published. */
  readonly staged: StagedPartition | null;
  readonly files: readonly StagedFile[];
  readonly bad: readonly StagedBad[];
}

/** Parts that one checkpoint names. */
const PARTS_AT_ONCE = 256;
/** Each is held in memory while it is looked at. */
const FILES_AT_ONCE = 4;
/** As the pipeline's own source of a partition has it (partition-source.ts). */
const FINGERPRINT_PREFIX = 'bus ';
const NEWLINE = 0x0a;

/** @returns `false` when another process owns the partition. @throws STAGED_ELSEWHERE, STAGED_DIFFERS */
export async function adoptPartition(options: AdoptionOptions, parts: AdoptionParts, of: AdoptionOf, signal: AbortSignal): Promise<boolean> {
  const { lake, clock, stats, log } = parts;
  const { pipeline, layout, takeOver } = options;
  const scope = partitionScope(of.index);
  const ownership = await lake.own(checkpointPath(pipeline, scope), { takeOver }, signal);
  if (ownership === null) return false;
  await using owned = ownership;
  const until = AbortSignal.any([signal, owned.lost]);
  const committer = await Committer.load(lake, pipeline, layout, clock, stats, until, scope);
  const todo = placeOf(committer.state, of);
  if (todo === null && committer.state.resume === null) return true;
  const fingerprint = todo === null ? committer.state.fingerprint : FINGERPRINT_PREFIX + todo.fingerprint;
  const partition = { index: of.index, count: of.count };
  // Once the fence has begun it is carried through.
  const recovered = await recover(
    { lake, committer, writer: { ...options, fingerprint }, partition, clock, stats, log },
    new AbortController().signal,
  );
  const { writer, sealer, ledger, replayAt } = recovered;
  try {
    if (replayAt !== null) throw elsewhere(of, 'files of another stream reach beyond it');
    writer.rollAll();
    await sealer.settle(writer, until);
    if (todo !== null) await new Adoption(options, parts, of, committer, recovered).run(todo, until);
    committer.state.cleanStop = true;
    await committer.save('clean-stop');
    return true;
  } finally {
    await writer.close();
    await sealer.close();
    await ledger.close();
  }
}

/** What there is to do; `null`: the lake has it all. @throws STAGED_ELSEWHERE */
function placeOf({ resume, fingerprint }: Checkpoint, of: AdoptionOf): StagedPartition | null {
  const { staged } = of;
  if (staged === null || staged.from === staged.next) return null;
  if (resume === null) {
    if (staged.fromPosition !== '') throw elsewhere(of, 'the lake has not begun it');
    return staged;
  }
  const next = offsetOf(resume.token);
  if (next >= staged.next) return null;
  if (next !== staged.from) throw elsewhere(of, `the lake goes on at ${next}, the job has begun at ${staged.from}`);
  if (resume.position < staged.fromPosition || resume.position > staged.position) throw elsewhere(of, `the lake is at ${resume.position}`);
  // Of a lake that has begun without an event the stream is not known yet.
  if (fingerprint !== '' && fingerprint !== FINGERPRINT_PREFIX + staged.fingerprint) throw elsewhere(of, 'it is of another stream');
  return staged;
}

function elsewhere({ index }: AdoptionOf, detail: string): SluiceError {
  return new SluiceError(STAGED_ELSEWHERE, `partition ${index}: ${detail}`);
}

class Adoption {
  readonly #options: AdoptionOptions;
  readonly #parts: AdoptionParts;
  readonly #of: AdoptionOf;
  readonly #committer: Committer;
  readonly #recovered: Recovered;
  /** What parts hold that the position does not cover: a former owner had not come to its end. */
  readonly #floors = new Map<string, Position>();

  constructor(options: AdoptionOptions, parts: AdoptionParts, of: AdoptionOf, committer: Committer, recovered: Recovered) {
    this.#options = options;
    this.#parts = parts;
    this.#of = of;
    this.#committer = committer;
    this.#recovered = recovered;
    for (const { ns, hour, last } of committer.state.parts) {
      const key = hourKey(ns, hour);
      if (last !== null && last > (this.#floors.get(key) ?? '')) this.#floors.set(key, last);
    }
  }

  async run(staged: StagedPartition, signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    if (state.resume === null) {
      const at = this.#of.startedAt;
      state.resume = { position: asPosition(''), clusterTime: at, token: tokenOf(staged.from) };
      state.startedAt = at;
      state.watermark = at;
      state.nextHour = hourOf(at.t);
      await this.#committer.save('start');
    }
    for (const bad of this.#of.bad) await this.#putAside(bad);
    const begun = state.resume.position;
    const files = this.#of.files.filter(({ last }) => last > begun).toSorted(inOrder);
    for (const slice of slicesOf(files)) {
      signal.throwIfAborted();
      await this.#adopt(slice, signal);
      const [last] = slice.toSorted((a, b) => (a.last > b.last ? -1 : 1));
      // The numbers of the messages are not known in the middle: from the first one on, what the lake has is left out by its position.
      await this.#move({ position: last!.last, clusterTime: last!.lastAt, token: tokenOf(staged.from) }, signal);
    }
    state.watermark = staged.watermark;
    await this.#move({ position: staged.position, clusterTime: staged.clusterTime, token: tokenOf(staged.next) }, signal);
  }

  async #adopt(slice: readonly StagedFile[], signal: AbortSignal): Promise<void> {
    const { sealer } = this.#recovered;
    const work = slice.map((file) => ({ file, part: this.#name(file) })).filter(({ part }) => part !== null) as {
      file: StagedFile;
      part: LivePart;
    }[];
    if (work.length === 0) return;
    await this.#committer.save('intent');
    const byHour = Map.groupBy(work, ({ part }) => hourKey(part.record.ns, part.record.hour));
    try {
      await inParallel([...byHour.values()], FILES_AT_ONCE, async (ofHour) => {
        for (const { file, part } of ofHour) await this.#copy(file, part, signal);
      });
    } finally {
      for (const { part } of work) await part.appender?.[Symbol.asyncDispose]();
      for (const { part } of work) part.appender = null;
    }
    for (const { part } of work) sealer.take(part);
  }

  /** Names the part that takes a file's lines; `null`: the lake has them. */
  #name(file: StagedFile): LivePart | null {
    const { layout, compression } = this.#options;
    const { state } = this.#committer;
    const ns = parseNamespace(file.ns);
    const first = partHour(layout, file.hour);
    const hour = hourName(first);
    if (file.last <= (this.#floors.get(hourKey(ns, hour)) ?? '')) return null;
    const known = state.hours.find((each) => each.hour === hour && hourKey(each.ns, hour) === hourKey(ns, hour));
    const record: HourRecord = known ?? { ns, hour, next: 0, since: this.#recovered.ledger.day, state: 'open' };
    if (known === undefined) state.hours.push(record);
    const number = record.next;
    record.next += 1;
    const part: PartRecord = {
      path: partPath(layout, ns, first, number, SUFFIX[compression]),
      ns,
      hour,
      number,
      length: 0,
      rows: 0,
      first: null,
      firstAt: null,
      last: null,
      lastAt: null,
      ops: {},
      fingerprint: FINGERPRINT_PREFIX + this.#of.staged!.fingerprint,
      epoch: state.epoch,
      rolled: true,
      state: 'open',
    };
    state.parts.push(part);
    return newPart(part, this.#parts.clock.now());
  }

  async #copy(file: StagedFile, part: LivePart, signal: AbortSignal): Promise<void> {
    const { lake, staging, stats } = this.#parts;
    const { record } = part;
    const all = await readStagedLines(staging, file, signal);
    const floor = [this.#floors.get(hourKey(record.ns, record.hour)) ?? asPosition(''), this.#committer.state.resume!.position].toSorted()[1]!;
    const facts = floor < file.first ? factsOf(file) : factsAbove(all, floor);
    failpoint('part.before-create');
    part.appender = await lake.open(record.path, { epoch: record.epoch, expect: 'absent' }, signal);
    failpoint('part.after-create');
    await this.#committer.assertOwner();
    for (const piece of piecesOf(all.subarray(facts.from), this.#options.flushBytesMax)) {
      const stored = await storedForm([piece], this.#options.compression);
      failpoint('part.before-append');
      await part.appender.append(stored, signal);
      failpoint('part.after-append');
      for (const chunk of stored) part.hash!.update(chunk);
    }
    const { rows, first, firstAt, ops } = facts;
    Object.assign(record, { length: part.appender.length, rows, first, firstAt, last: file.last, lastAt: file.lastAt, ops });
    stats.events += rows;
    stats.eventsReplayed += file.rows - rows;
    stats.eventBytes += all.length - facts.from;
  }

  /** All that is at or before this is durable. */
  async #move(resume: NonNullable<Checkpoint['resume']>, signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    const { writer, sealer } = this.#recovered;
    state.resume = resume;
    state.fingerprint = FINGERPRINT_PREFIX + this.#of.staged!.fingerprint;
    await sealer.settle(writer, signal);
    await this.#committer.save('periodic');
  }

  async #putAside({ partition, record, behind }: StagedBad): Promise<void> {
    const { lake, staging, stats } = this.#parts;
    const where = `${staging.description}, partition ${partition}`;
    let error: SluiceError | null = null;
    try {
      const received = receive(record, where);
      if (behind !== null) error = new SluiceError(BUS_LATE, `${received.position} is not behind ${behind}`);
    } catch (cause) {
      if (!SluiceError.is(cause, BUS_MESSAGE)) throw cause;
      error = cause;
    }
    if (error === null) throw new SluiceError(STAGED_DIFFERS, `${where}, offset ${record.offset}: the job has left out a message of sluice`);
    if (this.#options.onBadMessage === 'stop') throw error;
    await putDeadLetter(lake, this.#options.pipeline, { topic: staging.description, partition, record, error });
    stats.deadLetters += 1;
  }
}

interface PartFacts {
  /** Offset of the first line. */
  readonly from: number;
  readonly rows: number;
  readonly first: Position;
  readonly firstAt: Timestamp;
  readonly ops: Partial<Record<Operation, number>>;
}

function factsOf({ rows, first, firstAt, ops: given }: StagedFile): PartFacts {
  const ops: Partial<Record<Operation, number>> = {};
  for (const [name, count] of Object.entries(given)) {
    const op = OPERATION_INDEX.has(name) ? (name as Operation) : 'other';
    ops[op] = (ops[op] ?? 0) + count;
  }
  return { from: 0, rows, first, firstAt, ops };
}

/** Of the lines above a position. There is one: the last line is. */
function factsAbove(lines: Buffer, floor: Position): PartFacts {
  let from = 0;
  while (positionAt(lines, from) <= floor) from = lines.indexOf(NEWLINE, from) + 1;
  const { position: first, at: firstAt } = parseLine(lines.subarray(from, lines.indexOf(NEWLINE, from)));
  const ops: Partial<Record<Operation, number>> = {};
  let rows = 0;
  for (let start = from; start < lines.length; rows += 1) {
    const end = lines.indexOf(NEWLINE, start);
    const op = OPERATIONS[parseLine(lines.subarray(start, end)).op]!;
    ops[op] = (ops[op] ?? 0) + 1;
    start = end + 1;
  }
  return { from, rows, first, firstAt, ops };
}

/** Cut at line ends. */
function* piecesOf(lines: Buffer, bytesMax: number): Generator<Buffer> {
  for (let start = 0; start < lines.length;) {
    const fits = start + bytesMax >= lines.length ? lines.length : lines.lastIndexOf(NEWLINE, start + bytesMax - 1) + 1;
    const end = fits > start ? fits : lines.indexOf(NEWLINE, start) + 1;
    yield lines.subarray(start, end);
    start = end;
  }
}

function inOrder(a: StagedFile, b: StagedFile): number {
  return a.hour - b.hour || (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : a.part - b.part);
}

/** Whole hours, as many as one checkpoint should name. */
function* slicesOf(files: readonly StagedFile[]): Generator<readonly StagedFile[]> {
  let slice: StagedFile[] = [];
  for (const ofHour of Map.groupBy(files, ({ hour }) => hour).values()) {
    if (slice.length > 0 && slice.length + ofHour.length > PARTS_AT_ONCE) {
      yield slice;
      slice = [];
    }
    slice.push(...ofHour);
  }
  if (slice.length > 0) yield slice;
}

function tokenOf(next: bigint): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, next: next.toString() }));
}

function offsetOf(token: Uint8Array): bigint {
  return BigInt((JSON.parse(Buffer.from(token).toString('utf8')) as { next: string }).next);
}
