/**
 * Ownership of a pipeline: a lease of a minute on a file beside the checkpoint, renewed three times in that minute.
 *
 * It keeps two owners from meeting, and tells a standby when the owner is dead. It is no fence: an owner that was cut off
 * may still write until its successor has fenced the parts. So a lease that nobody could renew is not given up by itself: while
 * nobody has taken it the renewal succeeds, however late.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { LAKE_LOST_OWNERSHIP } from '../../core/errors.ts';
import type { LakePath, Ownership } from '../../core/lake.ts';
import type { BlobEndpoint } from './blob-endpoint.ts';
import type { Persistence } from './persistence.ts';
import { isGone, isLeased, unexpected } from './reply.ts';

const LEASE_SECONDS = 60;
const TAKEOVERS_MAX = 10;

export interface OwnershipParts {
  readonly endpoint: BlobEndpoint;
  readonly persistence: Persistence;
  readonly clock: Clock;
  readonly renewMs: number;
  /** Makes the leased file, if there is none. */
  readonly makeFile: (path: LakePath, signal: AbortSignal) => Promise<void>;
}

/** `null` while another owner lives. */
export async function takeOwnership(path: LakePath, parts: OwnershipParts, takeOver: boolean, signal: AbortSignal): Promise<Ownership | null> {
  const { endpoint, persistence } = parts;
  const lease = randomUUID();
  const doing = `lease ${path}`;
  for (let tries = 0; tries < TAKEOVERS_MAX; tries += 1) {
    const reply = await persistence.again((s) => endpoint.acquire(path, lease, s, LEASE_SECONDS), doing, signal);
    if (reply.is === 'ok') return new LeasedOwnership(path, lease, parts);
    if (isGone(reply) || reply.status === 404) await parts.makeFile(path, signal);
    else if (!isLeased(reply)) throw unexpected(reply, doing);
    else if (!takeOver) return null;
    else await persistence.again((s) => endpoint.breakLease(path, s), `break the lease on ${path}`, signal);
  }
  return null;
}

class LeasedOwnership implements Ownership {
  readonly #path: LakePath;
  readonly #lease: string;
  readonly #parts: OwnershipParts;
  readonly #lost = new AbortController();
  readonly #released = new AbortController();
  readonly #renewing: Promise<void>;

  constructor(path: LakePath, lease: string, parts: OwnershipParts) {
    this.#path = path;
    this.#lease = lease;
    this.#parts = parts;
    this.#renewing = this.#renew();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#released.signal.aborted) return;
    this.#released.abort();
    await this.#renewing;
    // One try: what is left ends within a minute.
    const { endpoint, persistence } = this.#parts;
    await persistence.once((s) => endpoint.release(this.#path, this.#lease, s), `release ${this.#path}`).catch(() => {});
  }

  async #renew(): Promise<void> {
    const { endpoint, persistence, clock, renewMs } = this.#parts;
    const { signal } = this.#released;
    for (;;) {
      try {
        await clock.sleep(renewMs, signal);
      } catch {
        return;
      }
      try {
        const reply = await persistence.once((s) => endpoint.renew(this.#path, this.#lease, s), `renew the lease on ${this.#path}`);
        if (reply.is === 'refused') return this.#lost.abort(new SluiceError(LAKE_LOST_OWNERSHIP, this.#path, { cause: reply.error }));
      } catch (error) {
        // Rights that were taken away: the next write says so, and better.
        if (signal.aborted) return;
        this.#lost.abort(error);
        return;
      }
    }
  }
}
