/**
 * Tries again what may be tried again, and knows when to stop.
 *
 * The SDK's own retries are off: they repeat appends, which are not idempotent, and do not heed Retry-After. Here each
 * caller says whether its request may be repeated as it is. Waits grow, with jitter, so that many parts that fail at once
 * do not come back at once; they are never shorter than what the service asks for.
 */
import type { Clock } from '../../core/clock.ts';
import { SluiceError, reasonOf } from '../../core/error.ts';
import { LAKE_UNAVAILABLE } from '../../core/errors.ts';
import type { Logger } from '../../ops/log.ts';
import type { LakeTraffic } from '../../ops/lake-traffic.ts';
import { replyOf, type Refused, type Reply, type Unknown } from './reply.ts';

export interface PersistenceOptions {
  readonly clock: Clock;
  readonly traffic: LakeTraffic;
  /** How long the storage may be silent before a call gives up with LAKE_UNAVAILABLE. */
  readonly patienceMs: number;
  /** Once it aborts nobody waits for long: a stop must not take as long as an outage. */
  readonly stop: AbortSignal | null;
  /** How long one request may take, beside what its bytes may. */
  readonly requestMsMax: number;
  readonly log: Logger;
  /** For jitter, in [0, 1). */
  readonly random: () => number;
}

/** What the storage has said in the end; whether it had to be asked more than once. */
export type Answer<T> = ({ readonly is: 'ok'; readonly value: T } | Refused) & { readonly repeated: boolean };

/** One request: it is given the signal that ends it. */
export type Request<T> = (signal: AbortSignal) => Promise<T>;

const WAIT_MS_MIN = 100;
const WAIT_MS_MAX = 15_000;
/** A line that is slower than this is taken for one that is dead. */
const BYTES_PER_SECOND_MIN = 64 * 1024;
/** What a stop leaves to a storage that is away. */
const STOP_PATIENCE_MS = 5_000;
const RETRY_AFTER_MS_MAX = 120_000;

export class Persistence {
  readonly #options: PersistenceOptions;

  constructor(options: PersistenceOptions) {
    this.#options = options;
  }

  /** One try. @param bytes that the request carries. @throws SluiceError what only a change by hand can mend */
  async once<T>(request: Request<T>, doing: string, bytes = 0): Promise<Reply<T>> {
    const { traffic, clock, log, requestMsMax } = this.#options;
    try {
      const value = await request(AbortSignal.timeout(Math.ceil(requestMsMax + (bytes / BYTES_PER_SECOND_MIN) * 1000)));
      this.#heard();
      return { is: 'ok', value };
    } catch (error) {
      const reply = replyOf(error, doing);
      if (reply.is === 'refused') this.#heard();
      else if (traffic.awaySinceMs === null) {
        traffic.awaySinceMs = clock.now();
        log.warn({ doing, reason: reasonOf(error).split('\n', 1)[0] }, 'the storage of the lake does not answer: trying again');
      }
      return reply;
    }
  }

  #heard(): void {
    const { traffic, clock, log } = this.#options;
    if (traffic.awaySinceMs === null) return;
    log.info({ awayMs: clock.now() - traffic.awaySinceMs }, 'the storage of the lake answers again');
    traffic.awaySinceMs = null;
  }

  /** Until the storage has answered; for what does the same however often it is done. @throws LAKE_UNAVAILABLE */
  async again<T>(request: Request<T>, doing: string, signal?: AbortSignal, bytes = 0): Promise<Answer<T>> {
    const tries = this.tries(doing, signal);
    for (let repeated = false; ; repeated = true) {
      signal?.throwIfAborted();
      const reply = await this.once(request, doing, bytes);
      if (reply.is !== 'unknown') return { ...reply, repeated };
      await tries.pause(reply);
    }
  }

  /** The pauses of one call between its tries. */
  tries(doing: string, signal?: AbortSignal): Tries {
    return new Tries(this.#options, doing, signal);
  }
}

export class Tries {
  readonly #options: PersistenceOptions;
  readonly #doing: string;
  readonly #signal: AbortSignal | undefined;
  readonly #sinceMs: number;
  #count = 0;

  constructor(options: PersistenceOptions, doing: string, signal: AbortSignal | undefined) {
    this.#options = options;
    this.#doing = doing;
    this.#signal = signal;
    this.#sinceMs = options.clock.now();
  }

  /** @throws LAKE_UNAVAILABLE once patience is over; the signal's reason */
  async pause(after: Unknown): Promise<void> {
    const { clock, traffic, random, stop } = this.#options;
    traffic.retries += 1;
    this.#assertPatient(after);
    const step = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** this.#count);
    this.#count += 1;
    const wait = Math.max(step * (0.5 + random() / 2), Math.min(after.retryAfterMs * (1 + random() / 4), RETRY_AFTER_MS_MAX));
    if (stop === null || stop.aborted) return await clock.sleep(wait, this.#signal);
    try {
      await clock.sleep(wait, this.#signal === undefined ? stop : AbortSignal.any([stop, this.#signal]));
    } catch (error) {
      // A stop ends the wait, not the work: there is still time for a try or two.
      if (!stop.aborted || this.#signal?.aborted === true) throw error;
    }
  }

  #assertPatient(after: Unknown): void {
    const { clock, patienceMs, stop } = this.#options;
    const leftMs = stop?.aborted === true ? Math.min(STOP_PATIENCE_MS, patienceMs) : patienceMs;
    if (Math.abs(clock.now() - this.#sinceMs) < leftMs) return;
    throw new SluiceError(LAKE_UNAVAILABLE, `${this.#doing}: ${reasonOf(after.error).split('\n', 1)[0]}`, { cause: after.error });
  }
}
