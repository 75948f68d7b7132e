/**
 * Waits for the next batch of a source, or for whoever wakes the one that waits.
 *
 * A source may be silent for hours while it reconnects; what is asked for or is due meanwhile must not wait for it.
 * Invariant: a wake-up loses no batch, because the read that was under way is the one that the next call waits for.
 */
import type { Clock } from '../core/clock.ts';
import type { ChangeBatch, ResumePoint } from '../core/event.ts';
import type { Source } from '../core/source.ts';

export class BatchPull implements AsyncDisposable {
  readonly #batches: AsyncIterator<ChangeBatch>;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #reading: Promise<IteratorResult<ChangeBatch>> | null = null;
  #woken = false;
  #onWake: () => void = () => {};

  constructor(source: Source, start: ResumePoint, clock: Clock, signal: AbortSignal) {
    this.#batches = source.changes(start, AbortSignal.any([signal, this.#stop.signal]))[Symbol.asyncIterator]();
    this.#clock = clock;
  }

  /** Ends the wait that is under way, or else the next one. */
  wake(): void {
    this.#woken = true;
    this.#onWake();
  }

  /** @param wakeAfterMs wakes by itself; `null`: only `wake` does. @throws what the source throws */
  async next(wakeAfterMs: number | null): Promise<ChangeBatch | 'woken' | 'end'> {
    const reading = (this.#reading ??= this.#batches.next());
    const timer = new AbortController();
    try {
      // Not `race`: it would leave something behind on whatever outlives a batch.
      const result = await new Promise<IteratorResult<ChangeBatch> | null>((resolve, reject) => {
        this.#onWake = () => resolve(null);
        reading.then(resolve, reject);
        if (this.#woken) resolve(null);
        if (wakeAfterMs !== null) this.#clock.sleep(wakeAfterMs, timer.signal).then(this.#onWake, () => {});
      });
      this.#woken = false;
      if (result === null) return 'woken';
      this.#reading = null;
      return result.done === true ? 'end' : result.value;
    } finally {
      timer.abort();
    }
  }

  /** Ends the source's reading, also one that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading?.catch(() => {});
    await this.#batches.return?.();
  }
}
