/**
 * Is this process well, and is it doing its work? Two questions, because a standby is well and does nothing.
 */
import type { Clock } from '../core/clock.ts';
import type { PipelineStats } from '../ops/stats.ts';

const BEAT_MS = 1000;
/** A loop that was stuck for so long may have let a lease or a cursor end. */
const STUCK_MS = 10_000;
/** How long a stall is held against the process. */
const REMEMBER_MS = 30_000;

/**
 * Notices that the event loop stood still.
 * A request that is answered proves that the loop turns now; this remembers that it did not a moment ago.
 */
export class Heartbeat {
  readonly #clock: Clock;
  #lastBeat: number;
  #stuckAt: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastBeat = clock.now();
  }

  /** Beats until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#notice();
      this.#lastBeat = this.#clock.now();
      try {
        await this.#clock.sleep(BEAT_MS, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  /** Whether the loop has stood still for long, now or a moment ago. */
  get stuck(): boolean {
    this.#notice();
    return this.#stuckAt !== null && this.#clock.now() - this.#stuckAt < REMEMBER_MS;
  }

  #notice(): void {
    const now = this.#clock.now();
    if (now - this.#lastBeat > STUCK_MS) this.#stuckAt = now;
  }
}

/** `null` when the process is well, else what is wrong. */
export function illness(stats: Readonly<PipelineStats>, heartbeat: Heartbeat): string | null {
  if (stats.state === 'failed') return 'the pipeline has failed';
  return heartbeat.stuck ? 'the event loop stood still' : null;
}

/** `null` when this process owns the pipeline and has read from it, else what it is doing. */
export function unreadiness(stats: Readonly<PipelineStats>): string | null {
  if (stats.state !== 'running') return `the pipeline is in state ${stats.state}`;
  // A process that only loads owns no pipeline and reads no source.
  return stats.epoch > 0 && stats.watermark === null ? 'nothing has been read yet' : null;
}
