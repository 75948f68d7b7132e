/**
 * Decides which replayed events the lake already holds.
 *
 * After a crash the source starts again at the checkpoint's position, which may lie before the last durable append.
 * Invariant: an event is dropped if and only if its position is at or below the floor of its collection and hour.
 * Why a floor per hour and not per part: after a restart parts may roll elsewhere, hours may not.
 *
 * When the stream's fingerprint has changed, positions do not compare. Then the source starts at the checkpoint's
 * cluster time, inclusively: below the floor's cluster time an event is dropped, above it kept, and at it told by what
 * it is (namespace, operation, key and how many of these there were), never by its position.
 */
import { OPERATIONS, positionAt, type EventBatch, type Position } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { documentKeyOf, parseLine, type LineFacts } from '../core/line.ts';
import { formatNamespace } from '../core/namespace.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';
import type { PartRecord } from './checkpoint.ts';
import { hourKey } from './checkpoint.ts';
import { linesOf, readDecoded } from './read-lines.ts';

interface Floor {
  readonly position: Position;
  readonly at: Timestamp;
  readonly fingerprint: string;
}

export class Floors {
  readonly #fingerprint: string;
  readonly #floors = new Map<string, Floor>();
  /** Set when the fingerprint has changed: cluster time at which the source starts again. */
  readonly #replayAt: Timestamp | null;
  /** How often each identity at or after `#replayAt` is in the lake. */
  readonly #identities = new Map<string, number>();

  constructor(fingerprint: string, replayAt: Timestamp | null) {
    this.#fingerprint = fingerprint;
    this.#replayAt = replayAt;
  }

  /** Raises the floor of the part's collection-hour to what the part holds. */
  raise(part: PartRecord): void {
    if (part.last === null || part.lastAt === null) return;
    const key = hourKey(part.ns, part.hour);
    const floor = this.#floors.get(key);
    const order = floor === undefined ? 1 : compareTimestamps(part.lastAt, floor.at);
    if (order < 0) return;
    // Two parts that end at one cluster time under two fingerprints: only identities can tell.
    const fingerprint = floor !== undefined && order === 0 && floor.fingerprint !== part.fingerprint ? '' : part.fingerprint;
    if (order === 0 && floor !== undefined && floor.fingerprint === part.fingerprint && part.last <= floor.position) return;
    this.#floors.set(key, { position: part.last, at: part.lastAt, fingerprint });
  }

  /** With a changed fingerprint: learns what a file holds from the replay's cluster time on. */
  async learn(lake: Lake, path: LakePath, signal: AbortSignal): Promise<void> {
    if (this.#replayAt === null) return;
    for await (const line of linesOf(readDecoded(lake, path, 0, signal))) {
      const facts = parseLine(line);
      if (compareTimestamps(facts.at, this.#replayAt) < 0) continue;
      const id = identity(facts, line);
      this.#identities.set(id, (this.#identities.get(id) ?? 0) + 1);
    }
  }

  /** Has a replay that came as far as `at` not left the cluster time yet at which it began? */
  isAtStart(at: Timestamp): boolean {
    return this.#replayAt !== null && compareTimestamps(at, this.#replayAt) <= 0;
  }

  /** No event can be dropped any more: the hot path need not ask. */
  get none(): boolean {
    return this.#floors.size === 0 && this.#replayAt === null;
  }

  /** Is there still something to ask for this collection-hour? */
  concerns(key: string): boolean {
    return this.#replayAt !== null || this.#floors.has(key);
  }

  /** True when the lake already holds line `i` of the batch, which starts at `start`. */
  holds(batch: EventBatch, i: number, start: number, key: string): boolean {
    const floor = this.#floors.get(key);
    if (this.#replayAt === null) {
      if (floor === undefined) return false;
      if (positionAt(batch.lines, start) <= floor.position) return true;
      // Positions rise: nothing of this collection-hour can lie below any more.
      this.#floors.delete(key);
      return false;
    }
    const at = { t: batch.seconds[i]!, i: batch.ordinals[i]! };
    const line = (): Buffer => batch.lines.subarray(start, batch.ends[i]);
    if (compareTimestamps(at, this.#replayAt) === 0 && this.#take(line())) return true;
    if (floor === undefined) return false;
    if (floor.fingerprint === this.#fingerprint) return positionAt(batch.lines, start) <= floor.position;
    const order = compareTimestamps(at, floor.at);
    return order < 0 || (order === 0 && this.#take(line()));
  }

  #take(line: Buffer): boolean {
    const id = identity(parseLine(line), line);
    const left = this.#identities.get(id) ?? 0;
    if (left > 0) this.#identities.set(id, left - 1);
    return left > 0;
  }
}

function identity(facts: LineFacts, line: Buffer): string {
  return `${facts.at.t}.${facts.at.i}|${formatNamespace(facts.ns)}|${OPERATIONS[facts.op]!}|${documentKeyOf(line) ?? ''}`;
}
