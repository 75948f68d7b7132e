/**
 * Faults by script: the next request that matches meets them, in the order in which they were set, each a known number of times.
 *
 * Invariant: nothing is drawn by chance and no fault waits for time of its own, so that a test that fails fails again.
 */
import { Refusal } from './replies.ts';
import { endpointOf, type FakeRequest, type OperationName } from './request.ts';

export type FaultKind =
  /** Applied; then the connection dies, before any reply. */
  | { readonly kind: 'lost-reply' }
  /** The connection dies; nothing was applied. */
  | { readonly kind: 'lost-request' }
  /** The connection dies after so many bytes of the request's body; nothing was applied. */
  | { readonly kind: 'reset-in-request'; readonly afterBytes: number }
  /** Applied; the connection dies after so many bytes of the reply's body. */
  | { readonly kind: 'reset-in-reply'; readonly afterBytes: number }
  /** An error; `applied`: although the request was done. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string; readonly retryAfterSeconds?: number; readonly applied?: true }
  /** Nothing moves until `release()`; `before` or after the request is applied. The client sees a time-out of its own. */
  | { readonly kind: 'hang'; readonly applied: boolean }
  /** The reply comes later by the fake's clock; with `trickleBytes` its body in pieces, so far apart. */
  | { readonly kind: 'slow'; readonly delayMs: number; readonly trickleBytes?: number }
  /** The zombie: the connection dies now, the request is applied at `release()`, or right after so many later requests. */
  | { readonly kind: 'late'; readonly afterRequests?: number }
  /** Somebody breaks the lease of the path, or it runs out, just before the request. */
  | { readonly kind: 'lease-broken' }
  | { readonly kind: 'lease-expired' }
  /** The path gets a new ETag, just before the request. */
  | { readonly kind: 'etag-raced' };

export interface Match {
  readonly operation?: OperationName | readonly OperationName[];
  readonly container?: string;
  /** Exact, or a pattern. */
  readonly path?: string | RegExp;
  readonly when?: (request: FakeRequest) => boolean;
}

export class Fault {
  readonly match: Match;
  readonly what: FaultKind;
  /** Requests that match and are let by first. */
  #skip: number;
  #times: number;
  #hits = 0;
  #released = Promise.withResolvers<void>();
  readonly #applied: (() => Promise<void>)[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(match: Match, what: FaultKind, times: number, skip: number) {
    this.match = match;
    this.what = what;
    this.#times = times;
    this.#skip = skip;
  }

  /** Requests that met it. */
  get hits(): number {
    return this.#hits;
  }

  get isSpent(): boolean {
    return this.#times <= 0;
  }

  /** Resolves when a request has met it. */
  async met(): Promise<void> {
    while (this.#hits === 0) await this.#wake.promise;
  }

  /** `hang`: goes on. `late`: what was held back is applied now, in the order in which it came; resolves when it is done. */
  async release(): Promise<void> {
    this.#released.resolve();
    for (const apply of this.#applied.splice(0)) await apply();
  }

  /** @returns whether this request meets it */
  takes(request: FakeRequest): boolean {
    if (this.isSpent || !matches(this.match, request)) return false;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return false;
    }
    this.#times -= 1;
    this.#hits += 1;
    this.#wake.resolve();
    return true;
  }

  get released(): Promise<void> {
    return this.#released.promise;
  }

  hold(apply: () => Promise<void>): void {
    this.#applied.push(apply);
  }
}

function matches(match: Match, request: FakeRequest): boolean {
  const { operation, container, path, when } = match;
  if (operation !== undefined && !(typeof operation === 'string' ? operation === request.operation : operation.includes(request.operation)))
    return false;
  if (container !== undefined && container !== request.container) return false;
  if (path !== undefined && !(typeof path === 'string' ? path === request.path : path.test(request.path))) return false;
  return when === undefined || when(request);
}

export class Faults {
  #all: Fault[] = [];
  #draw: ((request: FakeRequest) => FaultKind | undefined) | undefined;
  /** Late requests that wait for others to pass. */
  #counting: { left: number; readonly fault: Fault }[] = [];

  /** Sets a fault for the next `times` (1) requests that match, after `skip` (0) of them. */
  next(what: FaultKind & { readonly match?: Match; readonly times?: number; readonly skip?: number }): Fault {
    const { match = {}, times = 1, skip = 0, ...kind } = what;
    const fault = new Fault(match, kind, times, skip);
    this.#all.push(fault);
    return fault;
  }

  /** For each request that meets no fault set by `next`: the fault that it shall meet. A seed in the caller makes it repeatable. */
  draw(choose: (request: FakeRequest) => FaultKind | undefined): void {
    this.#draw = choose;
  }

  /** None is left; what hangs goes on, what is late never comes. */
  clear(): void {
    for (const fault of this.#all) if (fault.what.kind === 'hang') void fault.release();
    this.#all = [];
    this.#draw = undefined;
    this.#counting = [];
  }

  take(request: FakeRequest): Fault | undefined {
    const set = this.#all.find((fault) => fault.takes(request));
    if (set !== undefined) return set;
    const drawn = this.#draw?.(request);
    if (drawn === undefined) return undefined;
    const fault = this.next(drawn);
    fault.takes(request);
    return fault;
  }

  count(fault: Fault, requests: number): void {
    this.#counting.push({ left: requests, fault });
  }

  /** A request has been applied: late ones whose time has come follow it. */
  async passed(): Promise<void> {
    for (const waiting of this.#counting) waiting.left -= 1;
    const due = this.#counting.filter((waiting) => waiting.left <= 0);
    this.#counting = this.#counting.filter((waiting) => waiting.left > 0);
    for (const { fault } of due) await fault.release();
  }
}

/** The error of a `status` fault. */
export function statusOf(what: Extract<FaultKind, { kind: 'status' }>): Refusal {
  return new Refusal(
    what.status,
    what.code,
    what.retryAfterSeconds === undefined ? {} : { headers: { 'retry-after': String(what.retryAfterSeconds) } },
  );
}

/**
 * Well-known errors, by name: `server.faults.next({ ...FAILURES.busy, match: … })`.
 * The codes of a deleted filesystem and of a policy follow the endpoint: see `failureFor`.
 */
export const FAILURES = {
  internal: { kind: 'status', status: 500, code: 'InternalError' },
  timedOut: { kind: 'status', status: 500, code: 'OperationTimedOut' },
  busy: { kind: 'status', status: 503, code: 'ServerBusy', retryAfterSeconds: 1 },
  requestTimeout: { kind: 'status', status: 408, code: 'RequestTimeout' },
  tooMany: { kind: 'status', status: 429, code: 'TooManyRequests', retryAfterSeconds: 1 },
  firewall: { kind: 'status', status: 403, code: 'AuthorizationFailure' },
  noRight: { kind: 'status', status: 403, code: 'AuthorizationPermissionMismatch' },
  wrongKey: { kind: 'status', status: 403, code: 'AuthenticationFailed' },
  beingDeleted: { kind: 'status', status: 409, code: 'ContainerBeingDeleted' },
  immutable: { kind: 'status', status: 409, code: 'BlobImmutableDueToPolicy' },
  noAppendBlobs: { kind: 'status', status: 409, code: 'FeatureNotYetSupportedForHierarchicalNamespaceAccounts' },
  notHierarchical: { kind: 'status', status: 400, code: 'HierarchicalNamespaceNotEnabled' },
} as const satisfies Record<string, FaultKind>;

const ON_DFS: Readonly<Record<string, string>> = {
  ContainerBeingDeleted: 'FilesystemBeingDeleted',
  BlobImmutableDueToPolicy: 'PathImmutableDueToPolicy',
};

/** DFS has names of its own for two of them. */
export function failureFor(request: FakeRequest, what: Extract<FaultKind, { kind: 'status' }>): Refusal {
  const own = endpointOf(request) === 'dfs' ? ON_DFS[what.code] : undefined;
  return statusOf(own === undefined ? what : { ...what, code: own });
}
