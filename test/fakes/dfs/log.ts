/** What was asked of the fake and what it answered, without secrets, and what Azure would have billed. */
import { OPERATIONS, type FakeRequest, type OperationName } from './request.ts';

export interface LogEntry {
  readonly operation: OperationName;
  readonly method: string;
  readonly container: string;
  readonly path: string;
  /** Without `sig`. */
  readonly query: Readonly<Record<string, string>>;
  /** Without `authorization`; `x-ms-rename-source` without its query. */
  readonly headers: Readonly<Record<string, string>>;
  readonly requestBytes: number;
  readonly replyBytes: number;
  /** What it did to the account, also when the client never heard of it; 0 when it was not applied. */
  readonly status: number;
  readonly code: string | undefined;
  readonly fault: string | undefined;
}

/** Operations as billed. On a hierarchical account reads and writes are billed per 4 MiB. */
export interface Billed {
  write: number;
  read: number;
  list: number;
  other: number;
  free: number;
}

const PIECE_BYTES = 4 * 1024 * 1024;
/** Entries that are kept; the counters go on. */
const ENTRIES_MAX = 100_000;

export class RequestLog {
  readonly entries: LogEntry[] = [];
  readonly billed: Billed = { write: 0, read: 0, list: 0, other: 0, free: 0 };
  /** Requests, each as one, by operation. */
  readonly counts = new Map<OperationName, number>();

  add(
    request: FakeRequest,
    done: { status: number; code?: string | undefined; fault?: string | undefined; replyBytes: number; hierarchical: boolean },
  ): void {
    const { status, code, fault, replyBytes, hierarchical } = done;
    this.counts.set(request.operation, (this.counts.get(request.operation) ?? 0) + 1);
    // What was not let in is not billed.
    if (status !== 0 && status !== 401 && code !== 'AuthenticationFailed') this.#bill(request, replyBytes, hierarchical);
    const query = Object.fromEntries(Object.entries(request.query).filter(([key]) => key !== 'sig'));
    const headers = Object.fromEntries(
      Object.entries(request.headers)
        .filter(([key]) => key !== 'authorization')
        .map(([key, value]) => [key, key === 'x-ms-rename-source' ? value.split('?')[0]! : value]),
    );
    const { operation, method, container, path } = request;
    this.entries.push({ operation, method, container, path, query, headers, requestBytes: request.body.length, replyBytes, status, code, fault });
    if (this.entries.length > ENTRIES_MAX) this.entries.splice(0, ENTRIES_MAX / 2);
  }

  clear(): void {
    this.entries.length = 0;
    this.counts.clear();
    Object.assign(this.billed, { write: 0, read: 0, list: 0, other: 0, free: 0 });
  }

  #bill(request: FakeRequest, replyBytes: number, hierarchical: boolean): void {
    const { bill } = OPERATIONS[request.operation];
    const bytes = bill === 'read' ? replyBytes : request.body.length;
    this.billed[bill] += hierarchical && (bill === 'read' || bill === 'write') ? Math.max(1, Math.ceil(bytes / PIECE_BYTES)) : 1;
  }
}
