/**
 * A signal that aborts some time after another one: for what should still be carried through when a stop comes. Given up in the middle, a
 * request that has arrived all the same would be done twice.
 */
import type { Clock } from '../core/clock.ts';

export class Late implements Disposable {
  readonly #controller = new AbortController();
  readonly #over = new AbortController();

  constructor(signal: AbortSignal, ms: number, clock: Clock) {
    const onAbort = (): void =>
      void clock.sleep(ms, this.#over.signal).then(
        () => this.#controller.abort(signal.reason),
        () => {},
      );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true, signal: this.#over.signal });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** At once. */
  end(reason: unknown): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}
