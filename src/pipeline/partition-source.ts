/**
 * One partition of the bus as a source of changes.
 *
 * A producer that crashed publishes some events again, and one that was cut off may be heard late. Invariant: what was yielded
 * rises in position; whatever is at or below the partition's highest is dropped, which loses nothing, because within a
 * partition a producer sends in order and settles each request before the next.
 *
 * Positions compare within one stream, and a message says of which it is. Of another stream, what is before the time that was
 * reached is a repetition, too. Where it goes on after that this source ends, and whoever reads the partition begins anew: by
 * cluster time, then by what the events are (floor.ts), as after any change of the stream. What is before a watermark was in
 * the partition before it, whatever stream repeats it.
 */
import type { Bus, BusRead, BusReader, BusRecord, OffsetRange, ReadForeign } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { BUS_LATE, BUS_MESSAGE, BUS_OFFSET_GONE } from '../core/errors.ts';
import { BufferPool } from '../core/buffer-pool.ts';
import { EventBatchBuilder } from '../core/event-batch.ts';
import { asPosition, type ChangeBatch, type Position, type ResumePoint } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { Namespace } from '../core/namespace.ts';
import type { Source, SourceIdentity, StartAt } from '../core/source.ts';
import { compareTimestamps, laterTimestamp, type Timestamp } from '../core/time.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { REPLAYED, receive, receiveForeign, streamName, type Received } from './bus-message.ts';
import type { Checkpoint } from './checkpoint.ts';
import { putDeadLetter } from './dead-letters.ts';
import { readFile } from './read-file.ts';

export interface PartitionSourceOptions {
  readonly bus: Bus;
  readonly lake: Lake;
  readonly index: number;
  /** The producer's checkpoint: where the topic begins for this pipeline. */
  readonly producer: Checkpoint;
  /** The partition's own, as it is when the partition is owned. */
  readonly checkpoint: () => Promise<Checkpoint | null>;
  /** By partition; waits for a broker that is away. */
  readonly ranges: (signal: AbortSignal) => Promise<readonly OffsetRange[]>;
  /** Reads what others have sent; `null`: the topic is ours. */
  readonly foreign: ReadForeign | null;
  readonly onBadMessage: 'deadLetter' | 'stop';
  /** Everything before this offset was handed on. */
  readonly onRead: (next: bigint) => void;
  readonly stats: PipelineStats;
}

const NONE: Timestamp = { t: 0, i: 0 };
const NEWLINE = 0x0a;
const EMPTY = Buffer.alloc(0);
/** Of lines, used again: of all partitions that this process reads. */
const pool = new BufferPool(24 * 1024 * 1024);

export class PartitionSource implements Source {
  readonly #options: PartitionSourceOptions;
  readonly #reader: BusReader;
  #checkpoint: Checkpoint | null = null;
  #fingerprint = '';
  #changed = false;
  /** Of the largest batch so far. */
  #linesBytes = 0;
  /** Of the last event. */
  #ns: Namespace | null = null;
  #nsOf: EventBatchBuilder | null = null;
  #nsIndex = 0;
  /** Where another stream left off, as long as this one has not got past that time. */
  #replayed: ResumePoint | null = null;

  constructor(options: PartitionSourceOptions) {
    this.#options = options;
    this.#reader = options.bus.reader(options.index);
  }

  /** It has ended because messages of another stream come next. */
  get hasChanged(): boolean {
    return this.#changed;
  }

  async open(signal: AbortSignal): Promise<SourceIdentity> {
    const { bus, index, producer } = this.#options;
    this.#changed = false;
    this.#replayed = null;
    this.#checkpoint = await this.#options.checkpoint();
    const next = await this.#peek(this.#next, signal);
    const known = this.#checkpoint?.fingerprint;
    this.#fingerprint = next?.fingerprint ?? (known === undefined || known === '' ? streamName(producer.fingerprint) : known.slice(PREFIX.length));
    return { fingerprint: `${PREFIX}${this.#fingerprint}`, description: `partition ${index} of ${bus.description}` };
  }

  async resolve(start: StartAt, signal: AbortSignal): Promise<ResumePoint> {
    if (start.kind === 'time') {
      this.#replayed = this.#checkpoint?.resume ?? null;
      return point(asPosition(''), start.at, this.#next);
    }
    if (start.kind === 'oldest') return await this.#oldest(signal);
    return point(asPosition(''), this.#options.producer.startedAt, this.#next);
  }

  async *changes(after: ResumePoint, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    let offset = offsetOf(after);
    let { position, clusterTime } = after;
    // Without a position to compare with: what came before that time under another stream is in the lake.
    const from = position === '' ? clusterTime : NONE;
    let watermark = this.#checkpoint?.watermark ?? NONE;
    while (!signal.aborted) {
      const read = await this.#read(offset, position, signal);
      if (read === null) return;
      const builder = new EventBatchBuilder(read.records.length === 0 ? EMPTY : pool.take(read.bytes ?? this.#linesBytes), read.records.length);
      let { next } = read;
      for (const record of read.records) {
        const received = await this.#receiveOrPutAside(record);
        if (received === null) continue;
        if (received.kind === 'watermark') {
          // True of the partition, whoever says so.
          watermark = laterTimestamp(watermark, received.watermark);
          clusterTime = laterTimestamp(clusterTime, watermark);
        } else if (received.fingerprint !== this.#fingerprint && compareTimestamps(received.at, clusterTime) >= 0) {
          this.#changed = true;
          next = record.offset;
          break;
        } else if (
          received.fingerprint !== this.#fingerprint ||
          received.position <= position ||
          compareTimestamps(received.at, laterTimestamp(from, watermark)) < 0
        ) {
          if (record.header(REPLAYED) === null) this.#options.stats.eventsReplayed += 1;
          else await this.#putAside(record, new SluiceError(BUS_LATE, `${received.position} is not behind ${position}`));
        } else {
          await this.#add(builder, received, signal);
          position = received.position;
          clusterTime = laterTimestamp(clusterTime, received.at);
          // Others say nothing of the time. What they send comes in order; at the time of its last event there may be more.
          if (this.#options.foreign !== null) watermark = laterTimestamp(watermark, received.at);
        }
      }
      read.release?.();
      offset = next;
      this.#options.onRead(offset);
      this.#linesBytes = Math.max(this.#linesBytes, builder.length);
      const { buffer } = builder;
      const release = (): void => pool.give(buffer);
      yield { events: builder.build(), resume: this.#placeOf(position, clusterTime, from, offset), watermark, release };
      if (this.#changed) return;
    }
  }

  /**
   * Up to the time at which the other stream left off its position stands, and the offset alone moves on. Left behind, it would
   * bring the same messages again when the streams change back before that time is past, for ever.
   */
  #placeOf(position: Position, clusterTime: Timestamp, from: Timestamp, next: bigint): ResumePoint {
    if (this.#replayed !== null && compareTimestamps(clusterTime, from) <= 0) return point(this.#replayed.position, from, next);
    return point(position, clusterTime, next);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }

  get #next(): bigint {
    const { producer, index } = this.#options;
    const resume = this.#checkpoint?.resume ?? null;
    return resume === null ? BigInt(producer.bus!.from[index]!) : offsetOf(resume);
  }

  /** `null`: nothing that happened. @throws BUS_MESSAGE, BUS_FORMAT */
  #receive(record: BusRecord): Received | null {
    const { bus, index, foreign } = this.#options;
    const where = `${bus.description}, partition ${index}`;
    return foreign === null ? receive(record, where) : receiveForeign(foreign, record, index, where);
  }

  async #receiveOrPutAside(record: BusRecord): Promise<Received | null> {
    try {
      return this.#receive(record);
    } catch (error) {
      if (this.#options.onBadMessage === 'stop' || !SluiceError.is(error, BUS_MESSAGE)) throw error;
      await this.#putAside(record, error);
      return null;
    }
  }

  async #putAside(record: BusRecord, error: SluiceError): Promise<void> {
    const { bus, lake, index, producer, stats } = this.#options;
    await putDeadLetter(lake, producer.pipeline, { topic: bus.description, partition: index, record, error });
    stats.deadLetters += 1;
  }

  async #add(builder: EventBatchBuilder, event: Received & { kind: 'event' }, signal: AbortSignal): Promise<void> {
    const line = event.claim === null ? event.line : await readFile(this.#options.lake, event.claim, signal);
    builder.reserve(line.length + 1);
    builder.buffer.set(line, builder.length);
    builder.length += line.length;
    // What was claimed is a whole line already.
    if (line.at(-1) !== NEWLINE) builder.buffer[builder.length++] = NEWLINE;
    if (event.ns !== this.#ns || builder !== this.#nsOf) {
      this.#ns = event.ns;
      this.#nsOf = builder;
      this.#nsIndex = builder.namespace(event.ns.db, event.ns.coll);
    }
    builder.add(this.#nsIndex, event.op, event.at.t, event.at.i);
  }

  /** `null` after a stop. @throws BUS_OFFSET_GONE */
  async #read(offset: bigint, position: Position, signal: AbortSignal): Promise<BusRead | null> {
    try {
      return await this.#reader.read(offset, signal);
    } catch (error) {
      if (signal.aborted) return null;
      if (!SluiceError.is(error, BUS_OFFSET_GONE)) throw error;
      // A topic that was made anew may begin with what the lake has: then nothing is lost.
      const { first } = await this.#range(signal);
      const oldest = await this.#peek(first, signal);
      const overlaps = oldest !== null && oldest.fingerprint === this.#fingerprint && oldest.position <= position;
      if (!overlaps) throw error;
      return { records: [], next: first };
    }
  }

  async #oldest(signal: AbortSignal): Promise<ResumePoint> {
    const { producer } = this.#options;
    const { first } = await this.#range(signal);
    const oldest = await this.#peek(first, signal);
    const time = oldest?.at ?? producer.resume!.clusterTime;
    // What was read before the gap may come again: of the same stream it is told by its position.
    const isSame = this.#checkpoint?.fingerprint === `${PREFIX}${this.#fingerprint}`;
    return point(isSame ? this.#checkpoint!.resume!.position : asPosition(''), time, first);
  }

  async #range(signal: AbortSignal): Promise<OffsetRange> {
    return (await this.#options.ranges(signal))[this.#options.index]!;
  }

  /** The message that comes next, if there is one now. */
  async #peek(offset: bigint, signal: AbortSignal): Promise<Received | null> {
    try {
      const [record] = (await this.#reader.read(offset, signal)).records;
      return record === undefined ? null : this.#receive(record);
    } catch (error) {
      // Whoever reads on meets it again.
      if (SluiceError.is(error, BUS_OFFSET_GONE, BUS_MESSAGE)) return null;
      throw error;
    }
  }
}

/** Not a deployment's id: that another deployment was read is the producer's business, and settled there. */
const PREFIX = 'bus ';

function point(position: Position, clusterTime: Timestamp, next: bigint): ResumePoint {
  return { position, clusterTime, token: Buffer.from(JSON.stringify({ v: 1, next: next.toString() })) };
}

function offsetOf({ token }: ResumePoint): bigint {
  return BigInt((JSON.parse(Buffer.from(token).toString('utf8')) as { next: string }).next);
}
