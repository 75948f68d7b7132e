/**
 * Files that the warehouse has rejected, and when each is tried again.
 *
 * Trying them with every round would keep a warehouse awake for nothing, and never trying again would need a person for what
 * mends itself: so each waits, twice as long after every attempt. A person who asks (`sluice load`, `sluice resume`) does
 * not wait. Kept in memory: after a restart each file gets one attempt at once.
 */
import type { LakePath } from '../core/lake.ts';

const WAIT_MS_MIN = 60_000;
const WAIT_MS_MAX = 3_600_000;

interface Held {
  readonly untilMs: number;
  readonly waitMs: number;
}

export class Quarantine {
  readonly #held = new Map<LakePath, Held>();

  /** Rejected at this moment. */
  add(path: LakePath, nowMs: number): void {
    const before = this.#held.get(path);
    const waitMs = before === undefined ? WAIT_MS_MIN : Math.min(before.waitMs * 2, WAIT_MS_MAX);
    this.#held.set(path, { untilMs: nowMs + waitMs, waitMs });
  }

  remove(path: LakePath): void {
    this.#held.delete(path);
  }

  /** Is not to be tried yet. */
  holds(path: LakePath, nowMs: number): boolean {
    const held = this.#held.get(path);
    return held !== undefined && isBefore(nowMs, held);
  }

  /** Some file has waited long enough. */
  isDue(nowMs: number): boolean {
    return this.#held.values().some((held) => !isBefore(nowMs, held));
  }
}

/** A clock that was put back must not make the wait longer than it ever is. */
function isBefore(nowMs: number, { untilMs, waitMs }: Held): boolean {
  return nowMs < untilMs && untilMs - nowMs <= waitMs;
}
