/**
 * A line of writers: each runs when all that came before it are done.
 */
import { unlessAborted } from '../../core/unless-aborted.ts';

export class Line {
  #last: Promise<unknown> = Promise.resolve();

  /** @param signal ends the wait; `work` itself must heed it */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#last;
    const turn = Promise.withResolvers<undefined>();
    // Whoever gives up waiting must not let the next one pass those that are still before it.
    this.#last = before.then(() => turn.promise);
    try {
      signal?.throwIfAborted();
      await (signal === undefined ? before : unlessAborted(before, signal));
      return await work();
    } finally {
      turn.resolve(undefined);
    }
  }

  /** Resolves when nobody is left that is in it now. */
  async emptied(): Promise<void> {
    await this.#last;
  }
}
