/**
 * The dashboard: its page, and what the page reads. What it does goes through the routes of control, with the token.
 */
import type { Context, Hono } from 'hono';
import { z } from 'zod';
import type { Control } from '../app/control.ts';
import { SluiceError } from '../core/error.ts';
import { HTTP_BUSY, USAGE } from '../core/errors.ts';
import { scrubJson } from '../ops/scrub-json.ts';
import { actionsOf } from './actions.ts';
import type { LiveFeed } from './live.ts';
import { LISTENERS_MAX } from './live.ts';
import { NOT_BUILT_PAGE, readPage, type Page, type PageFile } from './page.ts';

const FilesQuery = z.strictObject({
  collection: z.string().min(1).max(1000),
  hour: z.coerce.number().int().min(0).max(10_000_000).optional(),
});

export interface DashboardOptions {
  readonly control: Control;
  readonly live: LiveFeed;
  readonly scrub: (text: string) => string;
}

export function addDashboard(app: Hono, { control, live, scrub }: DashboardOptions): void {
  let page: Page | null = null;
  app.get('/api/overview', async (c) => {
    const overview = await control.overview(c.req.raw.signal);
    return c.json(scrubbed({ ...overview, actions: actionsOf(overview.abilities) }, scrub));
  });
  app.get('/api/files', async (c) => {
    const query = FilesQuery.safeParse(c.req.query());
    if (!query.success)
      throw new SluiceError(USAGE, 'it takes `collection` and, if you like, `hour`', { next: 'Ask for /api/files?collection=shop.orders' });
    const { collection, hour } = query.data;
    return c.json(scrubbed(await control.files({ collection, hour: hour ?? null }, c.req.raw.signal), scrub));
  });
  app.get('/api/dead-letters', async (c) => c.json(scrubbed(await control.deadLetters(c.req.raw.signal), scrub)));
  app.get('/api/events', (c) => {
    if (live.isFull) throw new SluiceError(HTTP_BUSY, `${LISTENERS_MAX} pages listen already`);
    c.header('content-type', 'text/event-stream');
    return c.body(live.stream(c.req.raw.signal));
  });
  app.get('/', (c) => {
    page ??= readPage();
    const file = page.get('/');
    return file === undefined ? c.html(NOT_BUILT_PAGE) : answer(c, file);
  });
  app.get('/assets/*', (c, next) => {
    page ??= readPage();
    const file = page.get(c.req.path);
    return file === undefined ? next() : answer(c, file);
  });
}

function answer(c: Context, file: PageFile): Response {
  c.header('content-type', file.type);
  c.header('etag', file.etag);
  c.header('cache-control', file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (c.req.header('if-none-match') === file.etag) return c.body(null, 304);
  return c.body(file.bytes);
}

/** Without known secrets. */
export function scrubbed<T extends object>(value: T, scrub: (text: string) => string): T {
  const text = JSON.stringify(value);
  const shown = scrubJson(text, scrub);
  return shown === text ? value : (JSON.parse(shown) as T);
}
