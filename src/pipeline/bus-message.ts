/**
 * An event as a message, and back. docs/specs/bus.md.
 *
 * The value is the event's line without its newline. A line begins with its position; what else the consumer decides by is in
 * headers, so that it parses none. They are as short as they can be: at 1.2 KB an event, 250 bytes are a tenth of what a broker and two sockets carry.
 * A watermark goes to every partition after all that it covers was acknowledged: partitions without events move on, too.
 */
import { createHash } from 'node:crypto';
import type { BusRecord, ReadForeign } from '../core/bus.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { BUS_FORMAT, BUS_MESSAGE, LAKE_CONFLICT } from '../core/errors.ts';
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
import { documentIdOf } from '../core/line.ts';
import { MessageHeaders, type MessageBatch } from '../core/message-batch.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import type { Timestamp } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { claimsFolder } from './checkpoint.ts';

export type PartitionBy = 'collection' | 'document';

/** An `_id` may be as large as a document. */
const KEY_CHARS_MAX = 1024;
const EMPTY = Buffer.alloc(0);
const QUOTE = 0x22;
const ZERO = 0x30;
/** Of the form of messages: what has another one is not guessed at. */
const VERSION = '1';
/** Of a stream's name in messages: enough that no two of a topic are alike. */
const NAME_CHARS = 16;
/** What a message takes in a request beside its key, its value and its headers, at most: lengths, offsets, the time. */
const MESSAGE_BYTES = 64;

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

/** Where a message of a partition goes that takes so many bytes in a request, at most: it is added at once. */
export type PlaceOf = (partition: number, bytes: number) => MessageBatch;

export interface Watermark {
  /** That it takes in a request, at most. */
  readonly bytes: number;
  readonly addTo: (batch: MessageBatch) => void;
}

/**
 * What messages call a stream and how its topic is shared out, `<name> collection/4`, of a fingerprint that ends in that. What
 * is as short already stays as it is.
 */
export function streamName(fingerprint: string): string {
  const end = fingerprint.lastIndexOf(' ');
  const stream = fingerprint.slice(0, end);
  if (stream.length <= NAME_CHARS) return fingerprint;
  return createHash('sha256').update(stream).digest('hex').slice(0, NAME_CHARS) + fingerprint.slice(end);
}

export interface EncoderOptions {
  readonly pipeline: string;
  /** Of the stream, with how the topic is shared out. */
  readonly fingerprint: string;
  readonly partitionBy: PartitionBy;
  readonly messageBytesMax: number;
  readonly partitionOf: (key: string) => number;
  readonly lake: Lake;
}

export class MessageEncoder {
  readonly #options: EncoderOptions;
  readonly #headers = new MessageHeaders();
  /** What messages of a namespace and an operation share, by index of both in a batch. */
  #shared: (MessageHeaders | undefined)[] = [];
  readonly #name: string;

  constructor(options: EncoderOptions) {
    this.#options = options;
    this.#name = streamName(options.fingerprint);
  }

  /** Of the stream that it encodes. */
  get fingerprint(): string {
    return this.#options.fingerprint;
  }

  /** In order. Lines that are too large are on the lake by then. Nothing of the events is referred to afterwards. */
  async encode(events: EventBatch, placeOf: PlaceOf): Promise<void> {
    const { partitionBy, partitionOf, messageBytesMax } = this.#options;
    const names = events.namespaces.map((ns) => {
      const name = formatNamespace(ns);
      return { name, key: Buffer.from(shortened(name)), partition: partitionOf(shortened(name)) };
    });
    const { lines } = events;
    this.#shared = [];
    let start = 0;
    for (let i = 0; i < events.count; i += 1) {
      const end = events.ends[i]! - 1;
      let { key, partition } = names[events.ns[i]!]!;
      // Without the fields of a shard key: a document stays where it is when they change.
      const id = partitionBy === 'document' ? documentIdOf(lines.subarray(start, end)) : null;
      if (id !== null) {
        const text = shortened(`{"_id":${id}}`);
        key = Buffer.from(text);
        partition = partitionOf(text);
      }
      const headers = this.#headersOf(events, i, names[events.ns[i]!]!.name);
      const bytes = MESSAGE_BYTES + key.length + headers.length;
      if (bytes + end - start <= messageBytesMax) {
        placeOf(partition, bytes + end - start).add(key, lines, start, end, headers);
      } else {
        headers.add('position', positionAt(lines, start)).add('claim', await this.#claim(lines.subarray(start, end + 1), events.seconds[i]!));
        placeOf(partition, MESSAGE_BYTES + key.length + headers.length).add(key, EMPTY, 0, 0, headers);
      }
      start = end + 1;
    }
  }

  /** @param last no event that was sent before lies behind it */
  watermark(watermark: Timestamp, { position, clusterTime }: Pick<ResumePoint, 'position' | 'clusterTime'>): Watermark {
    const headers = MessageHeaders.of({
      v: VERSION,
      fingerprint: this.#name,
      watermark: textOf(watermark),
      position,
      clusterTime: textOf(clusterTime),
    });
    return { bytes: MESSAGE_BYTES + headers.length, addTo: (batch) => batch.add(EMPTY, EMPTY, 0, 0, headers) };
  }

  /** Valid until the next. */
  #headersOf(events: EventBatch, i: number, ns: string): MessageHeaders {
    const op = events.ops[i]!;
    const at = events.ns[i]! * OPERATIONS.length + op;
    this.#shared[at] ??= MessageHeaders.of({ v: VERSION, fingerprint: this.#name, operationType: OPERATIONS[op]!, ns });
    return this.#headers.clear().addAll(this.#shared[at]).add('clusterTime', `${events.seconds[i]!}.${events.ordinals[i]!}`);
  }

  /** Claim check: the line goes to the lake, and the message says where. A replay finds it there: what is there stands. */
  async #claim(line: Buffer, second: number): Promise<LakePath> {
    const { pipeline, lake } = this.#options;
    const day = new Date(second * 1000).toISOString().slice(0, 10).replaceAll('-', '');
    const name = createHash('sha256').update(positionAt(line, 0)).digest('hex');
    const claim = `${claimsFolder(pipeline)}/${day}/${name}.jsonl`;
    failpoint('claim.before-put');
    try {
      await lake.put(claim, line, 'absent');
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    }
    failpoint('claim.after-put');
    return claim;
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

/** @throws BUS_MESSAGE when it is not one of ours, BUS_FORMAT when it is one of a later sluice */
export function receive(record: BusRecord, where: string): Received {
  try {
    assertVersion(given(record, 'v'), record, where);
    const fingerprint = given(record, 'fingerprint');
    const at = timestamp(given(record, 'clusterTime'));
    const watermark = record.header('watermark');
    if (watermark !== null) {
      return { kind: 'watermark', fingerprint, position: asPosition(given(record, 'position')), at, watermark: timestamp(watermark) };
    }
    const claim = record.header('claim');
    const line = record.value ?? EMPTY;
    return {
      kind: 'event',
      fingerprint,
      position: claim === null ? positionOf(line) : asPosition(given(record, 'position')),
      at,
      op: OPERATION_INDEX.get(given(record, 'operationType')) ?? OPERATION_OTHER,
      ns: namespaceOf(given(record, 'ns')),
      line,
      claim,
    };
  } catch (cause) {
    if (SluiceError.is(cause, BUS_FORMAT)) throw cause;
    throw new SluiceError(BUS_MESSAGE, `${where}, offset ${record.offset}: ${reasonOf(cause)}`, { cause });
  }
}

/** Not one for the dead letters: all that come after it have that form, too. */
function assertVersion(version: string, { offset }: BusRecord, where: string): void {
  if (version !== VERSION) throw new SluiceError(BUS_FORMAT, `${where}, offset ${offset}: version ${version}`);
}

/** One object for each: as many as a topic has collections, up to a bound. */
function namespaceOf(text: string): Namespace {
  let ns = namespaces.get(text);
  if (ns === undefined) {
    if (namespaces.size === NAMESPACES_MAX) namespaces.clear();
    namespaces.set(text, (ns = parseNamespace(text)));
  }
  return ns;
}

const namespaces = new Map<string, Namespace>();
const NAMESPACES_MAX = 10_000;

function given(record: BusRecord, name: string): string {
  const text = record.header(name);
  if (text === null) throw new Error(`it has no header \`${name}\``);
  return text;
}

function textOf({ t, i }: Timestamp): string {
  return `${t}.${i}`;
}

function timestamp(text: string): Timestamp {
  const dot = text.indexOf('.');
  const [t, i] = [digits(text, 0, dot), digits(text, dot + 1, text.length)];
  if (t === null || i === null) throw new Error(`${JSON.stringify(text)} is no cluster time`);
  return { t, i };
}

/** `null`: it is not a number of digits alone. */
function digits(text: string, start: number, end: number): number | null {
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const digit = text.charCodeAt(at) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return null;
    value = value * 10 + digit;
  }
  return end > start ? value : null;
}

function positionOf(line: Buffer): Position {
  const end = isAt(line, 0, LINE_PREFIX) ? line.indexOf(QUOTE, LINE_PREFIX.length) : -1;
  if (end <= LINE_PREFIX.length) throw new Error('its value is not a line');
  return asPosition(line.toString('latin1', LINE_PREFIX.length, end));
}

function isAt(bytes: Buffer, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
