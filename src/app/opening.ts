/**
 * The warehouse of a run. Another process may have a DuckDB file open, for a moment (`sluice status`) or for an hour (a proof, a rebuild):
 * it is waited for beside the capture, because history waits for nobody.
 */
import type { Clock } from '../core/clock.ts';
import { endsWithin } from '../core/ends-within.ts';
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_BUSY } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';

const POLL_MS_MIN = 100;
const POLL_MS_MAX = 10_000;
/** What somebody else may take of a run that only wants to end. */
const PATIENCE_MS = 30_000;

export interface OpeningParts {
  /** Opens it. Called until it has not failed. */
  readonly open: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Opening {
  readonly #parts: OpeningParts;
  /** What keeps it closed; `null`: it is open. */
  #error: unknown = null;
  #done: Promise<void> = Promise.resolve();

  private constructor(parts: OpeningParts) {
    this.#parts = parts;
  }

  /** Tries once, and goes on in the background while somebody else has it. @throws what other than WAREHOUSE_BUSY it fails with at first */
  static async begin(parts: OpeningParts, signal: AbortSignal): Promise<Opening> {
    const opening = new Opening(parts);
    try {
      await parts.open();
    } catch (error) {
      if (!SluiceError.is(error, WAREHOUSE_BUSY)) throw error;
      parts.log.warn({ err: error }, 'waiting for the warehouse: loading begins once it is free');
      opening.#error = error;
      opening.#done = opening.#again(signal);
    }
    return opening;
  }

  /** Resolves when it is open, or after a stop. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** For who cannot go on without it. @throws what keeps it closed after half a minute */
  async insist(signal: AbortSignal): Promise<void> {
    await endsWithin(PATIENCE_MS, this.#done, this.#parts.clock, signal);
    if (this.#error !== null && !signal.aborted) throw this.#error;
  }

  async #again(signal: AbortSignal): Promise<void> {
    const { open, clock, log } = this.#parts;
    for (let waitMs = POLL_MS_MIN; ; waitMs = Math.min(2 * waitMs, POLL_MS_MAX)) {
      await clock.sleep(waitMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await open();
        this.#error = null;
        log.info('the warehouse is open');
        return;
      } catch (error) {
        if (!SluiceError.is(error, WAREHOUSE_BUSY)) log.error({ err: error }, 'the warehouse cannot be opened: capture goes on, it is tried again');
        this.#error = error;
      }
    }
  }
}
