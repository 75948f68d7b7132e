/**
 * Loads while the capture runs: whenever parts were sealed, and from time to time to move `complete_through` on; or at the
 * times of a cron line and at no other.
 *
 * A warehouse that fails never stops the capture: history waits for nobody, while sealed files can be loaded later.
 */
import type { Clock } from '../core/clock.ts';
import { reasonOf } from '../core/error.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { Loader, LoadTotals } from '../pipeline/loader.ts';
import { SLEEP_MS_MAX, type LoadSchedule } from './schedule.ts';

const RETRY_MS_MIN = 10_000;
const RETRY_MS_MAX = 60_000;

export class LoadLoop {
  readonly #loader: Loader;
  readonly #schedule: LoadSchedule;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  readonly #log: Logger;
  #wake: AbortController = new AbortController();
  #retry = false;
  /** Loads come one after another, whoever asks. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(loader: Loader, schedule: LoadSchedule, clock: Clock, stats: PipelineStats, log: Logger) {
    this.#loader = loader;
    this.#schedule = schedule;
    this.#clock = clock;
    this.#stats = stats;
    this.#log = log;
  }

  /** Something was sealed. */
  notify(): void {
    if (this.#schedule.asSealed) this.#wake.abort();
  }

  /** A person wants a round now, with all that was rejected. */
  retry(): void {
    this.#retry = true;
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
    if (!this.#schedule.asSealed) await this.#wait(this.#schedule.dueMs(this.#clock.now()), signal);
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const retry = this.#retry;
      this.#retry = false;
      try {
        onLoaded(await this.inTurn(() => this.#loader.catchUp(signal, { retry })));
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#stats.loadErrors += 1;
        this.#log.error({ err: error, failures, reason: reasonOf(error) }, 'loading failed: capture goes on, the load is tried again');
      }
      const nowMs = this.#clock.now();
      const retryMs = nowMs + Math.min(RETRY_MS_MIN * 2 ** (failures - 1), RETRY_MS_MAX);
      await this.#wait(failures > 0 ? retryMs : this.#schedule.dueMs(nowMs), signal);
    }
  }

  /** Ends when it is due, when it is woken early, or when it is stopped. */
  async #wait(untilMs: number, signal: AbortSignal): Promise<void> {
    const ends = AbortSignal.any([signal, this.#wake.signal]);
    for (let nowMs = this.#clock.now(); nowMs < untilMs && !ends.aborted; nowMs = this.#clock.now()) {
      await this.#clock.sleep(Math.min(untilMs - nowMs, SLEEP_MS_MAX), ends).catch(() => {});
    }
  }
}
