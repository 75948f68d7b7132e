/**
 * An event as a message, and back. docs/specs/bus.md.
 *
 * The value is the event's line without its newline; what the consumer decides by is in headers, so that it parses no line.
 * A watermark goes to every partition after all that it covers was acknowledged: partitions without events move on, too.
 */
import { createHash } from 'node:crypto';
import { bytesOnBus, type BusMessage, type BusRecord, type ReadForeign } from '../core/bus.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { BUS_MESSAGE, LAKE_CONFLICT } from '../core/errors.ts';
import {
  LINE_PREFIX,
  OPERATIONS,
  OPERATION_INDEX,
  OPERATION_OTHER,
  asPosition,
  positionAt,
  type EventBatch,
  type Position,
  type ResumePoint,
} from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { documentKeyOf } from '../core/line.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import type { Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { claimsFolder } from './checkpoint.ts';

export type PartitionBy = 'collection' | 'document';

/** An `_id` may be as large as a document. */
const KEY_CHARS_MAX = 1024;
const PREFIX = Buffer.from(LINE_PREFIX);
const EMPTY = Buffer.alloc(0);

/** Header of a message that was a dead letter and is sent once more. */
export const REPLAYED = 'sluice-replayed';

/** What a record of the topic is. */
export type Received = { readonly fingerprint: string; readonly position: Position; readonly at: Timestamp } &
  /** Its position and its time are those of the last event that was sent before it, or lie behind them. */
  (
    | { readonly kind: 'watermark'; readonly watermark: Timestamp }
    /** `claim`: where its line is, if that was too large for the bus. */
    | { readonly kind: 'event'; readonly op: number; readonly ns: Namespace; readonly line: Buffer; readonly claim: LakePath | null }
  );

/** @param bytes an upper bound of what the message takes in a request */
export type AddMessage = (partition: number, message: BusMessage, bytes: number) => void;

export interface EncoderOptions {
  readonly pipeline: string;
  readonly fingerprint: string;
  readonly partitionBy: PartitionBy;
  readonly messageBytesMax: number;
  readonly partitionOf: (key: string) => number;
  readonly lake: Lake;
}

export class MessageEncoder {
  readonly #options: EncoderOptions;
  #second = -1;
  #iso = '';

  constructor(options: EncoderOptions) {
    this.#options = options;
  }

  /** Of the stream that it encodes. */
  get fingerprint(): string {
    return this.#options.fingerprint;
  }

  /** In order. Lines that are too large are on the lake by then. */
  async encode(events: EventBatch, add: AddMessage): Promise<void> {
    const { partitionBy, partitionOf, messageBytesMax } = this.#options;
    const names = events.namespaces.map(formatNamespace);
    const ofName = names.map((name) => partitionOf(name));
    const byDocument = partitionBy === 'document';
    let start = 0;
    for (let i = 0; i < events.count; i += 1) {
      const end = events.ends[i]!;
      const line = events.lines.subarray(start, end);
      const name = names[events.ns[i]!]!;
      const key = shortened(byDocument ? (documentKeyOf(line) ?? name) : name);
      const message = { key, value: line.subarray(0, -1), headers: this.#headers(events, i, start, name) };
      const partition = byDocument ? partitionOf(key) : ofName[events.ns[i]!]!;
      const bytes = bytesOnBus(message);
      if (bytes <= messageBytesMax) add(partition, message, bytes);
      else add(partition, await this.#claimed(message, line), bytes - line.length);
      start = end;
    }
  }

  /** @param last no event that was sent before lies behind it */
  watermark(watermark: Timestamp, { position, clusterTime }: Pick<ResumePoint, 'position' | 'clusterTime'>): BusMessage {
    const { fingerprint } = this.#options;
    return {
      key: '',
      value: new Uint8Array(),
      headers: { watermark: textOf(watermark), position, clusterTime: textOf(clusterTime), fingerprint },
    };
  }

  #headers(events: EventBatch, i: number, start: number, ns: string): Record<string, string> {
    const second = events.seconds[i]!;
    if (second !== this.#second) {
      this.#second = second;
      this.#iso = new Date(second * 1000).toISOString();
    }
    return {
      position: positionAt(events.lines, start),
      operationType: OPERATIONS[events.ops[i]!]!,
      ns,
      at: this.#iso,
      clusterTime: `${second}.${events.ordinals[i]!}`,
      fingerprint: this.#options.fingerprint,
    };
  }

  /** Claim check: the line goes to the lake, and the message says where. A replay finds it there: what is there stands. */
  async #claimed({ key, headers }: BusMessage, line: Buffer): Promise<BusMessage> {
    const { pipeline, lake } = this.#options;
    const name = createHash('sha256').update(headers['position']!).digest('hex');
    const claim = `${claimsFolder(pipeline)}/${headers['at']!.slice(0, 10).replaceAll('-', '')}/${name}.jsonl`;
    failpoint('claim.before-put');
    try {
      await lake.put(claim, line, 'absent');
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    }
    failpoint('claim.after-put');
    return { key, value: new Uint8Array(), headers: { ...headers, claim } };
  }
}

function shortened(key: string): string {
  return key.length <= KEY_CHARS_MAX ? key : createHash('sha256').update(key).digest('hex');
}

/** Streams of other producers, whose messages do not name them: those with resume tokens, and those without. */
export const FOREIGN_TOKEN = 'foreign token';
export const FOREIGN_TIME = 'foreign time';
const OFFSET_DIGITS = 20;

/**
 * A message of another producer. Without a token its position is its cluster time, then its place in the partition.
 * `null`: nothing has happened. @throws BUS_MESSAGE
 */
export function receiveForeign(read: ReadForeign, record: BusRecord, partition: number, where: string): Received | null {
  try {
    const event = read(record);
    if (event === null) return null;
    const { token, at, op, ns } = event;
    const hex = (n: number): string => n.toString(16).padStart(8, '0');
    const place = `${String(partition).padStart(4, '0')}.${record.offset.toString().padStart(OFFSET_DIGITS, '0')}`;
    const position = token ?? asPosition(`t${hex(at.t)}${hex(at.i)}.${place}`);
    return {
      kind: 'event',
      fingerprint: token === null ? FOREIGN_TIME : FOREIGN_TOKEN,
      position,
      at,
      op,
      ns,
      line: event.line(position),
      claim: null,
    };
  } catch (cause) {
    throw new SluiceError(BUS_MESSAGE, `${where}, offset ${record.offset}: ${reasonOf(cause)}`, { cause });
  }
}

/** @throws BUS_MESSAGE when it is not one of ours */
export function receive(record: BusRecord, where: string): Received {
  try {
    const fingerprint = given(record, 'fingerprint');
    const position = asPosition(given(record, 'position'));
    const at = timestamp(given(record, 'clusterTime'));
    const watermark = record.header('watermark');
    if (watermark !== null) return { kind: 'watermark', fingerprint, position, at, watermark: timestamp(watermark) };
    const claim = record.header('claim');
    const line = record.value ?? EMPTY;
    if (claim === null) assertLine(line, position);
    return {
      kind: 'event',
      fingerprint,
      position,
      at,
      op: OPERATION_INDEX.get(given(record, 'operationType')) ?? OPERATION_OTHER,
      ns: parseNamespace(given(record, 'ns')),
      line,
      claim,
    };
  } catch (cause) {
    throw new SluiceError(BUS_MESSAGE, `${where}, offset ${record.offset}: ${reasonOf(cause)}`, { cause });
  }
}

function given(record: BusRecord, name: string): string {
  const text = record.header(name);
  if (text === null) throw new Error(`it has no header \`${name}\``);
  return text;
}

function textOf({ t, i }: Timestamp): string {
  return `${t}.${i}`;
}

function timestamp(text: string): Timestamp {
  const m = /^(\d+)\.(\d+)$/.exec(text);
  if (m === null) throw new Error(`${JSON.stringify(text)} is no cluster time`);
  return { t: Number(m[1]), i: Number(m[2]) };
}

function assertLine(value: Buffer, position: Position): void {
  const isLine = value.subarray(0, PREFIX.length).equals(PREFIX) && positionAt(value, 0) === position;
  if (!isLine) throw new Error('its value is not the line that its header names');
}
