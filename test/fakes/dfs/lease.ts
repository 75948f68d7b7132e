/**
 * The lease of one blob or path: who may write, by the server's clock alone.
 *
 * The state is never stored, it follows from the times: nothing has to run when a lease ends. An ended lease keeps its id, since its holder
 * is told LeaseLost, and not that there is no lease, until somebody else writes or leases.
 */
import { randomUUID } from 'node:crypto';
import { refusal, type Endpoint } from './replies.ts';

export type LeaseState = 'available' | 'leased' | 'expired' | 'breaking' | 'broken';

export class Lease {
  #id: string | null = null;
  #seconds = 0;
  /** `null`: infinite. */
  #endsMs: number | null = null;
  /** When the break is or was over; `null` when nobody broke it. */
  #brokenMs: number | null = null;

  get id(): string | null {
    return this.#id;
  }

  state(nowMs: number): LeaseState {
    if (this.#id === null) return 'available';
    if (this.#brokenMs !== null) return nowMs < this.#brokenMs ? 'breaking' : 'broken';
    return this.#endsMs !== null && nowMs >= this.#endsMs ? 'expired' : 'leased';
  }

  /** A write without the id is refused. */
  locked(nowMs: number): boolean {
    const state = this.state(nowMs);
    return state === 'leased' || state === 'breaking';
  }

  headers(nowMs: number): Record<string, string> {
    const state = this.state(nowMs);
    const duration = state === 'leased' ? { 'x-ms-lease-duration': this.#seconds === -1 ? 'infinite' : 'fixed' } : {};
    return { 'x-ms-lease-state': state, 'x-ms-lease-status': this.locked(nowMs) ? 'locked' : 'unlocked', ...duration };
  }

  acquire(proposed: string | undefined, seconds: number, nowMs: number): string {
    if (seconds !== -1 && !(seconds >= 15 && seconds <= 60))
      throw refusal('lease.seconds', { header: { name: 'x-ms-lease-duration', value: String(seconds) } });
    const state = this.state(nowMs);
    if (state === 'breaking') throw refusal(proposed === this.#id ? 'lease.breaking' : 'lease.held');
    if (state === 'leased' && proposed !== this.#id) throw refusal('lease.held');
    this.#id = proposed ?? randomUUID();
    this.#seconds = seconds;
    this.#brokenMs = null;
    this.#start(nowMs);
    return this.#id;
  }

  renew(id: string | undefined, nowMs: number): void {
    const state = this.#held(id, nowMs);
    if (state === 'breaking' || state === 'broken') throw refusal('lease.broken');
    this.#start(nowMs);
  }

  change(id: string | undefined, proposed: string, nowMs: number): void {
    const state = this.state(nowMs);
    // A repeat of a change whose reply was lost names the new id as the one that holds: it is done.
    if (state === 'leased' && this.#id === proposed) return;
    this.#held(id, nowMs);
    if (state === 'breaking') throw refusal('lease.breaking-change');
    if (state !== 'leased') throw refusal('lease.none');
    this.#id = proposed;
  }

  release(id: string | undefined, nowMs: number): void {
    this.#held(id, nowMs);
    this.#id = null;
  }

  /** Seconds until the lease is broken, rounded up. */
  break(periodSeconds: number | undefined, nowMs: number): number {
    if (periodSeconds !== undefined && !(periodSeconds >= 0 && periodSeconds <= 60))
      throw refusal('lease.seconds', { header: { name: 'x-ms-lease-break-period', value: String(periodSeconds) } });
    const state = this.state(nowMs);
    if (state === 'available') throw refusal('lease.none');
    if (state === 'leased' || state === 'breaking') {
      const remainsMs = state === 'breaking' ? this.#brokenMs! - nowMs : this.#endsMs === null ? null : this.#endsMs - nowMs;
      const askedMs = periodSeconds === undefined ? (remainsMs ?? 0) : periodSeconds * 1000;
      this.#brokenMs = nowMs + Math.min(askedMs, remainsMs ?? askedMs);
    } else this.#brokenMs ??= nowMs;
    return Math.max(0, Math.ceil((this.#brokenMs - nowMs) / 1000));
  }

  /** The time is up, wherever it stood. */
  expire(nowMs: number): void {
    if (this.#id !== null) this.#endsMs = nowMs;
  }

  /** @throws Refusal unless a request with this id, or none, may write */
  mayWrite(id: string | undefined, nowMs: number, endpoint: Endpoint): void {
    const dfs = endpoint === 'dfs';
    const state = this.state(nowMs);
    if (id === undefined) {
      if (this.locked(nowMs)) throw refusal(dfs ? 'append.leased-no-id' : 'blob.leased-no-id');
      return;
    }
    if (state === 'available') throw refusal(dfs ? 'append.id-no-lease' : 'blob.id-no-lease');
    if (id.toLowerCase() !== this.#id!.toLowerCase()) throw refusal(dfs ? 'append.leased-wrong-id' : 'blob.leased-wrong-id');
    if (!this.locked(nowMs)) throw refusal(dfs ? 'append.lease-lost' : 'blob.lease-lost');
  }

  /** A write has been done without the id: an ended lease is forgotten. */
  written(nowMs: number): void {
    if (!this.locked(nowMs)) this.#id = null;
  }

  #held(id: string | undefined, nowMs: number): LeaseState {
    const state = this.state(nowMs);
    if (state === 'available') throw refusal('lease.none');
    if (id?.toLowerCase() !== this.#id!.toLowerCase()) throw refusal('lease.other-id');
    return state;
  }

  #start(nowMs: number): void {
    this.#endsMs = this.#seconds === -1 ? null : nowMs + this.#seconds * 1000;
  }
}
