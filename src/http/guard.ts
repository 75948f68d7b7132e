/**
 * Who may ask, how often, and what a browser may do with the answer.
 *
 * Everybody who reaches the port may ask whether the process is well; what changes or reads data needs the token. On the loopback the
 * `Host` header must be the loopback too: a web page that points a name of its own at 127.0.0.1 (DNS rebinding) could otherwise
 * read `/api/status` through a visitor's browser. Pages of other origins are refused at `/api/` whatever they send: the token
 * travels in a header that they cannot set without being asked for, and this is the second lock.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { isLoopback } from '../config/normal.ts';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { HTTP_BUSY, HTTP_DENIED, HTTP_OTHER_INSTANCE } from '../core/errors.ts';
import { CONTENT_SECURITY_POLICY } from './page.ts';
import { INSTANCE_HEADER } from './run-file.ts';

/** The one status that `SluiceError` cannot say: which of the refusals it was. */
const DENIED_STATUS = 'deniedStatus';

function deny(c: Context, status: 401 | 403, detail: string): never {
  c.set(DENIED_STATUS, status);
  throw new SluiceError(HTTP_DENIED, detail);
}

export function deniedStatus(c: Context): 401 | 403 {
  return c.get(DENIED_STATUS) as 401 | 403;
}

/** On every answer, errors included. */
const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

export const withHeaders: MiddlewareHandler = async (c, next) => {
  for (const [name, value] of Object.entries(HEADERS)) c.header(name, value);
  await next();
};

export const loopbackOnly: MiddlewareHandler = async (c, next) => {
  const host = c.req.header('host') ?? '';
  // `[::1]:8080`, `localhost:8080`, `127.0.0.1`.
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host)?.[1] ?? '';
  if (!isLoopback(name)) deny(c, 403, 'the Host header does not name this machine');
  await next();
};

/** What browsers say of themselves; other clients send neither header. */
export const sameOriginOnly: MiddlewareHandler = async (c, next) => {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none') deny(c, 403, 'a page of another origin asks');
  const origin = c.req.header('origin');
  // The browser itself has compared them: a proxy in front may have put another name into `Host`.
  if (site === undefined && origin !== undefined && !isSameHost(origin, c.req.header('host') ?? '')) deny(c, 403, 'a page of another origin asks');
  await next();
};

/** The scheme is not compared: a proxy in front may speak TLS where this speaks plainly. */
function isSameHost(origin: string, host: string): boolean {
  return URL.parse(origin)?.host === host.toLowerCase();
}

/** A run file may be older than what listens at its address: another one must not answer for it, nor count its token as a guess. */
export function thisInstanceOnly(instance: string): MiddlewareHandler {
  return async (c, next) => {
    const asked = c.req.header(INSTANCE_HEADER);
    if (asked !== undefined) {
      if (asked !== instance) throw new SluiceError(HTTP_OTHER_INSTANCE);
      c.header(INSTANCE_HEADER, instance);
    }
    await next();
  };
}

export function needsToken(token: string, guesses: Allowance): MiddlewareHandler {
  // Digests have one length: comparing them says nothing about that of the token.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return async (c, next) => {
    const given = /^Bearer +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (given === undefined) deny(c, 401, 'a token is missing');
    const from = addressOf(c);
    // Also for the right one: else guessing could go on behind the refusals.
    if (guesses.isSpent(from)) throw new SluiceError(HTTP_BUSY, 'too many wrong tokens came from this address');
    if (!timingSafeEqual(digest(given), expected)) {
      guesses.take(from);
      deny(c, 401, 'the token is not right');
    }
    await next();
  };
}

/** Probes and scrapers come as often as they like: they cost next to nothing. */
export function notTooOften(requests: Allowance): MiddlewareHandler {
  return async (c, next) => {
    const from = addressOf(c);
    if (requests.isSpent(from)) throw new SluiceError(HTTP_BUSY, 'too many requests came from this address');
    requests.take(from);
    await next();
  };
}

function addressOf(c: Context): string {
  return (c.env as Partial<HttpBindings>).incoming?.socket.remoteAddress ?? '';
}

/** Addresses that are remembered; beyond, the one that was heard first is forgotten. */
const ADDRESSES_MAX = 4096;

/** So many within a time, for each address by itself, filled up evenly. */
export class Allowance {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #perMs: number;
  readonly #left = new Map<string, { tokens: number; atMs: number }>();

  constructor(clock: Clock, most: number, withinMs: number) {
    this.#clock = clock;
    this.#most = most;
    this.#perMs = most / withinMs;
  }

  isSpent(address: string): boolean {
    return this.#tokens(address) < 1;
  }

  take(address: string): void {
    const tokens = this.#tokens(address) - 1;
    if (!this.#left.has(address) && this.#left.size >= ADDRESSES_MAX) {
      const [first] = this.#left.keys();
      if (first !== undefined) this.#left.delete(first);
    }
    this.#left.set(address, { tokens, atMs: this.#clock.now() });
  }

  #tokens(address: string): number {
    const known = this.#left.get(address);
    if (known === undefined) return this.#most;
    // A clock that is put back gives nothing, and takes nothing.
    const sinceMs = Math.max(0, this.#clock.now() - known.atMs);
    return Math.min(this.#most, known.tokens + sinceMs * this.#perMs);
  }
}
