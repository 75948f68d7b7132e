/**
 * The end of a run that carries over what there is (`--until-idle`): its source has said nothing for long enough, and has said all
 * that had happened by then.
 *
 * The one is not the other. A server with much to do is slow to begin, and a sharded cluster gives an event out only once each of
 * its shards has come past it: one with nothing to do says where it is every ten seconds (`periodicNoopIntervalSecs`).
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import type { ChangeBatch } from '../core/event.ts';
import type { Source } from '../core/source.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';

export interface IdleParts {
  readonly source: Source;
  readonly clock: Clock;
  readonly log: Logger;
  /** Absent, or true: what is awaited has come. Only from then on does silence count. */
  readonly mayEnd?: (() => boolean) | undefined;
}

export class Idle {
  readonly #msMax: number | null;
  readonly #parts: IdleParts;
  #heardAtMs: number;
  /** What had happened when the source fell silent; `null`: not asked yet. */
  #through: Timestamp | null = null;

  /** @param msMax `null`: never idle */
  constructor(msMax: number | null, parts: IdleParts) {
    this.#msMax = msMax;
    this.#parts = parts;
    this.#heardAtMs = parts.clock.now();
  }

  heard(): void {
    this.#heardAtMs = this.#parts.clock.now();
    this.#through = null;
  }

  /** @param batch without events. A source that cannot be reached says nothing at all: who knows what there is to come. */
  async isLongEnough(batch: ChangeBatch, signal: AbortSignal): Promise<boolean> {
    if (this.#parts.mayEnd?.() === false) this.heard();
    if (this.#msMax === null || !hasPassed(this.#msMax, this.#heardAtMs, this.#parts.clock.now())) return false;
    this.#through ??= await this.#now(signal);
    return this.#through !== null && compareTimestamps(next(batch.resume.clusterTime), this.#through) >= 0;
  }

  async #now(signal: AbortSignal): Promise<Timestamp | null> {
    const { source, log } = this.#parts;
    try {
      return (await source.resolve({ kind: 'now' }, signal)).clusterTime;
    } catch (error) {
      // A stop, or something that the stream itself will say if it lasts.
      log.debug({ err: error }, 'the source did not say how far its time has come');
      return null;
    }
  }
}

/** What begins now begins one tick after what there is. */
function next({ t, i }: Timestamp): Timestamp {
  return { t, i: i + 1 };
}
