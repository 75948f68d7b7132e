/**
 * Batches of a source as they come, or the call of whoever wakes the one that waits.
 *
 * A source may be silent for hours while it reconnects; what is asked for or is due meanwhile must not wait for it. And it
 * need not wait for the disk: while one batch is written, the next ones are read, up to a bound.
 * Invariant: no batch is lost and none comes out of order, whatever wakes; what the source has ended with comes after
 * everything that it gave.
 */
import type { Clock } from '../core/clock.ts';
import type { ChangeBatch, ResumePoint } from '../core/event.ts';
import type { Source } from '../core/source.ts';

/** A batch without events takes memory, too. */
const BATCH_BYTES_MIN = 1024;
/** A reason that is made once: without one, each abort makes an error with its stack. */
const DONE = new Error('done');

export interface PullOptions {
  /** Bytes of lines that are read before anybody asks for them; 0: none. The last batch may cross it. */
  readonly aheadBytesMax: number;
  readonly clock: Clock;
}

export class BatchPull implements AsyncDisposable {
  readonly #batches: AsyncIterator<ChangeBatch>;
  readonly #options: PullOptions;
  readonly #stop = new AbortController();
  readonly #queue: ChangeBatch[] = [];
  readonly #reading: Promise<void>;
  #queuedBytes = 0;
  #ended: { readonly error: unknown } | 'in good order' | null = null;
  #isAsked = false;
  #woken = false;
  /** For who waits for a batch, and for the reading that waits to be wanted. */
  #onNews: () => void = () => {};
  #onWanted: () => void = () => {};

  constructor(source: Source, start: ResumePoint, signal: AbortSignal, options: PullOptions) {
    this.#options = options;
    this.#batches = source.changes(start, AbortSignal.any([signal, this.#stop.signal]))[Symbol.asyncIterator]();
    this.#reading = this.#read();
  }

  /** Somebody who asks now need not wait. */
  get isReady(): boolean {
    return this.#queue.length > 0;
  }

  /** Ends the wait that is under way, or else the next one. */
  wake(): void {
    this.#woken = true;
    this.#onNews();
  }

  /** @param wakeAfterMs wakes by itself; `null`: only `wake` does. @throws what the source throws */
  async next(wakeAfterMs: number | null): Promise<ChangeBatch | 'woken' | 'end'> {
    if (!this.#woken && this.#queue.length === 0 && this.#ended === null) await this.#news(wakeAfterMs);
    if (this.#woken) {
      this.#woken = false;
      return 'woken';
    }
    const batch = this.#queue.shift();
    if (batch !== undefined) {
      this.#queuedBytes -= bytesOf(batch);
      this.#onWanted();
      return batch;
    }
    if (this.#ended === null) return 'woken';
    if (this.#ended === 'in good order') return 'end';
    throw this.#ended.error;
  }

  /** Ends the source's reading, also one that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#onWanted();
    await this.#reading;
    await this.#batches.return?.();
  }

  async #news(wakeAfterMs: number | null): Promise<void> {
    const timer = new AbortController();
    this.#isAsked = true;
    this.#onWanted();
    try {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
        if (wakeAfterMs !== null) this.#options.clock.sleep(wakeAfterMs, timer.signal).then(resolve, () => {});
      });
    } finally {
      this.#isAsked = false;
      timer.abort(DONE);
    }
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        while (!this.#isWanted) await new Promise<void>((resolve) => (this.#onWanted = resolve));
        const result = await this.#batches.next();
        if (result.done === true) break;
        this.#queue.push(result.value);
        this.#queuedBytes += bytesOf(result.value);
        this.#onNews();
      }
      this.#ended = 'in good order';
    } catch (error) {
      this.#ended = { error };
    }
    this.#onNews();
  }

  /** After a stop the source is asked once more: it says how it ends. */
  get #isWanted(): boolean {
    return this.#stop.signal.aborted || (this.#isAsked && this.#queue.length === 0) || this.#queuedBytes < this.#options.aheadBytesMax;
  }
}

function bytesOf({ events }: ChangeBatch): number {
  return Math.max(BATCH_BYTES_MIN, events.count === 0 ? 0 : events.ends[events.count - 1]!);
}
