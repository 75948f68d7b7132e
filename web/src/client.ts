/**
 * What the page knows, and how it stays in touch with the process.
 *
 * Events come over a `fetch` that is read on, and not over `EventSource`, which can send no token. The token is asked for once and kept for
 * the tab; a token in the address (`#token=…`, from `sluice dashboard`) never reaches the server's log and is taken out of it at once.
 */
import { useEffect, useState } from 'preact/hooks';
import type { Live, Overview } from '../../src/app/overview-types.ts';
import type { Action } from '../../src/http/actions.ts';

export type FullOverview = Overview & { readonly actions: readonly Action[] };

/** What the process answers when it cannot do what it was asked. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly next: string;

  constructor(status: number, code: string, message: string, next: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.next = next;
  }
}

const TOKEN_KEY = 'sluice-token';
let token = takeToken();

function takeToken(): string | null {
  const given = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (given === undefined) return sessionStorage.getItem(TOKEN_KEY);
  history.replaceState(null, '', location.pathname);
  sessionStorage.setItem(TOKEN_KEY, decodeURIComponent(given));
  return decodeURIComponent(given);
}

export function hasToken(): boolean {
  return token !== null;
}

export function setToken(value: string | null): void {
  token = value;
  if (value === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, value);
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  const answer = await fetch(path, { ...init, headers });
  if (answer.ok) return answer;
  const { code, message, next } = (await answer.json().catch(() => ({}))) as { code?: string; message?: string; next?: string };
  throw new Refusal(answer.status, code ?? '', message ?? `The process answered ${answer.status}.`, next ?? '');
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await call(path, signal ? { signal } : {})).json()) as T;
}

export async function post<T>(name: string, body: object): Promise<T> {
  const answer = await call(`/api/${name}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return (await answer.json()) as T;
}

/** One second of the past. */
export interface Sample {
  readonly atMs: number;
  readonly events: number;
  readonly bytes: number;
  readonly rows: number;
  readonly lag: number | null;
}

export interface Contact {
  readonly overview: FullOverview | null;
  readonly live: Live | null;
  /** Oldest first; the last ten minutes that this page has seen. */
  readonly history: readonly Sample[];
  /** When the process was last heard, ms of this machine's clock; `null`: never. */
  readonly heardAtMs: number | null;
  /** Why it is not heard now. */
  readonly trouble: string | null;
  /** It reads for nobody without a token. */
  readonly locked: boolean;
}

const HISTORY_MAX = 600;
const OVERVIEW_MS_MIN = 2_000;
/** While it reads on in the ledger, which is why somebody waits. */
const READING_MS_MIN = 1_000;
const OVERVIEW_MS_MAX = 15_000;
const RETRY_MS_MIN = 1_000;
/** Who looks at it while the process is away waits for it. */
const RETRY_MS_MAX = 4_000;

class Connection {
  contact: Contact = { overview: null, live: null, history: [], heardAtMs: null, trouble: null, locked: false };
  readonly #show: (contact: Contact) => void;
  readonly #stop = new AbortController();
  #wake: () => void = () => {};
  #hurried = false;
  #readAtMs = 0;
  #reading = false;

  constructor(show: (contact: Contact) => void) {
    this.#show = show;
  }

  async run(): Promise<void> {
    let waitMs = RETRY_MS_MIN;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#readOverview();
        await this.#listen(() => (waitMs = RETRY_MS_MIN));
        this.#set({ trouble: 'The process has ended the connection.' });
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const locked = error instanceof Refusal && error.status === 401;
        this.#set({ locked, trouble: error instanceof Refusal ? error.message : 'The process does not answer.' });
      }
      await this.#sleep(waitMs);
      waitMs = Math.min(waitMs * 2, RETRY_MS_MAX);
    }
  }

  /** Something was done, or a token was given: no need to wait. */
  hurry(): void {
    this.#wake();
    this.#hurried = true;
    this.#readAtMs = 0;
  }

  end(): void {
    this.#stop.abort();
    this.#wake();
  }

  async #listen(heard: () => void): Promise<void> {
    const answer = await call('/api/events', { signal: this.#stop.signal });
    if (answer.body === null) throw new Error('no body');
    let rest = '';
    for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + text).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data !== undefined) this.#note(JSON.parse(data) as Live);
      }
      heard();
    }
  }

  #note(live: Live): void {
    const { live: last, history } = this.contact;
    this.#set({ live, heardAtMs: Date.now(), trouble: null, locked: false, history: withSample(history, last, live) });
    const sinceMs = Date.now() - this.#readAtMs;
    const { overview } = this.contact;
    const isBehind = live.revision !== overview?.revision || this.#hurried;
    const isReading = overview !== null && overview.hours.knownFrom > overview.hours.from;
    const due = sinceMs >= (isReading ? READING_MS_MIN : isBehind ? OVERVIEW_MS_MIN : OVERVIEW_MS_MAX);
    if (!due || this.#reading) return;
    // The events tell it as well when the process is gone.
    void this.#readOverview().catch(() => {});
  }

  async #readOverview(): Promise<void> {
    this.#reading = true;
    this.#hurried = false;
    this.#readAtMs = Date.now();
    try {
      const overview = await get<FullOverview>('/api/overview', this.#stop.signal);
      this.#set({ overview, heardAtMs: Date.now(), trouble: null, locked: false });
    } finally {
      this.#reading = false;
    }
  }

  #set(change: Partial<Contact>): void {
    this.contact = { ...this.contact, ...change };
    this.#show(this.contact);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Another process counts from 0 again. */
function withSample(history: readonly Sample[], last: Live | null, live: Live): readonly Sample[] {
  if (last === null || live.atMs <= last.atMs || live.events < last.events) return history;
  const seconds = (live.atMs - last.atMs) / 1000;
  const sample = {
    atMs: live.atMs,
    events: (live.events - last.events) / seconds,
    bytes: (live.eventBytes - last.eventBytes) / seconds,
    rows: Math.max(0, live.rowsLoaded - last.rowsLoaded) / seconds,
    lag: live.lagSeconds,
  };
  return [...history.slice(-HISTORY_MAX + 1), sample];
}

export function useContact(): { readonly contact: Contact; readonly hurry: () => void } {
  const [state, setState] = useState<{ contact: Contact; connection: Connection } | null>(null);
  useEffect(() => {
    const connection = new Connection((contact) => setState({ contact, connection }));
    setState({ contact: connection.contact, connection });
    void connection.run();
    return () => connection.end();
  }, []);
  const none: Contact = { overview: null, live: null, history: [], heardAtMs: null, trouble: null, locked: false };
  return { contact: state?.contact ?? none, hurry: () => state?.connection.hurry() };
}

/** The time, once a second: what is stale must be seen to be, though nothing comes. */
export function useNow(): number {
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return nowMs;
}
