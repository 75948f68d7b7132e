/**
 * Loads while the capture runs: whenever parts were sealed, and from time to time to move `complete_through` on.
 *
 * A warehouse that fails never stops the capture: history waits for nobody, while sealed files can be loaded later.
 */
import type { Clock } from '../core/clock.ts';
import { reasonOf } from '../core/error.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { Loader, LoadTotals } from '../pipeline/loader.ts';

const IDLE_MS = 5_000;
/** A warehouse that costs money while it is awake is asked for nothing but new files, and now and then. */
export const REST_MS = 60 * 60_000;
const RETRY_MS_MAX = 60_000;

export class LoadLoop {
  readonly #loader: Loader;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  readonly #log: Logger;
  readonly #restMs: number;
  #wake: AbortController = new AbortController();
  /** Loads come one after another, whoever asks. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param restMs while nothing is sealed, the warehouse is left alone for so long */
  constructor(loader: Loader, clock: Clock, stats: PipelineStats, log: Logger, restMs = 0) {
    this.#loader = loader;
    this.#clock = clock;
    this.#stats = stats;
    this.#log = log;
    this.#restMs = restMs;
  }

  /** There is something new. */
  notify(): void {
    this.#wake.abort();
  }

  /** Loads and merges all that is sealed, after what is being loaded now. */
  catchUp(signal: AbortSignal): Promise<LoadTotals> {
    return this.inTurn(() => this.#loader.catchUp(signal));
  }

  /** Runs `work` when nobody else loads or merges. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work, work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Runs until the signal aborts. @param onLoaded told what each round brought */
  async run(signal: AbortSignal, onLoaded: (totals: LoadTotals) => void = () => {}): Promise<void> {
    let failures = 0;
    let [restUntilMs, woken] = [0, false];
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        if (woken || this.#clock.now() >= restUntilMs || (await this.#loader.hasNews(signal))) {
          onLoaded(await this.catchUp(signal));
          restUntilMs = this.#clock.now() + this.#restMs;
        }
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        restUntilMs = 0;
        this.#stats.loadErrors += 1;
        this.#log.error({ err: error, failures, reason: reasonOf(error) }, 'loading failed: capture goes on, the load is tried again');
      }
      const waitMs = failures === 0 ? IDLE_MS : Math.min(IDLE_MS * 2 ** failures, RETRY_MS_MAX);
      // Woken early or stopped: both end the sleep.
      await this.#clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
      woken = this.#wake.signal.aborted;
    }
  }
}
