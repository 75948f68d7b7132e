/**
 * A source whose events are written down: for tests of what happens after reading.
 *
 * Positions look like resume tokens (`82`, seconds, ordinal) and end in the fingerprint, so that those of two
 * fingerprints do not compare, as with real streams.
 */
import { EventBatchBuilder } from '../../src/core/event-batch.ts';
import { LINE_PREFIX, OPERATION_INDEX, asPosition, type ChangeBatch, type Operation, type ResumePoint } from '../../src/core/event.ts';
import type { Source, SourceIdentity, StartAt } from '../../src/core/source.ts';
import { compareTimestamps, type Timestamp } from '../../src/core/time.ts';

export interface ScriptedEvent {
  readonly at: Timestamp;
  /** `db.coll`. */
  readonly ns: string;
  readonly op?: Operation;
  /** Identifies the event in the lake. */
  readonly id: number;
  /** Of the document, or its JSON; the id unless said. */
  readonly key?: number | string;
  /** Whose document it is: `fullDocument.who.mail`. */
  readonly mail?: string;
  /** Length of a filler. */
  readonly bytes?: number;
  /** The new name of a `rename`: `db.coll`. */
  readonly to?: string;
}

export interface Script {
  readonly events: readonly ScriptedEvent[];
  readonly batchEvents: number;
  /** Watermark once all events were read. */
  readonly end: Timestamp;
  readonly fingerprint: string;
  /** The filter: what it leaves out is read, and moves the watermark, but is no event. */
  readonly sees?: (event: ScriptedEvent) => boolean;
  /** What is left of the history when a gap is gone over; all of it unless said. */
  readonly oldest?: Timestamp;
  /** Called before each batch: moves clocks, stops. */
  readonly onBatch?: (index: number, isLast: boolean) => void | Promise<void>;
}

const hex = (n: number): string => n.toString(16).toUpperCase().padStart(8, '0');
const START: Timestamp = { t: 0, i: 0 };

export class ScriptedSource implements Source {
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
  }

  async open(): Promise<SourceIdentity> {
    return { fingerprint: this.#script.fingerprint, description: 'script' };
  }

  async resolve(start: StartAt): Promise<ResumePoint> {
    if (start.kind === 'time') return this.#point(start.at, '');
    if (start.kind === 'token') {
      const position = Buffer.from(start.token).toString();
      return this.#point({ t: Number.parseInt(position.slice(2, 10), 16), i: Number.parseInt(position.slice(10, 18), 16) }, position.slice(18));
    }
    if (start.kind === 'oldest' && this.#script.oldest !== undefined) return this.#point(this.#script.oldest, '');
    const first = this.#script.events[0]?.at ?? START;
    return this.#point({ t: first.t, i: 0 }, '');
  }

  async *changes(after: ResumePoint, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    const { events, batchEvents, end, onBatch, sees = () => true } = this.#script;
    let next = events.findIndex((event) => this.#positionOf(event) > after.position && compareTimestamps(event.at, after.clusterTime) >= 0);
    if (next < 0) next = events.length;
    for (let index = 0; !signal.aborted; index += 1) {
      const isLast = next >= events.length;
      const held = onBatch?.(index, isLast);
      if (held !== undefined && (await abortsBefore(held, signal))) return;
      const slice = events.slice(next, next + batchEvents);
      next += slice.length;
      const last = slice.at(-1);
      const done = last === undefined;
      const resume = done ? this.#point(end, '') : this.#point(last.at, this.#suffix(last));
      yield { events: this.#encode(slice.filter(sees)), resume, watermark: resume.clusterTime };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #suffix(event: ScriptedEvent): string {
    return `2B${this.#script.fingerprint}${hex(event.id)}`;
  }

  #positionOf(event: ScriptedEvent): string {
    return `82${hex(event.at.t)}${hex(event.at.i)}${this.#suffix(event)}`;
  }

  #point(at: Timestamp, suffix: string): ResumePoint {
    const position = asPosition(`82${hex(at.t)}${hex(at.i)}${suffix}`);
    return { position, clusterTime: at, token: Buffer.from(position) };
  }

  #encode(events: readonly ScriptedEvent[]): ChangeBatch['events'] {
    const builder = new EventBatchBuilder();
    for (const event of events) {
      const [db = '', coll = ''] = event.ns.split('.');
      const op = event.op ?? 'insert';
      const who = event.mail === undefined ? '' : `,"who":{"mail":${JSON.stringify(event.mail)}}`;
      const [toDb, toColl] = event.to?.split('.') ?? [];
      const to = event.to === undefined ? '' : `,"to":${JSON.stringify({ db: toDb, coll: toColl })}`;
      const clusterTime = { $timestamp: event.at };
      const meta = `${this.#positionOf(event)}","operationType":"${op}","ns":${JSON.stringify({ db, coll })},"at":"","clusterTime":${JSON.stringify(clusterTime)},"v":1}`;
      const line = `${LINE_PREFIX}${meta},"documentKey":{"_id":${event.key ?? event.id}},"fullDocument":{"_id":${event.id},"x":"${'x'.repeat(event.bytes ?? 0)}"${who}}${to}}\n`;
      builder.reserve(line.length);
      builder.length += builder.buffer.write(line, builder.length);
      builder.add(builder.namespace(db, coll), OPERATION_INDEX.get(op)!, event.at.t, event.at.i);
    }
    return builder.build();
  }
}

/** A stop does not wait for a batch that is held back. */
async function abortsBefore(held: Promise<void>, signal: AbortSignal): Promise<boolean> {
  const aborted = Promise.withResolvers<boolean>();
  const onAbort = (): void => aborted.resolve(true);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([held.then(() => false), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
