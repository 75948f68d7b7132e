/**
 * Holds readers back to a rate. What is taken beyond it is waited for afterwards, so that one reply may be larger than a
 * second's share.
 */
import type { Clock } from '../../core/clock.ts';

/** Readers that wait together owe no more than a few replies. */
const DEBT_MS_MAX = 600_000;

export class Throttle {
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all that was taken so far is paid for, wall clock. */
  #evenAtMs = 0;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.now();
    const costMs = bytes / this.#bytesPerMs;
    // Time in which nobody read is not saved up; nor is a clock that was put back waited for.
    const beginMs = this.#evenAtMs < nowMs || this.#evenAtMs > nowMs + costMs + DEBT_MS_MAX ? nowMs : this.#evenAtMs;
    this.#evenAtMs = beginMs + costMs;
    if (this.#evenAtMs > nowMs) await this.#clock.sleep(this.#evenAtMs - nowMs, signal);
  }
}
