/**
 * What the HTTP server answers; who may ask is in guard.ts.
 */
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import type { Control } from '../app/control.ts';
import { isLoopback } from '../config/normal.ts';
import type { Clock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import {
  ANSWER_TOO_LARGE,
  HTTP_BUSY,
  HTTP_DENIED,
  HTTP_OTHER_INSTANCE,
  SOURCE_FAILED,
  SOURCE_UNAVAILABLE,
  UNEXPECTED,
  USAGE,
  WAREHOUSE_QUERY,
} from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import { addDashboard, scrubbed } from './dashboard.ts';
import { Allowance, deniedStatus, loopbackOnly, needsToken, notTooOften, sameOriginOnly, thisInstanceOnly, withHeaders } from './guard.ts';
import { illness, unreadiness, type Heartbeat } from './health.ts';
import type { LiveFeed } from './live.ts';

export interface RoutesOptions {
  readonly control: Control;
  readonly token: string;
  /** Of this server. */
  readonly instance: string;
  /** The address that the server is bound to. */
  readonly host: string;
  readonly registry: Registry;
  readonly heartbeat: Heartbeat;
  readonly live: LiveFeed;
  readonly scrub: (text: string) => string;
  readonly log: Logger;
  readonly clock: Clock;
}

const BODY_BYTES_MAX = 1024 * 1024;
/** Of one address: a page asks about once in two seconds, scripts that call commands in a row about ten times a second. */
const REQUESTS_MAX = 3_000;
const GUESSES_MAX = 20;
const MINUTE_MS = 60_000;
const QUERY_ROWS_DEFAULT = 1000;
const QUERY_ROWS_MAX = 1_000_000;
const ENDPOINTS =
  'There are GET /, /healthz, /readyz, /metrics, /api/{status,overview,events,files,dead-letters}, and POST /api/{seal,snapshot,dump,retain,erase,restore,restore-documents,load,merge,query,verify,pause,resume,discover,collections,schema,dead-letter,replay}.';
const HOURS_MAX = 10_000_000;
const SAMPLE_MAX = 10_000;
/** Of both halves of a cluster time. */
const ORDINAL_MAX = 2 ** 32 - 1;

const hour = z.int().min(0).max(HOURS_MAX);
const moment = z.strictObject({ t: z.int().min(0).max(ORDINAL_MAX), i: z.int().min(0).max(ORDINAL_MAX) });
const collections = z.array(z.string().min(1)).max(10_000).default([]);
const BODIES = {
  load: z.strictObject({ hours: z.strictObject({ from: hour, to: hour }).nullable().default(null) }),
  dump: z.strictObject({
    collections,
    hour: hour.nullable().default(null),
    layout: z.enum(['ndjson', 'document', 'array']).nullable().default(null),
    content: z.enum(['documents', 'changes']).nullable().default(null),
  }),
  retain: z.strictObject({ dryRun: z.boolean().default(false) }),
  erase: z.strictObject({
    request: z
      .strictObject({
        collections: z.array(z.string().min(1)).min(1).max(10_000),
        keys: z.array(z.string()).max(10_000).default([]),
        where: z.array(z.string().min(1)).max(100).default([]),
        by: z.string().min(1),
        reason: z.string().nullable().default(null),
      })
      .refine(({ keys, where }) => keys.length > 0 !== where.length > 0, 'one of keys and where')
      .nullable()
      .default(null),
    dryRun: z.boolean().default(false),
  }),
  restore: z.strictObject({
    collection: z.string().min(1),
    asOf: moment,
    to: z.string().startsWith('table:'),
    into: z.null().default(null),
    from: z.enum(['lake', 'warehouse']).default('lake'),
  }),
  restoreDocuments: z.strictObject({ collection: z.string().min(1), asOf: moment }),
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
  letter: z.strictObject({ name: z.string().min(1).max(100) }),
  letters: z.strictObject({ names: z.array(z.string().min(1).max(100)).max(10_000) }),
  nothing: z.strictObject({}),
} as const;

export function makeRoutes(options: RoutesOptions): Hono {
  const { control, registry, heartbeat } = options;
  const loopback = isLoopback(options.host);
  const app = new Hono();
  app.use(withHeaders);
  if (loopback) app.use(loopbackOnly);
  app.use(thisInstanceOnly(options.instance));
  app.use('/api/*', sameOriginOnly, notTooOften(new Allowance(options.clock, REQUESTS_MAX, MINUTE_MS)));
  const locked = needsToken(options.token, new Allowance(options.clock, GUESSES_MAX, MINUTE_MS));
  const tooLarge = (c: Context): Response =>
    problem(c, options, new SluiceError(USAGE, `the body is larger than ${BODY_BYTES_MAX} bytes`, { next: 'Send less.' }), 413);
  app.post('*', locked, bodyLimit({ maxSize: BODY_BYTES_MAX, onError: tooLarge }));
  // On an address that others reach, reading is for those with the token as well; probes and scrapers stay open.
  if (!loopback) app.get('/api/*', locked);

  app.get('/healthz', (c) => answer(c, illness(control.stats, heartbeat)));
  app.get('/readyz', (c) => answer(c, unreadiness(control.stats)));
  app.get('/metrics', async (c) => c.text(await registry.metrics(), 200, { 'content-type': registry.contentType }));
  const { scrub } = options;
  app.get('/api/status', async (c) => c.json(scrubbed(await control.status(c.req.raw.signal), scrub)));

  addDashboard(app, options);

  app.post('/api/seal', async (c) => {
    await body(c, BODIES.nothing);
    return c.json(scrubbed(await control.seal(c.req.raw.signal), scrub));
  });
  app.post('/api/snapshot', async (c) => c.json(scrubbed(await control.snapshot(await body(c, BODIES.collections), c.req.raw.signal), scrub)));
  app.post('/api/dump', async (c) => c.json(scrubbed(await control.dump(await body(c, BODIES.dump), c.req.raw.signal), scrub)));
  app.post('/api/retain', async (c) => c.json(scrubbed(await control.retain(await body(c, BODIES.retain), c.req.raw.signal), scrub)));
  // What is erased is named by whoever asks, and told to nobody else.
  app.post('/api/erase', async (c) => c.json(await control.erase(await body(c, BODIES.erase), c.req.raw.signal)));
  app.post('/api/restore', async (c) => c.json(await control.restore(await body(c, BODIES.restore), c.req.raw.signal)));
  app.post('/api/restore-documents', async (c) => {
    const lines = await control.restoreDocuments(await body(c, BODIES.restoreDocuments), c.req.raw.signal);
    return c.body(streamOf(lines), 200, { 'content-type': 'application/x-ndjson' });
  });
  app.post('/api/load', async (c) => c.json(scrubbed(await control.load(await body(c, BODIES.load), c.req.raw.signal), scrub)));
  app.post('/api/merge', async (c) => c.json(scrubbed(await control.merge(await body(c, BODIES.merge), c.req.raw.signal), scrub)));
  // What is in the documents is the answer itself: nothing is taken out of it.
  app.post('/api/query', async (c) => c.json(await control.query(await body(c, BODIES.query), c.req.raw.signal)));
  app.post('/api/verify', async (c) => c.json(scrubbed(await control.verify(await body(c, BODIES.verify), c.req.raw.signal), scrub)));
  app.post('/api/pause', async (c) => c.json(scrubbed(await control.pause(await body(c, BODIES.collections), c.req.raw.signal), scrub)));
  app.post('/api/resume', async (c) => c.json(scrubbed(await control.resume(await body(c, BODIES.collections), c.req.raw.signal), scrub)));
  app.post('/api/discover', async (c) => c.json(scrubbed(await control.discover(await body(c, BODIES.discover), c.req.raw.signal), scrub)));
  app.post('/api/collections', async (c) => {
    await body(c, BODIES.nothing);
    return c.json(scrubbed(await control.collections(c.req.raw.signal), scrub));
  });
  app.post('/api/schema', async (c) => c.json(await control.schema(await body(c, BODIES.schema), c.req.raw.signal)));

  // As with a query: the message is the answer itself.
  app.post('/api/dead-letter', async (c) => c.json(await control.deadLetter((await body(c, BODIES.letter)).name, c.req.raw.signal)));
  app.post('/api/replay', async (c) => c.json(scrubbed(await control.replay((await body(c, BODIES.letters)).names, c.req.raw.signal), scrub)));

  app.notFound((c) => problem(c, options, new SluiceError(USAGE, `there is no ${c.req.method} ${c.req.path}`, { next: ENDPOINTS }), 404));
  app.onError((error, c) => {
    const known = asKnown(error);
    if (known.kind === UNEXPECTED && !c.req.raw.signal.aborted) options.log.error({ err: error, path: c.req.path }, 'a request failed');
    return problem(c, options, known, statusOf(known, c));
  });
  return app;
}

function asKnown(error: Error): SluiceError {
  if (error instanceof SluiceError) return error;
  // An answer is one string, and none of them is longer than half a gigabyte.
  const isTooLong = error instanceof RangeError && error.message === 'Invalid string length';
  return new SluiceError(isTooLong ? ANSWER_TOO_LARGE : UNEXPECTED, isTooLong ? undefined : reasonOf(error), { cause: error });
}

/** Read on only as fast as whoever asks takes it; given up when he goes. */
function streamOf(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await iterator.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await iterator.return?.()),
  });
}

function answer(c: Context, wrong: string | null): Response {
  return wrong === null ? c.json({ ok: true }) : c.json({ ok: false, reason: wrong }, 503);
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

type Status = 400 | 401 | 403 | 404 | 409 | 413 | 421 | 429 | 500 | 502 | 503;

function statusOf(error: SluiceError, c: Context): Status {
  const { kind } = error;
  if (kind === HTTP_DENIED) return deniedStatus(c);
  if (kind === HTTP_OTHER_INSTANCE) return 421;
  if (kind === HTTP_BUSY) return 429;
  if (kind === WAREHOUSE_QUERY) return 400;
  if (kind === SOURCE_UNAVAILABLE || kind === SOURCE_FAILED) return 502;
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
