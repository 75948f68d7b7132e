/**
 * An event as a message, and back. docs/specs/bus.md.
 *
 * The value is the event's line without its newline; what the consumer decides by is in headers, so that it parses no line.
 * A watermark goes to every partition after all that it covers was acknowledged: partitions without events move on, too.
 */
import { createHash } from 'node:crypto';
import { bytesOnBus, type BusMessage, type BusRecord } from '../core/bus.ts';
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

export type PartitionBy = 'collection' | 'document';

/** An `_id` may be as large as a document. */
const KEY_CHARS_MAX = 1024;
const PREFIX = Buffer.from(LINE_PREFIX);

/** What a record of the topic is. */
export type Received = { readonly fingerprint: string; readonly position: Position } & (
  | { readonly kind: 'watermark'; readonly watermark: Timestamp }
  /** `claim`: where its line is, if that was too large for the bus. */
  | { readonly kind: 'event'; readonly at: Timestamp; readonly op: number; readonly ns: Namespace; readonly claim: LakePath | null }
);

export interface ToPartition {
  readonly partition: number;
  readonly message: BusMessage;
}

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

  /** In order. Lines that are too large are on the lake by then. */
  async encode(events: EventBatch): Promise<ToPartition[]> {
    const names = events.namespaces.map(formatNamespace);
    const ofName = names.map((name) => this.#options.partitionOf(name));
    const byDocument = this.#options.partitionBy === 'document';
    const messages: ToPartition[] = [];
    let start = 0;
    for (let i = 0; i < events.count; i += 1) {
      const end = events.ends[i]!;
      const line = events.lines.subarray(start, end);
      const name = names[events.ns[i]!]!;
      const key = byDocument ? (documentKeyOf(line) ?? name) : name;
      const headers = this.#headers(events, i, start, name);
      const message = { key: shortened(key), value: line.subarray(0, -1), headers };
      messages.push({
        partition: byDocument ? this.#options.partitionOf(message.key) : ofName[events.ns[i]!]!,
        message: bytesOnBus(message) <= this.#options.messageBytesMax ? message : await this.#claimed(message, line),
      });
      start = end;
    }
    return messages;
  }

  watermark(watermark: Timestamp, resume: ResumePoint): BusMessage {
    const { fingerprint } = this.#options;
    return { key: '', value: new Uint8Array(), headers: { watermark: `${watermark.t}.${watermark.i}`, position: resume.position, fingerprint } };
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
    const claim = `_sluice/${pipeline}/claims/${headers['at']!.slice(0, 10).replaceAll('-', '')}/${name}.jsonl`;
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

/** @throws BUS_MESSAGE when it is not one of ours */
export function receive(record: BusRecord, where: string): Received {
  try {
    const fingerprint = given(record, 'fingerprint');
    const position = asPosition(given(record, 'position'));
    const watermark = record.header('watermark');
    if (watermark !== null) return { kind: 'watermark', fingerprint, position, watermark: timestamp(watermark) };
    const claim = record.header('claim');
    if (claim === null) assertLine(record.value, position);
    return {
      kind: 'event',
      fingerprint,
      position,
      at: timestamp(given(record, 'clusterTime')),
      op: OPERATION_INDEX.get(given(record, 'operationType')) ?? OPERATION_OTHER,
      ns: parseNamespace(given(record, 'ns')),
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

function timestamp(text: string): Timestamp {
  const m = /^(\d+)\.(\d+)$/.exec(text);
  if (m === null) throw new Error(`${JSON.stringify(text)} is no cluster time`);
  return { t: Number(m[1]), i: Number(m[2]) };
}

function assertLine(value: Buffer | null, position: Position): void {
  const isLine = value !== null && value.subarray(0, PREFIX.length).equals(PREFIX) && positionAt(value, 0) === position;
  if (!isLine) throw new Error('its value is not the line that its header names');
}
