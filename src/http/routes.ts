/**
 * What the HTTP server answers.
 *
 * Who may ask: everybody who reaches the port may ask whether it is well; what changes or reads data needs the token.
 * On the loopback the `Host` header must be the loopback too: a web page that points a name of its own at 127.0.0.1 (DNS
 * rebinding) could otherwise read `/api/status` through a visitor's browser.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono, type Context, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import type { Control } from '../app/control.ts';
import { isLoopback } from '../config/normal.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { HTTP_DENIED, SOURCE_UNAVAILABLE, UNEXPECTED, USAGE, WAREHOUSE_QUERY } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import { illness, unreadiness, type Heartbeat } from './health.ts';

export interface RoutesOptions {
  readonly control: Control;
  readonly token: string;
  /** The address that the server is bound to. */
  readonly host: string;
  readonly registry: Registry;
  readonly heartbeat: Heartbeat;
  readonly scrub: (text: string) => string;
  readonly log: Logger;
}

const BODY_BYTES_MAX = 1024 * 1024;
const QUERY_ROWS_DEFAULT = 1000;
const QUERY_ROWS_MAX = 1_000_000;
const ENDPOINTS =
  'There are GET /healthz, /readyz, /metrics, /api/status, and POST /api/{seal,load,merge,query,verify,pause,resume,discover,collections,schema}.';
const HOURS_MAX = 10_000_000;
const SAMPLE_MAX = 10_000;

const hour = z.int().min(0).max(HOURS_MAX);
const collections = z.array(z.string().min(1)).max(10_000).default([]);
const BODIES = {
  load: z.strictObject({ hours: z.strictObject({ from: hour, to: hour }).nullable().default(null) }),
  merge: z.strictObject({ collections, rebuild: z.boolean().default(false) }),
  query: z.strictObject({
    sql: z.string().min(1),
    limit: z.int().min(1).max(QUERY_ROWS_MAX).default(QUERY_ROWS_DEFAULT),
    asOf: z.iso.datetime({ offset: true }).nullable().default(null),
  }),
  verify: z.strictObject({ lake: z.boolean().default(false), warehouse: z.boolean().default(false), source: z.boolean().default(false) }),
  collections: z.strictObject({ collections }),
  discover: z.strictObject({ sample: z.int().min(0).max(SAMPLE_MAX).default(0) }),
  schema: z.strictObject({ collection: z.string().min(1).nullable().default(null), check: z.boolean().default(false) }),
  nothing: z.strictObject({}),
} as const;

export function makeRoutes(options: RoutesOptions): Hono {
  const { control, registry, heartbeat } = options;
  const loopback = isLoopback(options.host);
  const app = new Hono();
  app.use(async (c, next) => {
    c.header('cache-control', 'no-store');
    c.header('x-content-type-options', 'nosniff');
    await next();
  });
  if (loopback) app.use(loopbackOnly);
  const locked = needsToken(options.token);
  const tooLarge = (c: Context): Response =>
    problem(c, options, new SluiceError(USAGE, `the body is larger than ${BODY_BYTES_MAX} bytes`, { next: 'Send less.' }), 413);
  app.post('*', locked, bodyLimit({ maxSize: BODY_BYTES_MAX, onError: tooLarge }));
  // On an address that others reach, reading is for those with the token as well; probes and scrapers stay open.
  if (!loopback) app.get('/api/*', locked);

  app.get('/healthz', (c) => answer(c, illness(control.stats, heartbeat)));
  app.get('/readyz', (c) => answer(c, unreadiness(control.stats)));
  app.get('/metrics', async (c) => c.text(await registry.metrics(), 200, { 'content-type': registry.contentType }));
  app.get('/api/status', async (c) => c.json(await control.status(c.req.raw.signal)));

  app.post('/api/seal', async (c) => {
    await body(c, BODIES.nothing);
    return c.json(await control.seal(c.req.raw.signal));
  });
  app.post('/api/load', async (c) => c.json(await control.load(await body(c, BODIES.load), c.req.raw.signal)));
  app.post('/api/merge', async (c) => c.json(await control.merge(await body(c, BODIES.merge), c.req.raw.signal)));
  app.post('/api/query', async (c) => c.json(await control.query(await body(c, BODIES.query), c.req.raw.signal)));
  app.post('/api/verify', async (c) => c.json(await control.verify(await body(c, BODIES.verify), c.req.raw.signal)));
  app.post('/api/pause', async (c) => c.json(await control.pause(await body(c, BODIES.collections), c.req.raw.signal)));
  app.post('/api/resume', async (c) => c.json(await control.resume(await body(c, BODIES.collections), c.req.raw.signal)));
  app.post('/api/discover', async (c) => c.json(await control.discover(await body(c, BODIES.discover), c.req.raw.signal)));
  app.post('/api/collections', async (c) => {
    await body(c, BODIES.nothing);
    return c.json(await control.collections(c.req.raw.signal));
  });
  app.post('/api/schema', async (c) => c.json(await control.schema(await body(c, BODIES.schema), c.req.raw.signal)));

  app.notFound((c) => problem(c, options, new SluiceError(USAGE, `there is no ${c.req.method} ${c.req.path}`, { next: ENDPOINTS }), 404));
  app.onError((error, c) => {
    const known = error instanceof SluiceError ? error : new SluiceError(UNEXPECTED, reasonOf(error), { cause: error });
    if (known.kind === UNEXPECTED && !c.req.raw.signal.aborted) options.log.error({ err: error, path: c.req.path }, 'a request failed');
    return problem(c, options, known, statusOf(known, c));
  });
  return app;
}

function answer(c: Context, wrong: string | null): Response {
  return wrong === null ? c.json({ ok: true }) : c.json({ ok: false, reason: wrong }, 503);
}

/** The one status that `SluiceError` cannot say: which of the refusals it was. */
const DENIED_STATUS = 'deniedStatus';

function deny(c: Context, status: 401 | 403, detail: string): never {
  c.set(DENIED_STATUS, status);
  throw new SluiceError(HTTP_DENIED, detail);
}

const loopbackOnly: MiddlewareHandler = async (c, next) => {
  const host = c.req.header('host') ?? '';
  // `[::1]:8080`, `localhost:8080`, `127.0.0.1`.
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host)?.[1] ?? '';
  if (!isLoopback(name)) deny(c, 403, 'the Host header does not name this machine');
  await next();
};

function needsToken(token: string): MiddlewareHandler {
  // Digests have one length: comparing them says nothing about that of the token.
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return async (c, next) => {
    const given = /^Bearer +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(digest(given), expected))
      deny(c, 401, given === undefined ? 'a token is missing' : 'the token is not right');
    await next();
  };
}

async function body<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await c.req.text();
  let value: unknown;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw new SluiceError(USAGE, 'the body is not JSON', { cause: error, next: 'Send a JSON object.' });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.length === 0 ? 'the body' : issue.path.join('.')}: ${issue.message}`);
  throw new SluiceError(USAGE, issues.join('; '), { next: 'Mend the body: it takes what the command of the same name does (docs/cli.md).' });
}

type Status = 400 | 401 | 403 | 404 | 409 | 413 | 500 | 502 | 503;

function statusOf(error: SluiceError, c: Context): Status {
  const { kind } = error;
  if (kind === HTTP_DENIED) return c.get(DENIED_STATUS) as 401 | 403;
  if (kind === WAREHOUSE_QUERY) return 400;
  if (kind === SOURCE_UNAVAILABLE) return 502;
  switch (kind.exit) {
    case 2:
      return 400;
    case 69:
    case 130:
      return 503;
    case 75:
    case 78:
      return 409;
    default:
      return 500;
  }
}

function problem(c: Context, options: RoutesOptions, error: SluiceError, status: Status): Response {
  if (status === 401) c.header('www-authenticate', 'Bearer');
  return c.json({ code: error.code, message: options.scrub(error.message), next: options.scrub(error.next) }, status);
}
